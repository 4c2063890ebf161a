//! Tokenizer, chat template and streaming detokeniser.

use crate::weights::Checkpoint;

/// Why text could not be turned into tokens or back.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    #[error("{file}: {reason}")]
    Tokenizer { file: String, reason: String },
    #[error(
        "the chat template of {file} failed: {reason}; use --raw to send the prompt without it"
    )]
    Template { file: String, reason: String },
    #[error("{file} has no chat template; use --raw to send the prompt as it is")]
    NoTemplate { file: String },
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    pub role: String,
    pub content: String,
}

/// A model's tokenizer.
pub struct Tokenizer {}

impl Tokenizer {
    /// From a GGUF file's metadata or a folder's tokenizer.json (+ tokenizer_config.json).
    pub fn open(_checkpoint: &Checkpoint) -> Result<Self, TextError> {
        unimplemented!()
    }
    /// Token ids of `text`; special tokens written in the text are recognised. `add_special` adds BOS/EOS
    /// where the model's tokenizer does (as transformers' `add_special_tokens=True`).
    pub fn encode(&self, _text: &str, _add_special: bool) -> Result<Vec<u32>, TextError> {
        unimplemented!()
    }
    pub fn decode(&self, _ids: &[u32], _skip_special: bool) -> Result<String, TextError> {
        unimplemented!()
    }
    /// The text of one token as the vocabulary spells it, or None past the vocabulary.
    pub fn token(&self, _id: u32) -> Option<String> {
        unimplemented!()
    }
    pub fn token_id(&self, _text: &str) -> Option<u32> {
        unimplemented!()
    }
    /// Number of known tokens (the model's output head may have more rows).
    pub fn vocab_size(&self) -> usize {
        unimplemented!()
    }
    pub fn bos_token(&self) -> Option<&str> {
        unimplemented!()
    }
    pub fn eos_token(&self) -> Option<&str> {
        unimplemented!()
    }
    /// Every id that the tokenizer's own files call an end of generation (EOS, and for GGUF also EOT/EOM).
    pub fn eos_ids(&self) -> Vec<u32> {
        unimplemented!()
    }
    /// A decoder that turns a stream of ids into text.
    pub fn stream(&self) -> StreamDecoder<'_> {
        unimplemented!()
    }
}

/// Streaming detokenisation: never half a UTF-8 sequence, never a lost one.
pub struct StreamDecoder<'a> {
    #[allow(dead_code)]
    tokenizer: &'a Tokenizer,
}

impl StreamDecoder<'_> {
    /// The text that `id` completes; empty while a character is incomplete.
    pub fn push(&mut self, _id: u32) -> Result<String, TextError> {
        unimplemented!()
    }
    /// What is left at the end (an incomplete sequence becomes U+FFFD).
    pub fn finish(&mut self) -> Result<String, TextError> {
        unimplemented!()
    }
}

/// A chat template (Jinja), rendered as transformers renders it.
pub struct ChatTemplate {}

impl ChatTemplate {
    /// From GGUF metadata, tokenizer_config.json, chat_template.jinja or chat_template.json; None where there is none.
    pub fn open(_checkpoint: &Checkpoint) -> Result<Option<Self>, TextError> {
        unimplemented!()
    }
    /// The template's source.
    pub fn source(&self) -> &str {
        unimplemented!()
    }
    /// The prompt of a conversation. Encode the result with `add_special = false`.
    pub fn render(
        &self,
        _messages: &[Message],
        _add_generation_prompt: bool,
    ) -> Result<String, TextError> {
        unimplemented!()
    }
}
