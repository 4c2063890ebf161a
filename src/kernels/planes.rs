//! How a matrix of weights lies in the memory of a GPU.
//!
//! A quantised matrix is cut into chunks of 32 consecutive weights of a row; chunk `c = row · width/32 + j` is the `j`-th
//! of its row. A weight is `scale · q + min` with a small integer `q`, made of an unsigned `u`. What the chunks have is
//! torn into three planes, in each of which chunk follows chunk, so that neighbouring threads read neighbouring bytes
//! in whole aligned words, whatever the block of the file was (18, 22, 84, 110, 210 bytes):
//!
//! | kind | of ggml's        | low | high | scales                                | weight           |
//! |------|------------------|-----|------|---------------------------------------|------------------|
//! | Q8   | Q8_0             |  32 |    0 | 2: scale                              | scale · q        |
//! | Q4   | Q4_0, Q4_1, Q4_K |  16 |    0 | 4: scale, min                         | scale · u + min  |
//! | Q5   | Q5_0, Q5_1, Q5_K |  16 |    4 | 4: scale, min                         | scale · u + min  |
//! | Q6   | Q6_K             |  16 |    8 | 4: scales of either half              | scale · (u − 32) |
//! | Q3   | Q3_K             |  16 |    0 | 4: scales of either half              | scale · (u − 4)  |
//! | Q2   | Q2_K             |  16 |    0 | 8: scale and min of either half       | scale · u + min  |
//!
//! (Bytes a chunk; scales and minima are little-endian halves; a chunk's halves are its weights 0..16 and 16..32.)
//!
//! - Low: of Q8 the signed `q` in order. Else byte `i` has the low four bits of weight `i`, and above them those of
//!   weight `i + 16`: four bytes of a word, masked, are four weights for an integer dot product.
//! - High, words in little-endian order. Q5: bit `8·b + g` is bit 4 of weight `4·g + b` (`b` of 0..4, `g` of 0..8), thus
//!   `(word >> g & 0x01010101) << 4` belongs to the weights `4·g..`. Q6: bits `8·b + 2·k` and the next of word `h` are
//!   bits 4 and 5 of weight `4·(4·h + k) + b` (`k` of 0..4), thus `(word[h] >> 2·k & 0x03030303) << 4`.
//!
//! Scales of the K formats are products of a half and a small integer, rounded to a half once: a relative error of at
//! most 2⁻¹¹ (an absolute one of 2⁻²⁵ below 2⁻¹⁴) in each scale and min. All else is exact, as long as 8 times the
//! scale of Q4_0 and 16 times that of Q5_0 are halves. (The formats: ggml's `ggml-common.h` and `ggml-quants.c`.)

mod pack;

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

pub use pack::{pack, pack_into};

/// Weights of a chunk.
pub const CHUNK: usize = 32;
/// What the start of each plane is a multiple of, in bytes.
pub const ALIGN: usize = 256;

/// Numbers of a quantised matrix that become floats at a time, before many tokens meet them.
const PIECE: usize = 64 << 20;

/// Rows of a quantised matrix `[rows, width]` that become floats at a time: as many as keep what each piece gives aligned
/// to [`ALIGN`] bytes, if they are not all.
pub fn piece_rows(rows: usize, width: usize) -> usize {
    let most = PIECE / width.max(1);
    match most >= rows {
        true => rows.max(1),
        false => (most / (ALIGN / 2) * (ALIGN / 2)).max(1),
    }
}

/// How the weights of a matrix are stored. The numbers are those that the GPU's code knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    F32 = 0,
    F16 = 1,
    BF16 = 2,
    Q8 = 3,
    Q4 = 4,
    Q5 = 5,
    Q6 = 6,
    Q3 = 7,
    Q2 = 8,
}

impl Kind {
    /// What a type of a GGUF file becomes; None where there is nothing for it.
    pub fn of(dtype: GgmlDType) -> Option<Self> {
        use GgmlDType as D;
        Some(match dtype {
            D::F32 => Self::F32,
            D::F16 => Self::F16,
            D::BF16 => Self::BF16,
            D::Q8_0 => Self::Q8,
            D::Q4_0 | D::Q4_1 | D::Q4K => Self::Q4,
            D::Q5_0 | D::Q5_1 | D::Q5K => Self::Q5,
            D::Q6K => Self::Q6,
            D::Q3K => Self::Q3,
            D::Q2K => Self::Q2,
            D::Q8_1 | D::Q8K => return None,
        })
    }

    /// Bytes of a number; None for quantised kinds.
    pub fn float_bytes(self) -> Option<usize> {
        match self {
            Self::F32 => Some(4),
            Self::F16 | Self::BF16 => Some(2),
            _ => None,
        }
    }

    /// What widths are multiples of, so that rows are read 16 bytes at a time.
    pub fn widths(self) -> usize {
        self.float_bytes().map_or(CHUNK, |bytes| 16 / bytes)
    }

    /// Bytes of a chunk in the low plane, the high plane and that of the scales; None for floats.
    fn planes(self) -> Option<[usize; 3]> {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => None,
            Self::Q8 => Some([32, 0, 2]),
            Self::Q4 | Self::Q3 => Some([16, 0, 4]),
            Self::Q5 => Some([16, 4, 4]),
            Self::Q6 => Some([16, 8, 4]),
            Self::Q2 => Some([16, 0, 8]),
        }
    }
}

/// Where the planes of a matrix `[rows, width]` lie in its bytes. The low plane, or all of a float matrix, starts at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub kind: Kind,
    pub rows: usize,
    /// Weights of a row.
    pub width: usize,
    /// First byte of the high plane; that of the scales where there is none.
    pub high: usize,
    /// First byte of the scales; the end of a float matrix.
    pub scales: usize,
    /// All bytes, those between the planes included.
    pub bytes: usize,
}

impl Layout {
    /// None for a matrix without weights, a row of a quantised one that is not all chunks, and more bytes than can be
    /// counted.
    pub fn new(kind: Kind, rows: usize, width: usize) -> Option<Self> {
        if rows == 0 || width == 0 {
            return None;
        }
        let [high, scales, bytes] = match kind.planes() {
            None => {
                let size = if kind == Kind::F32 { 4 } else { 2 };
                [rows.checked_mul(width)?.checked_mul(size)?; 3]
            }
            Some(_) if !width.is_multiple_of(CHUNK) => return None,
            Some(sizes) => {
                let chunks = rows.checked_mul(width / CHUNK)?;
                let [low, high, scales] = sizes.map(|size| chunks.checked_mul(size));
                let after_low = low?.checked_next_multiple_of(ALIGN)?;
                let after_high = after_low
                    .checked_add(high?)?
                    .checked_next_multiple_of(ALIGN)?;
                [after_low, after_high, after_high.checked_add(scales?)?]
            }
        };
        Some(Self {
            kind,
            rows,
            width,
            high,
            scales,
            bytes,
        })
    }

    /// That of a matrix of a GGUF file. None where [`Kind::of`] or [`Layout::new`] has none, or a row is not all blocks.
    pub fn of(dtype: GgmlDType, rows: usize, width: usize) -> Option<Self> {
        match width.is_multiple_of(dtype.block_size()) {
            true => Self::new(Kind::of(dtype)?, rows, width),
            false => None,
        }
    }

    /// Chunks of the matrix.
    fn chunks(&self) -> usize {
        self.rows * (self.width / CHUNK)
    }
}

/// The weights of one row, one by one: what kernels are tested against.
///
/// # Panics
/// There is no such row, or `bytes` are fewer than those of `layout`.
pub fn row(layout: &Layout, bytes: &[u8], row: usize) -> Vec<f32> {
    assert!(row < layout.rows);
    (0..layout.width)
        .map(|column| {
            let [scale, q, min] = factors(layout, bytes, row * layout.width + column);
            scale * q + min
        })
        .collect()
}

/// Scale, `q` and min of the weight `index`, counted over all rows. A float is its own scale.
fn factors(layout: &Layout, bytes: &[u8], index: usize) -> [f32; 3] {
    let byte = |at: usize| u32::from(bytes[at]);
    let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let half = |at: usize| f16::from_bits(short(at)).to_f32();
    let word = |at: usize| u32::from(short(at)) | (u32::from(short(at + 2)) << 16);

    let (c, i) = (index / CHUNK, index % CHUNK);
    let u = || (byte(c * 16 + i % 16) >> (i / 16 * 4)) & 15;
    let scales = |index: usize| half(layout.scales + 2 * index);
    match layout.kind {
        Kind::F32 => [f32::from_bits(word(index * 4)), 1.0, 0.0],
        Kind::F16 => [half(index * 2), 1.0, 0.0],
        Kind::BF16 => [bf16::from_bits(short(index * 2)).to_f32(), 1.0, 0.0],
        Kind::Q8 => [scales(c), f32::from(bytes[index].cast_signed()), 0.0],
        Kind::Q4 => [scales(2 * c), u() as f32, scales(2 * c + 1)],
        Kind::Q5 => {
            let high = word(layout.high + 4 * c) >> (i % 4 * 8 + i / 4);
            let u = u() | ((high & 1) << 4);
            [scales(2 * c), u as f32, scales(2 * c + 1)]
        }
        Kind::Q6 => {
            let high = word(layout.high + 8 * c + i / 16 * 4) >> (i % 4 * 8 + i / 4 % 4 * 2);
            let u = u() | ((high & 3) << 4);
            [scales(2 * c + i / 16), u as f32 - 32.0, 0.0]
        }
        Kind::Q3 => [scales(2 * c + i / 16), u() as f32 - 4.0, 0.0],
        Kind::Q2 => {
            let half = 4 * c + i / 16 * 2;
            [scales(half), u() as f32, scales(half + 1)]
        }
    }
}

#[cfg(test)]
mod tests;
