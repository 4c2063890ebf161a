//! One line of the result.

use serde::{Deserialize, Serialize};

use super::Subject;
use crate::bench::BenchError;
use crate::text::clock;

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
    /// What is computed with: the format that holds most of the part that is measured.
    pub weights: String,
    pub n_threads: usize,
    /// What is measured, as the kind of model calls it.
    pub test: String,
    /// When it was measured: ISO 8601, UTC.
    pub test_time: String,
    /// Tokens that a repetition makes or reads.
    pub n_tokens: Option<usize>,
    /// Width and height of the picture, and as the model sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_seen: Option<String>,
    /// Seconds of audio that a repetition makes or reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_s: Option<f64>,
    pub samples_ns: Vec<u64>,
    pub median_ms: Option<f64>,
    pub min_ms: Option<f64>,
    pub max_ms: Option<f64>,
    /// Tokens per second, where these are what the speed is told in.
    pub median_ts: Option<f64>,
    pub min_ts: Option<f64>,
    pub max_ts: Option<f64>,
    /// Seconds of audio in a second, and its inverse: the real-time factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtf: Option<f64>,
    /// Operations of a repetition, a multiplication and an addition being one each.
    pub operations: Option<f64>,
    /// Operations a second that the machine does at most, of the kind that most of them are.
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
        test: &str,
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
    pub(super) fn of<M>(subject: &Subject<M>, threads: usize, test: &str) -> Self {
        Self {
            model_filename: subject.file.clone(),
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
