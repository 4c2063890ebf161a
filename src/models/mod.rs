//! One file an architecture, and the table of them.

use candle_core::Tensor;

use crate::weights::{Checkpoint, LoadOptions};

/// Why a model could not be built or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("unsupported architecture '{found}' (crane knows: {known}); convert the model or open an issue")]
    UnknownArchitecture { found: String, known: String },
    #[error("'{model}' is a {task} model; its code is not part of this version of crane ('crane pull' and 'crane show' work)")]
    TaskNotBuilt { model: String, task: &'static str },
    #[error("{file}: {reason}")]
    Config { file: String, reason: String },
    #[error("the context is full: {needed} tokens do not fit {limit}; shorten the prompt or raise --ctx-size")]
    ContextFull { needed: usize, limit: usize },
    #[error(transparent)]
    Weights(#[from] crate::weights::WeightsError),
    #[error("arithmetic failed: {0}")]
    Compute(#[from] candle_core::Error),
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Text,
    Vision,
    Speech,
}

/// One architecture crane knows: how the two file formats spell it, and what it is for.
pub struct Architecture {
    /// As in `architectures[0]` of config.json, e.g. `Qwen2ForCausalLM`.
    pub hf: &'static str,
    /// As in `general.architecture` of a GGUF file, e.g. `qwen2`.
    pub gguf: &'static str,
    /// As in `model_type` of config.json, e.g. `qwen2`.
    pub model_type: &'static str,
    pub task: Task,
}

/// The table of architectures; detection, `--help`, `crane show` and error messages read it.
pub static ARCHITECTURES: &[Architecture] = &[];

/// A text model with its key/value cache, one sequence.
pub trait LanguageModel: Send {
    /// Runs `tokens` at positions `cached() ..` and returns the logits of the last one, `[vocab]`, f32.
    fn forward(&mut self, tokens: &[u32]) -> Result<Tensor, ModelError>;
    /// The same, logits of every position, `[tokens, vocab]`, f32.
    fn forward_all(&mut self, tokens: &[u32]) -> Result<Tensor, ModelError>;
    /// Tokens in the cache.
    fn cached(&self) -> usize;
    /// Keeps the first `len` tokens of the cache.
    fn truncate(&mut self, len: usize);
    /// The most tokens the cache may hold (`--ctx-size`, bounded by the model's own context length).
    fn context(&self) -> usize;
    /// Rows of the output head.
    fn vocab_size(&self) -> usize;
}

/// Facts of a model read from its headers alone, for `crane show`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Summary {
    pub architecture: String,
    pub context_length: usize,
    pub hidden_size: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub vocab_size: usize,
}

/// Reads the summary of `checkpoint`.
pub fn summary(_checkpoint: &Checkpoint) -> Result<Summary, ModelError> {
    unimplemented!()
}

/// Builds the text model in `checkpoint` with room for `context` tokens (None: the model's own length,
/// bounded at 32,768).
pub fn load(
    _checkpoint: &Checkpoint,
    _options: &LoadOptions,
    _context: Option<usize>,
) -> Result<Box<dyn LanguageModel>, ModelError> {
    unimplemented!()
}
