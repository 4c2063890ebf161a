//! Attention of one token of each of several sequences, each over its own cache.

use super::{together, AttentionShape, StepAttention, FEW_SPLITS, HEADS, STEP, WARPS};
use crate::kernels::cuda::cache::Cache;
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Launch};
use crate::kernels::cuda::memory::Address;
use crate::kernels::cuda::work::{Place, Work, MOST_EACH, STEP_WORDS};

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct EachAttention {
    one: StepAttention,
    caches: Address,
    sequences: Address,
    groups: u32,
    few: u32,
    most_few: u32,
    most_many: u32,
    words: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for EachAttention {}

/// The kernels of [`STEP`] for several sequences.
const EACH: [[[&str; 3]; 3]; 2] = [
    [
        ["each_f16_1_8", "each_f16_2_8", "each_f16_4_8"],
        ["each_f16_1_16", "each_f16_2_16", "each_f16_4_16"],
        ["each_f16_1_32", "each_f16_2_32", "each_f16_4_32"],
    ],
    [
        ["each_f32_1_8", "each_f32_2_8", "each_f32_4_8"],
        ["each_f32_1_16", "each_f32_2_16", "each_f32_4_16"],
        ["each_f32_1_32", "each_f32_2_32", "each_f32_4_32"],
    ],
];

impl Work {
    /// Attention of the step's tokens, each behind the `*cached` others of its sequence, of which there are
    /// [`STEP_WORDS`] words each; what they find, `[tokens, heads · head_dim]`, f32. The caches are those of layer
    /// `layer` in the step's table, in the numbers of `like`.
    ///
    /// A sequence has as many splits as it would have alone: its sums are made in the same order.
    pub(in crate::kernels::cuda) fn attend_each(
        &mut self,
        shape: &AttentionShape,
        (layer, like): (usize, &Cache),
        qkv: Address,
        cached: Address,
    ) -> Result<Address, GpuError> {
        let (tokens, most) = (self.tokens, self.splits);
        let groups = |together| shape.kernel(&STEP, like.kind, together).1;
        let most_few = self.most_splits(shape, groups(1));
        let most_many = self.most_splits(shape, groups(HEADS[2]));
        let alone = |splits: usize| match splits <= FEW_SPLITS {
            true => splits.min(most_few),
            false => splits.min(most_many),
        };
        let splits = alone(most).max(alone(most.min(FEW_SPLITS)));
        // How many heads a block works on changes none of their sums.
        let (kernel, groups, shared) = shape.kernel(&EACH, like.kind, together(most));
        let (caches, sequences) = self.table_addresses(layer)?;
        let arguments = EachAttention {
            one: StepAttention {
                qkv,
                cached,
                partial: self.place(
                    Place::Partial,
                    4 * tokens * shape.heads * splits * (shape.head_dim + 2),
                )?,
                tickets: self.place(Place::EachTickets, 4 * MOST_EACH * shape.heads)?,
                ..self.step_arguments(shape, tokens)?
            },
            caches,
            sequences,
            groups: groups as u32,
            few: FEW_SPLITS as u32,
            most_few: most_few as u32,
            most_many: most_many as u32,
            words: STEP_WORDS as u32,
        };
        let launch = Launch {
            kernel,
            blocks: [
                splits as u32,
                shape.kv_heads as u32,
                (groups * tokens) as u32,
            ],
            threads: 32 * WARPS as u32,
            shared,
        };
        self.gpu.launch(&launch, &arguments)?;
        Ok(arguments.one.out)
    }
}
