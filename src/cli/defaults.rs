//! A model's own wishes for sampling: generation_config.json, or `general.sampling.*` of a GGUF file.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::generate::SamplingSettings;
use crate::weights::{Checkpoint, Header, Metadata};

use super::exit::CliError;

/// What is used where no flag says otherwise.
#[derive(Debug, Clone)]
pub struct Defaults {
    pub sampling: SamplingSettings,
    /// Ids that end the output, without those that the tokenizer's files name.
    pub eos_ids: Vec<u32>,
    /// Where they come from, for `--stats` and the JSON.
    pub source: String,
    /// Values that could not be used.
    pub notes: Vec<String>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            sampling: SamplingSettings::default(),
            eos_ids: Vec::new(),
            source: "crane's own (the model's files name none)".into(),
            notes: Vec::new(),
        }
    }
}

impl Defaults {
    /// Of a checkpoint: generation_config.json beside the weights, else the GGUF metadata, else transformers'.
    pub fn read(checkpoint: &Checkpoint) -> anyhow::Result<Self> {
        let path = checkpoint.path();
        let folder = match path.is_dir() {
            true => path,
            false => path.parent().unwrap_or(Path::new(".")),
        };
        let file = folder.join("generation_config.json");
        let mut defaults = match (fs::read(&file), checkpoint.header()) {
            (Ok(bytes), _) => {
                let config = serde_json::from_slice(&bytes).map_err(|error| {
                    CliError::Corrupt(format!(
                        "{}: {error}; pull the model again, or delete this file to go without it",
                        file.display()
                    ))
                })?;
                Self::from_generation_config(&config)
            }
            (Err(error), _) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("reading {}", file.display()));
            }
            (Err(_), Header::Gguf(metadata)) => Self::from_gguf(metadata),
            (Err(_), Header::HuggingFace(_)) => Self::default(),
        };
        if let Header::HuggingFace(config) = checkpoint.header() {
            defaults.add_eos(config.get("eos_token_id"));
        }
        Ok(defaults)
    }

    /// As transformers reads generation_config.json. A file that names no sampling value at all leaves
    /// [`SamplingSettings::default`]; `do_sample: false` is temperature 0.
    pub fn from_generation_config(config: &Value) -> Self {
        let mut defaults = Self {
            source: "generation_config.json".into(),
            ..Self::default()
        };
        let base = SamplingSettings::default();
        let mut number = |key: &str, standard: f64, off: f64, good: &dyn Fn(f64) -> bool| {
            match config.get(key) {
                None => standard,
                Some(Value::Null) => off,
                Some(value) => match value.as_f64().filter(|x| x.is_finite() && good(*x)) {
                    Some(usable) => usable,
                    None => {
                        defaults.notes.push(format!(
                        "generation_config.json: {key} {value} cannot be used; {standard} is taken"
                    ));
                        standard
                    }
                },
            }
        };
        let temperature = number("temperature", base.temperature, base.temperature, &|x| {
            x >= 0.0
        });
        let top_k = number("top_k", base.top_k as f64, 0.0, &|x| {
            (0.0..1e9).contains(&x)
        });
        let top_p = number("top_p", base.top_p, 1.0, &|x| x > 0.0 && x <= 1.0);
        let min_p = number("min_p", base.min_p, 0.0, &|x| (0.0..=1.0).contains(&x));
        let repeat_penalty = number("repetition_penalty", base.repeat_penalty, 1.0, &|x| x > 0.0);
        let greedy = config.get("do_sample") == Some(&Value::Bool(false));
        defaults.sampling = SamplingSettings {
            temperature: if greedy { 0.0 } else { temperature },
            top_k: top_k as usize,
            top_p,
            min_p,
            repeat_penalty,
            ..base
        };
        defaults.add_eos(config.get("eos_token_id"));
        defaults
    }

    /// The keys that llama.cpp's converter writes since 2025.
    fn from_gguf(metadata: &Metadata) -> Self {
        let read = |name: &str| {
            let key = format!("general.sampling.{name}");
            metadata
                .f64(&key)
                .or_else(|| metadata.usize(&key).map(|n| n as f64))
        };
        Self::from_keys(&read)
    }

    fn from_keys(read: &dyn Fn(&str) -> Option<f64>) -> Self {
        let mut defaults = Self::default();
        let mut named = false;
        let mut take = |name: &str, good: &dyn Fn(f64) -> bool| {
            let value = read(name).filter(|x| x.is_finite() && good(*x));
            named |= value.is_some();
            value
        };
        let sampling = &mut defaults.sampling;
        if let Some(x) = take("temp", &|x| x >= 0.0) {
            sampling.temperature = x;
        }
        if let Some(x) = take("top_k", &|x| (0.0..1e9).contains(&x)) {
            sampling.top_k = x as usize;
        }
        if let Some(x) = take("top_p", &|x| x > 0.0 && x <= 1.0) {
            sampling.top_p = x;
        }
        if let Some(x) = take("min_p", &|x| (0.0..=1.0).contains(&x)) {
            sampling.min_p = x;
        }
        if let Some(x) = take("penalty_repeat", &|x| x > 0.0) {
            sampling.repeat_penalty = x;
        }
        if let Some(x) = take("penalty_last_n", &|x| (0.0..1e9).contains(&x)) {
            sampling.repeat_last_n = Some(x as usize);
        }
        if named {
            defaults.source = "the GGUF file's general.sampling keys".into();
        }
        defaults
    }

    /// An id or a list of them.
    fn add_eos(&mut self, value: Option<&Value>) {
        let ids = match value {
            Some(Value::Array(list)) => list.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        let ids = ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok());
        self.merge_eos(ids);
    }

    /// Adds ids that are not there yet.
    pub fn merge_eos(&mut self, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            if !self.eos_ids.contains(&id) {
                self.eos_ids.push(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_files_values_are_taken() {
        let defaults = Defaults::from_generation_config(&json!({
            "do_sample": true, "temperature": 0.7, "top_p": 0.8, "top_k": 20,
            "repetition_penalty": 1.1, "eos_token_id": [151645, 151643]
        }));
        let s = &defaults.sampling;
        assert_eq!(
            (s.temperature, s.top_p, s.top_k, s.repeat_penalty),
            (0.7, 0.8, 20, 1.1)
        );
        assert_eq!(defaults.eos_ids, [151645, 151643]);
        assert_eq!(defaults.source, "generation_config.json");
    }

    #[test]
    fn missing_and_null_keys_are_as_in_transformers() {
        let s = Defaults::from_generation_config(&json!({ "eos_token_id": 2 })).sampling;
        assert_eq!(
            (s.temperature, s.top_p, s.top_k, s.repeat_penalty),
            (1.0, 1.0, 50, 1.0)
        );
        let s = Defaults::from_generation_config(&json!({ "top_k": null, "top_p": null })).sampling;
        assert_eq!((s.top_k, s.top_p), (0, 1.0));
    }

    #[test]
    fn do_sample_false_is_greedy() {
        let config = json!({ "do_sample": false, "temperature": 0.7, "top_p": 0.9 });
        let s = Defaults::from_generation_config(&config).sampling;
        assert_eq!((s.temperature, s.top_p), (0.0, 0.9));
    }

    #[test]
    fn unusable_values_are_named_and_not_taken() {
        let config = json!({ "temperature": -1, "top_p": "high", "top_k": 1e12 });
        let defaults = Defaults::from_generation_config(&config);
        let s = &defaults.sampling;
        assert_eq!((s.temperature, s.top_p, s.top_k), (1.0, 1.0, 50));
        assert_eq!(defaults.notes.len(), 3);
        assert!(defaults.notes[0].contains("temperature -1"));
    }

    #[test]
    fn a_gguf_file_may_name_them() {
        let defaults = Defaults::from_keys(&|key| match key {
            "temp" => Some(0.6),
            "top_k" => Some(20.0),
            _ => None,
        });
        assert_eq!(
            (defaults.sampling.temperature, defaults.sampling.top_k),
            (0.6, 20)
        );
        assert!(defaults.source.contains("GGUF"));
        assert!(Defaults::from_keys(&|_| None).source.contains("crane"));
    }

    #[test]
    fn ends_are_merged_once() {
        let mut defaults = Defaults::from_generation_config(&json!({ "eos_token_id": 2 }));
        defaults.add_eos(Some(&json!([2, 3, -1, "x"])));
        assert_eq!(defaults.eos_ids, [2, 3]);
    }
}
