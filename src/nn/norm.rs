//! Root-mean-square normalisation.

use candle_core::Tensor;

use crate::weights::{Loader, WeightsError};

/// `y = w · x / sqrt(mean(x²) + eps)` over the last dimension (Zhang & Sennrich, 2019, arXiv:1910.07467).
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Reads `name.weight`, `[width]`.
    pub fn load(loader: &Loader, name: &str, width: usize, eps: f64) -> Result<Self, WeightsError> {
        let weight = loader.tensor(&format!("{name}.weight"), &[width])?;
        Ok(Self { weight, eps })
    }

    /// `x` is `[.., width]`; shape and type are kept.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, self.eps as f32)
    }
}
