//! What lies between the filters: activations, norms, depthwise convolutions.

use super::signal::{pair, Signal};
use crate::kernels::float::Unit;
use crate::kernels::pool::{self, Parts};
use crate::kernels::simd::{gelu, sin_squared, Kernel, Lanes, LANES};
use crate::kernels::Simd;

/// Numbers that make a task worth its hand-over.
const TASK_NUMBERS: usize = 16 << 10;

/// A function of each sample; slices have a number a channel.
#[derive(Debug, Clone, Copy)]
pub enum Activation<'a> {
    Identity,
    /// `x + sin²(α·x) / (α + 1e-9)` (Ziyin et al., 2020, arXiv:2006.08195).
    Snake(&'a [f32]),
    /// The exact one, by erf.
    Gelu,
    Relu,
    Tanh,
    /// `scale · max(x, 0) + shift`: a batch norm after a ReLU.
    ReluAffine {
        scale: &'a [f32],
        shift: &'a [f32],
    },
}

impl Activation<'_> {
    /// Applies it to samples of `channel`.
    pub(super) fn apply(&self, simd: Simd, channel: usize, x: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Snake(alpha) => simd.run(Snake {
                alpha: alpha[channel],
                x,
            }),
            Self::Gelu => simd.run(Gelu(x)),
            Self::Relu => x.iter_mut().for_each(|x| *x = x.max(0.0)),
            Self::Tanh => x.iter_mut().for_each(|x| *x = x.tanh()),
            Self::ReluAffine { scale, shift } => {
                let (scale, shift) = (scale[channel], shift[channel]);
                x.iter_mut().for_each(|x| *x = x.max(0.0) * scale + shift);
            }
        }
    }
}

/// `out = f(x)`, in units of `out`.
pub fn activate(simd: Simd, x: &Signal, function: Activation, unit: Unit, out: &mut Signal) {
    let (channels, len) = (x.channels(), x.len());
    out.reshape_with(unit, channels, len, x.margin());
    let (stride, margin, per) = (out.stride(), out.margin(), unit.numbers());
    let parts = Parts::new(out.numbers_mut());
    pool::run(channels.div_ceil(per), |row| {
        // SAFETY: each task has its own row.
        let out = unsafe { parts.part(row * stride + margin, len) };
        out.copy_from_slice(x.channel(row * per));
        function.apply(simd, row * per, out);
        if unit == Unit::Pairs {
            thread_local! {
                static HIGH: std::cell::RefCell<Vec<f32>> = std::cell::RefCell::default();
            }
            HIGH.with_borrow_mut(|high| {
                high.clear();
                match row * per + 1 < channels {
                    true => {
                        high.extend_from_slice(x.channel(row * per + 1));
                        function.apply(simd, row * per + 1, high);
                    }
                    false => high.resize(len, 0.0),
                }
                for (out, high) in out.iter_mut().zip(high) {
                    *out = pair(*out, *high);
                }
            });
        }
    });
}

/// `out += x`, signals of f32 of one shape.
pub fn add(x: &Signal, out: &mut Signal) {
    assert!(x.channels() == out.channels() && x.len() == out.len());
    for channel in 0..x.channels() {
        let to = out.channel_mut(channel).iter_mut();
        to.zip(x.channel(channel)).for_each(|(to, x)| *to += x);
    }
}

struct Snake<'a> {
    alpha: f32,
    x: &'a mut [f32],
}

impl Kernel for Snake<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let (alpha, factor) = (L::splat(self.alpha), L::splat(1.0 / (self.alpha + 1e-9)));
        let (vectors, rest) = self.x.as_chunks_mut::<LANES>();
        for x in vectors {
            let v = L::load(x.as_ptr());
            let wave = sin_squared::<L>(L::mul(alpha, v));
            L::store(x.as_mut_ptr(), L::fma(wave, factor, v));
        }
        let mut last = [0.0; LANES];
        last[..rest.len()].copy_from_slice(rest);
        let v = L::load(last.as_ptr());
        let wave = sin_squared::<L>(L::mul(alpha, v));
        L::store(last.as_mut_ptr(), L::fma(wave, factor, v));
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

struct Gelu<'a>(&'a mut [f32]);

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let (vectors, rest) = self.0.as_chunks_mut::<LANES>();
        for x in vectors {
            L::store(x.as_mut_ptr(), gelu::<L>(L::load(x.as_ptr())));
        }
        let mut last = [0.0; LANES];
        last[..rest.len()].copy_from_slice(rest);
        L::store(last.as_mut_ptr(), gelu::<L>(L::load(last.as_ptr())));
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// The exact GELU of every number.
pub fn gelu_in_place(simd: Simd, x: &mut [f32]) {
    let len = x.len();
    let parts = Parts::new(x);
    pool::run(len.div_ceil(TASK_NUMBERS), |task| {
        let start = task * TASK_NUMBERS;
        // SAFETY: each task has its own numbers.
        simd.run(Gelu(unsafe {
            parts.part(start, TASK_NUMBERS.min(len - start))
        }));
    });
}

/// `out[c][t] = bias[c] + Σ weights[c][k] · x[c][t + k − ⌊size/2⌋]` of each channel by itself, `[channels, size]`.
pub fn depthwise(simd: Simd, x: &Signal, weights: &[f32], bias: &[f32], out: &mut Signal) {
    let channels = x.channels();
    let size = weights.len() / channels.max(1);
    assert!(weights.len() == channels * size && bias.len() == channels && size / 2 <= x.margin());
    out.reshape(Unit::F32, channels, x.len());
    let (stride, margin, len) = (out.stride(), out.margin(), out.len());
    let parts = Parts::new(out.numbers_mut());
    pool::run(channels, |channel| {
        // SAFETY: each task has its own channel.
        let out = unsafe { parts.part(channel * stride + margin, len) };
        let start = channel * x.stride() + x.margin() - size / 2;
        simd.run(Taps {
            x: &x.numbers()[start..start + len + size - 1],
            weights: &weights[channel * size..(channel + 1) * size],
            bias: bias[channel],
            out,
        });
    });
}

struct Taps<'a> {
    x: &'a [f32],
    weights: &'a [f32],
    bias: f32,
    out: &'a mut [f32],
}

impl Kernel for Taps<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let len = self.out.len();
        for t in (0..len).step_by(LANES) {
            let n = LANES.min(len - t);
            let mut sum = L::splat(self.bias);
            for (k, &w) in self.weights.iter().enumerate() {
                // SAFETY: the samples hold `len + size − 1` numbers; what is past them is copied first.
                let x = match t + k + LANES <= self.x.len() {
                    true => L::load(self.x.as_ptr().add(t + k)),
                    false => {
                        let mut last = [0.0; LANES];
                        last[..n].copy_from_slice(&self.x[t + k..t + k + n]);
                        L::load(last.as_ptr())
                    }
                };
                sum = L::fma(x, L::splat(w), sum);
            }
            let mut y = [0.0; LANES];
            L::store(y.as_mut_ptr(), sum);
            self.out[t..t + n].copy_from_slice(&y[..n]);
        }
    }
}

/// Normalisation over the channels of each sample (layer norm): `(x − mean) / sqrt(var + eps) · scale[c] + shift[c]`.
#[derive(Debug, Clone)]
pub struct ChannelNorm {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
    pub eps: f32,
}

/// `out = norm(x)` and then `gelu` if it is so, in units of `unit`.
pub fn channel_norm(
    simd: Simd,
    x: &Signal,
    norm: &ChannelNorm,
    gelu: bool,
    unit: Unit,
    out: &mut Signal,
) {
    let (channels, len) = (x.channels(), x.len());
    assert!(channels > 0 && norm.scale.len() == channels && norm.shift.len() == channels);
    out.reshape_with(unit, channels, len, x.margin());
    let (to_stride, to_margin) = (out.stride(), out.margin());
    let parts = Parts::new(out.numbers_mut());
    pool::run(len.div_ceil(LANES), |task| {
        let t = task * LANES;
        // SAFETY: each task writes its own samples of every row.
        let to = unsafe { parts.at(to_margin + t) };
        simd.run(NormTile {
            x: &x.numbers()[x.margin() + t..],
            stride: x.stride(),
            norm,
            gelu,
            unit,
            n: LANES.min(len - t),
            to,
            to_stride,
        });
    });
}

struct NormTile<'a> {
    x: &'a [f32],
    stride: usize,
    norm: &'a ChannelNorm,
    gelu: bool,
    unit: Unit,
    /// Samples.
    n: usize,
    to: *mut f32,
    to_stride: usize,
}

impl NormTile<'_> {
    /// The channel after the norm.
    #[inline(always)]
    unsafe fn channel<L: Lanes>(&self, c: usize, mean: L::F, factor: L::F) -> [f32; LANES] {
        let x = L::load(self.x.as_ptr().add(c * self.stride));
        let y = L::mul(L::sub(x, mean), factor);
        let y = L::fma(
            y,
            L::splat(self.norm.scale[c]),
            L::splat(self.norm.shift[c]),
        );
        let y = if self.gelu { gelu::<L>(y) } else { y };
        let mut out = [0.0; LANES];
        L::store(out.as_mut_ptr(), y);
        out
    }
}

impl Kernel for NormTile<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let channels = self.norm.scale.len();
        assert!(self.x.len() >= (channels - 1) * self.stride + LANES);
        // SAFETY: sixteen samples of every channel are there (asserted); what is past the last one is zero.
        let mut sum = L::splat(0.0);
        for c in 0..channels {
            sum = L::add(sum, L::load(self.x.as_ptr().add(c * self.stride)));
        }
        let n = L::splat(1.0 / channels as f32);
        let mean = L::mul(sum, n);
        let mut squares = L::splat(0.0);
        for c in 0..channels {
            let d = L::sub(L::load(self.x.as_ptr().add(c * self.stride)), mean);
            squares = L::fma(d, d, squares);
        }
        let mut variance = [0.0; LANES];
        L::store(variance.as_mut_ptr(), L::mul(squares, n));
        for v in &mut variance {
            *v = 1.0 / (*v + self.norm.eps).sqrt();
        }
        let factor = L::load(variance.as_ptr());
        match self.unit {
            Unit::F32 => {
                for c in 0..channels {
                    let y = self.channel::<L>(c, mean, factor);
                    let to = self.to.add(c * self.to_stride);
                    std::ptr::copy_nonoverlapping(y.as_ptr(), to, self.n);
                }
            }
            Unit::Pairs => {
                for c in (0..channels).step_by(2) {
                    let low = self.channel::<L>(c, mean, factor);
                    let high = match c + 1 < channels {
                        true => self.channel::<L>(c + 1, mean, factor),
                        false => [0.0; LANES],
                    };
                    let to = self.to.add(c / 2 * self.to_stride);
                    for i in 0..self.n {
                        *to.add(i) = pair(low[i], high[i]);
                    }
                }
            }
        }
    }
}
