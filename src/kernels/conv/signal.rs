//! Samples of several channels.

use half::bf16;

use crate::kernels::float::arithmetic::Line;
use crate::kernels::float::Unit;
use crate::kernels::pool::{self, Parts};
use crate::kernels::simd::LANES;

/// Samples that a tile of a [`super::Filter`] takes at most; what lies past the end of a signal up to a whole number of
/// them is zero.
pub(super) const TILE: usize = 2 * LANES;

/// Samples `[channels, len]` with zeros before and after each channel, as f32 or, for products of bf16, with two
/// neighbouring channels in one row of pairs. Memory is kept from use to use.
#[derive(Default)]
pub struct Signal {
    lines: Vec<Line>,
    unit: Unit,
    channels: usize,
    len: usize,
    margin: usize,
    /// Numbers from one row to the next.
    stride: usize,
}

impl Signal {
    /// Zeros before and after a channel where nothing else is said: the reach of a kernel of 7, nine samples apart.
    pub const MARGIN: usize = 32;

    /// Numbers `[channels, len]`, channel by channel.
    pub fn from_channels(x: &[f32], channels: usize) -> Self {
        let mut signal = Self::default();
        let len = x.len() / channels.max(1);
        signal.reshape(Unit::F32, channels, len);
        for channel in 0..channels {
            signal
                .channel_mut(channel)
                .copy_from_slice(&x[channel * len..(channel + 1) * len]);
        }
        signal
    }

    /// Numbers `[len, channels]`, sample by sample.
    pub fn from_rows(x: &[f32], channels: usize) -> Self {
        Self::from_rows_with(x, channels, Self::MARGIN)
    }

    /// The same with at least `margin` zeros on both sides.
    pub fn from_rows_with(x: &[f32], channels: usize, margin: usize) -> Self {
        let mut signal = Self::default();
        let len = x.len() / channels.max(1);
        signal.reshape_with(Unit::F32, channels, len, margin);
        for channel in 0..channels {
            let samples = x.iter().skip(channel).step_by(channels);
            for (to, from) in signal.channel_mut(channel).iter_mut().zip(samples) {
                *to = *from;
            }
        }
        signal
    }

    /// Sample by sample, `[len, channels]`.
    pub fn to_rows(&self) -> Vec<f32> {
        let mut rows = vec![0f32; self.len * self.channels];
        for channel in 0..self.channels {
            let samples = rows.iter_mut().skip(channel).step_by(self.channels);
            for (to, from) in samples.zip(self.channel(channel)) {
                *to = *from;
            }
        }
        rows
    }

    /// Becomes `[channels, len]`; the samples are whatever they are, what lies around them is zero.
    pub fn reshape(&mut self, unit: Unit, channels: usize, len: usize) {
        self.reshape_with(unit, channels, len, Self::MARGIN);
    }

    /// The same with at least `margin` zeros on both sides.
    pub fn reshape_with(&mut self, unit: Unit, channels: usize, len: usize, margin: usize) {
        let margin = margin.next_multiple_of(LANES);
        let lines = (2 * margin + len.next_multiple_of(TILE)) / LANES;
        // An odd number: else many rows would meet in a few sets of a cache.
        let stride = (lines | 1) * LANES;
        let rows = channels.div_ceil(unit.numbers());
        (self.unit, self.channels, self.len) = (unit, channels, len);
        (self.margin, self.stride) = (margin, stride);
        self.lines.resize(rows * stride / LANES, Line::ZERO);
        for row in 0..rows {
            let numbers = self.row_mut(row);
            numbers[..margin].fill(0.0);
            numbers[margin + len..].fill(0.0);
        }
    }

    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Samples of a channel.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn unit(&self) -> Unit {
        self.unit
    }

    pub(super) fn margin(&self) -> usize {
        self.margin
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// All rows with their margins, `stride` numbers apart.
    pub(super) fn numbers(&self) -> &[f32] {
        // SAFETY: a line is sixteen numbers.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * LANES) }
    }

    pub(super) fn numbers_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe {
            std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * LANES)
        }
    }

    fn row_mut(&mut self, row: usize) -> &mut [f32] {
        let stride = self.stride;
        &mut self.numbers_mut()[row * stride..(row + 1) * stride]
    }

    /// The samples of a channel, f32.
    ///
    /// # Panics
    /// No such channel, or pairs.
    pub fn channel(&self, channel: usize) -> &[f32] {
        assert!(self.unit == Unit::F32 && channel < self.channels);
        let start = channel * self.stride + self.margin;
        &self.numbers()[start..start + self.len]
    }

    /// The same, to be written.
    pub fn channel_mut(&mut self, channel: usize) -> &mut [f32] {
        assert!(self.unit == Unit::F32 && channel < self.channels);
        let (margin, len) = (self.margin, self.len);
        &mut self.row_mut(channel)[margin..margin + len]
    }

    /// The samples from `start` on, `len` of them, as a signal of its own.
    pub fn part(&self, start: usize, len: usize) -> Self {
        let mut part = Self::default();
        part.reshape_with(Unit::F32, self.channels, len, self.margin);
        for channel in 0..self.channels {
            part.channel_mut(channel)
                .copy_from_slice(&self.channel(channel)[start..start + len]);
        }
        part
    }

    /// Keeps the first `len` samples of each channel.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        let (margin, end) = (self.margin, self.len);
        for row in 0..self.channels.div_ceil(self.unit.numbers()) {
            self.row_mut(row)[margin + len..margin + end].fill(0.0);
        }
        self.len = len;
    }

    /// Each channel as `stride` channels, of which the `i`th has every `stride`th sample from the `i`th on: what a
    /// convolution of that stride reads.
    pub fn split(&self, stride: usize, out: &mut Self) {
        out.reshape(Unit::F32, self.channels * stride, self.len.div_ceil(stride));
        let (len, margin, step) = (out.len, out.margin, out.stride);
        let rows = Parts::new(out.numbers_mut());
        pool::run(self.channels, |channel| {
            let samples = self.channel(channel);
            for phase in 0..stride {
                // SAFETY: each task has its own rows.
                let to = unsafe { rows.part((channel * stride + phase) * step + margin, len) };
                let every = samples.iter().skip(phase).step_by(stride);
                let filled = every.len().min(len);
                to.iter_mut().zip(every).for_each(|(to, x)| *to = *x);
                to[filled..].fill(0.0);
            }
        });
    }
}

/// Two bf16 numbers as one unit, the first in the lower half.
#[inline(always)]
pub(super) fn pair(low: f32, high: f32) -> f32 {
    let bits = |x: f32| u32::from(bf16::from_f32(x).to_bits());
    f32::from_bits(bits(low) | bits(high) << 16)
}
