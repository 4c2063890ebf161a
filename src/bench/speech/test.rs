//! What is measured.

use std::fmt;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Tokens of the language model, one by one with their choice.
    Llm,
    /// A text's semantic tokens decoded at once.
    Codec,
    /// The first samples of a stream, from the moment that their tokens are there.
    CodecStream,
    /// Language model and codec, for each second of speech.
    Speech,
    /// The tokens of a recording and of its voice.
    Encode,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Llm => "llm",
            Self::Codec => "codec",
            Self::CodecStream => "codec-stream",
            Self::Speech => "speech",
            Self::Encode => "encode",
        })
    }
}
