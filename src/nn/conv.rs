//! Convolutions over time with the weights of a checkpoint, for the kernels of [`crate::kernels::conv`].

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
}

impl ConvShape {
    /// One sample at a time, as wide on both sides as `size` (odd) makes it.
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
        }
    }

    /// Without padding, read through [`crate::kernels::conv::Signal::split`].
    pub fn strided(rows: usize, channels: usize, size: usize, stride: usize) -> Self {
        Self {
            rows,
            channels,
            size,
            stride,
            dilation: 1,
            padding: 0,
        }
    }

    fn spacing(&self) -> [usize; 3] {
        [self.stride, self.dilation, self.padding]
    }
}

/// Reads `name.weight` `[rows, channels, size]` and `name.bias` `[rows]`.
///
/// # Errors
/// A tensor that is missing or of another shape; no memory.
pub fn conv(
    loader: &Loader,
    unit: Unit,
    name: &str,
    shape: ConvShape,
) -> Result<Filter, WeightsError> {
    let dims = [shape.rows, shape.channels, shape.size];
    let weights = loader.numbers(&format!("{name}.weight"), &dims)?;
    let bias = loader.numbers(&format!("{name}.bias"), &[shape.rows])?;
    packed(loader, unit, &weights, None, bias, shape)
}

/// The same from `name.weight_g` `[rows, 1, 1]` and `name.weight_v` `[rows, channels, size]`, of which the weight is
/// `g · v / ‖v‖` (Salimans and Kingma, 2016, arXiv:1602.07868).
///
/// # Errors
/// As [`conv`].
pub fn weight_norm_conv(
    loader: &Loader,
    unit: Unit,
    name: &str,
    shape: ConvShape,
) -> Result<Filter, WeightsError> {
    let dims = [shape.rows, shape.channels, shape.size];
    let (weights, scales) = weight_norm(loader, name, dims)?;
    let bias = loader.numbers(&format!("{name}.bias"), &[shape.rows])?;
    packed(loader, unit, &weights, Some(&scales), bias, shape)
}

/// The transposed convolution of `name.weight_g` `[channels, 1, 1]`, `name.weight_v` `[channels, rows, size]` and
/// `name.bias`, whose result is `shape.stride` times as long.
///
/// # Errors
/// As [`conv`].
pub fn weight_norm_transposed(
    loader: &Loader,
    unit: Unit,
    name: &str,
    shape: ConvShape,
) -> Result<Filter, WeightsError> {
    let dims = [shape.channels, shape.rows, shape.size];
    let (weights, scales) = weight_norm(loader, name, dims)?;
    let bias = loader.numbers(&format!("{name}.bias"), &[shape.rows])?;
    let kernel = Kernel {
        weights: &weights,
        scales: Some(&scales),
        rows: shape.rows,
        channels: shape.channels,
        size: shape.size,
    };
    let simd = Simd::detect();
    Filter::transposed(
        simd,
        unit,
        &kernel,
        bias,
        shape.stride,
        shape.padding,
        loader.arena(),
    )
    .map_err(|e| WeightsError::io(loader.checkpoint().path(), e))
}

/// A linear layer over channels: `name.weight` `[rows, channels]`, `name.bias` `[rows]`, both times `factors` `[rows]`
/// where there are any.
///
/// # Errors
/// As [`conv`].
pub fn pointwise(
    loader: &Loader,
    unit: Unit,
    name: &str,
    [rows, channels]: [usize; 2],
    factors: Option<&[f32]>,
) -> Result<Filter, WeightsError> {
    let weights = loader.numbers(&format!("{name}.weight"), &[rows, channels])?;
    let mut bias = loader.numbers(&format!("{name}.bias"), &[rows])?;
    for (bias, factor) in bias.iter_mut().zip(factors.unwrap_or_default()) {
        *bias *= factor;
    }
    let shape = ConvShape::same(rows, channels, 1);
    packed(loader, unit, &weights, factors, bias, shape)
}

/// Numbers at hand as a filter.
///
/// # Errors
/// No memory.
pub fn packed(
    loader: &Loader,
    unit: Unit,
    weights: &[f32],
    scales: Option<&[f32]>,
    bias: Vec<f32>,
    shape: ConvShape,
) -> Result<Filter, WeightsError> {
    let kernel = Kernel {
        weights,
        scales,
        rows: shape.rows,
        channels: shape.channels,
        size: shape.size,
    };
    let arena = loader.arena();
    Filter::conv(Simd::detect(), unit, &kernel, bias, shape.spacing(), arena)
        .map_err(|e| WeightsError::io(loader.checkpoint().path(), e))
}

/// What convolutions compute in: products of bf16 where that is asked for and the CPU has them, else f32.
pub fn unit(loader: &Loader) -> Unit {
    match loader.asked() {
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
