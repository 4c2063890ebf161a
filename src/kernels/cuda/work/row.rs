//! Products of one token with matrices: which kernel, and how the rows are shared out over the GPU.

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

/// A product with one token.
pub(super) struct OneRow<'a> {
    pub stack: &'a Stack,
    /// Of all rows.
    pub bias: Option<&'a Buffer>,
    pub x: Address,
    pub norm: Option<Norm<'a>>,
    pub out: Address,
    pub residual: Address,
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

/// Bytes of shared memory that a product with `width` numbers takes.
fn shared(kind: Kind, width: usize) -> usize {
    let numbers = match kind.float_bytes() {
        Some(_) => width,
        None => width / 32 * 37,
    };
    4 * (numbers + 5 * WARPS)
}

impl Work {
    /// Puts the product on the stream.
    pub(super) fn one_row(&self, row: &OneRow) -> Result<(), GpuError> {
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
        let width = row.stack.width();
        let kind = pieces[0].kind();
        if pieces.iter().all(|piece| piece.kind() == kind) {
            let rows = row.stack.rows();
            if matches!(kind, Kind::F16 | Kind::BF16) && rows <= MOST_TILED_ROWS {
                return self.tiles(kind, arguments, rows, width, false);
            }
            let shape = self.shape(rows, loads(kind, width), [1, 2, 4]);
            arguments.split = shape.split;
            let launch = Launch {
                kernel: GEMV[kind as usize][shape.which],
                blocks: [shape.blocks, 1, 1],
                threads: THREADS,
                shared: shared(kind, width),
            };
            return self.gpu.launch(&launch, &arguments);
        }
        if pieces
            .iter()
            .any(|piece| piece.kind().float_bytes().is_some())
        {
            return self.piece_by_piece(row, &arguments);
        }
        let mut blocks = [0; MOST_PARTS];
        arguments.split = 1;
        for (blocks, piece) in blocks.iter_mut().zip(pieces) {
            *blocks = piece.rows().div_ceil(2 * WARPS) as u32;
        }
        let launch = Launch {
            kernel: "gemv_mixed",
            blocks: [blocks.iter().sum(), 1, 1],
            threads: THREADS,
            shared: shared(kind, width),
        };
        let arguments = MixedArgs {
            gemv: arguments,
            blocks,
        };
        self.gpu.launch(&launch, &arguments)
    }

    /// Float and quantised matrices below each other, in a kernel each.
    fn piece_by_piece(&self, row: &OneRow, all: &GemvArgs) -> Result<(), GpuError> {
        let mut first = 0;
        for (index, piece) in row.stack.pieces().iter().enumerate() {
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
            let shape = self.shape(
                piece.rows(),
                loads(piece.kind(), row.stack.width()),
                [1, 2, 4],
            );
            arguments.split = shape.split;
            let launch = Launch {
                kernel: GEMV[piece.kind() as usize][shape.which],
                blocks: [shape.blocks, 1, 1],
                threads: THREADS,
                shared: shared(piece.kind(), row.stack.width()),
            };
            self.gpu.launch(&launch, &arguments)?;
            first += piece.rows() as u64;
        }
        Ok(())
    }

    /// `out = silu(gate · x) ⊙ (up · x)`, `stack` being gate and up, of one kind.
    pub(super) fn swiglu(
        &self,
        stack: &Stack,
        bias: Option<&Buffer>,
        norm: Norm,
        x: Address,
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
        if matches!(kind, Kind::F16 | Kind::BF16) && rows * width <= MOST_TILED_PAIRS {
            return self.tiles(kind, arguments, rows, width, true);
        }
        let shape = self.shape(parts[0].rows(), loads(kind, stack.width()), [1, 2]);
        arguments.split = shape.split;
        let launch = Launch {
            kernel: SWIGLU[kind as usize][shape.which],
            blocks: [shape.blocks, 1, 1],
            threads: THREADS,
            shared: shared(kind, stack.width()),
        };
        self.gpu.launch(&launch, &arguments)
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

    /// The product by tensor cores; `pairs` as in [`Work::swiglu`].
    fn tiles(
        &self,
        kind: Kind,
        mut arguments: GemvArgs,
        rows: usize,
        width: usize,
        pairs: bool,
    ) -> Result<(), GpuError> {
        let kernel = match (kind, pairs) {
            (Kind::F16, false) => "tiles_f16",
            (Kind::F16, true) => "tile_pairs_f16",
            (_, false) => "tiles_bf16",
            (_, true) => "tile_pairs_bf16",
        };
        // Numbers of a part of the token, and the bytes from one part to the next.
        let numbers = match pairs {
            true => width.next_multiple_of(32),
            false => (width / 2).next_multiple_of(32),
        };
        let part = (2 * numbers).next_multiple_of(128) + 64;
        let parts = if pairs { 2 } else { 4 };
        arguments.split = if numbers / 32 > 32 { 8 } else { 4 };
        let together = WARPS / arguments.split as usize;
        let blocks = rows.div_ceil(8).div_ceil(together);
        let most = 2 * self.gpu.info().multiprocessors as usize;
        let launch = Launch {
            kernel,
            blocks: [blocks.clamp(1, most) as u32, 1, 1],
            threads: THREADS,
            shared: parts * part + 4 * (WARPS + WARPS * 16),
        };
        self.gpu.launch(&launch, &arguments)
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
struct Shape {
    /// Which of the kernels.
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
