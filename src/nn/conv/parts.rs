//! What lies between convolutions, wherever it is computed: norms, convolutions of each channel by itself, linear
//! functions of one vector.

#[cfg(feature = "cuda")]
use std::sync::Arc;

use super::{Failed, Signal, Space};
use crate::kernels::conv::{channel_norm, depthwise, ChannelNorm};
#[cfg(feature = "cuda")]
use crate::kernels::cuda::{self, GpuError};
use crate::kernels::{Simd, Unit};
use crate::weights::{Loader, WeightsError};

/// Numbers of a layer, one a channel most of the time.
#[derive(Clone)]
pub enum Vector {
    Host(Vec<f32>),
    #[cfg(feature = "cuda")]
    Gpu(Arc<cuda::Buffer>),
}

/// Normalisation over the channels of each sample (layer norm): `(x − mean) / sqrt(var + eps) · scale[c] + shift[c]`.
#[derive(Clone)]
pub enum Norm {
    Host(ChannelNorm),
    #[cfg(feature = "cuda")]
    Gpu(cuda::conv::ChannelNorm),
}

/// A convolution of each channel by itself, as wide on both sides.
pub enum Depthwise {
    Host {
        /// `[channels, size]`.
        weights: Vec<f32>,
        /// `[channels]`.
        bias: Vec<f32>,
    },
    #[cfg(feature = "cuda")]
    Gpu(cuda::conv::Depthwise),
}

/// `W · x + b` of one vector.
pub enum Affine {
    Host {
        /// `[rows, width]`.
        weights: Vec<f32>,
        /// `[rows]`.
        bias: Vec<f32>,
    },
    #[cfg(feature = "cuda")]
    Gpu(cuda::conv::Affine),
}

impl Vector {
    /// Reads `name`, which has the shape `dims`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape; no memory.
    pub fn load(loader: &Loader, name: &str, dims: &[usize]) -> Result<Self, WeightsError> {
        Self::given(loader, loader.numbers(name, dims)?)
    }

    /// Numbers at hand, where the tensors of `loader` go.
    ///
    /// # Errors
    /// No memory.
    pub fn given(loader: &Loader, numbers: Vec<f32>) -> Result<Self, WeightsError> {
        #[cfg(not(feature = "cuda"))]
        let _ = loader;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = loader.gpu() {
            let buffer = cuda::Buffer::of_numbers(gpu, &numbers)?;
            return Ok(Self::Gpu(Arc::new(buffer)));
        }
        Ok(Self::Host(numbers))
    }

    /// In this machine's memory.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn to_numbers(&self) -> Result<Vec<f32>, Failed> {
        match self {
            Self::Host(numbers) => Ok(numbers.clone()),
            #[cfg(feature = "cuda")]
            Self::Gpu(buffer) => {
                let mut numbers = vec![0f32; buffer.bytes() / 4];
                buffer.read_numbers(0, &mut numbers)?;
                Ok(numbers)
            }
        }
    }

    pub(super) fn host(&self) -> Result<&[f32], Failed> {
        match self {
            Self::Host(numbers) => Ok(numbers),
            #[cfg(feature = "cuda")]
            Self::Gpu(_) => Err(GpuError::elsewhere()),
        }
    }
}

impl Space {
    /// `numbers` where it computes.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn vector(&self, numbers: Vec<f32>) -> Result<Vector, Failed> {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = self.gpu() {
            let buffer = cuda::Buffer::of_numbers(gpu, &numbers)?;
            return Ok(Vector::Gpu(Arc::new(buffer)));
        }
        Ok(Vector::Host(numbers))
    }
}

impl Norm {
    /// Reads `name.weight` and `name.bias`, `[dim]`.
    ///
    /// # Errors
    /// As [`Vector::load`].
    pub fn load(loader: &Loader, name: &str, dim: usize, eps: f32) -> Result<Self, WeightsError> {
        let scale = loader.numbers(&format!("{name}.weight"), &[dim])?;
        let shift = loader.numbers(&format!("{name}.bias"), &[dim])?;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = loader.gpu() {
            let [scale, shift] = [scale, shift].map(|x| cuda::Buffer::of_numbers(gpu, &x));
            let (scale, shift) = (Arc::new(scale?), Arc::new(shift?));
            return Ok(Self::Gpu(cuda::conv::ChannelNorm { scale, shift, eps }));
        }
        Ok(Self::Host(ChannelNorm { scale, shift, eps }))
    }

    /// Of a scale and a shift that lie in the same place, `[channels]` each.
    ///
    /// # Errors
    /// They do not.
    pub fn new(scale: Vector, shift: Vector, eps: f32) -> Result<Self, Failed> {
        match (scale, shift) {
            (Vector::Host(scale), Vector::Host(shift)) => {
                Ok(Self::Host(ChannelNorm { scale, shift, eps }))
            }
            #[cfg(feature = "cuda")]
            (Vector::Gpu(scale), Vector::Gpu(shift)) => {
                Ok(Self::Gpu(cuda::conv::ChannelNorm { scale, shift, eps }))
            }
            #[cfg(feature = "cuda")]
            _ => Err(GpuError::elsewhere()),
        }
    }

    /// `out` becomes the norm of `x`: as f32 where it is to be `exact`, else for the convolutions of `space`.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn apply(
        &self,
        x: &Signal,
        exact: bool,
        out: &mut Signal,
        space: &Space,
    ) -> Result<(), Failed> {
        self.activated(x, false, space.unit(exact), out)
    }

    /// `out` becomes the GELU of the norm of `x`, as f32.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn gelu(&self, x: &Signal, out: &mut Signal) -> Result<(), Failed> {
        self.activated(x, true, Unit::F32, out)
    }

    fn activated(
        &self,
        x: &Signal,
        gelu: bool,
        unit: Unit,
        out: &mut Signal,
    ) -> Result<(), Failed> {
        match self {
            Self::Host(norm) => {
                let (simd, out) = (Simd::detect(), out.host_mut());
                channel_norm(simd, x.host()?, norm, gelu, unit, out);
                Ok(())
            }
            #[cfg(feature = "cuda")]
            Self::Gpu(norm) => cuda::conv::channel_norm(x.gpu()?, None, norm, gelu, out.gpu_mut()),
        }
    }
}

impl Depthwise {
    /// Reads `name.weight` `[channels, 1, size]` and `name.bias` `[channels]`.
    ///
    /// # Errors
    /// As [`Vector::load`].
    pub fn load(
        loader: &Loader,
        name: &str,
        channels: usize,
        size: usize,
    ) -> Result<Self, WeightsError> {
        let weights = loader.numbers(&format!("{name}.weight"), &[channels, 1, size])?;
        let bias = loader.numbers(&format!("{name}.bias"), &[channels])?;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = loader.gpu() {
            return Ok(Self::Gpu(cuda::conv::Depthwise {
                weights: cuda::Buffer::of_numbers(gpu, &weights)?,
                bias: cuda::Buffer::of_numbers(gpu, &bias)?,
            }));
        }
        Ok(Self::Host { weights, bias })
    }

    /// `out` becomes the norm of what it makes of `x`, for the convolutions of `space`. What it makes of `x` goes to
    /// `between` where both are not done in one.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn normed(
        &self,
        x: &Signal,
        norm: &Norm,
        [between, out]: [&mut Signal; 2],
        space: &Space,
    ) -> Result<(), Failed> {
        match self {
            Self::Host { weights, bias } => {
                let made = between.host_mut();
                depthwise(Simd::detect(), x.host()?, weights, bias, made);
                norm.apply(between, false, out, space)
            }
            #[cfg(feature = "cuda")]
            Self::Gpu(first) => match norm {
                Norm::Gpu(norm) => {
                    cuda::conv::channel_norm(x.gpu()?, Some(first), norm, false, out.gpu_mut())
                }
                Norm::Host(_) => Err(GpuError::elsewhere()),
            },
        }
    }
}

impl Affine {
    /// Reads `name.weight` `[rows, width]` and `name.bias` `[rows]`.
    ///
    /// # Errors
    /// As [`Vector::load`].
    pub fn load(
        loader: &Loader,
        name: &str,
        [rows, width]: [usize; 2],
    ) -> Result<Self, WeightsError> {
        let weights = loader.numbers(&format!("{name}.weight"), &[rows, width])?;
        let bias = loader.numbers(&format!("{name}.bias"), &[rows])?;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = loader.gpu() {
            return Ok(Self::Gpu(cuda::conv::Affine {
                weights: cuda::Buffer::of_numbers(gpu, &weights)?,
                bias: cuda::Buffer::of_numbers(gpu, &bias)?,
            }));
        }
        Ok(Self::Host { weights, bias })
    }

    /// Of `x`, which has as many numbers as the matrix columns.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn apply(&self, x: &Vector) -> Result<Vector, Failed> {
        match self {
            Self::Host { weights, bias } => {
                let x = x.host()?;
                let rows = weights.chunks_exact(x.len().max(1)).zip(bias);
                let row = |(row, bias): (&[f32], &f32)| {
                    bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>()
                };
                Ok(Vector::Host(rows.map(row).collect()))
            }
            #[cfg(feature = "cuda")]
            Self::Gpu(function) => match x {
                Vector::Gpu(x) => Ok(Vector::Gpu(Arc::new(cuda::conv::affine(function, x)?))),
                Vector::Host(_) => Err(GpuError::elsewhere()),
            },
        }
    }
}
