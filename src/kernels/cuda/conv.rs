//! Convolution over time on a GPU, in f32: what [`crate::kernels::conv`] is on a CPU.
//!
//! A [`Filter`] is a product whose right side is not brought together first: its columns are read from the signal where
//! they lie, 16 channels at one tap after the other, into the shared memory of a block. Filters whose results are too
//! few for all of a GPU split their sums; how, is said when they are made, so that a result is summed in the same order
//! wherever it lies in a signal and however long that is.

mod between;
mod filter;
mod pointwise;
mod signal;

use std::sync::Arc;

pub use between::Heads;
pub use filter::{Filter, Spacing};
pub use pointwise::{affine, channel_norm, Affine, ChannelNorm, Depthwise};
pub use signal::Signal;

use super::error::GpuError;
use super::gpu::Gpu;
use super::memory::{Address, Buffer};

/// A function of each result.
#[derive(Clone, Copy)]
pub enum Function<'a> {
    Identity,
    /// `x + sin²(α·x) / (α + 1e-9)`, an `α` for each row.
    Snake(&'a Buffer),
    /// The exact one.
    Gelu,
    Tanh,
    Relu,
    /// `scale · max(x, 0) + shift`, two numbers for each row.
    ReluAffine {
        scale: &'a Buffer,
        shift: &'a Buffer,
    },
}

/// What becomes of the results of a [`Filter`].
#[derive(Default)]
pub struct Out<'a> {
    /// Where they go.
    pub plain: Option<&'a mut Signal>,
    /// They are added to what `plain` holds, instead of replacing it.
    pub add: bool,
    /// Where a function of them (after adding) goes.
    pub active: Option<(&'a mut Signal, Function<'a>)>,
    /// Instead of the filter's own, `[rows]`.
    pub bias: Option<&'a Buffer>,
}

/// As the device code has it (`struct ConvOut`).
#[repr(C)]
#[derive(Clone, Copy)]
struct OutArgument {
    bias: Address,
    plain: Address,
    active: Address,
    alpha: Address,
    shift: Address,
    rows: u32,
    len: u32,
    stride: u32,
    add: u32,
    function: u32,
}

impl Out<'_> {
    /// Gives the signals that are written the shape of `rows` times `phases · columns` results, and names them. `plain`
    /// keeps its own shape where the results belong `within` it, from that channel on.
    fn prepare(
        self,
        gpu: &Arc<Gpu>,
        bias: &Buffer,
        [rows, columns, phases]: [usize; 3],
        within: Option<usize>,
    ) -> Result<OutArgument, GpuError> {
        let len = columns * phases;
        let mut argument = OutArgument {
            bias: self.bias.unwrap_or(bias).address(),
            plain: 0,
            active: 0,
            alpha: 0,
            shift: 0,
            rows: rows as u32,
            len: columns as u32,
            stride: signal::stride(len) as u32,
            add: u32::from(self.add),
            function: 0,
        };
        if let Some(bias) = self.bias {
            holds(bias, rows)?;
        }
        if let Some(plain) = self.plain {
            match within {
                Some(first) => plain.check_within(first, rows, len)?,
                None if self.add => plain.check(rows, len)?,
                None => plain.reshape(gpu, rows, len)?,
            }
            argument.plain = plain.channel_address(within.unwrap_or(0));
        } else if self.add {
            return Err(GpuError::Unsupported("nothing to add results to".into()));
        }
        if let Some((active, function)) = self.active {
            active.reshape(gpu, rows, len)?;
            argument.active = active.address(0);
            let each = |numbers: &Buffer| holds(numbers, rows).map(|()| numbers.address());
            (argument.function, argument.alpha, argument.shift) = match function {
                Function::Identity => (0, 0, 0),
                Function::Snake(alpha) => (1, each(alpha)?, 0),
                Function::Gelu => (2, 0, 0),
                Function::Tanh => (3, 0, 0),
                Function::Relu => (4, 0, 0),
                Function::ReluAffine { scale, shift } => (5, each(scale)?, each(shift)?),
            };
        }
        Ok(argument)
    }
}

/// An error unless `buffer` has a number for each row.
fn holds(buffer: &Buffer, rows: usize) -> Result<(), GpuError> {
    match buffer.bytes() >= 4 * rows {
        true => Ok(()),
        false => Err(GpuError::Unsupported(format!(
            "{} bytes for {rows} rows of a convolution",
            buffer.bytes()
        ))),
    }
}

/// Memory that filters share, as all work on a GPU is done in order: sums that come together.
pub struct Scratch {
    gpu: Arc<Gpu>,
    partial: Option<Buffer>,
    /// Counters that are 0 between kernels.
    tickets: Option<Buffer>,
}

impl Scratch {
    /// None yet.
    pub fn new(gpu: &Arc<Gpu>) -> Self {
        Self {
            gpu: Arc::clone(gpu),
            partial: None,
            tickets: None,
        }
    }

    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Room for the sums of `tiles`, `bytes` each, and a counter for each.
    fn of(&mut self, tiles: usize, bytes: usize) -> Result<(Address, Address), GpuError> {
        let partial = room(&mut self.partial, tiles * bytes, |n| {
            Buffer::new(&self.gpu, n)
        })?;
        let tickets = room(&mut self.tickets, 4 * tiles, |n| {
            Buffer::zeroed(&self.gpu, n)
        })?;
        Ok((partial, tickets))
    }
}

/// The address of `held`, made anew where it has no room for `bytes`.
fn room(
    held: &mut Option<Buffer>,
    bytes: usize,
    make: impl FnOnce(usize) -> Result<Buffer, GpuError>,
) -> Result<Address, GpuError> {
    if let Some(buffer) = held.as_ref().filter(|buffer| buffer.bytes() >= bytes) {
        return Ok(buffer.address());
    }
    // Freed first: both need not fit together.
    *held = None;
    let made = make(bytes)?;
    let address = made.address();
    *held = Some(made);
    Ok(address)
}
