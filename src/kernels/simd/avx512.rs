//! Sixteen lanes as one 512-bit register.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{Kernel, Lanes};

#[derive(Clone, Copy)]
pub struct Avx512;

/// `kernel` compiled for AVX-512.
///
/// # Safety
/// The CPU has the features named here.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.eval::<Avx512>()
}

/// Of four rows, vector `j` holds the columns `j`, `4 + j`, `8 + j` and `12 + j`, one to a quarter.
#[inline(always)]
unsafe fn columns_of_four(rows: *const f32, stride: usize) -> [__m512; 4] {
    let (r0, r1) = (_mm512_loadu_ps(rows), _mm512_loadu_ps(rows.add(stride)));
    let rows = rows.add(2 * stride);
    let (r2, r3) = (_mm512_loadu_ps(rows), _mm512_loadu_ps(rows.add(stride)));
    let a = _mm512_castps_pd(_mm512_unpacklo_ps(r0, r1));
    let b = _mm512_castps_pd(_mm512_unpacklo_ps(r2, r3));
    let c = _mm512_castps_pd(_mm512_unpackhi_ps(r0, r1));
    let d = _mm512_castps_pd(_mm512_unpackhi_ps(r2, r3));
    [
        _mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
        _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)),
        _mm512_castpd_ps(_mm512_unpacklo_pd(c, d)),
        _mm512_castpd_ps(_mm512_unpackhi_pd(c, d)),
    ]
}

impl Lanes for Avx512 {
    type F = __m512;
    type I = __m512i;
    type B = __m512i;

    const ACCUMULATORS: usize = 24;
    const CENTRED: bool = false;

    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        _mm_prefetch::<_MM_HINT_T1>(p.cast());
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        _mm512_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const f16) -> __m512 {
        _mm512_cvtph_ps(_mm256_loadu_si256(p.cast()))
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const bf16) -> __m512 {
        let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, x: __m512) {
        _mm512_storeu_ps(p, x);
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut f16, x: __m512) {
        let halves = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT }>(x);
        _mm256_storeu_si256(p.cast(), halves);
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        _mm512_sub_ps(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        _mm512_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        _mm512_div_ps(a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        _mm512_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        _mm512_min_ps(a, b)
    }
    #[inline(always)]
    unsafe fn abs(a: __m512) -> __m512 {
        _mm512_abs_ps(a)
    }
    #[inline(always)]
    unsafe fn zero_below(x: __m512, limit: __m512, y: __m512) -> __m512 {
        _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, limit), y)
    }
    #[inline(always)]
    unsafe fn sum(x: __m512) -> f32 {
        _mm512_reduce_add_ps(x)
    }
    #[inline(always)]
    unsafe fn largest(x: __m512) -> f32 {
        _mm512_reduce_max_ps(x)
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        let mut fours = [[_mm512_setzero_ps(); 4]; 4];
        for (q, four) in fours.iter_mut().enumerate() {
            *four = columns_of_four(from.add(4 * q * from_stride), from_stride);
        }
        let [a, b, c, d] = fours;
        for (j, (((a, b), c), d)) in a.into_iter().zip(b).zip(c).zip(d).enumerate() {
            let ab = _mm512_shuffle_f32x4::<0x88>(a, b);
            let cd = _mm512_shuffle_f32x4::<0x88>(c, d);
            let to = to.add(j * to_stride);
            _mm512_storeu_ps(to, _mm512_shuffle_f32x4::<0x88>(ab, cd));
            _mm512_storeu_ps(to.add(8 * to_stride), _mm512_shuffle_f32x4::<0xdd>(ab, cd));
            let ab = _mm512_shuffle_f32x4::<0xdd>(a, b);
            let cd = _mm512_shuffle_f32x4::<0xdd>(c, d);
            let to = to.add(4 * to_stride);
            _mm512_storeu_ps(to, _mm512_shuffle_f32x4::<0x88>(ab, cd));
            _mm512_storeu_ps(to.add(8 * to_stride), _mm512_shuffle_f32x4::<0xdd>(ab, cd));
        }
    }

    #[inline(always)]
    unsafe fn round(x: __m512) -> __m512i {
        _mm512_cvtps_epi32(x)
    }
    #[inline(always)]
    unsafe fn to_float(x: __m512i) -> __m512 {
        _mm512_cvtepi32_ps(x)
    }
    #[inline(always)]
    unsafe fn exp2_less_one(x: __m512i) -> __m512 {
        let exponent = _mm512_add_epi32(x, _mm512_set1_epi32(126));
        _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
    }
    #[inline(always)]
    unsafe fn splat_i(x: i32) -> __m512i {
        _mm512_set1_epi32(x)
    }
    #[inline(always)]
    unsafe fn sum_i(x: __m512i) -> i32 {
        _mm512_reduce_add_epi32(x)
    }
    #[inline(always)]
    unsafe fn add_i(a: __m512i, b: __m512i) -> __m512i {
        _mm512_add_epi32(a, b)
    }
    #[inline(always)]
    unsafe fn or_i(a: __m512i, b: __m512i) -> __m512i {
        _mm512_or_si512(a, b)
    }
    #[inline(always)]
    unsafe fn and_i(a: __m512i, mask: i32) -> __m512i {
        _mm512_and_si512(a, _mm512_set1_epi32(mask))
    }
    #[inline(always)]
    unsafe fn shr_i(a: __m512i, bits: usize) -> __m512i {
        _mm512_srl_epi32(a, _mm_cvtsi32_si128(bits as i32))
    }
    #[inline(always)]
    unsafe fn shl_i(a: __m512i, bits: usize) -> __m512i {
        _mm512_sll_epi32(a, _mm_cvtsi32_si128(bits as i32))
    }
    #[inline(always)]
    unsafe fn store_i8(p: *mut i8, x: __m512i) {
        _mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(x));
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> __m512i {
        _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()))
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> __m512i {
        _mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast()))
    }

    #[inline(always)]
    unsafe fn load_bytes(p: *const u8) -> __m512i {
        _mm512_loadu_si512(p.cast())
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, x: __m512i) {
        _mm512_storeu_si512(p.cast(), x);
    }
    #[inline(always)]
    unsafe fn splat_bytes(p: *const i8) -> __m512i {
        _mm512_set1_epi32(p.cast::<i32>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn splat_byte(x: u8) -> __m512i {
        _mm512_set1_epi8(x as i8)
    }
    #[inline(always)]
    unsafe fn and(a: __m512i, b: __m512i) -> __m512i {
        _mm512_and_si512(a, b)
    }
    #[inline(always)]
    unsafe fn or(a: __m512i, b: __m512i) -> __m512i {
        _mm512_or_si512(a, b)
    }
    #[inline(always)]
    unsafe fn shr(a: __m512i, bits: usize) -> __m512i {
        _mm512_srl_epi16(a, _mm_cvtsi32_si128(bits as i32))
    }
    #[inline(always)]
    unsafe fn shl(a: __m512i, bits: usize) -> __m512i {
        _mm512_sll_epi16(a, _mm_cvtsi32_si128(bits as i32))
    }
    #[inline(always)]
    unsafe fn dot(acc: __m512i, u: __m512i, q: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(acc, u, q)
    }
    #[inline(always)]
    unsafe fn dot8(acc: __m512i, u: __m512i, q: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(acc, u, q)
    }
}
