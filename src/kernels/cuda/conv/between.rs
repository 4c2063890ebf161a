//! What lies between the convolutions of an encoder of speech: sums, means, gates, attention over time.

use std::sync::Arc;

use super::signal::PartArgs;
use super::Signal;
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Gpu, Launch};
use crate::kernels::cuda::memory::Address;

/// As the device code has them.
const QUERIES: usize = 64;
const KEYS: usize = 32;
const STEP: usize = KEYS + 4;
const THREADS: u32 = 128;

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct AddSignalArgs {
    x: Address,
    out: Address,
    len: u32,
    stride: u32,
    out_stride: u32,
    gelu: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for AddSignalArgs {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct GateSignalArgs {
    gates: Address,
    x: Address,
    out: Address,
    len: u32,
    stride: u32,
    gate_stride: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for GateSignalArgs {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct GeluGatedArgs {
    x: Address,
    out: Address,
    channels: u32,
    len: u32,
    stride: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for GeluGatedArgs {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct AttendSignalsArgs {
    q: Address,
    k: Address,
    v: Address,
    out: Address,
    dim: u32,
    queries: u32,
    keys: u32,
    q_stride: u32,
    stride: u32,
    scale: f32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for AttendSignalsArgs {}

impl Signal {
    /// Adds `x`, or the GELU of it, to the channels from `first` on.
    ///
    /// # Errors
    /// A signal that does not fit there.
    pub fn add(&mut self, first: usize, x: &Self, gelu: bool) -> Result<(), GpuError> {
        self.check_within(first, x.channels(), x.len())?;
        let arguments = AddSignalArgs {
            x: x.address(0),
            out: self.channel_address(first),
            len: x.len() as u32,
            stride: x.stride() as u32,
            out_stride: self.stride() as u32,
            gelu: u32::from(gelu),
        };
        x.launch_each("add_to_signal", x.len(), &arguments)
    }

    /// `out` becomes the mean of each channel, a single sample.
    ///
    /// # Errors
    /// Out of memory, a signal without samples.
    pub fn mean(&self, out: &mut Self) -> Result<(), GpuError> {
        out.reshape(self.held()?.gpu(), self.channels(), 1)?;
        let arguments = PartArgs {
            x: self.address(0),
            out: out.address(0),
            len: self.len() as u32,
            stride: self.stride() as u32,
            out_stride: out.stride() as u32,
        };
        self.launch_each("mean_of_signal", self.len().min(1), &arguments)
    }

    /// Each channel becomes itself times the sigmoid of its sample of `gates`, and `x`.
    ///
    /// # Errors
    /// Signals of other shapes.
    pub fn gate(&mut self, gates: &Self, x: &Self) -> Result<(), GpuError> {
        gates.check(self.channels(), 1)?;
        x.check(self.channels(), self.len())?;
        let arguments = GateSignalArgs {
            gates: gates.address(0),
            x: x.address(0),
            out: self.address(0),
            len: self.len() as u32,
            stride: self.stride() as u32,
            gate_stride: gates.stride() as u32,
        };
        self.launch_each("gate_signal", self.len(), &arguments)
    }

    /// `out` becomes the first half of the channels times the GELU of the second.
    ///
    /// # Errors
    /// Out of memory, an odd number of channels.
    pub fn gated(&self, out: &mut Self) -> Result<(), GpuError> {
        let channels = self.channels() / 2;
        self.check(2 * channels, self.len())?;
        out.reshape(self.held()?.gpu(), channels, self.len())?;
        let arguments = GeluGatedArgs {
            x: self.address(0),
            out: out.address(0),
            channels: channels as u32,
            len: self.len() as u32,
            stride: self.stride() as u32,
        };
        out.launch_each("gelu_gated", self.len(), &arguments)
    }
}

/// Softmax attention over time: every sample of the queries sees every sample of the keys, a head for itself.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    heads: usize,
    dim: usize,
}

impl Heads {
    /// So many heads of `dim` channels.
    ///
    /// # Errors
    /// Heads that the kernels do not take.
    pub fn new(heads: usize, dim: usize) -> Result<Self, GpuError> {
        match (1..=128).contains(&dim) && u16::try_from(heads).is_ok() {
            true => Ok(Self { heads, dim }),
            false => Err(GpuError::Unsupported(format!(
                "crane's GPU kernels take heads of up to 128 channels, not {heads} of {dim}; use --device cpu"
            ))),
        }
    }

    /// `out` becomes what the queries `q` find in `k` and `v`, all of them so many heads one below the other: `k` from
    /// channel `first[0]` of its signal on, `v` from `first[1]` on.
    ///
    /// # Errors
    /// Out of memory, signals of other shapes.
    pub fn attend(
        &self,
        q: &Signal,
        [k, v]: [&Signal; 2],
        first: [usize; 2],
        out: &mut Signal,
    ) -> Result<(), GpuError> {
        let gpu: &Arc<Gpu> = q.held()?.gpu();
        let width = self.heads * self.dim;
        q.check(width, q.len())?;
        k.check_within(first[0], width, k.len())?;
        v.check_within(first[1], width, k.len())?;
        out.reshape(gpu, width, q.len())?;
        if q.is_empty() || k.is_empty() || self.heads == 0 {
            return Ok(());
        }
        let arguments = AttendSignalsArgs {
            q: q.address(0),
            k: k.channel_address(first[0]),
            v: v.channel_address(first[1]),
            out: out.address(0),
            dim: self.dim as u32,
            queries: q.len() as u32,
            keys: k.len() as u32,
            q_stride: q.stride() as u32,
            stride: k.stride() as u32,
            scale: (self.dim as f32).powf(-0.5) * std::f32::consts::LOG2_E,
        };
        let (kernel, dims) = match self.dim <= 64 {
            true => ("attend_signals_64", 64),
            false => ("attend_signals_128", 128),
        };
        let launch = Launch {
            kernel,
            blocks: [q.len().div_ceil(QUERIES) as u32, self.heads as u32, 1],
            threads: THREADS,
            shared: 4 * (dims * (QUERIES + KEYS + STEP) + KEYS * QUERIES),
        };
        gpu.launch(&launch, &arguments)
    }
}
