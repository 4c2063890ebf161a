//! Root-mean-square normalisation.

use candle_core::{Result, Tensor};

use super::linear::numbers;
use super::rows::sized;
use super::{Rows, Workspace};
use crate::kernels;
#[cfg(feature = "cuda")]
use crate::kernels::cuda;
use crate::weights::{Loader, WeightsError};

/// `y = w · x / sqrt(mean(x²) + eps)` over the last dimension (Zhang & Sennrich, 2019, arXiv:1910.07467).
pub struct RmsNorm {
    weight: Tensor,
    /// The same numbers, for the kernels.
    host: Vec<f32>,
    eps: f64,
    #[cfg(feature = "cuda")]
    gpu: Option<cuda::Buffer>,
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
        #[cfg(feature = "cuda")]
        let gpu = match loader.gpu() {
            Some(gpu) => Some(cuda::Buffer::of_numbers(gpu, &host)?),
            None => None,
        };
        Ok(Self {
            weight,
            host,
            eps,
            #[cfg(feature = "cuda")]
            gpu,
        })
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

    /// As a GPU's products take it.
    ///
    /// # Errors
    /// It is not on a GPU.
    #[cfg(feature = "cuda")]
    pub fn on_gpu(&self) -> std::result::Result<cuda::Norm<'_>, cuda::GpuError> {
        match &self.gpu {
            Some(weight) => Ok(cuda::Norm {
                weight,
                eps: self.eps as f32,
            }),
            None => Err(cuda::GpuError::elsewhere()),
        }
    }

    /// Its weights and its epsilon, where it is on a GPU.
    #[cfg(feature = "cuda")]
    pub(super) fn into_gpu(self) -> Option<(cuda::Buffer, f32)> {
        Some((self.gpu?, self.eps as f32))
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
