//! One line of the result.

use serde::{Deserialize, Serialize};

use super::compare::Ratios;
use super::{BenchError, Test};
use crate::text::clock;

/// A combination of model, numbers, device, threads and test with what was measured. Field names are llama-bench's where
/// it has one; what was not measured is None. Times are in the unit of their name, speeds in tokens per second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// As typed.
    pub model: String,
    pub model_filename: String,
    /// Architecture, size and format, e.g. `qwen2 0.5B q8_0`.
    pub model_type: String,
    /// Bytes as held in memory.
    pub model_size: u64,
    pub model_n_params: u64,
    /// As `--device` spells it.
    pub device: String,
    /// As `--dtype` and `--quant` spell them.
    pub dtype: String,
    pub quant: String,
    /// The format that holds most of the weights.
    pub weights: String,
    pub n_threads: usize,
    pub type_k: String,
    pub type_v: String,
    pub n_prompt: usize,
    pub n_gen: usize,
    pub n_depth: usize,
    /// Sequences computed together; all figures are of all of them.
    #[serde(default = "one")]
    pub n_parallel: usize,
    /// `pp512`, `tg128@d4096`, `tg128@x8`.
    pub test: String,
    /// When it was measured: ISO 8601, UTC.
    pub test_time: String,
    pub avg_ns: Option<u64>,
    pub stddev_ns: Option<u64>,
    pub avg_ts: Option<f64>,
    pub stddev_ts: Option<f64>,
    pub median_ts: Option<f64>,
    pub min_ts: Option<f64>,
    pub max_ts: Option<f64>,
    pub samples_ns: Vec<u64>,
    pub samples_ts: Vec<f64>,
    pub load_ms: Option<f64>,
    /// From an empty cache through the first of the prompts to the first token, right after loading.
    pub ttft_ms: Option<f64>,
    /// Of this process since just before the model was loaded.
    pub peak_memory_bytes: Option<u64>,
    /// What the machine's limits allow, and the part of it that the median is.
    pub limit_ts: Option<f64>,
    pub limit_share: Option<f64>,
    pub bytes_per_token: Option<f64>,
    pub flops_per_token: Option<f64>,
    pub bandwidth_bytes_per_s: Option<f64>,
    pub peak_flops: Option<f64>,
    /// Tokens of the quality text that were read.
    pub quality_tokens: Option<usize>,
    /// Mean negative log-likelihood of a token, natural logarithm.
    pub nll_mean: Option<f64>,
    /// Mean Kullback-Leibler divergence from f32, nats.
    pub kl_mean: Option<f64>,
    /// Share of positions whose likeliest token is f32's.
    pub top1_agreement: Option<f64>,
    /// This run over the compared one.
    #[serde(flatten)]
    pub ratios: Ratios,
    /// Why nothing was measured.
    pub error: Option<String>,
}

/// Results that were kept before there were several sequences are of one.
fn one() -> usize {
    1
}

impl Row {
    /// What is known of a combination before its model is opened: names as typed.
    pub fn new(
        model: &str,
        device: &str,
        numbers: (&str, &str),
        threads: usize,
        test: &Test,
    ) -> Self {
        let (dtype, quant) = numbers;
        Self {
            model: model.to_string(),
            device: device.to_string(),
            dtype: dtype.to_string(),
            quant: quant.to_string(),
            n_threads: threads,
            n_prompt: test.n_prompt,
            n_gen: test.n_gen,
            n_depth: test.n_depth,
            n_parallel: test.n_parallel,
            test: test.to_string(),
            test_time: clock::now().format("%FT%TZ"),
            ..Self::default()
        }
    }

    /// What must be equal for two rows to be compared.
    pub fn key(&self) -> (&str, &str, &str, &str, usize, &str) {
        (
            &self.model,
            &self.device,
            &self.dtype,
            &self.quant,
            self.n_threads,
            &self.test,
        )
    }

    /// The key in words.
    pub fn name(&self) -> String {
        let numbers = match self.quant.as_str() {
            "none" => &self.dtype,
            quant => quant,
        };
        let s = match self.n_threads {
            1 => "",
            _ => "s",
        };
        format!(
            "{} {numbers}, {} thread{s}, {}",
            self.model, self.n_threads, self.test
        )
    }
}

/// A row, with the error itself where there is one: it decides the exit code.
pub struct Outcome {
    pub row: Row,
    pub error: Option<BenchError>,
}
