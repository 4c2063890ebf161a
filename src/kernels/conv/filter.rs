//! A convolution as a product with columns that are read where they lie.

mod pack;
mod tiles;

use std::cell::RefCell;

pub use self::pack::Kernel;
use self::pack::Phase;
use self::tiles::{InF32, Tiles};
use super::pointwise::Activation;
use super::signal::{pair, Signal};
use crate::kernels::float::arithmetic::Line;
use crate::kernels::float::{run_bf16, run_widened, Unit};
use crate::kernels::memory::Arena;
use crate::kernels::pool::{self, Parts};
use crate::kernels::simd::LANES;
use crate::kernels::Simd;

/// Rows of a panel of weights.
const PANEL: usize = 8;
/// Panels of a task: what it reads of the signal serves all of them.
const PANELS: usize = 8;
/// Columns that are multiplied in one go: a panel of them stays in the first cache.
const BLOCK: usize = 512;
/// Samples of a task: a block of their channels stays in the second cache.
const SEGMENT: usize = 512;
/// Numbers of a signal that no cache holds: its samples are asked for before they are needed.
const FAR: usize = 2 << 20;

/// The weights of a convolution, packed.
pub struct Filter {
    simd: Simd,
    unit: Unit,
    rows: usize,
    /// Channels that it reads, as [`Signal`] counts them.
    channels: usize,
    /// One for each sample that it writes for one that it reads.
    phases: Vec<Phase>,
    /// `[rows]`.
    bias: Vec<f32>,
    /// Samples that are lost at the end: those that the kernel would need past the signal.
    shorter: usize,
    /// Taps of the kernel.
    size: usize,
}

/// What becomes of the results.
#[derive(Default)]
pub struct Out<'a> {
    /// Where they go as f32.
    pub plain: Option<&'a mut Signal>,
    /// They are added to what `plain` holds, instead of replacing it.
    pub add: bool,
    /// Where a function of them (after adding) goes, and in what units; not after a transposed convolution.
    pub active: Option<(&'a mut Signal, Unit, Activation<'a>)>,
    /// Instead of the filter's own, `[rows]`.
    pub bias: Option<&'a [f32]>,
}

impl<'a> Out<'a> {
    /// The results as they are.
    pub fn plain(to: &'a mut Signal) -> Self {
        Self {
            plain: Some(to),
            ..Self::default()
        }
    }

    /// The results, added to what is there.
    pub fn added(to: &'a mut Signal) -> Self {
        Self {
            plain: Some(to),
            add: true,
            ..Self::default()
        }
    }

    /// A function of them, in `unit`.
    pub fn active(to: &'a mut Signal, unit: Unit, function: Activation<'a>) -> Self {
        Self {
            active: Some((to, unit, function)),
            ..Self::default()
        }
    }
}

impl Filter {
    /// `y[r][t] = b[r] + Σ w[r][c][k] · x[c][stride·t + dilation·k − padding]`, over a signal that was
    /// [`Signal::split`] by `stride` (1: as it is). The weights are held as `unit`.
    ///
    /// # Errors
    /// No memory.
    ///
    /// # Panics
    /// Numbers that do not fit the shape; a dilation or padding with a stride.
    pub fn conv(
        simd: Simd,
        unit: Unit,
        kernel: &Kernel,
        bias: Vec<f32>,
        [stride, dilation, padding]: [usize; 3],
        arena: &Arena,
    ) -> std::io::Result<Self> {
        kernel.check(&bias, kernel.rows);
        assert!(stride == 1 || (dilation == 1 && padding == 0));
        let taps: Vec<(usize, isize)> = (0..kernel.size)
            .map(|k| match stride {
                1 => (0, (dilation * k) as isize - padding as isize),
                _ => (k % stride, (k / stride) as isize),
            })
            .collect();
        let weight = |row: usize, channel: usize, tap: usize| {
            kernel.weights[(row * kernel.channels + channel) * kernel.size + tap]
                * kernel.scale(row)
        };
        let phase = Phase::pack(unit, kernel, stride, &taps, &weight, arena)?;
        let reach = match stride {
            1 => (dilation * (kernel.size - 1)).saturating_sub(2 * padding),
            _ => (kernel.size - 1) / stride,
        };
        Ok(Self {
            simd,
            unit,
            rows: kernel.rows,
            channels: kernel.channels * stride,
            phases: vec![phase],
            bias,
            shorter: reach,
            size: kernel.size,
        })
    }

    /// The transposed convolution (PyTorch's `ConvTranspose1d` without output padding) whose result is `stride` times as
    /// long as the signal: `kernel.size = stride + 2·padding`.
    ///
    /// # Errors
    /// As [`Filter::conv`].
    ///
    /// # Panics
    /// As [`Filter::conv`], and where the result has another length.
    pub fn transposed(
        simd: Simd,
        unit: Unit,
        kernel: &Kernel,
        bias: Vec<f32>,
        stride: usize,
        padding: usize,
        arena: &Arena,
    ) -> std::io::Result<Self> {
        kernel.check(&bias, kernel.channels);
        assert_eq!(kernel.size, stride + 2 * padding, "a whole multiple");
        // Sample `stride·t + phase` takes tap `κ` from sample `t − m` where κ = phase + padding + stride·m.
        let phases = (0..stride)
            .map(|phase| {
                let first = (phase + padding) % stride;
                let taps: Vec<usize> = (first..kernel.size).step_by(stride).collect();
                let shifts: Vec<(usize, isize)> = taps
                    .iter()
                    .map(|&tap| {
                        let ahead = (phase + padding) as isize - tap as isize;
                        (0, ahead / stride as isize)
                    })
                    .collect();
                let weight = |row: usize, channel: usize, tap: usize| {
                    kernel.weights[(channel * kernel.rows + row) * kernel.size + taps[tap]]
                        * kernel.scale(channel)
                };
                Phase::pack(unit, kernel, 1, &shifts, &weight, arena)
            })
            .collect::<std::io::Result<_>>()?;
        Ok(Self {
            simd,
            unit,
            rows: kernel.rows,
            channels: kernel.channels,
            phases,
            bias,
            shorter: 0,
            size: kernel.size,
        })
    }

    /// Channels that it writes.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// `[rows]`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// What the signals that it reads are to be kept as.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Samples of the result for a signal of `len`.
    pub fn len(&self, len: usize) -> usize {
        len.saturating_sub(self.shorter) * self.phases.len()
    }

    /// Samples of the result of a convolution with `stride` for a signal of `len` before it was split; those past them
    /// read zeros.
    pub fn strided_len(&self, len: usize, stride: usize) -> usize {
        match len < self.size {
            true => 0,
            false => (len - self.size) / stride + 1,
        }
    }

    /// Reads `x` and writes `out`, whose signals become `[rows, len]` (but where they are added to).
    ///
    /// # Panics
    /// Signals of other shapes or units; an activation after a transposed convolution.
    pub fn apply(&self, x: &Signal, mut out: Out) {
        let len = self.len(x.len());
        assert_eq!(x.channels(), self.channels, "channels that it reads");
        if let Some(plain) = out.plain.as_deref_mut().filter(|_| !out.add) {
            plain.reshape(Unit::F32, self.rows, len);
        }
        self.apply_within(x, 0, out, 0);
    }

    /// The same for one of several groups: reads the channels of `x` from `first` on, and writes those of `out.plain`,
    /// which has its shape, from `first_out` on.
    ///
    /// # Panics
    /// As [`Filter::apply`].
    pub fn apply_within(&self, x: &Signal, first: usize, out: Out, first_out: usize) {
        let len = self.len(x.len());
        assert!(
            x.unit() == self.unit
                && first.is_multiple_of(self.unit.numbers())
                && first + self.channels <= x.channels(),
            "a signal of so many channels, in units of the weights"
        );
        let plain = out.plain;
        let mut active = out.active;
        if let Some(plain) = plain.as_deref() {
            assert!(
                plain.unit() == Unit::F32
                    && plain.channels() >= first_out + self.rows
                    && plain.len() == len,
                "room for the result"
            );
        }
        if let Some((active, unit, _)) = active.as_mut() {
            assert!(self.phases.len() == 1 && first_out == 0);
            active.reshape(*unit, self.rows, len);
        }
        let columns: Vec<Vec<usize>> = self
            .phases
            .iter()
            .map(|phase| phase.starts(x, first / self.unit.numbers()))
            .collect();
        let call = Call {
            filter: self,
            x,
            columns,
            len: len / self.phases.len(),
            bias: out.bias.unwrap_or(&self.bias),
            add: out.add,
            plain: plain.map(|plain| Target::new(plain, first_out)),
            active: active.map(|(active, unit, function)| (unit, Target::new(active, 0), function)),
        };
        call.run();
    }
}

/// A signal that tasks write, each its own rows and samples.
struct Target {
    numbers: Parts<f32>,
    stride: usize,
    start: usize,
}

impl Target {
    fn new(signal: &mut Signal, first: usize) -> Self {
        let (stride, margin) = (signal.stride(), signal.margin());
        Self {
            numbers: Parts::new(signal.numbers_mut()),
            stride,
            start: first * stride + margin,
        }
    }

    /// `len` samples of `row` from `from` on.
    ///
    /// # Safety
    /// As [`Parts::part`].
    #[allow(clippy::mut_from_ref)] // As `Parts::part`.
    unsafe fn samples(&self, row: usize, from: usize, len: usize) -> &mut [f32] {
        self.numbers
            .part(self.start + row * self.stride + from, len)
    }
}

struct Call<'a> {
    filter: &'a Filter,
    x: &'a Signal,
    /// For each phase, where its columns begin.
    columns: Vec<Vec<usize>>,
    /// Samples of a phase.
    len: usize,
    bias: &'a [f32],
    add: bool,
    plain: Option<Target>,
    active: Option<(Unit, Target, Activation<'a>)>,
}

impl Call<'_> {
    fn run(&self) {
        thread_local! {
            static SUMS: RefCell<Vec<Line>> = RefCell::default();
        }
        let groups = self.filter.rows.div_ceil(PANELS * PANEL);
        let segments = self.len.div_ceil(SEGMENT);
        let phases = self.filter.phases.len();
        pool::run(groups * segments * phases, |task| {
            let (segment, task) = (task % segments, task / segments);
            let (phase, group) = (task % phases, task / phases);
            let from = segment * SEGMENT;
            let len = SEGMENT.min(self.len - from);
            SUMS.with_borrow_mut(|sums| {
                sums.resize(sums.len().max(PANELS * PANEL * SEGMENT / LANES), Line::ZERO);
                let first = group * PANELS * PANEL;
                let rows = (PANELS * PANEL).min(self.filter.rows - first);
                let sums = &mut sums[..];
                self.multiply(phase, group, rows.div_ceil(PANEL), from, len, sums);
                self.finish(phase, first, rows, from, len, sums);
            });
        });
    }

    /// Sums of the panels of `group`, to rows of `SEGMENT`.
    fn multiply(
        &self,
        phase: usize,
        group: usize,
        panels: usize,
        from: usize,
        len: usize,
        sums: &mut [Line],
    ) {
        let (phase, columns) = (&self.filter.phases[phase], &self.columns[phase]);
        for (block, columns) in columns.chunks(BLOCK).enumerate() {
            for panel in 0..panels {
                let at = block * BLOCK * PANEL;
                let weights = phase.panel(group * PANELS + panel);
                let tiles = Tiles {
                    weights: &weights[at..at + columns.len() * PANEL],
                    columns,
                    x: self.x.numbers(),
                    from,
                    len,
                    carry: block > 0,
                    ahead: panel == 0 && self.x.numbers().len() > FAR,
                    sums: &mut sums[panel * PANEL * SEGMENT / LANES..],
                };
                match self.filter.unit {
                    Unit::F32 => run_widened(self.filter.simd, InF32(tiles)),
                    Unit::Pairs => run_bf16(self.filter.simd, Unit::Pairs, tiles),
                }
            }
        }
    }

    /// Bias, what is added, the activation; puts the results in place.
    fn finish(
        &self,
        phase: usize,
        first: usize,
        rows: usize,
        from: usize,
        len: usize,
        sums: &mut [Line],
    ) {
        let phases = self.filter.phases.len();
        // SAFETY: a line is sixteen numbers.
        let sums: &mut [f32] =
            unsafe { std::slice::from_raw_parts_mut(sums.as_mut_ptr().cast(), sums.len() * LANES) };
        for (row, sums) in (first..first + rows).zip(sums.chunks_mut(SEGMENT)) {
            let sums = &mut sums[..len];
            let bias = self.bias[row];
            sums.iter_mut().for_each(|y| *y += bias);
            let Some(plain) = &self.plain else { continue };
            if phases > 1 {
                // SAFETY: the signal outlives the call; the phases of a row interleave, so that parts of this row that
                // tasks hold at a time overlap, but each writes its own samples.
                let base = unsafe { plain.numbers.at(plain.start + row * plain.stride) };
                for (t, y) in sums.iter().enumerate() {
                    // SAFETY: within the row, which has `phases · self.len` samples.
                    unsafe { *base.add((from + t) * phases + phase) = *y };
                }
                continue;
            }
            // SAFETY: the signal outlives the call, and each task has its own rows and samples.
            let out = unsafe { plain.samples(row, from, len) };
            match self.add {
                false => out.copy_from_slice(sums),
                true => {
                    for (out, y) in out.iter_mut().zip(&mut *sums) {
                        *out += *y;
                        *y = *out;
                    }
                }
            }
        }
        let Some((unit, active, function)) = &self.active else {
            return;
        };
        for (r, sums) in sums.chunks_mut(SEGMENT).take(rows).enumerate() {
            function.apply(self.filter.simd, first + r, &mut sums[..len]);
        }
        match unit {
            Unit::F32 => {
                for (r, sums) in sums.chunks(SEGMENT).take(rows).enumerate() {
                    // SAFETY: as above.
                    let out = unsafe { active.samples(first + r, from, len) };
                    out.copy_from_slice(&sums[..len]);
                }
            }
            Unit::Pairs => {
                for (r, sums) in sums[..rows.next_multiple_of(2) * SEGMENT]
                    .chunks_mut(2 * SEGMENT)
                    .enumerate()
                {
                    let (low, high) = sums.split_at_mut(SEGMENT);
                    if 2 * r + 1 >= rows {
                        high.fill(0.0);
                    }
                    // SAFETY: as above.
                    let out = unsafe { active.samples(first / 2 + r, from, len) };
                    for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
                        *out = pair(*low, *high);
                    }
                }
            }
        }
    }
}
