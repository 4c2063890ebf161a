//! The tokenizer: one pipeline, whatever file it came from.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::detokenize::{Decoding, Spelling};
use super::gguf::GgufVocab;
use super::special::Specials;
use super::{huggingface, StreamDecoder, TextError};
use crate::weights::{Checkpoint, Header, Metadata};

/// What `add_special = true` adds to the ids of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Affix {
    /// What the post-processor of tokenizer.json says.
    PostProcessor,
    /// These ids before and after.
    Ids { before: Vec<u32>, after: Vec<u32> },
}

/// A model's tokenizer.
pub struct Tokenizer {
    pub(super) file: String,
    pub(super) inner: tokenizers::Tokenizer,
    pub(super) spelling: Spelling,
    pub(super) affix: Affix,
    pub(super) specials: Specials,
    pub(super) eos_ids: Vec<u32>,
    /// Ids that only fill the vocabulary up (GGUF's type "unused"): they have no text.
    pub(super) unused: HashSet<u32>,
    /// Second and later ids of a token that the vocabulary lists twice.
    pub(super) duplicates: HashMap<u32, String>,
}

impl Tokenizer {
    /// From a GGUF file's metadata or a folder's tokenizer.json (+ tokenizer_config.json).
    ///
    /// # Errors
    /// [`TextError::Tokenizer`] where a file is missing, broken, or of a kind that is not known.
    pub fn open(checkpoint: &Checkpoint) -> Result<Self, TextError> {
        match checkpoint.header() {
            Header::Gguf(metadata) => {
                Self::from_gguf(metadata, &checkpoint.path().display().to_string())
            }
            Header::HuggingFace(config) => {
                let folder = huggingface::folder(checkpoint.path());
                huggingface::load(folder, Some(config))
            }
        }
    }

    /// From the metadata of a GGUF file; `file` names it in errors.
    pub fn from_gguf(metadata: &Metadata, file: &str) -> Result<Self, TextError> {
        GgufVocab::read(metadata)
            .and_then(|vocab| vocab.build(file))
            .map_err(|reason| TextError::tokenizer(file, reason))
    }

    /// From a vocabulary as a GGUF file lists it; `file` names it in errors.
    pub fn from_gguf_vocab(vocab: GgufVocab<'_>, file: &str) -> Result<Self, TextError> {
        vocab
            .build(file)
            .map_err(|reason| TextError::tokenizer(file, reason))
    }

    /// From tokenizer.json and, where there is one, tokenizer_config.json.
    pub fn from_files(
        tokenizer_json: &Path,
        tokenizer_config: Option<&Path>,
    ) -> Result<Self, TextError> {
        huggingface::from_files(tokenizer_json, tokenizer_config)
    }

    /// Token ids of `text`; special tokens written in the text are recognised. `add_special` adds BOS/EOS
    /// where the model's tokenizer does (as transformers' `add_special_tokens=True`).
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TextError> {
        let by_processor = add_special && self.affix == Affix::PostProcessor;
        let encoding = self
            .inner
            .encode_fast(text, by_processor)
            .map_err(|e| TextError::tokenizer(&self.file, format!("cannot encode: {e}")))?;
        let ids = encoding.get_ids();
        Ok(match &self.affix {
            Affix::Ids { before, after } if add_special => [before, ids, after].concat(),
            _ => ids.to_vec(),
        })
    }

    /// The text of `ids`. Ids past the vocabulary have none. Byte sequences that are not UTF-8 become U+FFFD.
    ///
    /// As transformers decodes with `clean_up_tokenization_spaces=False`, but for one case: a run of `<0xNN>` tokens
    /// that is not UTF-8 as a whole keeps its complete characters here, where `tokenizers` drops the whole run.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TextError> {
        let mut state = Decoding::new(&self.spelling);
        let mut out = String::new();
        for &id in ids {
            if let Some(token) = self.visible(id, skip_special) {
                state.push(&self.spelling, &token, &mut out);
            }
        }
        state.finish(&self.spelling, &mut out);
        Ok(out)
    }

    /// The text of one token as the vocabulary spells it, or None past the vocabulary.
    pub fn token(&self, id: u32) -> Option<String> {
        if self.unused.contains(&id) {
            return None;
        }
        self.inner
            .id_to_token(id)
            .or_else(|| self.duplicates.get(&id).cloned())
    }

    /// The id of a token, spelled as the vocabulary does.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    /// Number of known tokens (the model's output head may have more rows).
    pub fn vocab_size(&self) -> usize {
        let listed = self.inner.get_vocab_size(true) + self.duplicates.len();
        listed.saturating_sub(self.unused.len())
    }

    /// The token that begins a text, where the model has one.
    pub fn bos_token(&self) -> Option<&str> {
        self.specials.bos.as_deref()
    }

    /// The token that ends a text, where the model has one.
    pub fn eos_token(&self) -> Option<&str> {
        self.specials.eos.as_deref()
    }

    /// Every id that the tokenizer's own files call an end of generation (EOS, and for GGUF also EOT/EOM).
    pub fn eos_ids(&self) -> Vec<u32> {
        self.eos_ids.clone()
    }

    /// Whether `id` is a special token, which `skip_special` leaves out of the text.
    pub fn is_special(&self, id: u32) -> bool {
        self.token(id)
            .is_some_and(|token| self.inner.get_added_vocabulary().is_special_token(&token))
    }

    /// A decoder that turns a stream of ids into text.
    pub fn stream(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(self)
    }

    /// A decoder for ids in the middle of a text, where no space is dropped at the start: the text is
    /// [`Tokenizer::token_bytes`] of all ids in a row, read as UTF-8.
    pub fn stream_within(&self) -> StreamDecoder<'_> {
        StreamDecoder::within(self)
    }

    /// The bytes that `id` adds in the middle of a text; None for special tokens and ids past the vocabulary, which
    /// add none.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        let token = self.visible(id, true)?;
        Some(self.spelling.bytes(&token, false))
    }

    pub(super) fn spelling(&self) -> &Spelling {
        &self.spelling
    }

    /// The token that `id` shows in a text.
    pub(super) fn visible(&self, id: u32, skip_special: bool) -> Option<String> {
        self.token(id).filter(|token| {
            !skip_special || !self.inner.get_added_vocabulary().is_special_token(token)
        })
    }
}
