//! The way of an image's patches into the residual stream of an encoder.

use super::encoder::{chunks, of_kind, warps, Dense, CHUNK};
use super::step::Norm;
use super::{Place, Work};
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Launch};
use crate::kernels::cuda::memory::{Address, Buffer};
use crate::kernels::planes::Kind;

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct GatherRows {
    input: Address,
    from: Address,
    bias: Address,
    width: u32,
    padded: u32,
    out: Address,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for GatherRows {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct PlacePatches {
    x: Address,
    bias: Address,
    norm: Address,
    omega: Address,
    eps: f32,
    rows: u32,
    width: u32,
    columns: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for PlacePatches {}

/// Rows of f32 that are gathered.
pub(super) struct Gather {
    pub input: Address,
    /// For each row that is made the row of `input`, [`Work::NONE`] for zeros; 0: the same.
    pub from: Address,
    /// 0: none.
    pub bias: Address,
    pub width: usize,
    /// Numbers of a row that is made, zeros behind `width`.
    pub padded: usize,
    pub out: Address,
}

impl Work {
    /// Stands for a row of zeros where rows are gathered.
    pub const NONE: u32 = u32::MAX;

    /// The patches of an image, rows of `row` numbers, become the residual stream in the order that `order` names them
    /// in (None: as they are), by `embed`, a matrix of f32 whose rows are those of patches with zeros behind. Its bias
    /// is not added.
    ///
    /// # Errors
    /// Out of memory, no cuBLASLt.
    pub fn embed_patches(
        &mut self,
        patches: &[f32],
        row: usize,
        order: Option<&[u32]>,
        embed: &Dense,
    ) -> Result<(), GpuError> {
        let count = patches.len() / row.max(1);
        let (hidden, wide) = (embed.matrix.rows(), embed.matrix.width());
        let input = self.place(Place::Patches, 4 * patches.len())?;
        self.held(Place::Patches)?.write_numbers(0, patches)?;
        let order = match order {
            Some(order) => self.put_words(Place::Order, order)?,
            None => 0,
        };
        let x = self.place(Place::X, 4 * count * hidden)?;
        for (first, rows) in chunks(count, CHUNK) {
            let out = self.place(Place::Inner, 4 * rows * wide)?;
            let gather = Gather {
                input: match order {
                    0 => input + (4 * first * row) as u64,
                    _ => input,
                },
                from: match order {
                    0 => 0,
                    order => order + 4 * first as u64,
                },
                bias: 0,
                width: row,
                padded: wide,
                out,
            };
            self.gather(&gather, rows, Kind::F32)?;
            let to = x + (4 * first * hidden) as u64;
            self.product(&embed.matrix, out, rows, (to, Kind::F32), false)?;
        }
        Ok(())
    }

    /// Makes of the `patches` embeddings in the residual stream, whose bias is still to come, what AIMv2's first block
    /// reads: their RMS norm, and for each quarter of a row sine or cosine of the patch's column or row times `omega`,
    /// radians a patch.
    ///
    /// # Errors
    /// Those of the GPU.
    pub fn place_patches(
        &mut self,
        patches: usize,
        columns: usize,
        embed: &Dense,
        norm: Norm,
        omega: &Buffer,
    ) -> Result<(), GpuError> {
        let arguments = PlacePatches {
            x: self.held(Place::X)?.address(),
            bias: embed.bias(),
            norm: norm.weight.address(),
            omega: omega.address(),
            eps: norm.eps,
            rows: patches as u32,
            width: embed.matrix.rows() as u32,
            columns: columns as u32,
        };
        self.gpu
            .launch(&warps("place_patches", patches), &arguments)
    }

    /// Gathers `rows` rows as numbers of `kind`.
    pub(super) fn gather(&self, gather: &Gather, rows: usize, kind: Kind) -> Result<(), GpuError> {
        let arguments = GatherRows {
            input: gather.input,
            from: gather.from,
            bias: gather.bias,
            width: gather.width as u32,
            padded: gather.padded as u32,
            out: gather.out,
        };
        let launch = Launch {
            kernel: of_kind(
                kind,
                ["gather_rows_f32", "gather_rows_f16", "gather_rows_bf16"],
            ),
            blocks: [rows as u32, 1, 1],
            threads: 256,
            shared: 0,
        };
        self.gpu.launch(&launch, &arguments)
    }

    /// Brings `words` to `place`.
    pub(super) fn put_words(&mut self, place: Place, words: &[u32]) -> Result<Address, GpuError> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let at = self.place(place, bytes.len())?;
        self.held(place)?.write(0, &bytes)?;
        Ok(at)
    }
}
