//! How each quantised format of GGUF lies in memory once sixteen rows are packed together.
//!
//! A weight is `scale · (u − 2^shift)` or `scale · u + min` with a small unsigned integer `u`. Of sixteen rows, 32
//! columns at a time are packed: column `4·j + i` of row `r` is byte `i` of lane `r` of vector `j` (`j` of 0..8), cut
//! into the bits that the format has. Scales of the sixteen rows lie beside each other. Nothing is added: the packed
//! matrix has as many bits a weight as the file. (The formats: ggml's `ggml-common.h` and `ggml-quants.c`.)

mod blocks;
mod k;

use candle_core::quantized::GgmlDType;

use crate::kernels::simd::{Lanes, LANES};

pub(super) use blocks::{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
pub(super) use k::{Q2K, Q3K, Q4K, Q5K, Q6K};

/// Rows that are packed together.
pub(super) const GROUP: usize = LANES;
/// Vectors of 64 bytes that 32 columns of a group unpack to.
pub(super) const QUADS: usize = 8;

/// One format.
pub(super) trait Format: 'static {
    /// Bytes of a (super)block in a GGUF file.
    const BYTES: usize;
    /// Blocks of 32 columns in it.
    const SUBS: usize;
    /// Bytes of 32 packed columns of a group.
    const QUANTS: usize;
    /// Bytes of the scales of a group's superblock.
    const HEAD: usize;
    /// `u` takes all eight bits.
    const EIGHT: bool = false;
    /// `2^SHIFT` is subtracted from `u`; ignored with [`Format::MIN`].
    const SHIFT: u32 = 0;
    /// There are minima.
    const MIN: bool = false;
    /// Scales (and minima) belong to 16 columns, not 32.
    const HALVES: bool = false;

    /// Packs a superblock of each of sixteen rows into `quants`, `SUBS · QUANTS` bytes, and `head`.
    fn pack(rows: &[&[u8]; GROUP], quants: &mut [u8], head: &mut [u8]);

    /// `u` of 32 columns: vector `j` has columns `4·j..`.
    ///
    /// # Safety
    /// The instruction set of `L`, and [`Format::QUANTS`] bytes at `quants`.
    unsafe fn unpack<L: Lanes>(quants: *const u8) -> [L::B; QUADS];

    /// Scales of block `sub` (of its half `half`), a lane a row.
    ///
    /// # Safety
    /// The instruction set of `L`, and [`Format::HEAD`] bytes at `head`.
    unsafe fn scale<L: Lanes>(head: *const u8, sub: usize, half: usize) -> L::F;

    /// What is added to every weight, as [`Format::scale`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn min<L: Lanes>(_head: *const u8, _sub: usize, _half: usize) -> L::F {
        L::splat(0.0)
    }
}

/// Runs `$body` with `$format` standing for the format of `$dtype`; `$other` where there is none.
macro_rules! with_format {
    ($dtype:expr, $format:ident => $body:expr, else $other:expr) => {{
        use $crate::kernels::quant::format as formats;
        macro_rules! arm {
            ($name:ident) => {{
                type $format = formats::$name;
                $body
            }};
        }
        match $dtype {
            GgmlDType::Q4_0 => arm!(Q4_0),
            GgmlDType::Q4_1 => arm!(Q4_1),
            GgmlDType::Q5_0 => arm!(Q5_0),
            GgmlDType::Q5_1 => arm!(Q5_1),
            GgmlDType::Q8_0 => arm!(Q8_0),
            GgmlDType::Q2K => arm!(Q2K),
            GgmlDType::Q3K => arm!(Q3K),
            GgmlDType::Q4K => arm!(Q4K),
            GgmlDType::Q5K => arm!(Q5K),
            GgmlDType::Q6K => arm!(Q6K),
            _ => $other,
        }
    }};
}
pub(super) use with_format;

/// Bytes of a superblock in the file, and how many columns it has.
pub(super) fn superblock(dtype: GgmlDType) -> Option<(usize, usize)> {
    fn sizes<F: Format>() -> (usize, usize) {
        (F::BYTES, F::SUBS * 32)
    }
    with_format!(dtype, F => Some(sizes::<F>()), else None)
}

fn word(bytes: &[u8], index: usize) -> u32 {
    u32::from_le_bytes(bytes.as_chunks().0[index])
}

/// Puts the four bytes of lane `row` of vector `vector`.
fn put(quants: &mut [u8], vector: usize, row: usize, word: u32) {
    quants.as_chunks_mut().0[vector * GROUP + row] = word.to_le_bytes();
}

/// Puts a half-precision number of a row.
fn put_half(head: &mut [u8], row: usize, half: &[u8]) {
    head.as_chunks_mut().0[row] = half.as_chunks::<2>().0[0];
}

const NIBBLES: u32 = 0x0f0f_0f0f;

/// Puts 32 nibbles, given as eight words of one a byte: those of words 4.. above those of words ..4.
fn put_nibbles(quants: &mut [u8], row: usize, nibble: impl Fn(usize) -> u32) {
    for vector in 0..4 {
        put(
            quants,
            vector,
            row,
            nibble(vector) | (nibble(vector + 4) << 4),
        );
    }
}

/// Puts one bit a column, given as eight words of one a byte: bit `j` of a byte is that of word `j`.
fn put_bits(quants: &mut [u8], vector: usize, row: usize, bit: impl Fn(usize) -> u32) {
    let word = (0..QUADS).fold(0, |word, j| word | (bit(j) << j));
    put(quants, vector, row, word);
}

/// Puts two bits a column, given as eight words of one pair a byte, into two vectors.
fn put_pairs(quants: &mut [u8], vector: usize, row: usize, pair: impl Fn(usize) -> u32) {
    for part in 0..2 {
        let word = (0..4).fold(0, |word, j| word | (pair(part * 4 + j) << (2 * j)));
        put(quants, vector + part, row, word);
    }
}

/// The first vector that [`put_nibbles`] filled and the three after it.
#[inline(always)]
unsafe fn nibbles<L: Lanes>(quants: *const u8) -> [L::B; QUADS] {
    let mask = L::splat_byte(15);
    let mut u = [mask; QUADS];
    for j in 0..QUADS / 2 {
        let packed = L::load_bytes(quants.add(j * 64));
        u[j] = L::and(packed, mask);
        u[j + QUADS / 2] = L::and(L::shr(packed, 4), mask);
    }
    u
}

/// Bit `j` of each byte, moved to bit `to` (2 or 4).
#[inline(always)]
unsafe fn bit<L: Lanes>(bits: L::B, j: usize, to: usize) -> L::B {
    let moved = match j <= to {
        true => L::shl(bits, to - j),
        false => L::shr(bits, j - to),
    };
    L::and(moved, L::splat_byte(1 << to))
}

/// Bits `2·j` and `2·j + 1` of each byte of two vectors (`j` of 0..4 in the first), moved to bit 4.
#[inline(always)]
unsafe fn pair_above<L: Lanes>(pairs: &[L::B; 2], j: usize) -> L::B {
    let bits = pairs[j / 4];
    let moved = match j % 4 {
        0 => L::shl(bits, 4),
        1 => L::shl(bits, 2),
        2 => bits,
        _ => L::shr(bits, 2),
    };
    L::and(moved, L::splat_byte(0x30))
}

/// The same moved to bit 0, for all `j`.
#[inline(always)]
unsafe fn pairs_alone<L: Lanes>(pairs: &[L::B; 2]) -> [L::B; QUADS] {
    let mask = L::splat_byte(3);
    let mut u = [mask; QUADS];
    for (j, u) in u.iter_mut().enumerate() {
        *u = L::and(L::shr(pairs[j / 4], 2 * (j % 4)), mask);
    }
    u
}

#[inline(always)]
unsafe fn halves_at<L: Lanes>(head: *const u8) -> L::F {
    L::load_f16(head.cast())
}

#[inline(always)]
unsafe fn five_bits<L: Lanes>(quants: *const u8) -> [L::B; QUADS] {
    let mut u = nibbles::<L>(quants);
    let high = L::load_bytes(quants.add(256));
    for (j, u) in u.iter_mut().enumerate() {
        *u = L::or(*u, bit::<L>(high, j, 4));
    }
    u
}
