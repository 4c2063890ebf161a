//! How each quantised format of GGUF lies in memory once sixteen rows are packed together.
//!
//! A weight is `scale · (u − 2^shift)` or `scale · u + min` with a small unsigned integer `u`. Of sixteen rows, 32
//! columns at a time are packed: column `4·j + i` of row `r` is byte `i` of lane `r` of vector `j` (`j` of 0..8), cut
//! into the bits that the format has. Scales of the sixteen rows lie beside each other. Nothing is added: the packed
//! matrix has as many bits a weight as the file. (The formats: ggml's `ggml-common.h` and `ggml-quants.c`.)

use candle_core::quantized::GgmlDType;

use crate::kernels::simd::{Lanes, LANES};

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
    let at = index * 4;
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Puts the four bytes of lane `row` of vector `vector`.
fn put(quants: &mut [u8], vector: usize, row: usize, word: u32) {
    let at = (vector * GROUP + row) * 4;
    quants[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

/// Puts a half-precision number of a row.
fn put_half(head: &mut [u8], row: usize, half: &[u8]) {
    head[row * 2..row * 2 + 2].copy_from_slice(&half[..2]);
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

/// Packs the nibbles of the block formats: 16 bytes, columns 16.. in the upper halves, which is already the order.
fn pack_plain_nibbles(quants: &mut [u8], row: usize, qs: &[u8]) {
    for vector in 0..4 {
        put(quants, vector, row, word(qs, vector));
    }
}

/// Packs 32 fifth bits, column `k` in bit `k`.
fn pack_fifth_bits(quants: &mut [u8], row: usize, qh: u32) {
    // Bits 4·j + i of a byte's worth of columns come together.
    let every_fourth = |bits: u32| {
        let x = bits & 0x1111_1111;
        let x = (x | (x >> 3)) & 0x0303_0303;
        let x = (x | (x >> 6)) & 0x000f_000f;
        (x | (x >> 12)) & 0xff
    };
    let word = (0..4).fold(0, |word, i| word | (every_fourth(qh >> i) << (8 * i)));
    put(quants, 4, row, word);
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

pub(super) struct Q4_0;
impl Format for Q4_0 {
    const BYTES: usize = 18;
    const SUBS: usize = 1;
    const QUANTS: usize = 256;
    const HEAD: usize = 32;
    const SHIFT: u32 = 3;

    fn pack(rows: &[&[u8]; GROUP], quants: &mut [u8], head: &mut [u8]) {
        for (row, block) in rows.iter().enumerate() {
            put_half(head, row, block);
            pack_plain_nibbles(quants, row, &block[2..]);
        }
    }
    #[inline(always)]
    unsafe fn unpack<L: Lanes>(quants: *const u8) -> [L::B; QUADS] {
        nibbles::<L>(quants)
    }
    #[inline(always)]
    unsafe fn scale<L: Lanes>(head: *const u8, _sub: usize, _half: usize) -> L::F {
        halves_at::<L>(head)
    }
}

pub(super) struct Q4_1;
impl Format for Q4_1 {
    const BYTES: usize = 20;
    const SUBS: usize = 1;
    const QUANTS: usize = 256;
    const HEAD: usize = 64;
    const MIN: bool = true;

    fn pack(rows: &[&[u8]; GROUP], quants: &mut [u8], head: &mut [u8]) {
        for (row, block) in rows.iter().enumerate() {
            put_half(head, row, block);
            put_half(&mut head[32..], row, &block[2..]);
            pack_plain_nibbles(quants, row, &block[4..]);
        }
    }
    #[inline(always)]
    unsafe fn unpack<L: Lanes>(quants: *const u8) -> [L::B; QUADS] {
        nibbles::<L>(quants)
    }
    #[inline(always)]
    unsafe fn scale<L: Lanes>(head: *const u8, _sub: usize, _half: usize) -> L::F {
        halves_at::<L>(head)
    }
    #[inline(always)]
    unsafe fn min<L: Lanes>(head: *const u8, _sub: usize, _half: usize) -> L::F {
        halves_at::<L>(head.add(32))
    }
}

pub(super) struct Q5_0;
impl Format for Q5_0 {
    const BYTES: usize = 22;
    const SUBS: usize = 1;
    const QUANTS: usize = 320;
    const HEAD: usize = 32;
    const SHIFT: u32 = 4;

    fn pack(rows: &[&[u8]; GROUP], quants: &mut [u8], head: &mut [u8]) {
        for (row, block) in rows.iter().enumerate() {
            put_half(head, row, block);
            pack_fifth_bits(quants, row, word(&block[2..], 0));
            pack_plain_nibbles(quants, row, &block[6..]);
        }
    }
    #[inline(always)]
    unsafe fn unpack<L: Lanes>(quants: *const u8) -> [L::B; QUADS] {
        five_bits::<L>(quants)
    }
    #[inline(always)]
    unsafe fn scale<L: Lanes>(head: *const u8, _sub: usize, _half: usize) -> L::F {
        halves_at::<L>(head)
    }
}

pub(super) struct Q5_1;
impl Format for Q5_1 {
    const BYTES: usize = 24;
    const SUBS: usize = 1;
    const QUANTS: usize = 320;
    const HEAD: usize = 64;
    const MIN: bool = true;

    fn pack(rows: &[&[u8]; GROUP], quants: &mut [u8], head: &mut [u8]) {
        for (row, block) in rows.iter().enumerate() {
            put_half(head, row, block);
            put_half(&mut head[32..], row, &block[2..]);
            pack_fifth_bits(quants, row, word(&block[4..], 0));
            pack_plain_nibbles(quants, row, &block[8..]);
        }
    }
    #[inline(always)]
    unsafe fn unpack<L: Lanes>(quants: *const u8) -> [L::B; QUADS] {
        five_bits::<L>(quants)
    }
    #[inline(always)]
    unsafe fn scale<L: Lanes>(head: *const u8, _sub: usize, _half: usize) -> L::F {
        halves_at::<L>(head)
    }
    #[inline(always)]
    unsafe fn min<L: Lanes>(head: *const u8, _sub: usize, _half: usize) -> L::F {
        halves_at::<L>(head.add(32))
    }
}

pub(super) struct Q8_0;
impl Format for Q8_0 {
    const BYTES: usize = 34;
    const SUBS: usize = 1;
    const QUANTS: usize = 512;
    const HEAD: usize = 32;
    const EIGHT: bool = true;
    const SHIFT: u32 = 7;

    fn pack(rows: &[&[u8]; GROUP], quants: &mut [u8], head: &mut [u8]) {
        for (row, block) in rows.iter().enumerate() {
            put_half(head, row, block);
            for vector in 0..QUADS {
                put(quants, vector, row, word(&block[2..], vector) ^ 0x8080_8080);
            }
        }
    }
    #[inline(always)]
    unsafe fn unpack<L: Lanes>(quants: *const u8) -> [L::B; QUADS] {
        let mut u = [L::splat_byte(0); QUADS];
        for (j, u) in u.iter_mut().enumerate() {
            *u = L::load_bytes(quants.add(j * 64));
        }
        u
    }
    #[inline(always)]
    unsafe fn scale<L: Lanes>(head: *const u8, _sub: usize, _half: usize) -> L::F {
        halves_at::<L>(head)
    }
}

/// Packs scales and minima of a Q4_K or Q5_K superblock: both factors, then twelve bytes a row.
fn pack_k_scales(head: &mut [u8], row: usize, block: &[u8]) {
    put_half(head, row, block);
    put_half(&mut head[32..], row, &block[2..]);
    for (i, byte) in block[4..16].iter().enumerate() {
        head[64 + i * GROUP + row] = *byte;
    }
}

/// Six bits of the twelve bytes: the scale of block `sub`, or with `min` its minimum.
#[inline(always)]
unsafe fn k_six_bits<L: Lanes>(head: *const u8, sub: usize, min: bool) -> L::F {
    let bytes = head.add(64);
    let six = if sub < 4 {
        let own = L::load_u8(bytes.add((sub + 4 * usize::from(min)) * GROUP));
        L::and_i(own, 63)
    } else {
        let shared = L::load_u8(bytes.add((sub + 4) * GROUP));
        let low = match min {
            false => L::and_i(shared, 15),
            true => L::shr_i(shared, 4),
        };
        let above = L::load_u8(bytes.add((sub - 4 * usize::from(!min)) * GROUP));
        L::or_i(low, L::shl_i(L::shr_i(above, 6), 4))
    };
    L::to_float(six)
}

#[inline(always)]
unsafe fn k_scale<L: Lanes>(head: *const u8, sub: usize) -> L::F {
    L::mul(halves_at::<L>(head), k_six_bits::<L>(head, sub, false))
}

#[inline(always)]
unsafe fn k_min<L: Lanes>(head: *const u8, sub: usize) -> L::F {
    let positive = L::mul(
        halves_at::<L>(head.add(32)),
        k_six_bits::<L>(head, sub, true),
    );
    L::sub(L::splat(0.0), positive)
}

/// The nibble words of block `sub` in K formats: 64 columns share 32 bytes, the first 32 in the low nibbles.
fn k_nibbles(qs: &[u8], sub: usize) -> impl Fn(usize) -> u32 + '_ {
    move |j| (word(qs, sub / 2 * 8 + j) >> (4 * (sub % 2))) & NIBBLES
}

pub(super) struct Q4K;
impl Format for Q4K {
    const BYTES: usize = 144;
    const SUBS: usize = 8;
    const QUANTS: usize = 256;
    const HEAD: usize = 256;
    const MIN: bool = true;

    fn pack(rows: &[&[u8]; GROUP], quants: &mut [u8], head: &mut [u8]) {
        for (row, block) in rows.iter().enumerate() {
            pack_k_scales(head, row, block);
            for (sub, quants) in quants.chunks_exact_mut(Self::QUANTS).enumerate() {
                put_nibbles(quants, row, k_nibbles(&block[16..], sub));
            }
        }
    }
    #[inline(always)]
    unsafe fn unpack<L: Lanes>(quants: *const u8) -> [L::B; QUADS] {
        nibbles::<L>(quants)
    }
    #[inline(always)]
    unsafe fn scale<L: Lanes>(head: *const u8, sub: usize, _half: usize) -> L::F {
        k_scale::<L>(head, sub)
    }
    #[inline(always)]
    unsafe fn min<L: Lanes>(head: *const u8, sub: usize, _half: usize) -> L::F {
        k_min::<L>(head, sub)
    }
}

pub(super) struct Q5K;
impl Format for Q5K {
    const BYTES: usize = 176;
    const SUBS: usize = 8;
    const QUANTS: usize = 320;
    const HEAD: usize = 256;
    const MIN: bool = true;

    fn pack(rows: &[&[u8]; GROUP], quants: &mut [u8], head: &mut [u8]) {
        for (row, block) in rows.iter().enumerate() {
            pack_k_scales(head, row, block);
            for (sub, quants) in quants.chunks_exact_mut(Self::QUANTS).enumerate() {
                put_nibbles(quants, row, k_nibbles(&block[48..], sub));
                put_bits(quants, 4, row, |j| {
                    (word(&block[16..], j) >> sub) & 0x0101_0101
                });
            }
        }
    }
    #[inline(always)]
    unsafe fn unpack<L: Lanes>(quants: *const u8) -> [L::B; QUADS] {
        five_bits::<L>(quants)
    }
    #[inline(always)]
    unsafe fn scale<L: Lanes>(head: *const u8, sub: usize, _half: usize) -> L::F {
        k_scale::<L>(head, sub)
    }
    #[inline(always)]
    unsafe fn min<L: Lanes>(head: *const u8, sub: usize, _half: usize) -> L::F {
        k_min::<L>(head, sub)
    }
}

/// A factor a row, then sixteen signed bytes a row: scales of 16 columns each.
#[inline(always)]
unsafe fn signed_scale<L: Lanes>(head: *const u8, sub: usize, half: usize) -> L::F {
    let scales = head.add(32 + (sub * 2 + half) * GROUP);
    L::mul(
        halves_at::<L>(head),
        L::to_float(L::load_i8(scales.cast::<i8>())),
    )
}

const PAIRS: u32 = 0x0303_0303;

pub(super) struct Q6K;
impl Format for Q6K {
    const BYTES: usize = 210;
    const SUBS: usize = 8;
    const QUANTS: usize = 384;
    const HEAD: usize = 288;
    const SHIFT: u32 = 5;
    const HALVES: bool = true;

    fn pack(rows: &[&[u8]; GROUP], quants: &mut [u8], head: &mut [u8]) {
        for (row, block) in rows.iter().enumerate() {
            put_half(head, row, &block[208..]);
            for (i, byte) in block[192..208].iter().enumerate() {
                head[32 + i * GROUP + row] = *byte;
            }
            for (sub, quants) in quants.chunks_exact_mut(Self::QUANTS).enumerate() {
                // Of each half, parts 0 and 1 are the low nibbles of 64 bytes, parts 2 and 3 the high ones.
                let (half, part) = (sub / 4, sub % 4);
                put_nibbles(quants, row, |j| {
                    (word(block, half * 16 + part % 2 * 8 + j) >> (part / 2 * 4)) & NIBBLES
                });
                put_pairs(quants, 4, row, |j| {
                    (word(&block[128..], half * 8 + j) >> (2 * part)) & PAIRS
                });
            }
        }
    }
    #[inline(always)]
    unsafe fn unpack<L: Lanes>(quants: *const u8) -> [L::B; QUADS] {
        let mut u = nibbles::<L>(quants);
        let pairs = [
            L::load_bytes(quants.add(256)),
            L::load_bytes(quants.add(320)),
        ];
        for (j, u) in u.iter_mut().enumerate() {
            *u = L::or(*u, pair_above::<L>(&pairs, j));
        }
        u
    }
    #[inline(always)]
    unsafe fn scale<L: Lanes>(head: *const u8, sub: usize, half: usize) -> L::F {
        signed_scale::<L>(head, sub, half)
    }
}

/// The pair words of block `sub` in Q2_K and Q3_K: 128 columns share 32 bytes, two bits each.
fn k_pairs(qs: &[u8], sub: usize) -> impl Fn(usize) -> u32 + '_ {
    move |j| (word(qs, sub / 4 * 8 + j) >> (2 * (sub % 4))) & PAIRS
}

pub(super) struct Q2K;
impl Format for Q2K {
    const BYTES: usize = 84;
    const SUBS: usize = 8;
    const QUANTS: usize = 128;
    const HEAD: usize = 320;
    const MIN: bool = true;
    const HALVES: bool = true;

    fn pack(rows: &[&[u8]; GROUP], quants: &mut [u8], head: &mut [u8]) {
        for (row, block) in rows.iter().enumerate() {
            put_half(head, row, &block[80..]);
            put_half(&mut head[32..], row, &block[82..]);
            for (i, byte) in block[..16].iter().enumerate() {
                head[64 + i * GROUP + row] = *byte;
            }
            for (sub, quants) in quants.chunks_exact_mut(Self::QUANTS).enumerate() {
                put_pairs(quants, 0, row, k_pairs(&block[16..], sub));
            }
        }
    }
    #[inline(always)]
    unsafe fn unpack<L: Lanes>(quants: *const u8) -> [L::B; QUADS] {
        let pairs = [L::load_bytes(quants), L::load_bytes(quants.add(64))];
        pairs_alone::<L>(&pairs)
    }
    #[inline(always)]
    unsafe fn scale<L: Lanes>(head: *const u8, sub: usize, half: usize) -> L::F {
        let bytes = L::load_u8(head.add(64 + (sub * 2 + half) * GROUP));
        L::mul(halves_at::<L>(head), L::to_float(L::and_i(bytes, 15)))
    }
    #[inline(always)]
    unsafe fn min<L: Lanes>(head: *const u8, sub: usize, half: usize) -> L::F {
        let bytes = L::load_u8(head.add(64 + (sub * 2 + half) * GROUP));
        let positive = L::mul(
            halves_at::<L>(head.add(32)),
            L::to_float(L::shr_i(bytes, 4)),
        );
        L::sub(L::splat(0.0), positive)
    }
}

pub(super) struct Q3K;
impl Format for Q3K {
    const BYTES: usize = 110;
    const SUBS: usize = 8;
    const QUANTS: usize = 192;
    /// Scales take a byte each here, and six bits in the file.
    const HEAD: usize = 288;
    const SHIFT: u32 = 2;
    const HALVES: bool = true;

    fn pack(rows: &[&[u8]; GROUP], quants: &mut [u8], head: &mut [u8]) {
        for (row, block) in rows.iter().enumerate() {
            put_half(head, row, &block[108..]);
            let packed = &block[96..108];
            for i in 0..16 {
                let low = packed[i % 8] >> (4 * (i / 8)) & 15;
                let high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
                let scale = (low | (high << 4)) as i8 - 32;
                head[32 + i * GROUP + row] = scale as u8;
            }
            for (sub, quants) in quants.chunks_exact_mut(Self::QUANTS).enumerate() {
                put_pairs(quants, 0, row, k_pairs(&block[32..], sub));
                put_bits(quants, 2, row, |j| (word(block, j) >> sub) & 0x0101_0101);
            }
        }
    }
    #[inline(always)]
    unsafe fn unpack<L: Lanes>(quants: *const u8) -> [L::B; QUADS] {
        let pairs = [L::load_bytes(quants), L::load_bytes(quants.add(64))];
        let high = L::load_bytes(quants.add(128));
        let mut u = pairs_alone::<L>(&pairs);
        for (j, u) in u.iter_mut().enumerate() {
            *u = L::or(*u, bit::<L>(high, j, 2));
        }
        u
    }
    #[inline(always)]
    unsafe fn scale<L: Lanes>(head: *const u8, sub: usize, half: usize) -> L::F {
        signed_scale::<L>(head, sub, half)
    }
}
