//! Tokenizer, chat template and streaming detokeniser.
//!
//! A [`Tokenizer`] comes from a GGUF file's metadata or from a folder's `tokenizer.json`; both end in the same
//! `tokenizers` pipeline. Decoding is crane's own ([`StreamDecoder`]), so that a reply printed token by token is
//! the text that decoding it as a whole would give. A [`ChatTemplate`] renders a conversation as transformers does.
//! [`sentences`] splits a text for speech.

mod detokenize;
mod gguf;
mod huggingface;
mod message;
mod pipeline;
mod pre;
mod sentencepiece;
pub mod sentences;
mod special;
mod template;
pub mod thinking;
mod tokenizer;

pub use detokenize::StreamDecoder;
pub use gguf::GgufVocab;
pub use message::{Content, Message, Part};
pub(crate) use template::clock;
pub use template::ChatTemplate;
pub use tokenizer::Tokenizer;

/// Why text could not be turned into tokens or back.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    #[error("{file}: {reason}")]
    Tokenizer { file: String, reason: String },
    #[error("{file}: this file, which holds the tokenizer, is missing; fetch it again with 'crane pull MODEL'")]
    NoTokenizer { file: String },
    #[error(
        "the chat template of {file} failed: {reason}; use --raw to send the prompt without it"
    )]
    Template { file: String, reason: String },
    #[error("{file} has no chat template; use --raw to send the prompt as it is")]
    NoTemplate { file: String },
}

impl TextError {
    fn tokenizer(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Tokenizer {
            file: file.into(),
            reason: reason.into(),
        }
    }

    fn template(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Template {
            file: file.into(),
            reason: reason.into(),
        }
    }
}
