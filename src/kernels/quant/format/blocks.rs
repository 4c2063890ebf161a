//! The formats of 32 columns a block: Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0.

use super::{five_bits, halves_at, nibbles, put, put_half, word, Format, GROUP, QUADS};
use crate::kernels::simd::Lanes;

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

pub(in crate::kernels::quant) struct Q4_0;
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

pub(in crate::kernels::quant) struct Q4_1;
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

pub(in crate::kernels::quant) struct Q5_0;
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

pub(in crate::kernels::quant) struct Q5_1;
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

pub(in crate::kernels::quant) struct Q8_0;
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
