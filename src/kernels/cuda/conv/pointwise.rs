//! What lies between the filters: norms over channels, and linear functions of one vector.

use std::sync::Arc;

use super::{holds, Signal};
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Launch};
use crate::kernels::cuda::memory::{Address, Buffer};

/// As the device code has them.
const NORM_SAMPLES: usize = 8;
const NORM_THREADS: u32 = 512;
/// Channels of a norm at most: those of 8 samples lie in the 48 KiB of a block, beside the sums of its warps.
const MOST_CHANNELS: usize = (48 << 10) / (4 * NORM_SAMPLES) - NORM_THREADS as usize / 32;
/// Rows of a block of [`affine`].
const WARPS: usize = 8;

/// Normalisation over the channels of each sample (layer norm): `(x − mean) / sqrt(var + eps) · scale[c] + shift[c]`.
#[derive(Clone)]
pub struct ChannelNorm {
    /// `[channels]`, and so is `shift`.
    pub scale: Arc<Buffer>,
    pub shift: Arc<Buffer>,
    pub eps: f32,
}

/// A convolution of each channel by itself, as wide on both sides.
pub struct Depthwise {
    /// `[channels, size]`.
    pub weights: Buffer,
    /// `[channels]`.
    pub bias: Buffer,
}

/// `W · x + b`.
pub struct Affine {
    /// `[rows, width]`.
    pub weights: Buffer,
    /// `[rows]`.
    pub bias: Buffer,
}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct ChannelNormArgs {
    x: Address,
    taps: Address,
    taps_bias: Address,
    scale: Address,
    shift: Address,
    out: Address,
    size: u32,
    channels: u32,
    len: u32,
    stride: u32,
    out_stride: u32,
    eps: f32,
    gelu: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for ChannelNormArgs {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct AffineArgs {
    weights: Address,
    bias: Address,
    x: Address,
    out: Address,
    rows: u32,
    width: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for AffineArgs {}

/// `out` becomes the norm of `x`, or of what `first` makes of it; its GELU where that is asked for.
///
/// # Errors
/// Out of memory; numbers for other channels; more of them than a block holds.
pub fn channel_norm(
    x: &Signal,
    first: Option<&Depthwise>,
    norm: &ChannelNorm,
    gelu: bool,
    out: &mut Signal,
) -> Result<(), GpuError> {
    let (channels, len, gpu) = (x.channels(), x.len(), norm.scale.gpu());
    if channels > MOST_CHANNELS {
        return Err(GpuError::Unsupported(format!(
            "crane's GPU kernels take norms over up to {MOST_CHANNELS} channels, not {channels}; use --device cpu"
        )));
    }
    holds(&norm.scale, channels)?;
    holds(&norm.shift, channels)?;
    out.reshape(gpu, channels, len)?;
    if channels == 0 || len == 0 {
        return Ok(());
    }
    let mut arguments = ChannelNormArgs {
        x: x.address(0),
        taps: 0,
        taps_bias: 0,
        scale: norm.scale.address(),
        shift: norm.shift.address(),
        out: out.address(0),
        size: 0,
        channels: channels as u32,
        len: len as u32,
        stride: x.stride() as u32,
        out_stride: out.stride() as u32,
        eps: norm.eps,
        gelu: u32::from(gelu),
    };
    if let Some(first) = first {
        holds(&first.bias, channels)?;
        arguments.taps = first.weights.address();
        arguments.taps_bias = first.bias.address();
        arguments.size = (first.weights.bytes() / (4 * channels)) as u32;
    }
    let launch = Launch {
        kernel: "channel_norm",
        blocks: [len.div_ceil(NORM_SAMPLES) as u32, 1, 1],
        threads: NORM_THREADS,
        shared: 4 * channels * NORM_SAMPLES,
    };
    gpu.launch(&launch, &arguments)
}

/// The function of `x`, which has so many numbers as the matrix columns.
///
/// # Errors
/// Out of memory; a vector of another length.
pub fn affine(function: &Affine, x: &Buffer) -> Result<Buffer, GpuError> {
    let gpu = function.weights.gpu();
    let rows = function.bias.bytes() / 4;
    let width = function.weights.bytes() / (4 * rows.max(1));
    if x.bytes() != 4 * width {
        return Err(GpuError::Unsupported(format!(
            "a vector of {} numbers for a matrix of {rows} x {width}",
            x.bytes() / 4
        )));
    }
    let out = Buffer::new(gpu, 4 * rows)?;
    let arguments = AffineArgs {
        weights: function.weights.address(),
        bias: function.bias.address(),
        x: x.address(),
        out: out.address(),
        rows: rows as u32,
        width: width as u32,
    };
    let launch = Launch {
        kernel: "affine",
        blocks: [rows.div_ceil(WARPS).max(1) as u32, 1, 1],
        threads: 32 * WARPS as u32,
        shared: 0,
    };
    gpu.launch(&launch, &arguments)?;
    Ok(out)
}
