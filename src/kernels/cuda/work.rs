//! Where a forward pass works: activations and scratch memory on a GPU, kept from pass to pass.

mod choice;
mod connector;
mod each;
mod encoder;
mod pass;
mod patches;
mod row;
mod segments;
mod sizes;
mod step;

use std::sync::Arc;

use super::error::GpuError;
use super::gpu::Gpu;
use super::memory::{Address, Buffer, Shared};
use crate::kernels::planes::Kind;
pub use choice::Likely;
pub use connector::GatedUnit;
pub use each::{NextToken, MOST_EACH};
pub use encoder::{Dense, EncoderLayer};
pub use row::fits_block;
pub use segments::{Heads, Segments};
pub use sizes::EncoderSizes;
pub(super) use step::TICKET_BYTES;
pub use step::{Norm, StepCache};

/// What a piece of the workspace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Place {
    /// The residual stream, `[tokens, hidden]`, f32.
    X,
    /// The input of a block after its norm.
    Normed,
    /// Query, key and value heads, f32.
    Qkv,
    /// Queries, rotated and scaled.
    Queries,
    /// What attention found.
    Attended,
    /// Gate and up projections.
    Gates,
    /// What the down projection multiplies.
    Inner,
    Logits,
    /// Cosines and sines, `[tokens, head_dim / 2, 2]`, f32.
    Angles,
    Positions,
    Tokens,
    /// A matrix in the numbers that products are computed with.
    Dequantised,
    /// Scratch memory of cuBLASLt.
    Scratch,
    /// The patches of an image as they came, f32.
    Patches,
    /// Which rows are gathered.
    Order,
    /// Which queries of an encoder see which keys.
    Tiles,
    /// Sums and softmax ends of the splits of a step's attention.
    Partial,
    /// Counters that are 0 between kernels.
    Tickets,
    /// The likeliest token of each block.
    Best,
    /// How many logits begin with which bits, 0 between kernels.
    Bins,
    /// A copy of what a step is told.
    Step,
    /// Where the caches of the sequences of a step lie.
    Table,
    /// As [`Place::Tickets`], for a step of several sequences.
    EachTickets,
}

const PLACES: usize = Place::EachTickets as usize + 1;

/// Words of [`Work::step`] for each token: itself, the tokens before it, its position on three axes.
pub(super) const STEP_WORDS: usize = 5;
pub(super) const STEP_CACHED: u64 = 4;

/// Memory of the passes of a model.
pub struct Work {
    pub(super) gpu: Arc<Gpu>,
    places: [Option<Buffer>; PLACES],
    /// How often some place has moved: what was recorded before no longer holds.
    moved: u64,
    /// The numbers that many tokens are multiplied in.
    pub(super) operand: Kind,
    /// What a recorded step reads anew each time.
    pub(super) step: Shared<u32>,
    /// Tokens of the next step, each of a sequence of its own,
    pub(super) tokens: usize,
    /// and the blocks that share a key head of one of them at most.
    pub(super) splits: usize,
    /// What [`Place::Table`] holds.
    table: Vec<u64>,
    /// The likeliest tokens of the last step; the GPU writes them.
    pub(super) found: Shared<u32>,
    pub(super) logits: Shared<f32>,
}

impl Work {
    /// For a model whose matrices meet many tokens in `operand` (F32, F16 or BF16) and whose head has `vocabulary` rows.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new(gpu: &Arc<Gpu>, operand: Kind, vocabulary: usize) -> Result<Self, GpuError> {
        Ok(Self {
            gpu: Arc::clone(gpu),
            places: Default::default(),
            moved: 0,
            operand,
            step: Shared::new(gpu, STEP_WORDS * MOST_EACH)?,
            tokens: 1,
            splits: 1,
            table: Vec::new(),
            found: Shared::new(gpu, choice::FOUND_WORDS)?,
            logits: Shared::new(gpu, vocabulary)?,
        })
    }

    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Changes when an address does that a recorded step may know.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// The address of `place`, which has room for `bytes` at least; what it held is lost when it has to grow.
    pub(super) fn place(&mut self, place: Place, bytes: usize) -> Result<Address, GpuError> {
        let held = &mut self.places[place as usize];
        if let Some(buffer) = held {
            if buffer.bytes() >= bytes {
                return Ok(buffer.address());
            }
        }
        // Freed first: both need not fit together.
        *held = None;
        self.moved += 1;
        let buffer = match place {
            Place::Tickets | Place::EachTickets | Place::Bins => Buffer::zeroed(&self.gpu, bytes)?,
            _ => Buffer::new(&self.gpu, bytes)?,
        };
        let address = buffer.address();
        *held = Some(buffer);
        Ok(address)
    }

    /// What `place` holds now.
    pub(super) fn held(&self, place: Place) -> Result<&Buffer, GpuError> {
        self.places[place as usize]
            .as_ref()
            .ok_or_else(|| GpuError::Unsupported(format!("nothing was computed into {place:?}")))
    }

    /// Copies `numbers` into row `row` and those after it of the residual stream, whose rows have `width` numbers.
    ///
    /// # Errors
    /// They do not fit.
    pub fn put_rows(&mut self, row: usize, width: usize, numbers: &[f32]) -> Result<(), GpuError> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.held(Place::X)?.write(4 * row * width, &bytes)
    }

    /// Rows `row ..` of the residual stream.
    pub fn rows(&self, row: usize, width: usize, numbers: &mut [f32]) -> Result<(), GpuError> {
        self.held(Place::X)?.read_numbers(row * width, numbers)
    }
}
