//! What `crane show` says of a model, read from GGUF metadata or from a folder's JSON files. A fact that is
//! not stated is None: showing a model must not need a sound or a known one.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value as Json;

use crate::hub::catalogue::Row;
use crate::models::{Task, ARCHITECTURES};
use crate::weights::{Checkpoint, Header, Metadata};

/// Headers and small files of a model, summed up.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub format: &'static str,
    pub name: Option<String>,
    pub architecture: Option<String>,
    pub context_length: Option<usize>,
    pub hidden_size: Option<usize>,
    pub layers: Option<usize>,
    pub heads: Option<usize>,
    pub kv_heads: Option<usize>,
    pub head_dim: Option<usize>,
    pub vocab_size: Option<usize>,
    pub rope_theta: Option<f64>,
    pub rope_scaling: Option<String>,
    pub sliding_window: Option<usize>,
    pub tokenizer: Option<String>,
    pub chat_template: Option<String>,
    pub license: Option<String>,
    /// What the model is for.
    pub task: Option<&'static str>,
    /// Whether crane has code for it.
    pub runs: bool,
    /// Weight files, and for a folder the other files in it.
    pub files: Vec<(PathBuf, u64)>,
}

impl Facts {
    /// `row` is the catalogue's, which knows what many files do not state.
    pub fn read(checkpoint: &Checkpoint, row: Option<&Row>) -> Self {
        let mut facts = match checkpoint.header() {
            Header::Gguf(metadata) => from_gguf(metadata),
            Header::HuggingFace(config) => from_folder(checkpoint.path(), config),
        };
        facts.head_dim = facts.head_dim.or_else(|| {
            let heads = facts.heads.filter(|&h| h > 0)?;
            Some(facts.hidden_size? / heads)
        });
        facts.kv_heads = facts.kv_heads.or(facts.heads);
        facts.vocab_size = facts.vocab_size.or_else(|| {
            let table = checkpoint.info("model.embed_tokens.weight")?;
            table.shape.first().copied()
        });
        let known = facts.architecture.as_deref().and_then(task);
        facts.runs = known.is_some();
        facts.task = known.map(task_name).or(row.map(|r| r.task.name()));
        facts.license = facts.license.or(row.map(|r| r.licence.to_string()));
        facts.files = checkpoint.files();
        if checkpoint.path().is_dir() {
            add_other_files(checkpoint.path(), &mut facts.files);
        }
        facts
    }
}

/// What a known architecture is for.
fn task(architecture: &str) -> Option<Task> {
    ARCHITECTURES
        .iter()
        .find(|a| [Some(a.hf), a.gguf, Some(a.model_type)].contains(&Some(architecture)))
        .map(|a| a.task)
}

fn task_name(task: Task) -> &'static str {
    match task {
        Task::Text => "text",
        Task::Vision => "vision",
        Task::Speech => "speech",
    }
}

fn from_gguf(metadata: &Metadata) -> Facts {
    let text = |key: &str| metadata.str(key).map(str::to_string);
    let architecture = text("general.architecture");
    let prefix = architecture.clone().unwrap_or_default();
    let number = |key: &str| metadata.usize(&format!("{prefix}.{key}"));
    let float = |key: &str| metadata.f64(&format!("{prefix}.{key}"));
    let scaling = metadata
        .str(&format!("{prefix}.rope.scaling.type"))
        .filter(|kind| *kind != "none")
        .map(|kind| describe_scaling(kind, float("rope.scaling.factor")));
    let tokens = metadata.array("tokenizer.ggml.tokens").map(<[_]>::len);
    let tokenizer = metadata.str("tokenizer.ggml.model").map(|model| {
        let kind = match model {
            "gpt2" => "byte-level BPE",
            "llama" => "SentencePiece",
            "bert" => "WordPiece",
            "t5" => "Unigram",
            other => other,
        };
        let mut said = kind.to_string();
        if let Some(pre) = metadata.str("tokenizer.ggml.pre") {
            said.push_str(&format!(", pre-tokeniser {pre}"));
        }
        if let Some(n) = tokens {
            said.push_str(&format!(", {n} tokens"));
        }
        said
    });
    Facts {
        format: "gguf",
        name: text("general.name"),
        context_length: number("context_length"),
        hidden_size: number("embedding_length"),
        layers: number("block_count"),
        heads: number("attention.head_count"),
        kv_heads: number("attention.head_count_kv"),
        head_dim: number("attention.key_length"),
        vocab_size: number("vocab_size").or(tokens),
        rope_theta: float("rope.freq_base"),
        rope_scaling: scaling,
        sliding_window: number("attention.sliding_window").filter(|&w| w > 0),
        tokenizer,
        chat_template: text("tokenizer.chat_template"),
        license: text("general.license.name").or_else(|| text("general.license")),
        architecture,
        ..Facts::default()
    }
}

fn describe_scaling(kind: &str, factor: Option<f64>) -> String {
    match factor {
        Some(factor) => format!("{kind} scaling by {factor}"),
        None => format!("{kind} scaling"),
    }
}

fn from_folder(folder: &Path, config: &Json) -> Facts {
    // Models of several parts keep the decoder's numbers in an object of their own.
    let parts = [
        Some(config),
        config.get("text_config"),
        config.get("llm_config"),
        config.get("rope_parameters"),
    ];
    let find = |key: &str| {
        parts
            .iter()
            .flatten()
            .find_map(|part| part.get(key).filter(|v| !v.is_null()))
    };
    let number = |key: &str| usize::try_from(find(key)?.as_u64()?).ok();
    let text = |value: Option<&Json>| Some(value?.as_str()?.to_string());
    let scaling = find("rope_scaling")
        .or_else(|| find("rope_parameters"))
        .and_then(|s| {
            let kind = s.get("rope_type").or_else(|| s.get("type"))?.as_str()?;
            let factor = s.get("factor").and_then(Json::as_f64);
            (kind != "default").then(|| describe_scaling(kind, factor))
        });
    let window_used = find("use_sliding_window").and_then(Json::as_bool) != Some(false);
    Facts {
        format: "safetensors",
        name: text(config.get("_name_or_path")).filter(|n| !n.is_empty()),
        architecture: text(config.pointer("/architectures/0"))
            .or_else(|| text(config.get("model_type"))),
        context_length: number("max_position_embeddings"),
        hidden_size: number("hidden_size"),
        layers: number("num_hidden_layers"),
        heads: number("num_attention_heads"),
        kv_heads: number("num_key_value_heads"),
        head_dim: number("head_dim"),
        vocab_size: number("vocab_size"),
        rope_theta: find("rope_theta").and_then(Json::as_f64),
        rope_scaling: scaling,
        sliding_window: number("sliding_window").filter(|_| window_used),
        tokenizer: tokenizer_kind(folder),
        chat_template: chat_template(folder),
        license: readme_license(folder),
        ..Facts::default()
    }
}

fn read_json(file: &Path) -> Option<Json> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// The one field of tokenizer.json that is shown; the rest is megabytes.
#[derive(Deserialize)]
struct TokenizerFile {
    model: TokenizerModel,
}

#[derive(Deserialize)]
struct TokenizerModel {
    #[serde(rename = "type")]
    kind: Option<String>,
    merges: Option<serde::de::IgnoredAny>,
}

fn tokenizer_kind(folder: &Path) -> Option<String> {
    let text = std::fs::read(folder.join("tokenizer.json")).ok()?;
    let TokenizerFile { model } = match serde_json::from_slice(&text) {
        Ok(file) => file,
        Err(_) => return Some("tokenizer.json cannot be read".to_string()),
    };
    Some(match (model.kind, model.merges) {
        (Some(kind), _) => kind,
        (None, Some(_)) => "BPE".to_string(),
        (None, None) => "unknown".to_string(),
    })
}

fn chat_template(folder: &Path) -> Option<String> {
    if let Ok(text) = std::fs::read_to_string(folder.join("chat_template.jinja")) {
        return Some(text);
    }
    ["chat_template.json", "tokenizer_config.json"]
        .iter()
        .filter_map(|file| read_json(&folder.join(file)))
        .find_map(|json| match json.get("chat_template")? {
            Json::String(template) => Some(template.clone()),
            Json::Array(named) => {
                let default = named
                    .iter()
                    .find(|t| t.get("name").and_then(Json::as_str) == Some("default"))?;
                Some(default.get("template")?.as_str()?.to_string())
            }
            _ => None,
        })
}

/// `license:` of the YAML front matter of README.md.
pub(super) fn readme_license(folder: &Path) -> Option<String> {
    let readme = std::fs::read_to_string(folder.join("README.md")).ok()?;
    let front = readme.strip_prefix("---")?.split("\n---").next()?;
    let field = |key: &str| {
        front
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .map(|value| value.trim().trim_matches(['"', '\'']).to_string())
            .filter(|value| !value.is_empty())
    };
    // `license: other` stands beside a name of its own.
    field("license_name").or_else(|| field("license"))
}

/// Adds the folder's other regular files, by name.
fn add_other_files(folder: &Path, files: &mut Vec<(PathBuf, u64)>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut others: Vec<(PathBuf, u64)> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| !files.iter().any(|(known, _)| known == path))
        .filter_map(|path| {
            let meta = std::fs::metadata(&path).ok()?;
            meta.is_file().then_some((path, meta.len()))
        })
        .collect();
    others.sort();
    files.extend(others);
}
