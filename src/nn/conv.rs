//! Convolutions over time with the weights of a checkpoint.
//!
//! [`Conv`] and what lies between convolutions ([`Norm`], [`Depthwise`], [`Affine`]) compute on the kernels of
//! [`crate::kernels::conv`] or on an NVIDIA GPU, as the loader says; models know neither.

mod between;
mod layer;
#[cfg(feature = "cuda")]
mod on_gpu;
mod out;
mod parts;
mod signal;

pub use between::Heads;
pub use layer::{Conv, Failed, Space};
pub use out::{Active, Function, Out};
pub use parts::{Affine, Depthwise, Norm, Vector};
pub use signal::Signal;

use crate::kernels::conv::{Filter, Kernel};
use crate::kernels::{Simd, Unit};
use crate::weights::{DTypeChoice, Loader, WeightsError};

/// Shape and spacing of a convolution.
#[derive(Debug, Clone, Copy)]
pub struct ConvShape {
    pub rows: usize,
    pub channels: usize,
    pub size: usize,
    pub stride: usize,
    pub dilation: usize,
    pub padding: usize,
    /// Samples that it reads for each frame of the model: only a GPU that shares its work out asks.
    pub rate: usize,
}

impl ConvShape {
    /// One sample at a time, as wide on both sides as `size` makes it; an even one reads one sample more before.
    pub fn same(rows: usize, channels: usize, size: usize) -> Self {
        Self::dilated(rows, channels, size, 1)
    }

    /// The same with `dilation` samples from one tap to the next.
    pub fn dilated(rows: usize, channels: usize, size: usize, dilation: usize) -> Self {
        Self {
            rows,
            channels,
            size,
            stride: 1,
            dilation,
            padding: dilation * (size / 2),
            rate: 1,
        }
    }

    /// Every `stride` samples, without padding.
    pub fn strided(rows: usize, channels: usize, size: usize, stride: usize) -> Self {
        Self {
            rows,
            channels,
            size,
            stride,
            dilation: 1,
            padding: 0,
            rate: 1,
        }
    }

    /// Of a signal with `rate` samples a frame.
    pub fn at_rate(self, rate: usize) -> Self {
        Self { rate, ..self }
    }

    fn spacing(&self) -> [usize; 3] {
        [self.stride, self.dilation, self.padding]
    }
}

/// The numbers of a convolution as a checkpoint has them.
struct Numbers {
    /// `[rows, channels, size]`; `[channels, rows, size]` of a transposed one.
    weights: Vec<f32>,
    /// For each index of the first dimension.
    scales: Option<Vec<f32>>,
    /// `[rows]`.
    bias: Vec<f32>,
    shape: ConvShape,
    transposed: bool,
}

impl Numbers {
    /// `name.weight` `[rows, channels, size]` and `name.bias` `[rows]`.
    fn plain(loader: &Loader, name: &str, shape: ConvShape) -> Result<Self, WeightsError> {
        let dims = [shape.rows, shape.channels, shape.size];
        Ok(Self {
            weights: loader.numbers(&format!("{name}.weight"), &dims)?,
            scales: None,
            bias: loader.numbers(&format!("{name}.bias"), &[shape.rows])?,
            shape,
            transposed: false,
        })
    }

    /// `name.weight_g` `[rows, 1, 1]` and `name.weight_v` `[rows, channels, size]`, of which the weight is `g · v / ‖v‖`
    /// (Salimans and Kingma, 2016, arXiv:1602.07868), and `name.bias`. Rows and channels change places, but for the
    /// bias, where `transposed`.
    fn weight_norm(
        loader: &Loader,
        name: &str,
        shape: ConvShape,
        transposed: bool,
    ) -> Result<Self, WeightsError> {
        let dims = match transposed {
            false => [shape.rows, shape.channels, shape.size],
            true => [shape.channels, shape.rows, shape.size],
        };
        let (weights, scales) = weight_norm(loader, name, dims)?;
        Ok(Self {
            weights,
            scales: Some(scales),
            bias: loader.numbers(&format!("{name}.bias"), &[shape.rows])?,
            shape,
            transposed,
        })
    }

    /// `name.weight` `[rows, channels]` and `name.bias` `[rows]`, both times `factors` `[rows]` where there are any.
    fn pointwise(
        loader: &Loader,
        name: &str,
        [rows, channels]: [usize; 2],
        factors: Option<&[f32]>,
    ) -> Result<Self, WeightsError> {
        let weights = loader.numbers(&format!("{name}.weight"), &[rows, channels])?;
        let mut bias = loader.numbers(&format!("{name}.bias"), &[rows])?;
        for (bias, factor) in bias.iter_mut().zip(factors.unwrap_or_default()) {
            *bias *= factor;
        }
        Ok(Self {
            weights,
            scales: factors.map(<[f32]>::to_vec),
            bias,
            shape: ConvShape::same(rows, channels, 1),
            transposed: false,
        })
    }

    fn kernel(&self) -> Kernel<'_> {
        Kernel {
            weights: &self.weights,
            scales: self.scales.as_deref(),
            rows: self.shape.rows,
            channels: self.shape.channels,
            size: self.shape.size,
        }
    }

    /// For the CPU.
    fn pack(self, loader: &Loader, unit: Unit) -> Result<Filter, WeightsError> {
        let (kernel, spacing) = (self.kernel(), self.shape.spacing());
        let (simd, arena, bias) = (Simd::detect(), loader.arena(), self.bias.clone());
        match self.transposed {
            false => Filter::conv(simd, unit, &kernel, bias, spacing, arena),
            true => {
                let [stride, _, padding] = spacing;
                Filter::transposed(simd, unit, &kernel, bias, stride, padding, arena)
            }
        }
        .map_err(|e| WeightsError::io(loader.checkpoint().path(), e))
    }
}

/// Frames that are computed at once where a recording is read, for each that is spoken at once.
pub(super) const RECORDING: usize = 10;

/// A linear layer over the frames of a recording: `name.weight` `[rows, channels]` and `name.bias` `[rows]`.
pub(super) fn dense(loader: &Loader, name: &str, dims: [usize; 2]) -> Result<Conv, WeightsError> {
    let mut numbers = Numbers::pointwise(loader, name, dims, None)?;
    numbers.shape = numbers.shape.at_rate(RECORDING);
    Conv::of(loader, Unit::F32, numbers)
}

/// What convolutions compute in: products of bf16 where that is asked for and the CPU has them, else f32.
pub fn unit(loader: &Loader) -> Unit {
    match loader.asked() {
        _ if loader.on_gpu() => Unit::F32,
        DTypeChoice::BF16 if Simd::detect() == Simd::Avx512Bf16 => Unit::Pairs,
        _ => Unit::F32,
    }
}

/// The direction `name.weight_v` of shape `dims`, and for each index of the first dimension `g / ‖v‖`.
fn weight_norm(
    loader: &Loader,
    name: &str,
    dims: [usize; 3],
) -> Result<(Vec<f32>, Vec<f32>), WeightsError> {
    let v = loader.numbers(&format!("{name}.weight_v"), &dims)?;
    let g = loader.numbers(&format!("{name}.weight_g"), &[dims[0], 1, 1])?;
    let each = (dims[1] * dims[2]).max(1);
    let scales = v
        .chunks(each)
        .zip(g)
        .map(|(v, g)| {
            let square: f64 = v.iter().map(|&v| f64::from(v).powi(2)).sum();
            g / square.sqrt() as f32
        })
        .collect();
    Ok((v, scales))
}
