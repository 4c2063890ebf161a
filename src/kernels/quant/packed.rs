//! A quantised matrix, packed for the kernels.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use candle_core::quantized::GgmlDType;

use super::activations::{Activations, Tile, BLOCK, TILE};
use super::format::{superblock, with_format, Format, GROUP, QUADS};
use super::product::{Dot, Groups, Panel, TileProduct, Unpack, PAIR};
use crate::kernels::memory::{Arena, Bytes};
use crate::kernels::pool::{self, Parts};
use crate::kernels::simd::{Kernel, Lanes, Simd};
use crate::kernels::PANEL;

/// Tiles of tokens during which the next panel is fetched.
const FETCHING: usize = 2;
/// Groups that one task packs.
const GROUPS_A_TASK: usize = 8;
/// Bytes of a source after whose packing its memory may go.
const SEGMENT: usize = 16 << 20;

/// A quantised matrix `[rows, width]`, sixteen rows together, in as many bits a weight as its file has.
///
/// Memory: for each group of sixteen rows the quants of all its blocks, then their scales, up to a cache line.
pub struct PackedMatrix {
    simd: Simd,
    dtype: GgmlDType,
    rows: usize,
    width: usize,
    /// Bytes of a group, and of the quants in it.
    stride: usize,
    quants: usize,
    bytes: Bytes,
}

thread_local! {
    /// Each thread unpacks into memory of its own, kept from call to call.
    static UNPACKED: RefCell<Panel> = const {
        RefCell::new(Panel { u: Vec::new(), scales: Vec::new(), mins: Vec::new() })
    };
}

impl PackedMatrix {
    /// Whether a matrix of this format and width can be packed.
    pub fn supports(dtype: GgmlDType, width: usize) -> bool {
        superblock(dtype).is_some_and(|(_, columns)| width > 0 && width.is_multiple_of(columns))
    }

    /// Packs `source`, the matrix as it lies in a GGUF file, on all threads, and says of one part after the other that it
    /// was `read` and will not be again. None where the source has another length than `rows` and `width` make, or
    /// [`PackedMatrix::supports`] says no.
    ///
    /// # Errors
    /// The system has no memory left.
    pub fn pack(
        simd: Simd,
        dtype: GgmlDType,
        source: &[u8],
        [rows, width]: [usize; 2],
        arena: &Arena,
        read: &dyn Fn(Range<usize>),
    ) -> std::io::Result<Option<Self>> {
        if !Self::supports(dtype, width) {
            return Ok(None);
        }
        with_format!(dtype, F => Self::pack_as::<F>(simd, dtype, source, [rows, width], arena, read), else Ok(None))
    }

    fn pack_as<F: Format>(
        simd: Simd,
        dtype: GgmlDType,
        source: &[u8],
        [rows, width]: [usize; 2],
        arena: &Arena,
        read: &dyn Fn(Range<usize>),
    ) -> std::io::Result<Option<Self>> {
        let superblocks = width / (F::SUBS * BLOCK);
        let row_bytes = superblocks * F::BYTES;
        if rows.checked_mul(row_bytes) != Some(source.len()) {
            return Ok(None);
        }
        let quants = superblocks * F::SUBS * F::QUANTS;
        let stride = (quants + superblocks * F::HEAD).next_multiple_of(64);
        let groups = rows.div_ceil(GROUP);
        let mut bytes = arena.take(groups * stride)?;
        let parts = Parts::new(&mut bytes);
        let pack_groups = |range: Range<usize>| {
            for group in range {
                // SAFETY: each group has its own part.
                let packed = unsafe { parts.part(group * stride, stride) };
                let (packed_quants, heads) = packed.split_at_mut(quants);
                let block_quants = packed_quants.chunks_exact_mut(F::SUBS * F::QUANTS);
                for (i, (quants, head)) in block_quants
                    .zip(heads.chunks_exact_mut(F::HEAD))
                    .enumerate()
                {
                    // Rows past the end are zero: they cost little and are never looked at.
                    let zeros = [0u8; 256];
                    let blocks: [&[u8]; GROUP] = std::array::from_fn(|lane| {
                        let row = group * GROUP + lane;
                        match row < rows {
                            true => &source[row * row_bytes + i * F::BYTES..][..F::BYTES],
                            false => &zeros[..F::BYTES],
                        }
                    });
                    F::pack(&blocks, quants, head);
                }
            }
        };
        let bytes_of_group = GROUP * row_bytes;
        let segment = SEGMENT.div_ceil(bytes_of_group).max(GROUPS_A_TASK);
        for start in (0..groups).step_by(segment) {
            let end = groups.min(start + segment);
            pool::run((end - start).div_ceil(GROUPS_A_TASK), |task| {
                let first = start + task * GROUPS_A_TASK;
                pack_groups(first..end.min(first + GROUPS_A_TASK));
            });
            read(start * bytes_of_group..source.len().min(end * bytes_of_group));
        }
        Ok(Some(Self {
            simd,
            dtype,
            rows,
            width,
            stride,
            quants,
            bytes,
        }))
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The format that it was packed from.
    pub fn dtype(&self) -> GgmlDType {
        self.dtype
    }

    /// Bytes in memory.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn groups(&self, first: usize) -> Groups {
        let start = self.bytes[first * self.stride..].as_ptr();
        Groups {
            quants: start,
            // SAFETY: within the group.
            heads: unsafe { start.add(self.quants) },
            stride: self.stride,
            blocks: self.width / BLOCK,
        }
    }

    /// Row `row` as floats, `[width]`.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(
            row < self.rows && out.len() == self.width,
            "a row of the matrix"
        );
        let groups = self.groups(row / GROUP);
        let lane = row % GROUP;
        with_format!(self.dtype, F => self.simd.run(Row::<F> { groups, lane, out, format: PhantomData }), else ())
    }

    /// Rows `first ..` with the one token of `x`; `first` is a multiple of 16.
    pub(crate) fn dot(&self, x: &Activations, first: usize, out: &mut [f32]) {
        assert!(
            first.is_multiple_of(GROUP)
                && first + out.len() <= self.rows
                && (x.width(), x.tokens()) == (self.width, 1),
            "rows of the matrix and one token"
        );
        with_format!(self.dtype, F => self.dot_as::<F>(x.at(0), first, out), else ())
    }

    fn dot_as<F: Format>(&self, tile: Tile, first: usize, out: &mut [f32]) {
        let (whole, rest) = out.as_chunks_mut::<GROUP>();
        let next = first / GROUP + whole.len();
        if !whole.is_empty() {
            self.simd.run(Dot::<F> {
                groups: self.groups(first / GROUP),
                tile,
                out: whole,
                format: PhantomData,
            });
        }
        if !rest.is_empty() {
            let mut last = [[0f32; GROUP]];
            self.simd.run(Dot::<F> {
                groups: self.groups(next),
                tile,
                out: &mut last,
                format: PhantomData,
            });
            rest.copy_from_slice(&last[0][..rest.len()]);
        }
    }

    /// Rows `first .. first + 32` (fewer at the end) with all tokens: `panel` is `[whole tiles of tokens, 32]`, see
    /// [`PackedMatrix::panel_len`]; `first` is a multiple of 32.
    pub(crate) fn panel(&self, x: &Activations, first: usize, panel: &mut [f32]) {
        assert!(
            first.is_multiple_of(PANEL)
                && first < self.rows
                && x.width() == self.width
                && panel.len() >= Self::panel_len(x),
            "a panel of the matrix"
        );
        with_format!(self.dtype, F => match x.tile() {
            1 => self.panel_as::<F, 1>(x, first, panel),
            2 => self.panel_as::<F, 2>(x, first, panel),
            4 => self.panel_as::<F, 4>(x, first, panel),
            _ => self.panel_as::<F, TILE>(x, first, panel),
        }, else ())
    }

    /// Numbers that [`PackedMatrix::panel`] writes.
    pub(crate) fn panel_len(x: &Activations) -> usize {
        x.tiles() * x.tile() * PANEL
    }

    fn panel_as<F: Format, const T: usize>(
        &self,
        x: &Activations,
        first: usize,
        panel: &mut [f32],
    ) {
        let groups = self.groups(first / GROUP);
        let count = (self.rows - first).div_ceil(GROUP).min(PAIR);
        // The next panel comes from memory while this one is multiplied.
        let next = (first / GROUP + PAIR) * self.stride;
        let fetching = x.tiles().min(FETCHING);
        let ahead_bytes = match next < self.bytes.len() {
            true => (PAIR * self.stride)
                .div_ceil(fetching * groups.blocks)
                .next_multiple_of(64),
            false => 0,
        };
        UNPACKED.with_borrow_mut(|unpacked| {
            self.simd.run(Unpack::<F> {
                groups,
                count,
                panel: unpacked,
                format: PhantomData,
            });
            for (tile, out) in panel
                .chunks_exact_mut(T * PANEL)
                .take(x.tiles())
                .enumerate()
            {
                self.simd.run(TileProduct::<F, T> {
                    panel: unpacked,
                    blocks: groups.blocks,
                    tile: x.at(tile),
                    ahead: self
                        .bytes
                        .as_ptr()
                        .wrapping_add(next + tile * groups.blocks * ahead_bytes),
                    ahead_bytes: if tile < fetching { ahead_bytes } else { 0 },
                    out,
                    format: PhantomData,
                });
            }
        });
    }
}

/// One row as floats.
struct Row<'a, F> {
    groups: Groups,
    lane: usize,
    out: &'a mut [f32],
    format: PhantomData<F>,
}

impl<F: Format> Kernel for Row<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let Groups { quants, heads, .. } = self.groups;
        let halves = 1 + usize::from(F::HALVES);
        let mut bytes = [[0u8; 64]; QUADS];
        let mut lanes = [[0f32; GROUP]; 2];
        for (block, out) in self.out.chunks_exact_mut(BLOCK).enumerate() {
            let u = F::unpack::<L>(quants.add(block * F::QUANTS));
            for (bytes, u) in bytes.iter_mut().zip(u) {
                L::store_bytes(bytes.as_mut_ptr(), u);
            }
            let head = heads.add(block / F::SUBS * F::HEAD);
            for (half, out) in out.chunks_exact_mut(BLOCK / halves).enumerate() {
                let sub = block % F::SUBS;
                L::store(lanes[0].as_mut_ptr(), F::scale::<L>(head, sub, half));
                L::store(lanes[1].as_mut_ptr(), F::min::<L>(head, sub, half));
                let scale = lanes[0][self.lane];
                for (i, out) in out.iter_mut().enumerate() {
                    let column = half * (BLOCK / 2) + i;
                    let u = bytes[column / 4][self.lane * 4 + column % 4];
                    *out = match F::MIN {
                        true => scale * f32::from(u) + lanes[1][self.lane],
                        false => scale * (i32::from(u) - (1 << F::SHIFT)) as f32,
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
