//! Sixteen lanes as arrays: the reference, and what the compiler vectorises where crane has no code of its own.

use half::{bf16, f16};

use super::{Lanes, LANES};

#[derive(Clone, Copy)]
pub struct Portable;

type F = [f32; LANES];
type I = [i32; LANES];
type B = [u8; 4 * LANES];

#[inline(always)]
fn map2(a: F, b: F, f: impl Fn(f32, f32) -> f32) -> F {
    std::array::from_fn(|i| f(a[i], b[i]))
}

#[inline(always)]
fn pairs(a: B, f: impl Fn(u16) -> u16) -> B {
    std::array::from_fn(|i| {
        let pair = u16::from_le_bytes([a[i / 2 * 2], a[i / 2 * 2 + 1]]);
        f(pair).to_le_bytes()[i % 2]
    })
}

impl Lanes for Portable {
    type F = F;
    type I = I;
    type B = B;

    const ACCUMULATORS: usize = 4;
    const CENTRED: bool = false;

    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
    #[inline(always)]
    unsafe fn splat(x: f32) -> F {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> F {
        p.cast::<F>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const f16) -> F {
        let halves = p.cast::<[f16; LANES]>().read_unaligned();
        halves.map(f16::to_f32)
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const bf16) -> F {
        let halves = p.cast::<[u16; LANES]>().read_unaligned();
        halves.map(|bits| f32::from_bits(u32::from(bits) << 16))
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, x: F) {
        p.cast::<F>().write_unaligned(x);
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut f16, x: F) {
        p.cast::<[f16; LANES]>()
            .write_unaligned(x.map(f16::from_f32));
    }
    #[inline(always)]
    unsafe fn add(a: F, b: F) -> F {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: F, b: F) -> F {
        map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: F, b: F) -> F {
        map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: F, b: F) -> F {
        map2(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn fma(a: F, b: F, c: F) -> F {
        // Without the instruction `mul_add` is a call of a slow function.
        if cfg!(target_arch = "aarch64") {
            std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
        } else {
            std::array::from_fn(|i| a[i] * b[i] + c[i])
        }
    }
    #[inline(always)]
    unsafe fn max(a: F, b: F) -> F {
        map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(a: F, b: F) -> F {
        map2(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn abs(a: F) -> F {
        a.map(f32::abs)
    }
    #[inline(always)]
    unsafe fn zero_below(x: F, limit: F, y: F) -> F {
        std::array::from_fn(|i| if x[i] < limit[i] { 0.0 } else { y[i] })
    }
    #[inline(always)]
    unsafe fn sum(x: F) -> f32 {
        let x: [f32; 8] = std::array::from_fn(|i| x[i] + x[i + 8]);
        let x: [f32; 4] = std::array::from_fn(|i| x[i] + x[i + 4]);
        (x[0] + x[2]) + (x[1] + x[3])
    }
    #[inline(always)]
    unsafe fn largest(x: F) -> f32 {
        x.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // As integers: a float that is loaded may lose the bits of what is not a number.
        let (from, to) = (from.cast::<u32>(), to.cast::<u32>());
        for i in 0..LANES {
            for j in 0..LANES {
                *to.add(j * to_stride + i) = *from.add(i * from_stride + j);
            }
        }
    }

    #[inline(always)]
    unsafe fn round(x: F) -> I {
        x.map(|x| x.round_ties_even() as i32)
    }
    #[inline(always)]
    unsafe fn to_float(x: I) -> F {
        x.map(|x| x as f32)
    }
    #[inline(always)]
    unsafe fn exp2_less_one(x: I) -> F {
        x.map(|x| f32::from_bits((x.wrapping_add(126) << 23) as u32))
    }
    #[inline(always)]
    unsafe fn splat_i(x: i32) -> I {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn sum_i(x: I) -> i32 {
        x.into_iter().fold(0, i32::wrapping_add)
    }
    #[inline(always)]
    unsafe fn add_i(a: I, b: I) -> I {
        std::array::from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    unsafe fn or_i(a: I, b: I) -> I {
        std::array::from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    unsafe fn and_i(a: I, mask: i32) -> I {
        a.map(|a| a & mask)
    }
    #[inline(always)]
    unsafe fn shr_i(a: I, bits: usize) -> I {
        a.map(|a| ((a as u32) >> bits) as i32)
    }
    #[inline(always)]
    unsafe fn shl_i(a: I, bits: usize) -> I {
        a.map(|a| a << bits)
    }
    #[inline(always)]
    unsafe fn store_i8(p: *mut i8, x: I) {
        p.cast::<[i8; LANES]>().write_unaligned(x.map(|x| x as i8));
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> I {
        p.cast::<[u8; LANES]>().read_unaligned().map(i32::from)
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> I {
        p.cast::<[i8; LANES]>().read_unaligned().map(i32::from)
    }

    #[inline(always)]
    unsafe fn load_bytes(p: *const u8) -> B {
        p.cast::<B>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, x: B) {
        p.cast::<B>().write_unaligned(x);
    }
    #[inline(always)]
    unsafe fn splat_bytes(p: *const i8) -> B {
        let four = p.cast::<[u8; 4]>().read_unaligned();
        std::array::from_fn(|i| four[i % 4])
    }
    #[inline(always)]
    unsafe fn splat_byte(x: u8) -> B {
        [x; 4 * LANES]
    }
    #[inline(always)]
    unsafe fn and(a: B, b: B) -> B {
        std::array::from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    unsafe fn or(a: B, b: B) -> B {
        std::array::from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    unsafe fn shr(a: B, bits: usize) -> B {
        pairs(a, |pair| pair >> bits)
    }
    #[inline(always)]
    unsafe fn shl(a: B, bits: usize) -> B {
        pairs(a, |pair| pair << bits)
    }
    #[inline(always)]
    unsafe fn dot(acc: I, u: B, q: B) -> I {
        std::array::from_fn(|lane| {
            (0..4).fold(acc[lane], |sum, i| {
                let at = lane * 4 + i;
                sum.wrapping_add(i32::from(u[at]) * i32::from(q[at] as i8))
            })
        })
    }
    #[inline(always)]
    unsafe fn dot8(acc: I, u: B, q: B) -> I {
        Self::dot(acc, u, q)
    }
}
