//! The kernels of a step: one token, or one of each of several sequences. Each matrix is read once for all of them.

use super::row::FewRows;
use super::{NextToken, Place, Work, STEP_CACHED, STEP_WORDS};
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

/// Where the keys and values of a step's tokens are.
#[derive(Clone, Copy)]
pub enum StepCache<'a> {
    /// Those of the one token.
    One(&'a Cache),
    /// Those of each token, in layer `layer` of what [`Work::begin_each`] was given, in the numbers of `like`.
    Each { layer: usize, like: &'a Cache },
}

impl Work {
    /// What the next step reads: one token.
    pub fn begin_step(&mut self, next: &NextToken) {
        self.put_step(0, next);
        self.tokens = 1;
        self.splits = splits(next.cached + 1);
    }

    /// What the next step was recorded for has to be the same: how many blocks share a key head.
    pub fn splits(&self) -> usize {
        self.splits
    }

    /// The tokens' rows of `table` become the residual stream, and their angles are computed.
    pub fn step_embed(&mut self, table: &Matrix, rope: &Rope) -> Result<(), GpuError> {
        let step = self.step.address();
        let arguments = BeginArgs {
            embed: EmbedArgs {
                table: table.argument(),
                tokens: step,
                out: self.place(Place::X, 4 * self.tokens * table.width())?,
            },
            angles: self.angles_arguments(rope, step, self.tokens)?,
            step: self.place(Place::Step, 4 * self.tokens * STEP_WORDS)?,
            words: STEP_WORDS as u32,
        };
        let launch = Launch {
            kernel: match self.tokens {
                1 => "begin_step",
                _ => "begin_each",
            },
            blocks: [2, self.tokens as u32, 1],
            threads: 512,
            shared: 0,
        };
        self.gpu.launch(&launch, &arguments)
    }

    /// Adds attention over `cache` to the residual stream; the tokens' keys and values join the caches.
    pub fn step_attention(
        &mut self,
        qkv: (&Stack, Option<&Buffer>),
        norm: Norm,
        shape: &AttentionShape,
        cache: StepCache,
        output: (&Stack, Option<&Buffer>),
    ) -> Result<(), GpuError> {
        let hidden = qkv.0.width();
        let tokens = self.tokens;
        let x = self.place(Place::X, 4 * tokens * hidden)?;
        let projected = self.place(Place::Qkv, 4 * tokens * qkv.0.rows())?;
        self.few_rows(&FewRows {
            stack: qkv.0,
            bias: qkv.1,
            tokens,
            x,
            norm: Some(norm),
            out: projected,
            residual: 0,
        })?;
        let cached = self.held(Place::Step)?.address() + STEP_CACHED;
        let attended = match cache {
            StepCache::One(cache) => self.attend_step(shape, cache, projected, cached)?,
            StepCache::Each { layer, like } => {
                self.attend_each(shape, (layer, like), projected, cached)?
            }
        };
        self.few_rows(&FewRows {
            stack: output.0,
            bias: output.1,
            tokens,
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
        let tokens = self.tokens;
        let x = self.place(Place::X, 4 * tokens * hidden)?;
        let out = self.place(Place::Inner, 4 * tokens * inner)?;
        let parts = gate_up.0.parts();
        let same = parts.len() == 2 && parts[0].kind() == parts[1].kind();
        if same {
            self.swiglu(gate_up.0, gate_up.1, norm, (x, tokens), out)?;
        } else {
            let both = self.place(Place::Gates, 8 * tokens * inner)?;
            self.few_rows(&FewRows {
                stack: gate_up.0,
                bias: gate_up.1,
                tokens,
                x,
                norm: Some(norm),
                out: both,
                residual: 0,
            })?;
            self.gate_rows(both, None, out, tokens, inner, Kind::F32)?;
        }
        self.few_rows(&FewRows {
            stack: down.0,
            bias: down.1,
            tokens,
            x: out,
            norm: None,
            out: x,
            residual: x,
        })
    }

    /// Logits of the step's tokens.
    pub fn step_logits(&mut self, head: &Matrix, norm: Norm) -> Result<(), GpuError> {
        self.row_logits(head, norm, 0, self.tokens)
    }

    /// Logits of the normed rows `row ..` of the residual stream, `tokens` of them.
    pub fn row_logits(
        &mut self,
        head: &Matrix,
        norm: Norm,
        row: usize,
        tokens: usize,
    ) -> Result<(), GpuError> {
        let hidden = head.width();
        let x = self.held(Place::X)?.address() + (4 * row * hidden) as u64;
        let out = self.place(Place::Logits, 4 * tokens * head.rows())?;
        let stack = Stack::new(vec![head.clone()])?;
        self.few_rows(&FewRows {
            stack: &stack,
            bias: None,
            tokens,
            x,
            norm: Some(norm),
            out,
            residual: 0,
        })
    }
}

/// Counters of attention, and one for the choice of the likeliest token.
pub(in crate::kernels::cuda) const TICKET_BYTES: usize = 4096;
