//! Pairs of bf16, multiplied and summed in f32 by one instruction (`vdpbf16ps`).
//! It takes denormals for zeros and rounds each pair's sum once more than an fma would.

use std::arch::x86_64::*;

use half::bf16;

use super::arithmetic::Arithmetic;
use crate::kernels::simd::LANES;

pub(super) struct Pairs;

/// Sixteen pairs, as they lie in memory.
type Units = __m512i;

impl Arithmetic for Pairs {
    type Weight = bf16;
    type Units = Units;
    type Sums = __m512;

    const PER_VECTOR: usize = 2 * LANES;
    const ACCUMULATORS: usize = 24;

    #[inline(always)]
    unsafe fn weights(p: *const bf16) -> Units {
        _mm512_loadu_si512(p.cast())
    }
    #[inline(always)]
    unsafe fn activations(p: *const f32) -> Units {
        let (low, high) = (_mm512_loadu_ps(p), _mm512_loadu_ps(p.add(LANES)));
        // SAFETY: both are 512 bits of plain numbers.
        std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Units {
        _mm512_loadu_si512(p.cast())
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, units: Units) {
        _mm512_storeu_si512(p.cast(), units);
    }
    #[inline(always)]
    unsafe fn splat(p: *const f32) -> Units {
        _mm512_set1_epi32(p.cast::<i32>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn zero_units() -> Units {
        _mm512_setzero_si512()
    }
    #[inline(always)]
    unsafe fn zero() -> __m512 {
        _mm512_setzero_ps()
    }
    #[inline(always)]
    unsafe fn load_sums(p: *const f32) -> __m512 {
        _mm512_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn store_sums(p: *mut f32, sums: __m512) {
        _mm512_storeu_ps(p, sums);
    }
    #[inline(always)]
    unsafe fn add_product(sums: __m512, a: Units, b: Units) -> __m512 {
        // SAFETY: both are 512 bits of plain numbers.
        let a = std::mem::transmute::<__m512i, __m512bh>(a);
        let b = std::mem::transmute::<__m512i, __m512bh>(b);
        _mm512_dpbf16_ps(sums, a, b)
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn total(sums: __m512) -> f32 {
        _mm512_reduce_add_ps(sums)
    }
}

/// `operation` compiled with products of pairs.
///
/// # Safety
/// The CPU has the features named here.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")]
pub(super) unsafe fn run<O: super::Operation<Weight = bf16>>(operation: O) {
    operation.eval::<Pairs>();
}
