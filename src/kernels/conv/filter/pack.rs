//! A kernel's numbers → panels of weights, and the columns that they multiply.

use super::PANEL;
use crate::kernels::conv::signal::{pair, Signal, TILE};
use crate::kernels::float::Unit;
use crate::kernels::memory::{Arena, Bytes};
use crate::kernels::pool::{self, Parts};

/// A kernel's numbers: `[rows, channels, kernel]`, or `[channels, rows, kernel]` for a transposed convolution, and a
/// factor for each index of the first dimension.
pub struct Kernel<'a> {
    pub weights: &'a [f32],
    pub scales: Option<&'a [f32]>,
    pub rows: usize,
    pub channels: usize,
    pub size: usize,
}

impl Kernel<'_> {
    pub(in crate::kernels) fn check(&self, bias: &[f32], first: usize) {
        assert!(
            self.weights.len() == self.rows * self.channels * self.size
                && bias.len() == self.rows
                && self.scales.is_none_or(|scales| scales.len() == first),
            "numbers of a kernel of that shape"
        );
    }

    pub(in crate::kernels) fn scale(&self, first: usize) -> f32 {
        self.scales.map_or(1.0, |scales| scales[first])
    }
}

/// The weights of one sample that is written for each that is read.
pub(super) struct Phase {
    /// For each column, the row of the signal and how many samples later it is read.
    columns: Vec<(usize, isize)>,
    /// `[panels, columns, PANEL]` units.
    weights: Bytes,
}

impl Phase {
    /// Packs `weight(row, channel, tap)`, where tap `i` reads row `split · channel + taps[i].0` of the signal.
    pub(super) fn pack(
        unit: Unit,
        kernel: &Kernel,
        split: usize,
        taps: &[(usize, isize)],
        weight: &(dyn Fn(usize, usize, usize) -> f32 + Sync),
        arena: &Arena,
    ) -> std::io::Result<Self> {
        assert!(split == 1 || unit == Unit::F32, "strides read f32");
        let per = unit.numbers();
        let groups = kernel.channels.div_ceil(per);
        let columns: Vec<(usize, isize)> = (0..groups)
            .flat_map(|group| {
                taps.iter()
                    .map(move |(row, ahead)| (group * split + row, *ahead))
            })
            .collect();
        let size = columns.len() * PANEL;
        let panels = kernel.rows.div_ceil(PANEL);
        let mut weights = arena.take(panels * size * size_of::<f32>())?;
        // SAFETY: the memory begins at a cache line, and every bit pattern is a number.
        let (_, numbers, _) = unsafe { weights.align_to_mut::<f32>() };
        let parts = Parts::new(numbers);
        pool::run(panels, |panel| {
            // SAFETY: the memory outlives `run`, and each task has its own panel.
            let out = unsafe { parts.part(panel * size, size) };
            let rows = panel * PANEL..kernel.rows.min((panel + 1) * PANEL);
            for (r, row) in rows.enumerate() {
                for group in 0..groups {
                    for tap in 0..taps.len() {
                        let one = |channel: usize| match channel < kernel.channels {
                            true => weight(row, channel, tap),
                            false => 0.0,
                        };
                        out[(group * taps.len() + tap) * PANEL + r] = match unit {
                            Unit::F32 => one(group),
                            Unit::Pairs => pair(one(2 * group), one(2 * group + 1)),
                        };
                    }
                }
            }
        });
        Ok(Self { columns, weights })
    }

    /// Where each column begins in the numbers of `x`, whose first row that is read is `first`.
    pub(super) fn starts(&self, x: &Signal, first: usize) -> Vec<usize> {
        let (stride, margin) = (x.stride(), x.margin());
        let most = x.len().next_multiple_of(TILE);
        self.columns
            .iter()
            .map(|&(row, ahead)| {
                let start = margin as isize + ahead;
                assert!(
                    start >= 0 && start as usize + most <= stride,
                    "a margin as wide as the kernel's reach"
                );
                (first + row) * stride + start as usize
            })
            .collect()
    }

    pub(super) fn panel(&self, panel: usize) -> &[f32] {
        let size = self.columns.len() * PANEL;
        // SAFETY: as in `pack`.
        let (_, numbers, _) = unsafe { self.weights.align_to::<f32>() };
        &numbers[panel * size..(panel + 1) * size]
    }
}
