//! Products of one token each of several sequences: a block of the GPU reads each weight once for some of them.

use super::{GemvArgs, Plan, Tokens, Way, MOST_PARTS, THREADS, WARPS};
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Launch};
use crate::kernels::cuda::work::Work;
use crate::kernels::planes::Kind;

/// Tokens of a block at most, as the device code has it.
const TOGETHER: usize = 8;

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct EachArgs {
    one: GemvArgs,
    tokens: u32,
    each: u32,
    stride: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for EachArgs {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct MixedEachArgs {
    each: EachArgs,
    blocks: [u32; MOST_PARTS],
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for MixedEachArgs {}

/// Kernels by kind.
const GEMV_EACH: [&str; 9] = [
    "gemv_each_f32",
    "gemv_each_f16",
    "gemv_each_bf16",
    "gemv_each_q8",
    "gemv_each_q4",
    "gemv_each_q5",
    "gemv_each_q6",
    "gemv_each_q3",
    "gemv_each_q2",
];
const SWIGLU_EACH: [&str; 9] = [
    "swiglu_each_f32",
    "swiglu_each_f16",
    "swiglu_each_bf16",
    "swiglu_each_q8",
    "swiglu_each_q4",
    "swiglu_each_q5",
    "swiglu_each_q6",
    "swiglu_each_q3",
    "swiglu_each_q2",
];

/// Bytes of shared memory behind the tokens: the sums of their squares, and those of the rows that warps share.
const SUMS: usize = 4 * (TOGETHER * WARPS + WARPS * 32);
const TILE_SUMS: usize = 4 * (TOGETHER * WARPS + WARPS * TOGETHER * 16);
/// Shared memory of a multiprocessor that each of its blocks takes beside its own.
const BLOCK_COST: usize = 1 << 10;
/// Blocks that a multiprocessor is given where its shared memory has room: they go in turn over more rows.
const RESIDENT: usize = 2;

/// How tokens are shared out over blocks.
struct Shares {
    /// Blocks that take all tokens together, and the tokens of each.
    groups: usize,
    each: usize,
    /// Bytes of shared memory of a block.
    shared: usize,
    /// Blocks that run at the same time.
    resident: usize,
}

impl Plan {
    fn kernel_each(&self) -> &'static str {
        match (self.way, self.kind) {
            (Way::Gemv, kind) => GEMV_EACH[kind as usize],
            (Way::Swiglu, kind) => SWIGLU_EACH[kind as usize],
            (Way::Tiles, Kind::F16) => "tiles_each_f16",
            (Way::TilePairs, Kind::F16) => "tile_pairs_each_f16",
            (Way::Tiles, _) => "tiles_each_bf16",
            (Way::TilePairs, _) => "tile_pairs_each_bf16",
        }
    }

    /// Rows that the warps of a block, `split` to a row, work on together.
    fn rows_together(&self) -> usize {
        let rows = match (self.way, self.kind.float_bytes()) {
            (Way::Tiles | Way::TilePairs, _) => 8,
            (Way::Gemv, Some(_)) => 4,
            (Way::Gemv, None) | (Way::Swiglu, Some(_)) => 2,
            (Way::Swiglu, None) => 1,
        };
        rows * WARPS / self.shape.split as usize
    }
}

impl Work {
    /// As [`Work::put`] for more than one token.
    pub(super) fn put_each(
        &self,
        plan: &Plan,
        arguments: GemvArgs,
        tokens: Tokens,
    ) -> Result<(), GpuError> {
        let sums = match plan.way {
            Way::Gemv | Way::Swiglu => SUMS,
            Way::Tiles | Way::TilePairs => TILE_SUMS,
        };
        let shares = self.shares(tokens, plan.staged(), sums);
        let blocks = plan.rows.div_ceil(plan.rows_together());
        let launch = Launch {
            kernel: plan.kernel_each(),
            blocks: [
                shares.groups as u32,
                blocks.clamp(1, shares.resident) as u32,
                1,
            ],
            threads: THREADS,
            shared: shares.shared,
        };
        self.gpu
            .launch(&launch, &shares.arguments(arguments, tokens))
    }

    /// Matrices of different quantised kinds, each of which has some of the blocks, as many as `blocks` or fewer.
    pub(super) fn mixed_each(
        &self,
        arguments: GemvArgs,
        blocks: [u32; MOST_PARTS],
        staged: usize,
        tokens: Tokens,
    ) -> Result<(), GpuError> {
        let shares = self.shares(tokens, staged, SUMS);
        let all = blocks.iter().sum::<u32>().max(1) as usize;
        let most = shares.resident.min(all);
        let fewer = |blocks: u32| match blocks {
            0 => 0,
            _ => (blocks as usize * most / all).max(1) as u32,
        };
        let blocks = blocks.map(fewer);
        let launch = Launch {
            kernel: "gemv_each_mixed",
            blocks: [shares.groups as u32, blocks.iter().sum(), 1],
            threads: THREADS,
            shared: shares.shared,
        };
        let arguments = MixedEachArgs {
            each: shares.arguments(arguments, tokens),
            blocks,
        };
        self.gpu.launch(&launch, &arguments)
    }

    /// Of tokens that take `staged` bytes of shared memory each, beside `sums` for all.
    fn shares(&self, tokens: Tokens, staged: usize, sums: usize) -> Shares {
        let info = self.gpu.info();
        let room = info.block_memory.saturating_sub(sums) / staged.max(1);
        let groups = tokens.count.div_ceil(room.clamp(1, TOGETHER));
        let each = tokens.count.div_ceil(groups);
        let shared = each * staged + sums;
        let at_once = (info.block_memory + BLOCK_COST) / (shared + BLOCK_COST);
        Shares {
            groups,
            each,
            shared,
            resident: info.multiprocessors as usize * at_once.clamp(1, RESIDENT),
        }
    }
}

impl Shares {
    fn arguments(&self, one: GemvArgs, tokens: Tokens) -> EachArgs {
        EachArgs {
            one,
            tokens: tokens.count as u32,
            each: self.each as u32,
            stride: tokens.stride as u32,
        }
    }
}
