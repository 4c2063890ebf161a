//! What is measured.

use std::fmt;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// From a decoded picture to the numbers that the encoder reads.
    Preprocess,
    /// From these to rows in the place of embeddings.
    Encode,
    /// A prompt with the image in it.
    Prefill,
    /// Tokens one by one behind it.
    Decode,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Preprocess => "preprocess",
            Self::Encode => "encode",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
        })
    }
}
