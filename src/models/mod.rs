//! One file an architecture, and the table of them.

pub mod bicodec;
mod config;
#[cfg(any(feature = "cuda", test))]
mod footprint;
mod llama;
mod part;
pub mod picture;
mod released;
mod reuse;
mod rope_config;
pub mod spark;
pub mod vision;
pub mod wav2vec2;

use std::io::{self, Read, Write};
use std::ops::Range;

use candle_core::Tensor;

pub use config::Config;
#[cfg(any(feature = "cuda", test))]
pub use footprint::Footprint;
pub use llama::Llama;
pub use part::Part;
pub use picture::{Encoded, Picture, NO_TOKEN};
pub use released::Released;
pub use reuse::Reuse;
pub use vision::ImageEncoder;

use crate::nn::frames::FramesError;
use crate::weights::{Checkpoint, Header, Loader};

/// Why a model could not be built or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("{file}: unsupported architecture '{found}'; crane runs {known}: 'crane list --catalogue' names such models")]
    UnknownArchitecture {
        file: String,
        found: String,
        known: String,
    },
    #[error("{file}: {reason}; fetch it again with 'crane pull --force MODEL', or use another copy of the model")]
    Config { file: String, reason: String },
    #[error(
        "a context of {asked} tokens is not possible: --ctx-size takes 1 to {limit} for this model"
    )]
    ContextSize { asked: usize, limit: usize },
    #[error("the context is full: {needed} tokens do not fit {limit}; shorten the prompt or raise --ctx-size")]
    ContextFull { needed: usize, limit: usize },
    /// Tokens of speech that mean nothing to the model.
    #[error("{0}")]
    Tokens(String),
    #[error("no tokens were given to the model")]
    NoTokens,
    /// See [`Released`].
    #[error("the model is no longer loaded; load it, or another one, first")]
    Released,
    #[error(transparent)]
    Weights(#[from] crate::weights::WeightsError),
    /// A GPU has no room for it, or failed.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Gpu(#[from] crate::kernels::cuda::GpuError),
    #[error("arithmetic failed: {0}")]
    Compute(#[from] candle_core::Error),
}

impl From<FramesError> for ModelError {
    fn from(error: FramesError) -> Self {
        match error {
            FramesError::Compute(error) => error.into(),
            FramesError::Gpu(error) => error.into(),
        }
    }
}

#[cfg(not(feature = "cuda"))]
impl From<std::convert::Infallible> for ModelError {
    /// Layers that cannot fail where there is but one memory.
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Text,
    Vision,
    Speech,
}

/// What is known of the logits behind a token.
pub enum Logits {
    /// Of all tokens, `[vocab]`, f32.
    All(Tensor),
    /// Tokens and their logits, in no order: the likeliest ones, as many as were asked for, all that equal the last of
    /// these, and maybe others.
    Likely(Vec<(u32, f32)>),
    /// Some logit is no number, or none is finite.
    NoNumber,
}

/// A text model with the key/value caches of the sequences it holds. One of them, at first the only one, is the current
/// one, which all methods mean that name none.
pub trait LanguageModel: Send {
    /// Runs `tokens` at positions `cached() ..` and returns the logits of the last one, `[vocab]`, f32. `go_on` is asked
    /// every few milliseconds; once it says no the result is None, and [`LanguageModel::cached`] tells how far it came.
    fn forward_while(
        &mut self,
        tokens: &[u32],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Tensor>, ModelError>;
    /// The same to the end.
    fn forward(&mut self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        self.forward_while(tokens, &|| true)?
            .ok_or(ModelError::NoTokens)
    }
    /// As [`LanguageModel::forward_while`], where the `k` likeliest tokens and those that equal the last of them decide
    /// what comes next: a model on another device need not bring all logits here.
    fn forward_likely(
        &mut self,
        tokens: &[u32],
        k: usize,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Logits>, ModelError> {
        let _ = k;
        Ok(self.forward_while(tokens, go_on)?.map(Logits::All))
    }
    /// The same, logits of every position, `[tokens, vocab]`, f32.
    fn forward_all(&mut self, tokens: &[u32]) -> Result<Tensor, ModelError>;
    /// Tokens in the cache.
    fn cached(&self) -> usize;
    /// Keeps the first `len` tokens of the cache.
    fn truncate(&mut self, len: usize);
    /// Writes the cache; false (and nothing that is of use) for a model that cannot.
    fn save_cache(&self, out: &mut dyn Write) -> io::Result<bool>;
    /// Reads `len` tokens that the same model saved, in place of what the cache holds. False for a model that cannot; then
    /// and on an error it is empty.
    fn restore_cache(&mut self, len: usize, source: &mut dyn Read) -> io::Result<bool>;
    /// The most tokens the cache may hold (`--ctx-size`, bounded by the model's own context length).
    fn context(&self) -> usize;
    /// From now on [`LanguageModel::forward`] gives −∞ for the tokens that are not in `vocabulary`, and need not compute
    /// them; None: all are computed.
    fn restrict(&mut self, vocabulary: Option<Range<u32>>);
    /// From now on these images stand in the sequence, in order, and their rows are read where they stand, in place of
    /// the embeddings of tokens. What is in the cache is not computed again.
    fn place(&mut self, pictures: &[Picture]);
    /// Rows of the output head.
    fn vocab_size(&self) -> usize;
    /// Room for `count` sequences, numbered from 0, at least one; what is new is empty, and sequence 0 becomes the
    /// current one.
    fn hold(&mut self, count: usize);
    /// Bytes that the caches of a sequence of `tokens` take.
    fn sequence_bytes(&self, tokens: usize) -> usize;
    /// Makes sequence `slot` the current one.
    ///
    /// # Panics
    /// There is no such sequence.
    fn select(&mut self, slot: usize);
    /// What prompts that begin alike may share by [`LanguageModel::begin_as`].
    fn reuse(&self) -> Reuse;
    /// The current sequence becomes the first `len` tokens of sequence `slot`, which it shares until one of them
    /// changes.
    ///
    /// # Errors
    /// A model that cannot share; see [`LanguageModel::reuse`].
    fn begin_as(&mut self, slot: usize, len: usize) -> Result<(), ModelError>;
    /// Runs one token of each of several sequences, no two of them the same: `(sequence, token)`. `logits` becomes
    /// `[sequences, vocab]`, each row what [`LanguageModel::forward`] gives for that sequence, to the last bit. After an
    /// error no sequence has grown.
    ///
    /// # Errors
    /// As [`LanguageModel::forward`].
    fn forward_each(
        &mut self,
        next: &[(usize, u32)],
        logits: &mut Vec<f32>,
    ) -> Result<(), ModelError>;
    /// The same, where of each sequence so many of the likeliest tokens decide as in [`LanguageModel::forward_likely`]
    /// (None: all do). None for a model that has all logits here in any case: then nothing was computed.
    ///
    /// # Errors
    /// As [`LanguageModel::forward_each`].
    fn forward_each_likely(
        &mut self,
        next: &[(usize, u32)],
        few: &[Option<usize>],
    ) -> Result<Option<Vec<Logits>>, ModelError> {
        let _ = (next, few);
        Ok(None)
    }
}

/// One architecture crane knows: how the two file formats spell it, and what it is for.
#[derive(Debug)]
pub struct Architecture {
    /// As in `architectures[0]` of config.json, e.g. `Qwen2ForCausalLM`.
    pub hf: &'static str,
    /// As in `general.architecture` of a GGUF file, e.g. `qwen2`; None where GGUF has no word of its own.
    pub gguf: Option<&'static str>,
    /// As in `model_type` of config.json, e.g. `qwen2`.
    pub model_type: &'static str,
    pub task: Task,
    loader: TextLoader,
    /// What reads its images, where it takes any.
    encoder: Option<EncoderLoader>,
    /// What its makers put for a system message where none is given and the chat template names none.
    pub system: Option<&'static str>,
}

type TextLoader = fn(&Loader, &Config, usize) -> Result<Box<dyn LanguageModel>, ModelError>;
type EncoderLoader = fn(&Loader) -> Result<Box<dyn ImageEncoder>, ModelError>;

fn load_llama(
    loader: &Loader,
    config: &Config,
    context: usize,
) -> Result<Box<dyn LanguageModel>, ModelError> {
    Ok(Box::new(Llama::load(loader, config, context)?))
}

impl Architecture {
    /// Whether its models take images.
    pub fn reads_images(&self) -> bool {
        self.encoder.is_some()
    }
}

/// The table of architectures; detection, `--help`, `crane show` and error messages read it.
pub static ARCHITECTURES: &[Architecture] = &[
    Architecture {
        hf: "LlamaForCausalLM",
        gguf: Some("llama"),
        model_type: "llama",
        task: Task::Text,
        loader: load_llama,
        encoder: None,
        system: None,
    },
    Architecture {
        hf: "MistralForCausalLM",
        gguf: None,
        model_type: "mistral",
        task: Task::Text,
        loader: load_llama,
        encoder: None,
        system: None,
    },
    Architecture {
        hf: "Qwen2ForCausalLM",
        gguf: Some("qwen2"),
        model_type: "qwen2",
        task: Task::Text,
        loader: load_llama,
        encoder: None,
        system: None,
    },
    Architecture {
        hf: "Qwen3ForCausalLM",
        gguf: Some("qwen3"),
        model_type: "qwen3",
        task: Task::Text,
        loader: load_llama,
        encoder: None,
        system: None,
    },
    Architecture {
        hf: "Qwen2_5_VLForConditionalGeneration",
        gguf: Some("qwen2vl"),
        model_type: "qwen2_5_vl",
        task: Task::Vision,
        loader: load_llama,
        encoder: Some(vision::qwen::load),
        system: None,
    },
    Architecture {
        hf: "NamoForCausalLM",
        gguf: None,
        model_type: "namo",
        task: Task::Vision,
        loader: load_llama,
        encoder: Some(vision::namo::load),
        system: Some(vision::namo::SYSTEM),
    },
];

/// The largest context that is taken without being asked for: a longer one costs memory that most prompts do not need.
pub const DEFAULT_CONTEXT: usize = 32_768;

/// The row of the table that `checkpoint` belongs to.
///
/// # Errors
/// An architecture that is not in the table: the message lists those that are; a name that is none.
pub fn detect(checkpoint: &Checkpoint) -> Result<&'static Architecture, ModelError> {
    let (found, row) = match checkpoint.header() {
        Header::Gguf(metadata) => {
            let found = metadata.str("general.architecture");
            let row = ARCHITECTURES
                .iter()
                .find(|row| row.gguf.is_some() && row.gguf == found);
            (found, row)
        }
        Header::HuggingFace(json) => {
            named_rightly(json).map_err(|reason| ModelError::Config {
                file: checkpoint.path().display().to_string(),
                reason,
            })?;
            let class = json
                .get("architectures")
                .and_then(|names| names.get(0))
                .and_then(|name| name.as_str());
            let model_type = json.get("model_type").and_then(|name| name.as_str());
            let by_type = ARCHITECTURES
                .iter()
                .find(|row| model_type == Some(row.model_type));
            let by_class = ARCHITECTURES.iter().find(|row| class == Some(row.hf));
            match (class, model_type) {
                // transformers goes by the model type; one that nobody knows is no Llama, whatever its class.
                (Some(_), Some(_)) if by_class.is_some() && by_type.is_none() => (model_type, None),
                (Some(_), _) => (class, by_class),
                (None, _) => (model_type, by_type),
            }
        }
    };
    row.ok_or_else(|| ModelError::UnknownArchitecture {
        file: checkpoint.path().display().to_string(),
        found: found.unwrap_or("(none named)").to_string(),
        known: known(),
    })
}

/// `architectures` is a list of names and `model_type` a name, where they stand.
fn named_rightly(json: &serde_json::Value) -> Result<(), String> {
    let wrong = |key: &str, value: &serde_json::Value, what: &str| {
        Err(format!("config.json: '{key}' is {value}, not {what}"))
    };
    let present = |key: &str| json.get(key).filter(|value| !value.is_null());
    match present("model_type") {
        Some(value) if !value.is_string() => return wrong("model_type", value, "a name"),
        _ => {}
    }
    match present("architectures") {
        Some(value)
            if !value
                .as_array()
                .is_some_and(|a| a.iter().all(|n| n.is_string())) =>
        {
            wrong("architectures", value, "a list of names")
        }
        _ => Ok(()),
    }
}

/// The architectures that run, as config.json spells them, separated by commas.
pub fn known() -> String {
    ARCHITECTURES
        .iter()
        .map(|row| row.hf)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Facts of a model read from its headers alone, for `crane show`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Summary {
    pub architecture: String,
    pub context_length: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub vocab_size: usize,
    pub rope_theta: f64,
    pub tied_embeddings: bool,
}

/// Reads the summary of `checkpoint`.
///
/// # Errors
/// As [`detect`] and [`Config::read`].
pub fn summary(checkpoint: &Checkpoint) -> Result<Summary, ModelError> {
    let row = detect(checkpoint)?;
    let config = Config::read(checkpoint, row.model_type)?;
    Ok(Summary {
        architecture: row.hf.to_string(),
        context_length: config.context_length,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        layers: config.n_layers,
        heads: config.n_heads,
        kv_heads: config.n_kv_heads,
        head_dim: config.head_dim,
        vocab_size: config.vocab_size,
        rope_theta: config.rope.theta,
        tied_embeddings: config.tie_word_embeddings,
    })
}

/// Builds the text model in `checkpoint` with room for `context` tokens (None: the model's own length,
/// bounded at [`DEFAULT_CONTEXT`]).
///
/// # Errors
/// An architecture crane does not run, a configuration it does not compute, a tensor that is missing or of another
/// shape, a `context` of 0 or past the model's own.
pub fn load(loader: &Loader, context: Option<usize>) -> Result<Box<dyn LanguageModel>, ModelError> {
    let checkpoint = loader.checkpoint();
    let row = detect(checkpoint)?;
    let config = Config::read(checkpoint, row.model_type)?;
    let context = self::context(&config, context)?;
    (row.loader)(loader, &config, context)
}

/// The tokens of `asked`, or of the model by itself.
fn context(config: &Config, asked: Option<usize>) -> Result<usize, ModelError> {
    match asked {
        Some(asked) if asked == 0 || asked > config.context_length => {
            Err(ModelError::ContextSize {
                asked,
                limit: config.context_length,
            })
        }
        Some(asked) => Ok(asked),
        None => Ok(config.context_length.min(DEFAULT_CONTEXT)),
    }
}

/// Builds what reads the images of the model in `loader`'s checkpoint; of a GGUF model, that of its mmproj file. None
/// for a model that takes no images.
///
/// # Errors
/// A configuration crane does not compute, a tensor that is missing or of another shape.
pub fn load_encoder(loader: &Loader) -> Result<Option<Box<dyn ImageEncoder>>, ModelError> {
    if vision::mmproj::is(loader.checkpoint()) {
        return vision::qwen::load(loader).map(Some);
    }
    match detect(loader.checkpoint())?.encoder {
        Some(load) => load(loader).map(Some),
        None => Ok(None),
    }
}
