//! The way from the residual stream of an encoder to rows of a decoder, in this machine's memory.

use super::encoder::{chunks, of_kind, warps, Dense, CHUNK};
use super::patches::Gather;
use super::step::Norm;
use super::{Place, Work};
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Launch};
use crate::kernels::cuda::memory::{Address, Buffer};
use crate::kernels::planes::Kind;

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct GeluRows {
    x: Address,
    bias: Address,
    width: u32,
    out: Address,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for GeluRows {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct NormGelu {
    x: Address,
    gain: Address,
    shift: Address,
    eps: f32,
    rows: u32,
    width: u32,
    out: Address,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for NormGelu {}

/// A gated unit behind a layer: `down(silu(gate u) ⊙ up u)` with `u = gelu(norm(linear x))`, without biases but the
/// norm's.
pub struct GatedUnit {
    pub linear: Dense,
    /// Gain, shift and epsilon of a layer norm.
    pub norm: ([Buffer; 2], f32),
    /// Gate and up below each other.
    pub gate_up: Dense,
    pub down: Dense,
}

impl Work {
    /// `narrow(gelu(wide(norm(x))))` of the residual stream, so many patches side by side as `wide` reads; row `i` of the
    /// result is made of the group `order[i]`.
    ///
    /// # Errors
    /// Out of memory, no cuBLASLt, work that failed.
    pub fn merge(
        &mut self,
        patches: usize,
        norm: Norm,
        [wide, narrow]: [&Dense; 2],
        order: &[u32],
    ) -> Result<Vec<f32>, GpuError> {
        let hidden = patches_width(norm);
        let group = wide.matrix.width() / hidden.max(1);
        let (inner, width) = (wide.matrix.rows(), narrow.matrix.rows());
        let bytes = self.operand.float_bytes().unwrap_or(4);
        let merged = self.place(Place::Logits, 4 * order.len() * width)?;
        for (first, rows) in chunks(patches, CHUNK / group * group) {
            let (cell, cells) = (first / group, rows / group);
            let normed = self.norm_stream((first, rows), hidden, norm)?;
            let wider = self.place(Place::Gates, 4 * cells * inner)?;
            self.product(&wide.matrix, normed, cells, (wider, Kind::F32), false)?;
            let bent = self.place(Place::Inner, bytes * cells * inner)?;
            self.gelu(wider, wide.bias(), (cells, inner), bent)?;
            let to = merged + (4 * cell * width) as u64;
            self.product(&narrow.matrix, bent, cells, (to, Kind::F32), false)?;
        }
        let from = self.put_words(Place::Order, order)?;
        self.take(merged, from, narrow.bias(), (order.len(), width))
    }

    /// The layers, with GELU between, of the residual stream of `patches` patches, `[patches, width]`.
    ///
    /// # Errors
    /// As [`Work::merge`].
    pub fn layers(
        &mut self,
        patches: usize,
        width: usize,
        layers: &[Dense],
    ) -> Result<Vec<f32>, GpuError> {
        let bytes = self.operand.float_bytes().unwrap_or(4);
        let mut x = self.held(Place::X)?.address();
        let (mut width, mut bias) = (width, 0);
        for (i, layer) in layers.iter().enumerate() {
            let input = self.place(Place::Normed, bytes * patches * width)?;
            match i {
                0 => self.gather_from(x, 0, (patches, width), input)?,
                _ => self.gelu(x, bias, (patches, width), input)?,
            }
            (width, bias) = (layer.matrix.rows(), layer.bias());
            x = self.place(Place::Logits, 4 * patches * width)?;
            self.product(&layer.matrix, input, patches, (x, Kind::F32), false)?;
        }
        self.take(x, 0, bias, (patches, width))
    }

    /// The gated unit of groups of patches side by side, each patch `width` numbers of the residual stream: those that
    /// `from` names, [`Work::NONE`] for zeros.
    ///
    /// # Errors
    /// As [`Work::merge`].
    pub fn gated_unit(
        &mut self,
        from: &[u32],
        width: usize,
        unit: &GatedUnit,
    ) -> Result<Vec<f32>, GpuError> {
        let (kind, outputs) = (self.operand, unit.linear.matrix.rows());
        let bytes = kind.float_bytes().unwrap_or(4);
        let rows = from.len() * width / unit.linear.matrix.width().max(1);
        let order = self.put_words(Place::Order, from)?;
        let joined = self.place(Place::Normed, bytes * from.len() * width)?;
        let x = self.held(Place::X)?.address();
        self.gather_from(x, order, (from.len(), width), joined)?;
        let projected = self.place(Place::Logits, 4 * rows * outputs)?;
        self.product(
            &unit.linear.matrix,
            joined,
            rows,
            (projected, Kind::F32),
            false,
        )?;
        let u = self.place(Place::Attended, bytes * rows * outputs)?;
        let ([gain, shift], eps) = &unit.norm;
        let arguments = NormGelu {
            x: projected,
            gain: gain.address(),
            shift: shift.address(),
            eps: *eps,
            rows: rows as u32,
            width: outputs as u32,
            out: u,
        };
        let kernel = of_kind(kind, ["norm_gelu_f32", "norm_gelu_f16", "norm_gelu_bf16"]);
        self.gpu.launch(&warps(kernel, rows), &arguments)?;
        let inner = unit.down.matrix.width();
        let both = self.place(Place::Gates, 2 * bytes * rows * inner)?;
        self.product(&unit.gate_up.matrix, u, rows, (both, kind), false)?;
        let gated = self.place(Place::Inner, bytes * rows * inner)?;
        self.gate_rows(both, None, gated, rows, inner, kind)?;
        let out = self.place(Place::Logits, 4 * rows * unit.down.matrix.rows())?;
        self.product(&unit.down.matrix, gated, rows, (out, Kind::F32), false)?;
        self.take(out, 0, 0, (rows, unit.down.matrix.rows()))
    }

    /// Rows of f32 as the operand's numbers.
    fn gather_from(
        &self,
        input: Address,
        from: Address,
        (rows, width): (usize, usize),
        out: Address,
    ) -> Result<(), GpuError> {
        let gather = Gather {
            input,
            from,
            bias: 0,
            width,
            padded: width,
            out,
        };
        self.gather(&gather, rows, self.operand)
    }

    /// `gelu(x + bias)` of rows of f32 as the operand's numbers.
    fn gelu(
        &self,
        x: Address,
        bias: Address,
        (rows, width): (usize, usize),
        out: Address,
    ) -> Result<(), GpuError> {
        let arguments = GeluRows {
            x,
            bias,
            width: width as u32,
            out,
        };
        let launch = Launch {
            kernel: of_kind(
                self.operand,
                ["gelu_rows_f32", "gelu_rows_f16", "gelu_rows_bf16"],
            ),
            blocks: [rows as u32, 1, 1],
            threads: 256,
            shared: 0,
        };
        self.gpu.launch(&launch, &arguments)
    }

    /// Rows of f32 in the order of `from`, and `bias`, in this machine's memory.
    fn take(
        &mut self,
        input: Address,
        from: Address,
        bias: Address,
        (rows, width): (usize, usize),
    ) -> Result<Vec<f32>, GpuError> {
        let out = self.place(Place::Qkv, 4 * rows * width)?;
        let gather = Gather {
            input,
            from,
            bias,
            width,
            padded: width,
            out,
        };
        self.gather(&gather, rows, Kind::F32)?;
        let mut numbers = vec![0f32; rows * width];
        self.held(Place::Qkv)?.read_numbers(0, &mut numbers)?;
        Ok(numbers)
    }
}

/// Numbers of a row that `norm` takes.
fn patches_width(norm: Norm) -> usize {
    norm.weight.bytes() / 4
}
