//! A convolution's weights as the GPU reads them, and its launch.

use std::sync::Arc;

use super::{Out, OutArgument, Scratch, Signal};
use crate::kernels::conv::Kernel;
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Gpu, Launch};
use crate::kernels::cuda::memory::{Address, Buffer};
use crate::kernels::pool::{self, Parts};

/// Rows, columns and channels of a step of a block, as the device code has them.
const ROWS: usize = 96;
const COLUMNS: usize = 64;
const DEPTH: usize = 16;
const THREADS: u32 = 128;
/// Rows up to which a filter is read a row at a time.
const NARROW: usize = 4;
/// Steps of a block at least where sums are split, and blocks that share a sum at most: more of them wait for memory.
const FEWEST_STEPS: usize = 8;
const MOST_SPLITS: usize = 12;

/// Where a convolution reads.
#[derive(Debug, Clone, Copy)]
pub struct Spacing {
    pub stride: usize,
    pub dilation: usize,
    /// Zeros before the signal, and as many after it.
    pub padding: usize,
    /// Results for each sample that are usually computed at a time, as far as is known: what the work is shared out by.
    pub expected: usize,
}

/// The weights of a convolution on a GPU.
pub struct Filter {
    gpu: Arc<Gpu>,
    form: Form,
    weights: Buffer,
    /// `[rows]`.
    bias: Buffer,
    rows: usize,
    channels: usize,
    /// Samples from what one result reads to what the next does, and from one tap to the next.
    step: usize,
    next: i32,
    /// Samples that the kernel reaches over, and those before the signal that it may read; of one phase.
    reach: usize,
    padding: usize,
}

enum Form {
    /// Tiles of the weights of each phase, which `phases` names.
    Wide {
        phases: Buffer,
        count: usize,
        splits: usize,
    },
    /// `[rows, channels, taps]`.
    Narrow { taps: usize },
}

/// The kernel of one sample that is written for each that is read: taps, and where the first of them reads.
#[derive(Clone, Copy)]
struct Phase {
    taps: usize,
    ahead: i32,
}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct ConvArgs {
    x: Address,
    weights: Address,
    phases: Address,
    partial: Address,
    tickets: Address,
    out: OutArgument,
    channels: u32,
    len: u32,
    stride: u32,
    n_phases: u32,
    splits: u32,
    step: u32,
    next: i32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for ConvArgs {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct NarrowArgs {
    x: Address,
    weights: Address,
    out: OutArgument,
    channels: u32,
    len: u32,
    stride: u32,
    taps: u32,
    ahead: i32,
    step: u32,
    next: i32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for NarrowArgs {}

/// A weight by phase, row, channel and tap.
type Weight<'a> = dyn Fn(usize, usize, usize, usize) -> f32 + Sync + 'a;

impl Filter {
    /// `y[r][t] = b[r] + Σ w[r][c][k] · x[c][stride·t + dilation·k − padding]`.
    ///
    /// # Errors
    /// Out of memory.
    ///
    /// # Panics
    /// Numbers that do not fit the shape.
    pub fn conv(
        gpu: &Arc<Gpu>,
        kernel: &Kernel,
        bias: &[f32],
        spacing: Spacing,
    ) -> Result<Self, GpuError> {
        kernel.check(bias, kernel.rows);
        let weight = |_: usize, row: usize, channel: usize, tap: usize| {
            kernel.weights[(row * kernel.channels + channel) * kernel.size + tap]
                * kernel.scale(row)
        };
        let phase = Phase {
            taps: kernel.size,
            ahead: -(spacing.padding as i32),
        };
        let (rows, channels, taps) = (kernel.rows, kernel.channels, kernel.size);
        let (form, weights) = match rows <= NARROW {
            true => {
                let all = (0..rows * channels * taps).map(|i| {
                    let (at, tap) = (i / taps, i % taps);
                    weight(0, at / channels, at % channels, tap)
                });
                (Form::Narrow { taps }, all.collect())
            }
            false => wide(gpu, [rows, channels], &[phase], spacing.expected, &weight)?,
        };
        Ok(Self {
            gpu: Arc::clone(gpu),
            form,
            weights: Buffer::of_numbers(gpu, &weights)?,
            bias: Buffer::of_numbers(gpu, bias)?,
            rows,
            channels,
            step: spacing.stride,
            next: spacing.dilation as i32,
            reach: spacing.dilation * (kernel.size - 1) + 1,
            padding: spacing.padding,
        })
    }

    /// The transposed convolution (PyTorch's `ConvTranspose1d` without output padding) whose result is `stride` times as
    /// long as the signal: `kernel.size = stride + 2·padding`.
    ///
    /// # Errors
    /// Out of memory.
    ///
    /// # Panics
    /// As [`Filter::conv`], and where the result has another length.
    pub fn transposed(
        gpu: &Arc<Gpu>,
        kernel: &Kernel,
        bias: &[f32],
        spacing: Spacing,
    ) -> Result<Self, GpuError> {
        kernel.check(bias, kernel.channels);
        let Spacing {
            stride, padding, ..
        } = spacing;
        assert_eq!(kernel.size, stride + 2 * padding, "a whole multiple");
        // Sample `stride·t + phase` takes tap `κ` from sample `t − m` where κ = phase + padding + stride·m.
        let first = |phase: usize| (phase + padding) % stride;
        let weight = |phase: usize, row: usize, channel: usize, tap: usize| {
            let tap = first(phase) + stride * tap;
            kernel.weights[(channel * kernel.rows + row) * kernel.size + tap]
                * kernel.scale(channel)
        };
        let phases: Vec<Phase> = (0..stride)
            .map(|phase| Phase {
                taps: (first(phase)..kernel.size).step_by(stride).len(),
                ahead: ((phase + padding) / stride) as i32,
            })
            .collect();
        let shape = [kernel.rows, kernel.channels];
        let (form, weights) = wide(gpu, shape, &phases, spacing.expected, &weight)?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            form,
            weights: Buffer::of_numbers(gpu, &weights)?,
            bias: Buffer::of_numbers(gpu, bias)?,
            rows: kernel.rows,
            channels: kernel.channels,
            step: 1,
            next: -1,
            reach: 1,
            padding: 0,
        })
    }

    /// Reads `x` and writes `out`, whose signals become `[rows, len]` (but where they are added to).
    ///
    /// # Errors
    /// Out of memory; signals of other shapes.
    pub fn apply(&self, x: &Signal, out: Out, scratch: &mut Scratch) -> Result<(), GpuError> {
        x.check(self.channels, x.len())?;
        self.launch((x, 0), out, None, scratch)
    }

    /// The same for one of several groups: reads the channels of `x` from `first` on, and writes those of `out.plain`,
    /// which has its shape, from `first_out` on.
    ///
    /// # Errors
    /// As [`Filter::apply`].
    pub fn apply_within(
        &self,
        (x, first): (&Signal, usize),
        out: Out,
        first_out: usize,
        scratch: &mut Scratch,
    ) -> Result<(), GpuError> {
        x.check_within(first, self.channels, x.len())?;
        self.launch((x, first), out, Some(first_out), scratch)
    }

    /// Results of each phase for a signal of `len`: no more than samples, as an even kernel would make.
    fn columns(&self, len: usize) -> usize {
        let padded = len + 2 * self.padding;
        match len == 0 || padded < self.reach {
            true => 0,
            false => ((padded - self.reach) / self.step + 1).min(len),
        }
    }

    fn launch(
        &self,
        x: (&Signal, usize),
        out: Out,
        within: Option<usize>,
        scratch: &mut Scratch,
    ) -> Result<(), GpuError> {
        let columns = self.columns(x.0.len());
        let phases = match self.form {
            Form::Wide { count, .. } => count,
            Form::Narrow { .. } => 1,
        };
        let sizes = [self.rows, columns, phases];
        let out = out.prepare(&self.gpu, &self.bias, sizes, within)?;
        match (columns, &self.form) {
            (0, _) => Ok(()),
            (_, Form::Narrow { taps }) => self.launch_narrow(x, out, *taps, columns),
            (_, Form::Wide { phases, splits, .. }) => {
                self.launch_wide(x, out, (phases, *splits), columns, scratch)
            }
        }
    }

    fn launch_narrow(
        &self,
        (x, first): (&Signal, usize),
        out: OutArgument,
        taps: usize,
        columns: usize,
    ) -> Result<(), GpuError> {
        let arguments = NarrowArgs {
            x: x.channel_address(first),
            weights: self.weights.address(),
            out,
            channels: self.channels as u32,
            len: x.len() as u32,
            stride: x.stride() as u32,
            taps: taps as u32,
            ahead: -(self.padding as i32),
            step: self.step as u32,
            next: self.next,
        };
        let launch = Launch {
            kernel: "convolve_narrow",
            blocks: [columns.div_ceil(32) as u32, self.rows as u32, 1],
            threads: 256,
            shared: 0,
        };
        self.gpu.launch(&launch, &arguments)
    }

    fn launch_wide(
        &self,
        (x, first): (&Signal, usize),
        out: OutArgument,
        (phases, splits): (&Buffer, usize),
        columns: usize,
        scratch: &mut Scratch,
    ) -> Result<(), GpuError> {
        let n_phases = phases.bytes() / 16;
        let blocks = [columns.div_ceil(COLUMNS), self.rows.div_ceil(ROWS)];
        let (partial, tickets) = match splits {
            1 => (0, 0),
            _ => {
                let tiles = blocks[0] * blocks[1] * n_phases;
                scratch.of(tiles, 4 * ROWS * COLUMNS * splits)?
            }
        };
        let arguments = ConvArgs {
            x: x.channel_address(first),
            weights: self.weights.address(),
            phases: phases.address(),
            partial,
            tickets,
            out,
            channels: self.channels as u32,
            len: x.len() as u32,
            stride: x.stride() as u32,
            n_phases: n_phases as u32,
            splits: splits as u32,
            step: self.step as u32,
            next: self.next,
        };
        let launch = Launch {
            kernel: "convolve",
            blocks: [
                blocks[0] as u32,
                blocks[1] as u32,
                (n_phases * splits) as u32,
            ],
            threads: THREADS,
            shared: 0,
        };
        self.gpu.launch(&launch, &arguments)
    }
}

/// Tiles `[phases][rows / 96][channels / 16][taps][16][96]` of weights, and what the device needs to know of them.
fn wide(
    gpu: &Arc<Gpu>,
    [rows, channels]: [usize; 2],
    phases: &[Phase],
    expected: usize,
    weight: &Weight,
) -> Result<(Form, Vec<f32>), GpuError> {
    let (tall, deep) = (rows.div_ceil(ROWS), channels.div_ceil(DEPTH));
    let mut table = Vec::new();
    // A task for each phase and its 96 rows: where its tiles begin.
    let mut tasks = Vec::new();
    let mut tiles = 0;
    for (index, phase) in phases.iter().enumerate() {
        for word in [tiles as u32, phase.taps as u32, phase.ahead as u32, 0] {
            table.extend_from_slice(&word.to_le_bytes());
        }
        for tile in 0..tall {
            tasks.push((index, tile, tiles));
            tiles += deep * phase.taps;
        }
    }
    if u32::try_from(tiles * DEPTH).is_err() {
        return Err(GpuError::Unsupported(format!(
            "a convolution of {rows} x {channels} with {} phases",
            phases.len()
        )));
    }
    let mut packed = vec![0f32; tiles * DEPTH * ROWS];
    let parts = Parts::new(&mut packed);
    pool::run(tasks.len(), |task| {
        let (index, tile, first) = tasks[task];
        let taps = phases[index].taps;
        let size = deep * taps * DEPTH * ROWS;
        // SAFETY: the memory outlives `run`, and each task has its own tiles.
        let out = unsafe { parts.part(first * DEPTH * ROWS, size) };
        for (i, row) in (tile * ROWS..rows.min((tile + 1) * ROWS)).enumerate() {
            for channel in 0..channels {
                for tap in 0..taps {
                    let step = channel / DEPTH * taps + tap;
                    out[(step * DEPTH + channel % DEPTH) * ROWS + i] =
                        weight(index, row, channel, tap);
                }
            }
        }
    });
    let fewest = phases.iter().map(|phase| deep * phase.taps).min();
    let blocks = tall * phases.len() * expected.div_ceil(COLUMNS).max(1);
    let form = Form::Wide {
        phases: Buffer::of(gpu, &table)?,
        count: phases.len(),
        splits: splits(gpu, blocks, fewest.unwrap_or(0)),
    };
    Ok((form, packed))
}

/// Blocks that share a sum of `steps`, where there are `blocks` sums at a time: about two blocks a multiprocessor.
fn splits(gpu: &Gpu, blocks: usize, steps: usize) -> usize {
    let wanted = 2 * gpu.info().multiprocessors as usize;
    let each = (wanted + blocks / 2) / blocks.max(1);
    each.min(steps / FEWEST_STEPS).clamp(1, MOST_SPLITS)
}
