//! Root-mean-square normalisation.

use candle_core::{Result, Tensor};

use super::linear::numbers;
use super::rows::sized;
use super::{Rows, Workspace};
use crate::kernels;
use crate::weights::{Loader, WeightsError};

/// `y = w · x / sqrt(mean(x²) + eps)` over the last dimension (Zhang & Sennrich, 2019, arXiv:1910.07467).
pub struct RmsNorm {
    weight: Tensor,
    /// The same numbers, for the kernels.
    host: Vec<f32>,
    eps: f64,
}

impl RmsNorm {
    /// Reads `name.weight`, `[width]`.
    pub fn load(
        loader: &Loader,
        name: &str,
        width: usize,
        eps: f64,
    ) -> std::result::Result<Self, WeightsError> {
        let weight = loader.tensor(&format!("{name}.weight"), &[width])?;
        let host = numbers(&weight)?;
        Ok(Self { weight, host, eps })
    }

    /// `x` is `[tokens, width]`.
    pub fn forward(&self, x: &Rows, work: &mut Workspace) -> Result<Rows> {
        Ok(match x {
            Rows::Tensor(x) => Rows::Tensor(self.on_tensor(x)?),
            Rows::Host { x, width } => {
                let mut out = vec![0f32; x.len()];
                kernels::rms_norm(work.simd, x, &self.host, self.eps as f32, &mut out);
                Rows::Host {
                    x: out,
                    width: *width,
                }
            }
        })
    }

    /// The norm of `x`, kept in the workspace.
    pub(super) fn to_workspace(&self, x: &[f32], work: &mut Workspace) {
        let out = sized(&mut work.normed, x.len());
        kernels::rms_norm(work.simd, x, &self.host, self.eps as f32, out);
    }

    /// Of every head of `x`, `[tokens, heads · width]`.
    pub(super) fn on_heads(&self, x: &mut [f32], simd: kernels::Simd) {
        kernels::rms_norm_in_place(simd, x, &self.host, self.eps as f32);
    }

    /// `x` is `[.., width]`; shape and type are kept.
    pub(super) fn on_tensor(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, self.eps as f32)
    }
}
