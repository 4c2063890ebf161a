//! A vocabulary as GGUF metadata lists it (`tokenizer.ggml.*`, ggml's docs/gguf.md) → a tokenizer.

use std::collections::{HashMap, HashSet};

use tokenizers::models::bpe::{BpeBuilder, Merges, Vocab, BPE};
use tokenizers::normalizers::{Prepend, Replace, Sequence};
use tokenizers::{AddedToken, NormalizerWrapper};

use super::detokenize::Spelling;
use super::pre::Pre;
use super::special::{Specials, END_TOKENS};
use super::tokenizer::Affix;
use super::{sentencepiece, Tokenizer};
use crate::weights::{Metadata, Value};

/// What kind of token an id is (`tokenizer.ggml.token_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Kind {
    fn from_number(n: i64) -> Self {
        match n {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }
}

/// The tokenizer keys of a GGUF file; the names are those below `tokenizer.ggml.`.
#[derive(Debug, Clone, Default)]
pub struct GgufVocab<'a> {
    /// `gpt2` (byte-level BPE) or `llama` (SentencePiece BPE).
    pub model: &'a str,
    pub pre: Option<&'a str>,
    /// `general.architecture`, which tells the pre-tokeniser of a file without `pre`.
    pub architecture: Option<&'a str>,
    pub tokens: Vec<&'a str>,
    pub scores: Vec<f32>,
    pub token_type: Vec<i64>,
    /// Pairs with a space between them, best first.
    pub merges: Vec<&'a str>,
    pub bos_token_id: Option<u32>,
    pub eos_token_id: Option<u32>,
    pub eot_token_id: Option<u32>,
    pub eom_token_id: Option<u32>,
    pub unknown_token_id: Option<u32>,
    pub padding_token_id: Option<u32>,
    pub add_bos_token: Option<bool>,
    pub add_eos_token: Option<bool>,
    pub add_space_prefix: Option<bool>,
}

impl<'a> GgufVocab<'a> {
    /// Reads the keys; the error says which one is missing.
    pub fn read(metadata: &'a Metadata) -> Result<Self, String> {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let id = |name: &str| {
            let n = metadata.usize(&key(name))?;
            u32::try_from(n).ok()
        };
        let missing = |name: &str| {
            format!("the file has no tokenizer ({} is missing or of another type); use a GGUF file made with its tokenizer", key(name))
        };
        let numbers = |name: &str| match metadata.get(&key(name)) {
            Some(Value::Array(values)) => values.as_slice(),
            _ => &[],
        };
        Ok(Self {
            model: metadata
                .str(&key("model"))
                .ok_or_else(|| missing("model"))?,
            pre: metadata.str(&key("pre")),
            architecture: metadata.str("general.architecture"),
            tokens: metadata
                .strings(&key("tokens"))
                .ok_or_else(|| missing("tokens"))?,
            scores: numbers("scores").iter().map(|v| number(v) as f32).collect(),
            token_type: numbers("token_type")
                .iter()
                .map(|v| number(v) as i64)
                .collect(),
            merges: metadata.strings(&key("merges")).unwrap_or_default(),
            bos_token_id: id("bos_token_id"),
            eos_token_id: id("eos_token_id"),
            eot_token_id: id("eot_token_id"),
            eom_token_id: id("eom_token_id"),
            unknown_token_id: id("unknown_token_id"),
            padding_token_id: id("padding_token_id"),
            add_bos_token: metadata.bool(&key("add_bos_token")),
            add_eos_token: metadata.bool(&key("add_eos_token")),
            add_space_prefix: metadata.bool(&key("add_space_prefix")),
        })
    }

    pub(super) fn build(self, file: &str) -> Result<Tokenizer, String> {
        match self.model {
            "gpt2" => self.byte_level(file),
            "llama" => self.sentencepiece(file),
            other => Err(format!(
                "its tokenizer (tokenizer.ggml.model) is {other:?}, and crane knows gpt2 and llama; use the model's safetensors folder, whose tokenizer.json says it all"
            )),
        }
    }

    fn byte_level(self, file: &str) -> Result<Tokenizer, String> {
        let pre = Pre::named(match (self.pre, self.architecture) {
            (Some(pre), _) => pre,
            (None, Some("qwen2" | "qwen3")) => "qwen2",
            (None, _) => "default",
        })?;
        let vocab = self.vocab()?;
        let words =
            |i: usize, token: &str| self.kind(i) == Kind::Normal && token.chars().nth(1).is_some();
        if self.merges.is_empty() && self.tokens.iter().enumerate().any(|(i, t)| words(i, t)) {
            return Err(format!(
                "it lists no merges (tokenizer.ggml.merges), without which text becomes single bytes; {DAMAGED}"
            ));
        }
        let merges = self
            .merges
            .iter()
            .map(|line| {
                // A merge's first part may start with a space, so the separator is sought after it.
                let at = line.char_indices().skip(1).find(|(_, c)| *c == ' ');
                at.and_then(|(i, _)| {
                    Some((line.get(..i)?.to_string(), line.get(i + 1..)?.to_string()))
                })
                .ok_or_else(|| {
                    format!("the merge {line:?} is not two tokens with a space between; {DAMAGED}")
                })
            })
            .collect::<Result<Merges, _>>()?;
        let builder = BPE::builder().ignore_merges(pre.ignore_merges);
        let bpe = build_bpe(builder, vocab, merges, "")?;
        let mut inner = tokenizers::Tokenizer::new(bpe);
        inner
            .with_normalizer(pre.normalizer())
            .map_err(|e| e.to_string())?;
        inner.with_pre_tokenizer(Some(pre.pre_tokenizer()?));
        self.finish(file, inner, Spelling::ByteLevel, pre.add_bos)
    }

    fn sentencepiece(self, file: &str) -> Result<Tokenizer, String> {
        if self.scores.len() != self.tokens.len() {
            return Err(format!(
                "it lists {} tokens and {} scores; {DAMAGED}",
                self.tokens.len(),
                self.scores.len()
            ));
        }
        let vocab = self.vocab()?;
        let pieces: Vec<_> = (self.tokens.iter().zip(&self.scores))
            .enumerate()
            .filter(|(i, _)| self.kind(*i) == Kind::Normal)
            .map(|(_, (token, score))| (*token, *score))
            .collect();
        let merges = sentencepiece::merges(&pieces, &vocab)?;
        let byte_fallback = vocab.contains_key("<0x00>");
        let mut builder = BPE::builder().fuse_unk(true).byte_fallback(byte_fallback);
        if let Some(unknown) = self.text_of(self.unknown_token_id.or(Some(0))) {
            builder = builder.unk_token(unknown);
        }
        let bpe = build_bpe(builder, vocab, merges, "")?;
        let mut inner = tokenizers::Tokenizer::new(bpe);
        let prefix = self.add_space_prefix.unwrap_or(true);
        let mut steps = Vec::new();
        if prefix {
            steps.push(NormalizerWrapper::Prepend(Prepend::new("▁".into())));
        }
        steps.push(NormalizerWrapper::Replace(
            Replace::new(" ", "▁").map_err(|e| e.to_string())?,
        ));
        inner
            .with_normalizer(Some(Sequence::new(steps)))
            .map_err(|e| e.to_string())?;
        self.finish(file, inner, Spelling::sentencepiece(prefix), true)
    }

    /// Adds the tokens that are found in text before anything else, and gathers the roles.
    fn finish(
        self,
        file: &str,
        mut inner: tokenizers::Tokenizer,
        spelling: Spelling,
        add_bos: bool,
    ) -> Result<Tokenizer, String> {
        let mut added = Vec::new();
        let mut unused = HashSet::new();
        let mut duplicates = HashMap::new();
        let mut eos_ids: Vec<u32> = Vec::new();
        let ends = [self.eos_token_id, self.eot_token_id, self.eom_token_id];
        eos_ids.extend(
            ends.into_iter()
                .flatten()
                .filter(|id| self.text_of(Some(*id)).is_some()),
        );
        for (i, &token) in self.tokens.iter().enumerate() {
            let id = i as u32;
            let kind = self.kind(i);
            match kind {
                Kind::Control | Kind::Unknown => {
                    added.push(AddedToken::from(token, true).normalized(false));
                }
                Kind::UserDefined => added.push(AddedToken::from(token, false).normalized(false)),
                Kind::Unused => {
                    unused.insert(id);
                }
                Kind::Normal | Kind::Byte => {}
            }
            let ends_a_reply =
                matches!(kind, Kind::Control | Kind::UserDefined) && END_TOKENS.contains(&token);
            if ends_a_reply && !eos_ids.contains(&id) {
                eos_ids.push(id);
            }
            if kind != Kind::Unused && inner.token_to_id(token) != Some(id) {
                duplicates.insert(id, token.to_string());
            }
        }
        inner.add_tokens(added).map_err(|e| e.to_string())?;
        eos_ids.dedup();

        let specials = self.specials();
        let affix = Affix::Ids {
            before: only_if(self.add_bos_token.unwrap_or(add_bos), self.bos_token_id),
            after: only_if(self.add_eos_token.unwrap_or(false), self.eos_token_id),
        };
        Ok(Tokenizer {
            file: file.into(),
            inner,
            spelling,
            affix,
            specials,
            eos_ids,
            unused,
            duplicates,
        })
    }

    /// The tokens with a role.
    pub(super) fn specials(&self) -> Specials {
        let mut specials = Specials {
            bos: self.text_of(self.bos_token_id),
            eos: self.text_of(self.eos_token_id),
            ..Specials::default()
        };
        for (name, id) in [
            ("unk_token", self.unknown_token_id),
            ("pad_token", self.padding_token_id),
        ] {
            if let Some(text) = self.text_of(id) {
                specials.others.insert(name.into(), text);
            }
        }
        specials
    }

    fn vocab(&self) -> Result<Vocab, String> {
        if self.tokens.is_empty() || u32::try_from(self.tokens.len()).is_err() {
            return Err(format!("it lists {} tokens; {DAMAGED}", self.tokens.len()));
        }
        let types = self.token_type.len();
        if types != 0 && types != self.tokens.len() {
            return Err(format!(
                "it lists {} tokens and {types} token types; {DAMAGED}",
                self.tokens.len()
            ));
        }
        let mut vocab = Vocab::with_capacity(self.tokens.len());
        for (id, token) in self.tokens.iter().enumerate() {
            // The first id of a token listed twice is the one that text becomes.
            vocab.entry(token.to_string()).or_insert(id as u32);
        }
        Ok(vocab)
    }

    fn kind(&self, id: usize) -> Kind {
        self.token_type
            .get(id)
            .map_or(Kind::Normal, |n| Kind::from_number(*n))
    }

    fn text_of(&self, id: Option<u32>) -> Option<String> {
        self.tokens.get(id? as usize).map(|t| t.to_string())
    }
}

pub(super) const DAMAGED: &str = "the file is damaged: fetch it again with crane pull --force";

fn only_if(yes: bool, id: Option<u32>) -> Vec<u32> {
    id.filter(|_| yes).into_iter().collect()
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Unsigned(n) => *n as f64,
        Value::Signed(n) => *n as f64,
        Value::Float(n) => *n,
        _ => 0.0,
    }
}

/// The BPE of a vocabulary. `prefix` is what a second part loses when it is joined (`continuing_subword_prefix`).
///
/// `tokenizers` reports a merge of unknown tokens, but takes for granted that no union is longer than the longest
/// token; that is seen to first.
pub(super) fn build_bpe(
    builder: BpeBuilder,
    vocab: Vocab,
    merges: Merges,
    prefix: &str,
) -> Result<BPE, String> {
    let longest = vocab.keys().map(String::len).max().unwrap_or(0);
    for (a, b) in &merges {
        let joined = b.strip_prefix(prefix).map(|b| a.len() + b.len());
        if joined.is_none_or(|length| length > longest) {
            return Err(format!(
                "the merge of {a:?} and {b:?} gives no token of the vocabulary; {DAMAGED}"
            ));
        }
    }
    builder
        .vocab_and_merges(vocab, merges)
        .build()
        .map_err(|e| format!("the merges do not fit the vocabulary ({e}); {DAMAGED}"))
}
