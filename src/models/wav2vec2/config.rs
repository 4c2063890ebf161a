//! `config.json` of wav2vec 2.0.

use std::path::Path;

use serde::Deserialize;

use super::STATES;
use crate::models::ModelError;

/// `config.json`, what is computed with.
#[derive(Debug, Clone, Deserialize)]
pub struct Wav2Vec2Config {
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub conv_dim: Vec<usize>,
    pub conv_kernel: Vec<usize>,
    pub conv_stride: Vec<usize>,
    #[serde(default = "positional_kernel")]
    pub num_conv_pos_embeddings: usize,
    #[serde(default = "positional_groups")]
    pub num_conv_pos_embedding_groups: usize,
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
    #[serde(default)]
    pub conv_bias: bool,
    #[serde(default)]
    pub do_stable_layer_norm: bool,
    #[serde(default)]
    pub feat_extract_norm: String,
}

fn positional_kernel() -> usize {
    128
}

fn positional_groups() -> usize {
    16
}

fn layer_norm_eps() -> f64 {
    1e-5
}

/// Frames of so many samples, of which the first has `first` and each other begins `hop` later.
pub(super) fn frames([first, hop]: [usize; 2], samples: usize) -> usize {
    match samples < first {
        true => 0,
        false => (samples - first) / hop + 1,
    }
}

/// The largest size of anything.
const LARGEST: usize = 1 << 16;

impl Wav2Vec2Config {
    /// Reads the text of `file`.
    ///
    /// # Errors
    /// What is no such configuration, or one of another form.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ModelError> {
        let wrong = |reason: String| ModelError::Config {
            file: file.display().to_string(),
            reason,
        };
        let config: Self = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        config.check().map_err(wrong)?;
        Ok(config)
    }

    /// Samples of the first frame, and from one frame to the next.
    pub(super) fn window(&self) -> [usize; 2] {
        let steps = self.conv_kernel.iter().zip(&self.conv_stride).rev();
        steps.fold([1, 1], |[first, hop], (kernel, stride)| {
            [(first - 1) * stride + kernel, hop * stride]
        })
    }

    /// Frames of so many samples.
    pub fn frames(&self, samples: usize) -> usize {
        frames(self.window(), samples)
    }

    fn check(&self) -> Result<(), String> {
        if !(self.conv_bias && self.do_stable_layer_norm && self.feat_extract_norm == "layer") {
            return Err("only the form with conv_bias, do_stable_layer_norm and feat_extract_norm 'layer' is supported".into());
        }
        let layers = self.conv_dim.len();
        if layers == 0 || self.conv_kernel.len() != layers || self.conv_stride.len() != layers {
            return Err("conv_dim, conv_kernel and conv_stride do not belong together".into());
        }
        let sizes = [
            self.hidden_size,
            self.num_attention_heads,
            self.intermediate_size,
            self.num_conv_pos_embeddings,
            self.num_conv_pos_embedding_groups,
        ];
        let all = sizes
            .iter()
            .chain(&self.conv_dim)
            .chain(&self.conv_kernel)
            .chain(&self.conv_stride);
        if let Some(size) = all.copied().find(|&size| size == 0 || size > LARGEST) {
            return Err(format!("a size of {size}"));
        }
        if !self
            .hidden_size
            .is_multiple_of(2 * self.num_attention_heads)
            || !self
                .hidden_size
                .is_multiple_of(self.num_conv_pos_embedding_groups)
            || !self.num_conv_pos_embeddings.is_multiple_of(2)
        {
            return Err("hidden_size does not divide by its heads and groups".into());
        }
        match self.num_hidden_layers >= STATES[2] {
            true => Ok(()),
            false => Err(format!(
                "{} layers, where hidden state {} is read",
                self.num_hidden_layers, STATES[2]
            )),
        }
    }
}
