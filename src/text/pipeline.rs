//! tokenizer.json → a `tokenizers` pipeline.
//!
//! `tokenizers` reads the file itself, but needs a second or more for the large BPE vocabularies of today (its merges
//! pass through an untagged enum) and panics on some that are damaged. So BPE models are read here; other models, and
//! every small part, are left to it.

use serde::de::{self, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokenizers::models::bpe::{Merges, Vocab, BPE};
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
};

use super::gguf::{build_bpe, DAMAGED};

#[derive(Deserialize)]
struct Probe {
    model: Option<ProbedModel>,
}

#[derive(Deserialize)]
struct ProbedModel {
    #[serde(rename = "type")]
    kind: Option<String>,
    merges: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
    post_processor: Option<PostProcessorWrapper>,
    decoder: Option<DecoderWrapper>,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    vocab: Vocab,
    #[serde(default)]
    merges: Vec<Merge>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: Option<bool>,
    #[serde(default)]
    byte_fallback: Option<bool>,
    #[serde(default)]
    ignore_merges: Option<bool>,
}

/// Two tokens: `"a b"` in older files, `["a", "b"]` in newer ones. None is a comment line of merges.txt.
struct Merge(Option<(String, String)>);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MergeVisitor)
    }
}

struct MergeVisitor;

impl<'de> Visitor<'de> for MergeVisitor {
    type Value = Merge;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a merge: two tokens, as \"a b\" or as [\"a\", \"b\"]")
    }

    fn visit_str<E: de::Error>(self, line: &str) -> Result<Merge, E> {
        if line.starts_with("#version") {
            return Ok(Merge(None));
        }
        match line.split_once(' ') {
            Some((a, b)) if !b.contains(' ') => Ok(Merge(Some((a.into(), b.into())))),
            _ => Err(E::invalid_value(de::Unexpected::Str(line), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
        let (a, b, more) = (
            seq.next_element()?,
            seq.next_element()?,
            seq.next_element::<IgnoredAny>()?,
        );
        match (a, b, more) {
            (Some(a), Some(b), None) => Ok(Merge(Some((a, b)))),
            _ => Err(de::Error::invalid_length(0, &self)),
        }
    }
}

/// The pipeline of the text of a tokenizer.json; the error is the reason, with what to do.
pub(super) fn read(bytes: &[u8]) -> Result<tokenizers::Tokenizer, String> {
    let probe: Probe = serde_json::from_slice(bytes).map_err(|e| unreadable(&e))?;
    let model = probe
        .model
        .ok_or_else(|| format!("has no \"model\": it is not a tokenizer; {DAMAGED}"))?;
    let bpe = match model.kind.as_deref() {
        Some(kind) => kind == "BPE",
        None => model.merges.is_some(),
    };
    if !bpe {
        return tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|e| format!("is not a tokenizer that crane can read ({e}); {DAMAGED}"));
    }
    let file: File = serde_json::from_slice(bytes).map_err(|e| unreadable(&e))?;
    assemble(file)
}

fn unreadable(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => {
            format!("is not a tokenizer that crane can read ({error}); {DAMAGED}")
        }
        _ => format!("is not valid JSON ({error}); {DAMAGED}"),
    }
}

fn assemble(file: File) -> Result<tokenizers::Tokenizer, String> {
    let model = file.model;
    let merges: Merges = model.merges.into_iter().filter_map(|Merge(m)| m).collect();
    let mut builder = BPE::builder()
        .fuse_unk(model.fuse_unk.unwrap_or(false))
        .byte_fallback(model.byte_fallback.unwrap_or(false))
        .ignore_merges(model.ignore_merges.unwrap_or(false));
    let prefix = model.continuing_subword_prefix.unwrap_or_default();
    if !prefix.is_empty() {
        builder = builder.continuing_subword_prefix(prefix.clone());
    }
    if let Some(suffix) = model.end_of_word_suffix.filter(|s| !s.is_empty()) {
        builder = builder.end_of_word_suffix(suffix);
    }
    if let Some(unknown) = model.unk_token {
        builder = builder.unk_token(unknown);
    }
    let bpe = build_bpe(builder, model.vocab, merges, &prefix)?;
    let mut inner = tokenizers::Tokenizer::new(bpe);
    inner
        .with_normalizer(file.normalizer)
        .map_err(|e| e.to_string())?;
    inner.with_pre_tokenizer(file.pre_tokenizer);
    inner.with_post_processor(file.post_processor);
    inner.with_decoder(file.decoder);
    inner
        .add_tokens(file.added_tokens)
        .map_err(|e| e.to_string())?;
    Ok(inner)
}
