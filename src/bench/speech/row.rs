//! One line of the result.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Subject;
use crate::bench::BenchError;
use crate::text::clock;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Tokens of the language model, one by one with their choice.
    Llm,
    /// A text's semantic tokens decoded at once.
    Codec,
    /// The first samples of a stream, from the moment that their tokens are there.
    CodecStream,
    /// Language model and codec, for each second of speech.
    Speech,
    /// The tokens of a recording and of its voice.
    Encode,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Llm => "llm",
            Self::Codec => "codec",
            Self::CodecStream => "codec-stream",
            Self::Speech => "speech",
            Self::Encode => "encode",
        })
    }
}

/// A combination of model, numbers, device, threads and test with what was measured; what was not is None.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// As typed.
    pub model: String,
    pub model_filename: String,
    /// As `--device` spells it.
    pub device: String,
    /// As `--dtype` and `--quant` spell them.
    pub dtype: String,
    pub quant: String,
    /// What is computed with: the format that holds most of the language model, else the codec's.
    pub weights: String,
    pub n_threads: usize,
    /// `llm`, `codec`, `codec-stream`, `speech`, `encode`.
    pub test: String,
    /// When it was measured: ISO 8601, UTC.
    pub test_time: String,
    /// Tokens of the language model or of the codec that a repetition makes or reads.
    pub n_tokens: Option<usize>,
    /// Seconds of audio that a repetition makes or reads.
    pub audio_s: Option<f64>,
    pub samples_ns: Vec<u64>,
    pub median_ms: Option<f64>,
    pub min_ms: Option<f64>,
    pub max_ms: Option<f64>,
    /// Tokens per second, of the language model alone.
    pub median_ts: Option<f64>,
    pub min_ts: Option<f64>,
    pub max_ts: Option<f64>,
    /// Seconds of audio in a second, and its inverse: the real-time factor.
    pub realtime: Option<f64>,
    pub rtf: Option<f64>,
    /// Operations of a repetition, a multiplication and an addition being one each.
    pub operations: Option<f64>,
    pub peak_flops: Option<f64>,
    /// What the machine's limits allow, and the part of the median that it is. The language model's limit is that of the
    /// memory too.
    pub limit_ms: Option<f64>,
    pub limit_share: Option<f64>,
    pub load_ms: Option<f64>,
    /// Of this process since just before the parts were loaded.
    pub peak_memory_bytes: Option<u64>,
    /// What a repetition is made of.
    pub parts: Vec<Part>,
    /// Why nothing was measured.
    pub error: Option<String>,
}

/// A part of a test.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Part {
    /// `mel`, `global`, `wav2vec2`, `semantic`.
    pub name: String,
    pub median_ms: f64,
    pub min_ms: f64,
    pub max_ms: f64,
    pub operations: Option<f64>,
    pub limit_share: Option<f64>,
}

impl Row {
    /// What is known of a combination before its model is opened: names as typed.
    pub fn new(
        model: &str,
        device: &str,
        numbers: (&str, &str),
        threads: usize,
        test: Test,
    ) -> Self {
        let (dtype, quant) = numbers;
        Self {
            model: model.to_string(),
            device: device.to_string(),
            dtype: dtype.to_string(),
            quant: quant.to_string(),
            n_threads: threads,
            test: test.to_string(),
            test_time: clock::now().format("%FT%TZ").to_string(),
            ..Self::default()
        }
    }

    /// The same of a model that is there.
    pub(super) fn of(subject: &Subject, threads: usize, test: Test) -> Self {
        Self {
            model_filename: subject.model.llm.path().display().to_string(),
            ..Self::new(
                &subject.name,
                &subject.device,
                (&subject.dtype, &subject.quant),
                threads,
                test,
            )
        }
    }
}

/// A row, with the error itself where there is one: it decides the exit code.
pub struct Outcome {
    pub row: Row,
    pub error: Option<BenchError>,
}
