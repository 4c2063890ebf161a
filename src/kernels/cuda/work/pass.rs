//! The kernels of many tokens at once: a matrix meets all of them in one product of tensor cores.

use super::step::{EmbedArgs, Norm};
use super::{Place, Work};
use crate::kernels::cuda::attention::AttentionShape;
use crate::kernels::cuda::blas::{Operands, Product, SCRATCH};
use crate::kernels::cuda::cache::Cache;
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Launch};
use crate::kernels::cuda::matrix::{Argument, Matrix, Stack};
use crate::kernels::cuda::memory::{Address, Buffer};
use crate::kernels::cuda::rope::Rope;
use crate::kernels::planes::{self, Kind};

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct NormArgs {
    x: Address,
    norm: Address,
    eps: f32,
    width: u32,
    out: Address,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for NormArgs {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct GateArgs {
    gate: Address,
    up: Address,
    gate_bias: Address,
    up_bias: Address,
    out: Address,
    tokens: u32,
    width: u32,
    stride: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for GateArgs {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct BiasArgs {
    x: Address,
    bias: Address,
    width: u32,
    stride: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for BiasArgs {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct DequantiseArgs {
    matrix: Argument,
    out: Address,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for DequantiseArgs {}

impl Work {
    /// Rows of `table` become the residual stream.
    pub fn embed(&mut self, table: &Matrix, tokens: &[u32]) -> Result<(), GpuError> {
        let bytes: Vec<u8> = tokens.iter().flat_map(|id| id.to_le_bytes()).collect();
        let at = self.place(Place::Tokens, bytes.len())?;
        self.held(Place::Tokens)?.write(0, &bytes)?;
        let arguments = EmbedArgs {
            table: table.argument(),
            tokens: at,
            out: self.place(Place::X, 4 * tokens.len() * table.width())?,
        };
        let launch = Launch {
            kernel: "embed_rows",
            blocks: [tokens.len() as u32, 1, 1],
            threads: 256,
            shared: 0,
        };
        self.gpu.launch(&launch, &arguments)
    }

    /// The angles of tokens at `positions` on the axes time, height and width.
    pub fn angles(&mut self, rope: &Rope, positions: &[[usize; 3]]) -> Result<(), GpuError> {
        let words = positions.iter().flatten();
        let bytes: Vec<u8> = words.flat_map(|&p| (p as u32).to_le_bytes()).collect();
        let at = self.place(Place::Positions, bytes.len())?;
        self.held(Place::Positions)?.write(0, &bytes)?;
        let arguments = self.angles_arguments(rope, at, positions.len())?;
        let launch = Launch {
            kernel: "angles",
            blocks: [positions.len() as u32, 1, 1],
            threads: 64,
            shared: 0,
        };
        self.gpu.launch(&launch, &arguments)
    }

    /// Adds attention over `cache`, which holds `cached` tokens before the pass, to the residual stream of `tokens`
    /// tokens; their keys and values join the cache.
    pub fn pass_attention(
        &mut self,
        tokens: usize,
        qkv: (&Stack, Option<&Buffer>),
        norm: Norm,
        shape: &AttentionShape,
        cached: (&Cache, usize),
        output: (&Stack, Option<&Buffer>),
    ) -> Result<(), GpuError> {
        let normed = self.norm_rows(tokens, qkv.0.width(), norm)?;
        let projected = self.place(Place::Qkv, 4 * tokens * qkv.0.rows())?;
        self.multiply(qkv.0, normed, tokens, (projected, Kind::F32), false)?;
        let attended = self.attend_rows(shape, cached, projected, qkv.1, tokens)?;
        self.add_product(output, attended, tokens)
    }

    /// Adds `down(silu(gate(x)) ⊙ up(x))` of the normed residual stream to it.
    pub fn pass_mlp(
        &mut self,
        tokens: usize,
        gate_up: (&Stack, Option<&Buffer>),
        norm: Norm,
        down: (&Stack, Option<&Buffer>),
    ) -> Result<(), GpuError> {
        let (inner, kind) = (down.0.width(), self.operand);
        let bytes = kind.float_bytes().unwrap_or(4);
        let normed = self.norm_rows(tokens, gate_up.0.width(), norm)?;
        let both = self.place(Place::Gates, bytes * tokens * 2 * inner)?;
        self.multiply(gate_up.0, normed, tokens, (both, kind), false)?;
        let out = self.place(Place::Inner, bytes * tokens * inner)?;
        self.gate_rows(both, gate_up.1, out, tokens, inner, kind)?;
        self.add_product(down, out, tokens)
    }

    /// Logits of all `tokens` rows of the normed residual stream, `[tokens, vocabulary]`.
    pub fn pass_logits(
        &mut self,
        tokens: usize,
        head: &Matrix,
        norm: Norm,
        logits: &mut [f32],
    ) -> Result<(), GpuError> {
        let normed = self.norm_rows(tokens, head.width(), norm)?;
        let out = self.place(Place::Logits, 4 * tokens * head.rows())?;
        let stack = Stack::new(vec![head.clone()])?;
        self.multiply(&stack, normed, tokens, (out, Kind::F32), false)?;
        self.held(Place::Logits)?.read_numbers(0, logits)
    }

    fn add_product(
        &mut self,
        (stack, bias): (&Stack, Option<&Buffer>),
        from: Address,
        tokens: usize,
    ) -> Result<(), GpuError> {
        let width = stack.rows();
        let x = self.held(Place::X)?.address();
        self.multiply(stack, from, tokens, (x, Kind::F32), true)?;
        let Some(bias) = bias else { return Ok(()) };
        let arguments = BiasArgs {
            x,
            bias: bias.address(),
            width: width as u32,
            stride: width as u32,
        };
        let launch = Launch {
            kernel: "add_bias",
            blocks: [tokens as u32, 1, 1],
            threads: 256,
            shared: 0,
        };
        self.gpu.launch(&launch, &arguments)
    }

    fn norm_rows(&mut self, tokens: usize, width: usize, norm: Norm) -> Result<Address, GpuError> {
        let bytes = self.operand.float_bytes().unwrap_or(4);
        let out = self.place(Place::Normed, bytes * tokens * width)?;
        let arguments = NormArgs {
            x: self.held(Place::X)?.address(),
            norm: norm.weight.address(),
            eps: norm.eps,
            width: width as u32,
            out,
        };
        let launch = Launch {
            kernel: match self.operand {
                Kind::F16 => "rms_f16",
                Kind::BF16 => "rms_bf16",
                _ => "rms_f32",
            },
            blocks: [tokens as u32, 1, 1],
            threads: 256,
            shared: 0,
        };
        self.gpu.launch(&launch, &arguments)?;
        Ok(out)
    }

    /// `silu(gate) ⊙ up` of rows that hold both, `[tokens, 2 · width]`, all numbers of `kind`.
    pub(super) fn gate_rows(
        &self,
        both: Address,
        bias: Option<&Buffer>,
        out: Address,
        tokens: usize,
        width: usize,
        kind: Kind,
    ) -> Result<(), GpuError> {
        let bytes = kind.float_bytes().unwrap_or(4);
        let arguments = GateArgs {
            gate: both,
            up: both + (bytes * width) as u64,
            gate_bias: bias.map_or(0, Buffer::address),
            up_bias: bias.map_or(0, |bias| bias.address() + 4 * width as u64),
            out,
            tokens: tokens as u32,
            width: width as u32,
            stride: 2 * width as u32,
        };
        let launch = Launch {
            kernel: match kind {
                Kind::F16 => "gated_f16",
                Kind::BF16 => "gated_bf16",
                _ => "gated_f32",
            },
            blocks: [(width.div_ceil(512)) as u32, tokens as u32, 1],
            threads: 256,
            shared: 0,
        };
        self.gpu.launch(&launch, &arguments)
    }

    /// `out (+)= x · Wᵀ` for all matrices of `stack` side by side; `x` is `[tokens, width]` in the workspace's operand.
    fn multiply(
        &mut self,
        stack: &Stack,
        x: Address,
        tokens: usize,
        out: (Address, Kind),
        add: bool,
    ) -> Result<(), GpuError> {
        let stride = stack.rows();
        let size = out.1.float_bytes().unwrap_or(4);
        let mut column = 0;
        for piece in stack.pieces() {
            let to = (out.0 + (column * size) as u64, out.1);
            self.multiply_piece(piece, x, tokens, to, stride, add)?;
            column += piece.rows();
        }
        Ok(())
    }

    fn multiply_piece(
        &mut self,
        matrix: &Matrix,
        x: Address,
        tokens: usize,
        (out, out_kind): (Address, Kind),
        stride: usize,
        add: bool,
    ) -> Result<(), GpuError> {
        let kind = self.operand;
        let scratch = self.place(Place::Scratch, SCRATCH)?;
        let mut product = Product {
            rows: matrix.rows(),
            width: matrix.width(),
            tokens,
            kind,
            out: out_kind,
            stride,
            add,
        };
        if matrix.kind() == kind {
            let at = Operands {
                matrix: matrix.address(),
                x,
                out,
                scratch,
            };
            return self.gpu.blas()?.multiply(&product, &at, self.gpu.stream);
        }
        let size = kind.float_bytes().unwrap_or(4);
        let rows = planes::piece_rows(matrix.rows(), matrix.width());
        let numbers = self.place(Place::Dequantised, size * rows * matrix.width())?;
        for first in (0..matrix.rows()).step_by(rows) {
            let part = matrix.slice(first..(first + rows).min(matrix.rows()));
            self.dequantise(&part, numbers)?;
            product.rows = part.rows();
            let at = Operands {
                matrix: numbers,
                x,
                out: out + (first * out_kind.float_bytes().unwrap_or(4)) as u64,
                scratch,
            };
            self.gpu.blas()?.multiply(&product, &at, self.gpu.stream)?;
        }
        Ok(())
    }

    /// Writes the numbers of `matrix` in the workspace's operand.
    fn dequantise(&self, matrix: &Matrix, out: Address) -> Result<(), GpuError> {
        if !matrix.width().is_multiple_of(32) || self.operand == Kind::F16 {
            return Err(GpuError::Unsupported(format!(
                "a {:?} matrix of width {} beside others of {:?}; use --device cpu",
                matrix.kind(),
                matrix.width(),
                self.operand
            )));
        }
        let chunks = matrix.rows() * (matrix.width() / 32);
        let launch = Launch {
            kernel: match self.operand {
                Kind::BF16 => "dequantise_bf16",
                _ => "dequantise_f32",
            },
            blocks: [chunks.div_ceil(256).clamp(1, 1 << 16) as u32, 1, 1],
            threads: 256,
            shared: 0,
        };
        let arguments = DequantiseArgs {
            matrix: matrix.argument(),
            out,
        };
        self.gpu.launch(&launch, &arguments)
    }
}
