//! The kernels of an image encoder's blocks: products of float matrices with all patches, and what is between them.

use super::segments::{Heads, Segments};
use super::step::Norm;
use super::{Place, Work};
use crate::kernels::cuda::blas::{Operands, Product, SCRATCH};
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Launch};
use crate::kernels::cuda::matrix::Matrix;
use crate::kernels::cuda::memory::{Address, Buffer};
use crate::kernels::planes::Kind;

/// Patches computed together: enough for tensor cores, so few that a large image takes little more memory than its rows
/// and heads.
pub(super) const CHUNK: usize = 8192;
/// Rows that a block of a kernel takes where a warp has a row.
const ROWS: usize = 8;
/// Bytes of a place that stay allocated from image to image.
const KEPT: usize = 256 << 20;

/// A float matrix and what is added to each row of its products, `[matrix.rows()]`.
pub struct Dense {
    pub matrix: Matrix,
    pub bias: Option<Buffer>,
}

/// A block of an encoder: attention and a gated feed-forward block, each behind an RMS norm. All matrices but those of
/// the norms are of the workspace's operand.
pub struct EncoderLayer {
    /// Weights and epsilon.
    pub norms: [(Buffer, f32); 2],
    /// Query, key and value below each other.
    pub qkv: Dense,
    pub heads: Heads,
    pub proj: Dense,
    /// Gate and up below each other.
    pub gate_up: Dense,
    pub down: Dense,
}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct EncoderNorm {
    x: Address,
    norm: Address,
    add: Address,
    eps: f32,
    rows: u32,
    width: u32,
    out: Address,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for EncoderNorm {}

impl Dense {
    /// Where the bias lies; 0 is none.
    pub(super) fn bias(&self) -> Address {
        self.bias.as_ref().map_or(0, Buffer::address)
    }
}

/// Which of a kernel's three names writes numbers of `kind`.
pub(super) fn of_kind(kind: Kind, [f32, f16, bf16]: [&'static str; 3]) -> &'static str {
    match kind {
        Kind::F16 => f16,
        Kind::BF16 => bf16,
        _ => f32,
    }
}

/// A launch of a kernel whose warps have a row each.
pub(super) fn warps(kernel: &'static str, rows: usize) -> Launch {
    Launch {
        kernel,
        blocks: [rows.div_ceil(ROWS) as u32, 1, 1],
        threads: 32 * ROWS as u32,
        shared: 0,
    }
}

/// Parts of `patches` that are computed together: where each begins, and its length.
pub(super) fn chunks(patches: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let starts = (0..patches).step_by(most.max(1));
    starts.map(move |first| (first, most.min(patches - first)))
}

impl Work {
    /// Adds the output of `layer` to the residual stream of `patches` patches, which see those of their segment;
    /// queries and keys are rotated by [`Work::angles`] where `rotated`.
    ///
    /// # Errors
    /// Out of memory, no cuBLASLt.
    pub fn encoder_layer(
        &mut self,
        layer: &EncoderLayer,
        patches: usize,
        rotated: bool,
        segments: &Segments,
    ) -> Result<(), GpuError> {
        let x = self.held(Place::X)?.address();
        let hidden = layer.qkv.matrix.width();
        let [before, between] = &layer.norms;
        let norm = |(weight, eps): &'_ (Buffer, f32)| (weight.address(), *eps);
        let split = layer.heads.split_kind(self.operand);
        let heads = self.place(Place::Queries, layer.heads.bytes(patches))?;
        for (first, rows) in chunks(patches, CHUNK) {
            let part = x + (4 * first * hidden) as u64;
            let normed = self.norm_part(part, rows, hidden, norm(before), layer.proj.bias())?;
            let bytes = split.float_bytes().unwrap_or(4) * rows * layer.qkv.matrix.rows();
            let qkv = self.place(Place::Qkv, bytes)?;
            self.product(&layer.qkv.matrix, normed, rows, (qkv, split), false)?;
            let angles = match rotated {
                true => self.held(Place::Angles)?.address(),
                false => 0,
            };
            let from = (qkv, layer.qkv.bias());
            let to = (heads, patches);
            self.split_heads(&layer.heads, from, angles, (first, rows), to)?;
        }
        let attended = self.attend_segments(&layer.heads, heads, patches, segments)?;
        self.product(&layer.proj.matrix, attended, patches, (x, Kind::F32), true)?;
        let (kind, inner) = (self.operand, layer.down.matrix.width());
        let bytes = kind.float_bytes().unwrap_or(4) * inner;
        for (first, rows) in chunks(patches, CHUNK) {
            let part = x + (4 * first * hidden) as u64;
            let normed = self.norm_part(part, rows, hidden, norm(between), layer.down.bias())?;
            let both = self.place(Place::Gates, 2 * bytes * rows)?;
            self.product(&layer.gate_up.matrix, normed, rows, (both, kind), false)?;
            let out = self.place(Place::Inner, bytes * rows)?;
            let bias = layer.gate_up.bias.as_ref();
            self.gate_rows(both, bias, out, rows, inner, kind)?;
            self.product(&layer.down.matrix, out, rows, (part, Kind::F32), true)?;
        }
        Ok(())
    }

    /// The RMS norm of `rows` rows at `x` in the operand's numbers. Then `add` joins the rows: the bias of a product that
    /// will be added to them, which costs no way through memory of its own here.
    fn norm_part(
        &mut self,
        x: Address,
        rows: usize,
        width: usize,
        (norm, eps): (Address, f32),
        add: Address,
    ) -> Result<Address, GpuError> {
        let bytes = self.operand.float_bytes().unwrap_or(4);
        let out = self.place(Place::Normed, bytes * rows * width)?;
        let arguments = EncoderNorm {
            x,
            norm,
            add,
            eps,
            rows: rows as u32,
            width: width as u32,
            out,
        };
        let kernel = of_kind(
            self.operand,
            ["encoder_norm_f32", "encoder_norm_f16", "encoder_norm_bf16"],
        );
        self.gpu.launch(&warps(kernel, rows), &arguments)?;
        Ok(out)
    }

    /// The RMS norm of some rows of the residual stream, which stay as they are.
    pub(super) fn norm_stream(
        &mut self,
        (first, rows): (usize, usize),
        width: usize,
        norm: Norm,
    ) -> Result<Address, GpuError> {
        let x = self.held(Place::X)?.address() + (4 * first * width) as u64;
        self.norm_part(x, rows, width, (norm.weight.address(), norm.eps), 0)
    }

    /// `out (+)= x · Wᵀ`, `x` `[rows, matrix.width()]` in the matrix's own numbers.
    pub(super) fn product(
        &mut self,
        matrix: &Matrix,
        x: Address,
        rows: usize,
        (out, kind): (Address, Kind),
        add: bool,
    ) -> Result<(), GpuError> {
        let scratch = self.place(Place::Scratch, SCRATCH)?;
        let product = Product {
            rows: matrix.rows(),
            width: matrix.width(),
            tokens: rows,
            kind: matrix.kind(),
            out: kind,
            stride: matrix.rows(),
            add,
        };
        let at = Operands {
            matrix: matrix.address(),
            x,
            out,
            scratch,
        };
        self.gpu.blas()?.multiply(&product, &at, self.gpu.stream)
    }

    /// Frees what an unusually large image took: it would lie idle.
    pub fn release(&mut self) {
        for place in &mut self.places {
            if place.as_ref().is_some_and(|held| held.bytes() > KEPT) {
                *place = None;
                self.moved += 1;
            }
        }
    }
}
