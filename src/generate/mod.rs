//! The decoding loop, sampling, stopping, statistics.

mod answer;
mod batch;
mod constraint;
mod engine;
mod logprobs;
mod sampler;
mod stop;

pub use batch::{Batch, Finished, Started, Totals};
pub use constraint::{Constraint, ConstraintError, Grammar, Spec, Vocabulary};
pub use engine::{Engine, Scores, Sequence};
pub use logprobs::log_softmax;
pub use sampler::Sampler;
pub use stop::StopMatcher;

use std::ops::Range;

use crate::models::ModelError;
use crate::text::TextError;

/// Why generation stopped with an error.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    #[error("the model's output is not a number (NaN or infinite logits) at token {position}; the file may be damaged: try 'crane verify', or --dtype f32")]
    BadLogits { position: usize },
    #[error("the prompt is empty; give a prompt")]
    EmptyPrompt,
    #[error(
        "there is nothing to score: the text has {tokens} tokens and the first one is never scored"
    )]
    NothingToScore { tokens: usize },
    #[error("the prompt has {needed} tokens and the context holds {limit}; shorten it, raise --ctx-size, or cut it with --overflow middle")]
    ContextFull { needed: usize, limit: usize },
}

/// How the next token is chosen. `None` of generation_config.json and flags are already resolved.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct SamplingSettings {
    /// 0 is greedy.
    pub temperature: f64,
    /// 0 switches it off.
    pub top_k: usize,
    /// 1 switches it off.
    pub top_p: f64,
    /// 0 switches it off.
    pub min_p: f64,
    /// 1 switches it off. Over prompt and output, as transformers.
    pub repeat_penalty: f64,
    /// How far back the repetition penalty looks; None: all tokens.
    pub repeat_last_n: Option<usize>,
    pub presence_penalty: f64,
    pub frequency_penalty: f64,
}

impl Default for SamplingSettings {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            repeat_last_n: None,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
        }
    }
}

/// What one generation is asked for.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    pub sampling: SamplingSettings,
    pub seed: u64,
    /// None: until the context is full.
    pub max_tokens: Option<usize>,
    /// Texts that end the output; not part of it.
    pub stop: Vec<String>,
    /// Ids that end the output (empty with --ignore-eos).
    pub eos_ids: Vec<u32>,
    /// For each output token, the K best.
    pub logprobs: Option<usize>,
    /// The only tokens that may come; None: all.
    pub vocabulary: Option<Range<u32>>,
    /// What the output is held to, before its first token.
    pub constraint: Option<Constraint>,
}

impl GenerateOptions {
    /// How many of the likeliest tokens decide, where nothing else is asked of the logits and these are few.
    fn deciding(&self) -> Option<usize> {
        let plain = self.sampling.repeat_penalty == 1.0
            && self.sampling.presence_penalty == 0.0
            && self.sampling.frequency_penalty == 0.0
            && self.logprobs.is_none()
            && self.constraint.is_none();
        let few = Sampler::new(&self.sampling, 0, &[]).deciding();
        few.filter(|k| plain && *k <= MOST_LIKELY)
    }
}

/// As many of the likeliest tokens are asked for in place of all logits.
const MOST_LIKELY: usize = 256;

/// Why the output ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    Stop,
    Length,
    Interrupted,
}

/// An output token's log-probability (natural logarithm, of the model's own distribution before sampling).
#[derive(Debug, Clone, serde::Serialize)]
pub struct TokenLogprob {
    pub token: u32,
    pub logprob: f64,
    pub top: Vec<TopLogprob>,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct TopLogprob {
    pub token: u32,
    pub logprob: f64,
}

/// One step of the output, as it is made.
#[derive(Debug)]
pub struct Step<'a> {
    /// None for text that was held back until the output ended.
    pub token: Option<u32>,
    /// Text that became final with this token (may be empty).
    pub text: &'a str,
    pub logprob: Option<&'a TokenLogprob>,
}

/// Times of one generation.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Timings {
    /// From the call to the first token, milliseconds.
    pub ttft_ms: f64,
    /// Prompt tokens per second (tokens taken from the cache not counted).
    pub prefill_tps: f64,
    /// Output tokens per second after the first.
    pub decode_tps: f64,
    /// Prompt tokens that were computed, and those found in the cache.
    pub prefill_tokens: usize,
    pub cached_tokens: usize,
}

/// A finished generation.
#[derive(Debug, Clone)]
pub struct Output {
    /// All text, without the stop string or the EOS.
    pub text: String,
    /// All sampled ids; an EOS that ended it is not among them.
    pub tokens: Vec<u32>,
    pub finish_reason: FinishReason,
    /// Whether the text is all that the constraint asks for; None without one.
    pub complete: Option<bool>,
    pub logprobs: Vec<TokenLogprob>,
    pub timings: Timings,
}

impl Output {
    fn empty(finish_reason: FinishReason, timings: Timings) -> Self {
        Self {
            text: String::new(),
            tokens: Vec::new(),
            finish_reason,
            complete: None,
            logprobs: Vec::new(),
            timings,
        }
    }
}
