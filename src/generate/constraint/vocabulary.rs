//! A model's tokens as the parser sees them: their bytes, in a trie.

use std::sync::Arc;

use llguidance::toktrie::{
    ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, INVALID_TOKEN,
};
use llguidance::ParserFactory;
use rayon::prelude::*;

use super::grammar::first_line;
use super::ConstraintError;
use crate::text::Tokenizer;

/// Tokens that all come or all stay out where free text is asked for, so that they need not be tried one by one:
/// pieces of JSON text. With the parser's own list of four such sets a mask costs no less (0.4 ms for 150,000 tokens in
/// a text of bounded length, against 2 to 3 ms with none) and the vocabulary takes twice as long to read.
const WORDS: &str = r#"[^"\\\x00-\x1F\x7F]{1,10}"#;

/// The tokens of a model. Built once a load, in about 0.3 s for 150,000 tokens.
pub struct Vocabulary {
    factory: ParserFactory,
}

impl Vocabulary {
    /// The tokens of `tokenizer` for a model whose output head has `rows` rows; `ends` are those that end an output.
    ///
    /// Special tokens are marked, so that they never come as text; rows past the vocabulary never come at all.
    ///
    /// # Errors
    /// [`ConstraintError::TooComplex`] where the trie cannot be built.
    pub fn new(tokenizer: &Tokenizer, rows: usize, ends: &[u32]) -> Result<Self, ConstraintError> {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let words: Vec<Vec<u8>> = (0..rows)
            .into_par_iter()
            .map(|id| word(tokenizer, id))
            .collect();
        Self::of_words(&words, ends)
    }

    /// The tokens with these bytes; special ones begin with [`TokTrie::SPECIAL_TOKEN_MARKER`].
    pub(super) fn of_words(words: &[Vec<u8>], ends: &[u32]) -> Result<Self, ConstraintError> {
        let env = environment(words, ends);
        Ok(Self {
            factory: factory(&env, &[WORDS.into()])?,
        })
    }

    pub(super) fn factory(&self) -> &ParserFactory {
        &self.factory
    }
}

/// The bytes of token `id`; none for one that has no text. A token too long for the trie has none either.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let bytes = match tokenizer.token_bytes(id) {
        Some(bytes) => bytes,
        None => match tokenizer.token(id) {
            Some(name) => special(&name),
            None => Vec::new(),
        },
    };
    match bytes.len() <= MAX_TOKEN_BYTES {
        true => bytes,
        false => Vec::new(),
    }
}

/// States of the parser that one place of an answer may have: four for each property that may be left out
/// ([`super::objects::MAX_OPTIONAL`]), one for each alternative.
const MAX_ROW: usize = 10_000;

/// More than the longest token of any model; what the trie can hold is a little less than 1,024.
const MAX_TOKEN_BYTES: usize = 512;

/// How the trie spells a special token.
pub(super) fn special(name: &str) -> Vec<u8> {
    [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat()
}

pub(super) fn environment(words: &[Vec<u8>], ends: &[u32]) -> TokEnv {
    let vocab_size = words.len() as u32;
    let ends: Vec<u32> = ends.iter().copied().filter(|&id| id < vocab_size).collect();
    let info = TokRxInfo {
        vocab_size,
        tok_eos: ends.first().copied().unwrap_or(INVALID_TOKEN),
        tok_bos: None,
        tok_pad: None,
        tok_unk: None,
        tok_end_of_turn: None,
    };
    let trie = TokTrie::from(&info, words);
    let trie = match ends.len() {
        0 | 1 => trie,
        _ => trie.with_eos_tokens(&ends),
    };
    Arc::new(ApproximateTokEnv::new(trie))
}

pub(super) fn factory(env: &TokEnv, slices: &[String]) -> Result<ParserFactory, ConstraintError> {
    let mut factory = ParserFactory::new(env, InferenceCapabilities::default(), slices)
        .map_err(|error| ConstraintError::TooComplex(first_line(&error)))?;
    factory.quiet();
    let limits = factory.limits_mut();
    limits.verbose_errors = false;
    limits.max_items_in_row = MAX_ROW;
    Ok(factory)
}
