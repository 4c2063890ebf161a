//! Attention over caches in a GPU's memory.

mod each;

use super::cache::Cache;
use super::error::GpuError;
use super::gpu::{Arguments, Launch};
use super::memory::{Address, Buffer};
use super::work::{Place, Work, TICKET_BYTES};
use crate::kernels::planes::Kind;

/// Tokens that a block of a step looks at, at least, before another one shares the work.
const LEAST_TOKENS: usize = 128;
const MOST_SPLITS: usize = 64;
/// Up to so many splits each head has blocks of its own.
const FEW_SPLITS: usize = 4;
/// Heads that a block works on together.
const HEADS: [usize; 3] = [1, 2, 4];
const WARPS: usize = 8;
const QUERIES: usize = 64;

/// The heads of a layer.
pub struct AttentionShape {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub window: Option<usize>,
    /// Whether neighbours are rotated together, not halves.
    pub neighbours: bool,
    /// Norms of each query and key head, `[head_dim]`, and their epsilon (Qwen3).
    pub norms: Option<([Buffer; 2], f32)>,
}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct StepAttention {
    qkv: Address,
    q_norm: Address,
    k_norm: Address,
    eps: f32,
    neighbours: u32,
    angles: Address,
    keys: Address,
    values: Address,
    cached: Address,
    capacity: u32,
    heads: u32,
    kv_heads: u32,
    dim: u32,
    group: u32,
    window: u32,
    scale: f32,
    splits: u32,
    least: u32,
    partial: Address,
    tickets: Address,
    out: Address,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for StepAttention {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct RowAttention {
    q: Address,
    keys: Address,
    values: Address,
    cached: u32,
    heads: u32,
    kv_heads: u32,
    dim: u32,
    window: u32,
    out: Address,
    kind: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for RowAttention {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct FlashArgs {
    q: Address,
    keys: Address,
    values: Address,
    tokens: u32,
    cached: u32,
    heads: u32,
    kv_heads: u32,
    window: u32,
    out: Address,
    bf16: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for FlashArgs {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct AppendArgs {
    qkv: Address,
    bias: Address,
    q_norm: Address,
    k_norm: Address,
    eps: f32,
    neighbours: u32,
    angles: Address,
    keys: Address,
    values: Address,
    cached: u32,
    heads: u32,
    kv_heads: u32,
    dim: u32,
    scale: f32,
    q: Address,
    q_floats: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for AppendArgs {}

/// Kernels by cache (f16, f32), lanes a token (8, 16, 32) and heads a block (1, 2, 4).
const STEP: [[[&str; 3]; 3]; 2] = [
    [
        ["step_f16_1_8", "step_f16_2_8", "step_f16_4_8"],
        ["step_f16_1_16", "step_f16_2_16", "step_f16_4_16"],
        ["step_f16_1_32", "step_f16_2_32", "step_f16_4_32"],
    ],
    [
        ["step_f32_1_8", "step_f32_2_8", "step_f32_4_8"],
        ["step_f32_1_16", "step_f32_2_16", "step_f32_4_16"],
        ["step_f32_1_32", "step_f32_2_32", "step_f32_4_32"],
    ],
];
const ROWS: [[[&str; 3]; 3]; 2] = [
    [
        ["row_f16_1_8", "row_f16_2_8", "row_f16_4_8"],
        ["row_f16_1_16", "row_f16_2_16", "row_f16_4_16"],
        ["row_f16_1_32", "row_f16_2_32", "row_f16_4_32"],
    ],
    [
        ["row_f32_1_8", "row_f32_2_8", "row_f32_4_8"],
        ["row_f32_1_16", "row_f32_2_16", "row_f32_4_16"],
        ["row_f32_1_32", "row_f32_2_32", "row_f32_4_32"],
    ],
];

/// Blocks that share the work of a key head where `seen` tokens are seen: a power of two, so that a recorded step holds
/// for many lengths.
pub(super) fn splits(seen: usize) -> usize {
    seen.div_ceil(LEAST_TOKENS)
        .next_power_of_two()
        .min(MOST_SPLITS)
}

impl AttentionShape {
    /// # Errors
    /// Heads that the kernels do not take.
    pub fn check(&self) -> Result<(), GpuError> {
        let dim = self.head_dim;
        match dim.is_multiple_of(8) && dim <= 256 && self.kv_heads > 0 {
            true => Ok(()),
            false => Err(GpuError::Unsupported(format!(
                "crane's GPU kernels take heads of 8, 16, … 256 numbers, not {dim}; use --device cpu"
            ))),
        }
    }

    fn window(&self) -> u32 {
        self.window.map_or(0, |window| window as u32)
    }

    /// log2(e) / sqrt(head_dim): the softmax is one of powers of two.
    fn scale(&self) -> f32 {
        std::f32::consts::LOG2_E / (self.head_dim as f32).sqrt()
    }

    fn norms(&self) -> (Address, Address, f32) {
        match &self.norms {
            Some(([q, k], eps)) => (q.address(), k.address(), *eps),
            None => (0, 0, 0.0),
        }
    }

    /// Which kernel of a table above, for at most `together` heads a block, how many blocks share a key head, and their
    /// shared memory.
    fn kernel<'a>(
        &self,
        table: &[[[&'a str; 3]; 3]; 2],
        kind: Kind,
        together: usize,
    ) -> (&'a str, usize, usize) {
        let group = self.heads / self.kv_heads;
        let which = HEADS
            .iter()
            .position(|&heads| group.min(together) <= heads)
            .unwrap_or(HEADS.len() - 1);
        let lanes = match self.head_dim {
            ..=64 => 0,
            65..=128 => 1,
            _ => 2,
        };
        let heads = HEADS[which];
        let numbers = (heads + 2) * self.head_dim + WARPS * heads * (self.head_dim + 2);
        let cache = usize::from(kind == Kind::F32);
        (
            table[cache][lanes][which],
            group.div_ceil(heads),
            4 * numbers,
        )
    }
}

/// Heads that a block works on together at most. Few tokens are soon seen: each head has its own block. Of many, heads
/// share what they read.
fn together(splits: usize) -> usize {
    match splits <= FEW_SPLITS {
        true => 1,
        false => HEADS[2],
    }
}

impl Work {
    /// Attention of one token behind `*cached` others; what it finds, `[heads · head_dim]`, f32.
    pub(super) fn attend_step(
        &mut self,
        shape: &AttentionShape,
        cache: &Cache,
        qkv: Address,
        cached: Address,
    ) -> Result<Address, GpuError> {
        let (kernel, groups, shared) = shape.kernel(&STEP, cache.kind, together(self.splits));
        let splits = self.splits.min(self.most_splits(shape, groups));
        if 4 * shape.kv_heads * groups + 4 > TICKET_BYTES {
            return Err(GpuError::Unsupported(format!(
                "{} key heads in groups of {groups}",
                shape.kv_heads
            )));
        }
        let (keys, values) = cache.addresses()?;
        let arguments = StepAttention {
            qkv,
            keys,
            values,
            cached,
            capacity: cache.capacity as u32,
            splits: splits as u32,
            partial: self.place(
                Place::Partial,
                4 * shape.heads * MOST_SPLITS * (shape.head_dim + 2),
            )?,
            tickets: self.place(Place::Tickets, TICKET_BYTES)?,
            ..self.step_arguments(shape, 1)?
        };
        let launch = Launch {
            kernel,
            blocks: [splits as u32, shape.kv_heads as u32, groups as u32],
            threads: 32 * WARPS as u32,
            shared,
        };
        self.gpu.launch(&launch, &arguments)?;
        Ok(arguments.out)
    }

    /// What depends on the layer alone, and where the result of so many tokens goes.
    fn step_arguments(
        &mut self,
        shape: &AttentionShape,
        tokens: usize,
    ) -> Result<StepAttention, GpuError> {
        let (q_norm, k_norm, eps) = shape.norms();
        let width = shape.heads * shape.head_dim;
        Ok(StepAttention {
            q_norm,
            k_norm,
            eps,
            neighbours: u32::from(shape.neighbours),
            angles: self.held(Place::Angles)?.address(),
            heads: shape.heads as u32,
            kv_heads: shape.kv_heads as u32,
            dim: shape.head_dim as u32,
            group: (shape.heads / shape.kv_heads) as u32,
            window: shape.window(),
            scale: shape.scale(),
            least: LEAST_TOKENS as u32,
            out: self.place(Place::Attended, 4 * tokens * width)?,
            ..StepAttention::default()
        })
    }

    /// Splits of a step's attention at most, where `groups` blocks work on a key head.
    fn most_splits(&self, shape: &AttentionShape, groups: usize) -> usize {
        let blocks = shape.kv_heads * groups;
        (2 * self.gpu.info().multiprocessors as usize / blocks).clamp(1, MOST_SPLITS)
    }

    /// Attention of `tokens` tokens behind those in the cache, whose keys and values join it; what it finds,
    /// `[tokens, heads · head_dim]`, in the workspace's operand.
    pub(super) fn attend_rows(
        &mut self,
        shape: &AttentionShape,
        (cache, cached): (&Cache, usize),
        qkv: Address,
        bias: Option<&Buffer>,
        tokens: usize,
    ) -> Result<Address, GpuError> {
        let (keys, values) = cache.addresses()?;
        let (q_norm, k_norm, eps) = shape.norms();
        let width = shape.heads * shape.head_dim;
        let flash = match (cache.kind, self.operand, shape.head_dim) {
            (Kind::F16, Kind::F16 | Kind::BF16, 64) => Some("flash_64"),
            (Kind::F16, Kind::F16 | Kind::BF16, 128) => Some("flash_128"),
            _ => None,
        };
        let q = self.place(Place::Queries, 4 * tokens * width)?;
        let (heads, kv_heads) = (shape.heads as u32, shape.kv_heads as u32);
        let append = AppendArgs {
            qkv,
            bias: bias.map_or(0, Buffer::address),
            q_norm,
            k_norm,
            eps,
            neighbours: u32::from(shape.neighbours),
            angles: self.held(Place::Angles)?.address(),
            keys,
            values,
            cached: cached as u32,
            heads,
            kv_heads,
            dim: shape.head_dim as u32,
            scale: shape.scale(),
            q,
            q_floats: u32::from(flash.is_none()),
        };
        let launch = Launch {
            kernel: match cache.kind {
                Kind::F16 => "append_f16",
                _ => "append_f32",
            },
            blocks: [
                tokens as u32,
                (heads + 2 * kv_heads).div_ceil(WARPS as u32),
                1,
            ],
            threads: 32 * WARPS as u32,
            shared: 4 * WARPS * 2 * shape.head_dim,
        };
        self.gpu.launch(&launch, &append)?;
        let bytes = self.operand.float_bytes().unwrap_or(4);
        let out = self.place(Place::Attended, bytes * tokens * width)?;
        if let Some(kernel) = flash {
            let arguments = FlashArgs {
                q,
                keys,
                values,
                tokens: tokens as u32,
                cached: cached as u32,
                heads,
                kv_heads,
                window: shape.window(),
                out,
                bf16: u32::from(self.operand == Kind::BF16),
            };
            let launch = Launch {
                kernel,
                blocks: [tokens.div_ceil(QUERIES) as u32, heads, 1],
                threads: 128,
                // Two tiles of 64 keys and two of values.
                shared: 4 * 64 * shape.head_dim * 2,
            };
            self.gpu.launch(&launch, &arguments)?;
            return Ok(out);
        }
        let (kernel, groups, shared) = shape.kernel(&ROWS, cache.kind, HEADS[2]);
        let arguments = RowAttention {
            q,
            keys,
            values,
            cached: cached as u32,
            heads,
            kv_heads,
            dim: shape.head_dim as u32,
            window: shape.window(),
            out,
            kind: self.operand as u32,
        };
        let launch = Launch {
            kernel,
            blocks: [tokens as u32, kv_heads, groups as u32],
            threads: 32 * WARPS as u32,
            shared,
        };
        self.gpu.launch(&launch, &arguments)?;
        Ok(out)
    }
}
