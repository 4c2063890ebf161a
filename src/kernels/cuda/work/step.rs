//! The kernels of one token: its activations are single rows, and each matrix is read once.

use super::row::OneRow;
use super::{Place, Work, STEP_CACHED, STEP_WORDS};
use crate::kernels::cuda::attention::{splits, AttentionShape};
use crate::kernels::cuda::cache::Cache;
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Launch};
use crate::kernels::cuda::matrix::{Argument, Matrix, Stack};
use crate::kernels::cuda::memory::{Address, Buffer};
use crate::kernels::cuda::rope::{AnglesArgs, Rope};
use crate::kernels::planes::Kind;

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct EmbedArgs {
    pub table: Argument,
    pub tokens: Address,
    pub out: Address,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for EmbedArgs {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct BeginArgs {
    embed: EmbedArgs,
    angles: AnglesArgs,
    step: Address,
    words: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for BeginArgs {}

/// A norm before a product: its weights and its epsilon.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    pub weight: &'a Buffer,
    pub eps: f32,
}

impl Work {
    /// What the next step reads: the token behind `cached` others, at `position` on the axes time, height and width.
    pub fn begin_step(&mut self, token: u32, cached: usize, position: [usize; 3]) {
        self.step.set(0, token);
        self.step.set(1, cached as u32);
        self.splits = splits(cached + 1);
        for (axis, position) in position.into_iter().enumerate() {
            self.step.set(2 + axis, position as u32);
        }
    }

    /// What the next step was recorded for has to be the same: how many blocks share a key head.
    pub fn splits(&self) -> usize {
        self.splits
    }

    /// The token's row of `table` becomes the residual stream, and its angles are computed.
    pub fn step_embed(&mut self, table: &Matrix, rope: &Rope) -> Result<(), GpuError> {
        let step = self.step.address();
        let arguments = BeginArgs {
            embed: EmbedArgs {
                table: table.argument(),
                tokens: step,
                out: self.place(Place::X, 4 * table.width())?,
            },
            angles: self.angles_arguments(rope, step, 1)?,
            step: self.place(Place::Step, 4 * STEP_WORDS)?,
            words: STEP_WORDS as u32,
        };
        let launch = Launch {
            kernel: "begin_step",
            blocks: [2, 1, 1],
            threads: 512,
            shared: 0,
        };
        self.gpu.launch(&launch, &arguments)
    }

    /// Adds attention over `cache` to the residual stream; the token's key and value join the cache.
    pub fn step_attention(
        &mut self,
        qkv: (&Stack, Option<&Buffer>),
        norm: Norm,
        shape: &AttentionShape,
        cache: &Cache,
        output: (&Stack, Option<&Buffer>),
    ) -> Result<(), GpuError> {
        let hidden = qkv.0.width();
        let x = self.place(Place::X, 4 * hidden)?;
        let projected = self.place(Place::Qkv, 4 * qkv.0.rows())?;
        self.one_row(&OneRow {
            stack: qkv.0,
            bias: qkv.1,
            x,
            norm: Some(norm),
            out: projected,
            residual: 0,
        })?;
        let cached = self.held(Place::Step)?.address() + STEP_CACHED;
        let attended = self.attend_step(shape, cache, projected, cached)?;
        self.one_row(&OneRow {
            stack: output.0,
            bias: output.1,
            x: attended,
            norm: None,
            out: x,
            residual: x,
        })
    }

    /// Adds `down(silu(gate(x)) ⊙ up(x))` of the normed residual stream to it.
    pub fn step_mlp(
        &mut self,
        gate_up: (&Stack, Option<&Buffer>),
        norm: Norm,
        down: (&Stack, Option<&Buffer>),
    ) -> Result<(), GpuError> {
        let (hidden, inner) = (gate_up.0.width(), down.0.width());
        let x = self.place(Place::X, 4 * hidden)?;
        let out = self.place(Place::Inner, 4 * inner)?;
        let parts = gate_up.0.parts();
        let same = parts.len() == 2 && parts[0].kind() == parts[1].kind();
        if same {
            self.swiglu(gate_up.0, gate_up.1, norm, x, out)?;
        } else {
            let both = self.place(Place::Gates, 8 * inner)?;
            self.one_row(&OneRow {
                stack: gate_up.0,
                bias: gate_up.1,
                x,
                norm: Some(norm),
                out: both,
                residual: 0,
            })?;
            self.gate_rows(both, None, out, 1, inner, Kind::F32)?;
        }
        self.one_row(&OneRow {
            stack: down.0,
            bias: down.1,
            x: out,
            norm: None,
            out: x,
            residual: x,
        })
    }

    /// Logits of the normed row `row` of the residual stream.
    pub fn step_logits(&mut self, head: &Matrix, norm: Norm, row: usize) -> Result<(), GpuError> {
        let hidden = head.width();
        let x = self.held(Place::X)?.address() + (4 * row * hidden) as u64;
        let out = self.place(Place::Logits, 4 * head.rows())?;
        let stack = Stack::new(vec![head.clone()])?;
        self.one_row(&OneRow {
            stack: &stack,
            bias: None,
            x,
            norm: Some(norm),
            out,
            residual: 0,
        })
    }
}

/// Counters of attention, and one for the choice of the likeliest token.
pub(in crate::kernels::cuda) const TICKET_BYTES: usize = 4096;
