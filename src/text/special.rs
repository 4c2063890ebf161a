//! The tokens with a role of their own, and the ids that end a reply.

use std::collections::BTreeMap;

use serde_json::Value;

/// Tokens by role, as chat templates see them (`bos_token`, `eos_token`, …).
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Specials {
    pub bos: Option<String>,
    pub eos: Option<String>,
    /// The other roles, by the name a template uses (`pad_token`, `unk_token`).
    pub others: BTreeMap<String, String>,
}

impl Specials {
    /// Name and text of every token that has a role.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let first = [("bos_token", &self.bos), ("eos_token", &self.eos)];
        first
            .into_iter()
            .filter_map(|(name, token)| token.as_deref().map(|t| (name, t)))
            .chain(self.others.iter().map(|(n, t)| (n.as_str(), t.as_str())))
    }

    /// From tokenizer_config.json or special_tokens_map.json, without overwriting what is there.
    pub fn read(&mut self, config: &Value) {
        let token = |name: &str| config.get(name).and_then(token_text);
        self.bos = self.bos.take().or_else(|| token("bos_token"));
        self.eos = self.eos.take().or_else(|| token("eos_token"));
        for name in [
            "unk_token",
            "pad_token",
            "sep_token",
            "cls_token",
            "mask_token",
        ] {
            if let (false, Some(text)) = (self.others.contains_key(name), token(name)) {
                self.others.insert(name.into(), text);
            }
        }
    }
}

/// A token written as a string or as an AddedToken object.
pub(super) fn token_text(value: &Value) -> Option<String> {
    value
        .as_str()
        .or_else(|| value.get("content").and_then(Value::as_str))
        .map(str::to_string)
}

/// Ids under `eos_token_id`: a number, a list, or none.
pub(super) fn eos_token_ids(config: &Value) -> Vec<u32> {
    let id = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
    match config.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Control tokens that end a reply whether or not the file names them as EOS (as llama.cpp takes them).
pub(super) const END_TOKENS: [&str; 16] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "<|EOT|>",
    "</s>",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
    "<eos>",
];
