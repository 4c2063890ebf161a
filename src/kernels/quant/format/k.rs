//! The formats of 256 columns a superblock: Q2_K to Q6_K.

use super::{
    bit, five_bits, halves_at, nibbles, pair_above, pairs_alone, put_bits, put_half, put_nibbles,
    put_pairs, word, Format, GROUP, NIBBLES, QUADS,
};
use crate::kernels::simd::Lanes;

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

pub(in crate::kernels::quant) struct Q4K;
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

pub(in crate::kernels::quant) struct Q5K;
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

pub(in crate::kernels::quant) struct Q6K;
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

pub(in crate::kernels::quant) struct Q2K;
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

pub(in crate::kernels::quant) struct Q3K;
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
