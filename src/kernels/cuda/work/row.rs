//! Products of one token, or of one each of several sequences, with matrices: which kernel, and how the rows are shared
//! out over the GPU.
//!
//! How a row's sum is made depends on the matrix and the GPU alone, so that a token's result does not depend on its
//! company.

mod each;

use super::{Norm, Work};
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Launch};
use crate::kernels::cuda::matrix::{Argument, Matrix, Stack};
use crate::kernels::cuda::memory::{Address, Buffer};
use crate::kernels::planes::Kind;

const MOST_PARTS: usize = 3;
const THREADS: u32 = 256;
const WARPS: usize = THREADS as usize / 32;

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct GemvArgs {
    parts: [Argument; MOST_PARTS],
    bias: [Address; MOST_PARTS],
    n_parts: u32,
    x: Address,
    norm: Address,
    eps: f32,
    out: Address,
    residual: Address,
    split: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for GemvArgs {}

impl GemvArgs {
    /// Names `parts` and the biases of their rows.
    fn describe(&mut self, parts: &[Matrix], bias: Option<&Buffer>) {
        let mut row = 0;
        for (i, part) in parts.iter().enumerate().take(MOST_PARTS) {
            self.parts[i] = part.argument();
            self.bias[i] = bias.map_or(0, |bias| bias.address() + 4 * row as u64);
            row += part.rows();
        }
    }
}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct MixedArgs {
    gemv: GemvArgs,
    blocks: [u32; MOST_PARTS],
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for MixedArgs {}

/// A product with some tokens, each of a sequence of its own.
pub(super) struct FewRows<'a> {
    pub stack: &'a Stack,
    /// Of all rows.
    pub bias: Option<&'a Buffer>,
    pub tokens: usize,
    /// `[tokens, width]`.
    pub x: Address,
    pub norm: Option<Norm<'a>>,
    /// `[tokens, rows]`, as the residual.
    pub out: Address,
    pub residual: Address,
}

/// The tokens of a product, and the numbers from one token's result to the next one's.
#[derive(Clone, Copy)]
struct Tokens {
    count: usize,
    stride: usize,
}

/// Names of the kernels that take so many rows at a time (1, 2, 4), by kind.
const GEMV: [[&str; 3]; 9] = [
    ["gemv_f32_1", "gemv_f32_2", "gemv_f32_4"],
    ["gemv_f16_1", "gemv_f16_2", "gemv_f16_4"],
    ["gemv_bf16_1", "gemv_bf16_2", "gemv_bf16_4"],
    ["gemv_q8_1", "gemv_q8_2", "gemv_q8_4"],
    ["gemv_q4_1", "gemv_q4_2", "gemv_q4_4"],
    ["gemv_q5_1", "gemv_q5_2", "gemv_q5_4"],
    ["gemv_q6_1", "gemv_q6_2", "gemv_q6_4"],
    ["gemv_q3_1", "gemv_q3_2", "gemv_q3_4"],
    ["gemv_q2_1", "gemv_q2_2", "gemv_q2_4"],
];
/// The same for one or two pairs of gate and up rows.
const SWIGLU: [[&str; 2]; 9] = [
    ["swiglu_f32_1", "swiglu_f32_2"],
    ["swiglu_f16_1", "swiglu_f16_2"],
    ["swiglu_bf16_1", "swiglu_bf16_2"],
    ["swiglu_q8_1", "swiglu_q8_2"],
    ["swiglu_q4_1", "swiglu_q4_2"],
    ["swiglu_q5_1", "swiglu_q5_2"],
    ["swiglu_q6_1", "swiglu_q6_2"],
    ["swiglu_q3_1", "swiglu_q3_2"],
    ["swiglu_q2_1", "swiglu_q2_2"],
];

/// How a product is computed.
#[derive(Clone, Copy)]
enum Way {
    /// Rows of any kind.
    Gemv,
    /// Rows of gate and up.
    Swiglu,
    /// Rows of 16-bit numbers by tensor cores,
    Tiles,
    /// and rows of gate and up.
    TilePairs,
}

/// A product of matrices of one kind.
#[derive(Clone, Copy)]
struct Plan {
    way: Way,
    kind: Kind,
    /// Of the result.
    rows: usize,
    width: usize,
    shape: Shape,
}

impl Plan {
    fn kernel(&self) -> &'static str {
        match (self.way, self.kind) {
            (Way::Gemv, kind) => GEMV[kind as usize][self.shape.which],
            (Way::Swiglu, kind) => SWIGLU[kind as usize][self.shape.which],
            (Way::Tiles, Kind::F16) => "tiles_f16",
            (Way::TilePairs, Kind::F16) => "tile_pairs_f16",
            (Way::Tiles, _) => "tiles_bf16",
            (Way::TilePairs, _) => "tile_pairs_bf16",
        }
    }

    /// Bytes of shared memory that the numbers of a token take.
    fn staged(&self) -> usize {
        match self.way {
            Way::Gemv | Way::Swiglu => staged(self.kind, self.width),
            Way::Tiles => 4 * tile_part(tile_numbers(self.width, false)),
            Way::TilePairs => 2 * tile_part(tile_numbers(self.width, true)),
        }
    }

    /// Bytes of shared memory for a token.
    fn shared(&self) -> usize {
        self.staged()
            + match self.way {
                Way::Gemv | Way::Swiglu => SUMS,
                Way::Tiles | Way::TilePairs => TILE_SUMS,
            }
    }
}

/// Whether the numbers of a token that meets rows of `kind` have room in `block_memory` bytes of shared memory.
pub fn fits_block(kind: Kind, width: usize, block_memory: usize) -> bool {
    let plain = staged(kind, width) + SUMS;
    let tiled = 4 * tile_part(tile_numbers(width, false)) + TILE_SUMS;
    match kind {
        Kind::F16 | Kind::BF16 => plain.max(tiled) <= block_memory,
        _ => plain <= block_memory,
    }
}

/// Bytes of shared memory that the numbers of a token take where they meet rows of `kind`.
fn staged(kind: Kind, width: usize) -> usize {
    match kind.float_bytes() {
        Some(_) => 4 * width,
        None => 4 * (width / 32 * 37),
    }
}
/// And what lies behind them.
const SUMS: usize = 4 * 5 * WARPS;
const TILE_SUMS: usize = 4 * 17 * WARPS;

/// Numbers of a part of a token whose rows meet tiles, and the bytes from one part to the next.
fn tile_numbers(width: usize, pairs: bool) -> usize {
    match pairs {
        true => width.next_multiple_of(32),
        false => (width / 2).next_multiple_of(32),
    }
}
fn tile_part(numbers: usize) -> usize {
    (2 * numbers).next_multiple_of(128) + 64
}

impl Work {
    /// Puts the product on the stream.
    pub(super) fn few_rows(&self, row: &FewRows) -> Result<(), GpuError> {
        let pieces = row.stack.pieces();
        let mut arguments = GemvArgs {
            n_parts: pieces.len() as u32,
            x: row.x,
            out: row.out,
            residual: row.residual,
            ..GemvArgs::default()
        };
        arguments.describe(pieces, row.bias);
        if let Some(norm) = row.norm {
            (arguments.norm, arguments.eps) = (norm.weight.address(), norm.eps);
        }
        let (rows, width) = (row.stack.rows(), row.stack.width());
        let tokens = Tokens {
            count: row.tokens,
            stride: rows,
        };
        let kind = pieces[0].kind();
        if pieces.iter().all(|piece| piece.kind() == kind) {
            let plan = match matches!(kind, Kind::F16 | Kind::BF16) && rows <= MOST_TILED_ROWS {
                true => self.tiles(Way::Tiles, kind, rows, width),
                false => self.gemv(kind, rows, width),
            };
            return self.put(&plan, arguments, tokens);
        }
        if pieces
            .iter()
            .any(|piece| piece.kind().float_bytes().is_some())
        {
            return self.piece_by_piece(row.stack, &arguments, tokens);
        }
        let mut blocks = [0; MOST_PARTS];
        arguments.split = 1;
        for (blocks, piece) in blocks.iter_mut().zip(pieces) {
            *blocks = piece.rows().div_ceil(2 * WARPS) as u32;
        }
        let staged = staged(kind, width);
        if tokens.count > 1 {
            return self.mixed_each(arguments, blocks, staged, tokens);
        }
        let launch = Launch {
            kernel: "gemv_mixed",
            blocks: [blocks.iter().sum(), 1, 1],
            threads: THREADS,
            shared: staged + SUMS,
        };
        let arguments = MixedArgs {
            gemv: arguments,
            blocks,
        };
        self.gpu.launch(&launch, &arguments)
    }

    /// Float and quantised matrices below each other, in a kernel each.
    fn piece_by_piece(
        &self,
        stack: &Stack,
        all: &GemvArgs,
        tokens: Tokens,
    ) -> Result<(), GpuError> {
        let mut first = 0;
        for (index, piece) in stack.pieces().iter().enumerate() {
            let mut arguments = GemvArgs {
                n_parts: 1,
                out: all.out + 4 * first,
                ..*all
            };
            arguments.parts[0] = all.parts[index];
            arguments.bias[0] = all.bias[index];
            if all.residual != 0 {
                arguments.residual = all.residual + 4 * first;
            }
            let plan = self.gemv(piece.kind(), piece.rows(), stack.width());
            self.put(&plan, arguments, tokens)?;
            first += piece.rows() as u64;
        }
        Ok(())
    }

    /// `out = silu(gate · x) ⊙ (up · x)` of `tokens` tokens, `stack` being gate and up, of one kind.
    pub(super) fn swiglu(
        &self,
        stack: &Stack,
        bias: Option<&Buffer>,
        norm: Norm,
        (x, tokens): (Address, usize),
        out: Address,
    ) -> Result<(), GpuError> {
        let parts = stack.parts();
        let mut arguments = GemvArgs {
            n_parts: 2,
            x,
            norm: norm.weight.address(),
            eps: norm.eps,
            out,
            ..GemvArgs::default()
        };
        arguments.describe(parts, bias);
        let (kind, rows, width) = (parts[0].kind(), parts[0].rows(), stack.width());
        let tiled = matches!(kind, Kind::F16 | Kind::BF16) && rows * width <= MOST_TILED_PAIRS;
        let plan = match tiled {
            true => self.tiles(Way::TilePairs, kind, rows, width),
            false => Plan {
                way: Way::Swiglu,
                kind,
                rows,
                width,
                shape: self.shape(rows, loads(kind, width), [1, 2]),
            },
        };
        let tokens = Tokens {
            count: tokens,
            stride: rows,
        };
        self.put(&plan, arguments, tokens)
    }

    fn put(&self, plan: &Plan, mut arguments: GemvArgs, tokens: Tokens) -> Result<(), GpuError> {
        arguments.split = plan.shape.split;
        if tokens.count > 1 {
            return self.put_each(plan, arguments, tokens);
        }
        let launch = Launch {
            kernel: plan.kernel(),
            blocks: [plan.shape.blocks, 1, 1],
            threads: THREADS,
            shared: plan.shared(),
        };
        self.gpu.launch(&launch, &arguments)
    }

    fn gemv(&self, kind: Kind, rows: usize, width: usize) -> Plan {
        Plan {
            way: Way::Gemv,
            kind,
            rows,
            width,
            shape: self.shape(rows, loads(kind, width), [1, 2, 4]),
        }
    }

    /// How a product with `rows` rows of `loads` loads of a warp each is shared out; `choices` are the rows that kernels
    /// take at a time.
    fn shape<const N: usize>(&self, rows: usize, loads: usize, choices: [usize; N]) -> Shape {
        let multiprocessors = self.gpu.info().multiprocessors as usize;
        let which = choices
            .iter()
            .position(|each| rows <= each * multiprocessors * AT_ONCE)
            .unwrap_or(N - 1);
        let groups = rows.div_ceil(choices[which]);
        let mut split = 1;
        while split < WARPS
            && loads > FEW_LOADS * split
            && 2 * split * groups <= BUSY * multiprocessors
        {
            split *= 2;
        }
        let blocks = (groups * split).div_ceil(WARPS);
        Shape {
            which,
            split: split as u32,
            blocks: blocks.clamp(1, RESIDENT * multiprocessors) as u32,
        }
    }

    /// The product by tensor cores, [`Way::Tiles`] or [`Way::TilePairs`].
    fn tiles(&self, way: Way, kind: Kind, rows: usize, width: usize) -> Plan {
        let numbers = tile_numbers(width, matches!(way, Way::TilePairs));
        let split = if numbers / 32 > 32 { 8 } else { 4 };
        let blocks = rows.div_ceil(8).div_ceil(WARPS / split);
        let most = 2 * self.gpu.info().multiprocessors as usize;
        Plan {
            way,
            kind,
            rows,
            width,
            shape: Shape {
                which: 0,
                split: split as u32,
                blocks: blocks.clamp(1, most) as u32,
            },
        }
    }
}

// Found by trying on an H200 (sizes of Qwen2.5-0.5B and 3B).

/// Rows for which a multiprocessor has a warp each, before warps take two.
const AT_ONCE: usize = 48;
/// Loads of a row that one warp makes, before two share it,
const FEW_LOADS: usize = 4;
/// and warps that a multiprocessor has to do with before rows are no longer shared.
const BUSY: usize = 32;
/// Blocks that a multiprocessor is given; they go in turn over more rows.
const RESIDENT: usize = 4;
/// Above so many rows, or numbers of gate and up, memory alone counts.
const MOST_TILED_ROWS: usize = 16_384;
const MOST_TILED_PAIRS: usize = 8 << 20;

/// How a product is shared out.
#[derive(Clone, Copy)]
struct Shape {
    /// Which of the kernels of a token.
    which: usize,
    /// Warps that share a row.
    split: u32,
    blocks: u32,
}

/// Loads that a warp makes for a row.
fn loads(kind: Kind, width: usize) -> usize {
    match kind.float_bytes() {
        Some(bytes) => (bytes * width).div_ceil(512),
        // These take as long as two.
        None => width.div_ceil(512),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_rows_fit_large_blocks_alone() {
        // 7B, 32B and Mistral Small 24B on a GeForce, an A100 and an H100.
        let [small, middle, large] = [99 << 10, 163 << 10, 227 << 10];
        for kind in [Kind::Q4, Kind::Q8, Kind::BF16] {
            assert!(fits_block(kind, 18_944, small), "{kind:?}");
            for width in [27_648, 32_768] {
                assert!(!fits_block(kind, width, small), "{kind:?} {width}");
                assert!(fits_block(kind, width, middle), "{kind:?} {width}");
                assert!(fits_block(kind, width, large), "{kind:?} {width}");
            }
        }
    }
}
