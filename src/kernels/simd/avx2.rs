//! Sixteen lanes as two 256-bit registers.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{Kernel, Lanes};

#[derive(Clone, Copy)]
pub struct Avx2;

type F = [__m256; 2];
type I = [__m256i; 2];

/// `kernel` compiled for AVX2.
///
/// # Safety
/// The CPU has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.eval::<Avx2>()
}

/// `acc` with four sums of four products in each half.
#[inline(always)]
unsafe fn accumulate(acc: __m256i, u: __m256i, q: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(u, q);
    _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

/// Of four rows, vector `j` holds the columns `j` and `4 + j`, one to a half.
#[inline(always)]
unsafe fn columns_of_four(rows: *const f32, stride: usize) -> [__m256; 4] {
    let (r0, r1) = (_mm256_loadu_ps(rows), _mm256_loadu_ps(rows.add(stride)));
    let rows = rows.add(2 * stride);
    let (r2, r3) = (_mm256_loadu_ps(rows), _mm256_loadu_ps(rows.add(stride)));
    let a = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1));
    let b = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3));
    let c = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
    let d = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
    [
        _mm256_castpd_ps(_mm256_unpacklo_pd(a, b)),
        _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)),
        _mm256_castpd_ps(_mm256_unpacklo_pd(c, d)),
        _mm256_castpd_ps(_mm256_unpackhi_pd(c, d)),
    ]
}

/// Eight rows of eight numbers to eight columns.
#[inline(always)]
unsafe fn transpose8(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    let upper = columns_of_four(from, from_stride);
    let lower = columns_of_four(from.add(4 * from_stride), from_stride);
    for j in 0..4 {
        let low = _mm256_permute2f128_ps::<0x20>(upper[j], lower[j]);
        let high = _mm256_permute2f128_ps::<0x31>(upper[j], lower[j]);
        _mm256_storeu_ps(to.add(j * to_stride), low);
        _mm256_storeu_ps(to.add((j + 4) * to_stride), high);
    }
}

/// The same for the signed bytes `u − 128`, whose products with 127 fit twice where those of `u` do not.
#[inline(always)]
unsafe fn accumulate_signed(acc: __m256i, u: __m256i, q: __m256i) -> __m256i {
    let w = _mm256_xor_si256(u, _mm256_set1_epi8(-128));
    accumulate(acc, _mm256_abs_epi8(w), _mm256_sign_epi8(q, w))
}

#[inline(always)]
unsafe fn widened(p: *const bf16) -> __m256 {
    let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
}

/// `2^(x − 1)`.
#[inline(always)]
unsafe fn power(x: __m256i) -> __m256 {
    let exponent = _mm256_add_epi32(x, _mm256_set1_epi32(126));
    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
}

/// As 16-bit numbers.
#[inline(always)]
unsafe fn narrowed(x: __m256i) -> __m128i {
    _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x))
}

// No closures: what a closure calls is not always compiled for the instruction set of its surroundings.
impl Lanes for Avx2 {
    type F = F;
    type I = I;
    type B = I;

    const ACCUMULATORS: usize = 6;
    const CENTRED: bool = true;

    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        _mm_prefetch::<_MM_HINT_T1>(p.cast());
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> F {
        [_mm256_set1_ps(x); 2]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> F {
        [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))]
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const f16) -> F {
        [
            _mm256_cvtph_ps(_mm_loadu_si128(p.cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(p.add(8).cast())),
        ]
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const bf16) -> F {
        [widened(p), widened(p.add(8))]
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, x: F) {
        _mm256_storeu_ps(p, x[0]);
        _mm256_storeu_ps(p.add(8), x[1]);
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut f16, x: F) {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
        _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<NEAREST>(x[0]));
        _mm_storeu_si128(p.add(8).cast(), _mm256_cvtps_ph::<NEAREST>(x[1]));
    }
    #[inline(always)]
    unsafe fn add(a: F, b: F) -> F {
        [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn sub(a: F, b: F) -> F {
        [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn mul(a: F, b: F) -> F {
        [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn div(a: F, b: F) -> F {
        [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn fma(a: F, b: F, c: F) -> F {
        [
            _mm256_fmadd_ps(a[0], b[0], c[0]),
            _mm256_fmadd_ps(a[1], b[1], c[1]),
        ]
    }
    #[inline(always)]
    unsafe fn max(a: F, b: F) -> F {
        [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn min(a: F, b: F) -> F {
        [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn abs(a: F) -> F {
        let sign = _mm256_set1_ps(-0.0);
        [_mm256_andnot_ps(sign, a[0]), _mm256_andnot_ps(sign, a[1])]
    }
    #[inline(always)]
    unsafe fn zero_below(x: F, limit: F, y: F) -> F {
        let masks = [
            _mm256_cmp_ps::<_CMP_NLT_UQ>(x[0], limit[0]),
            _mm256_cmp_ps::<_CMP_NLT_UQ>(x[1], limit[1]),
        ];
        [_mm256_and_ps(masks[0], y[0]), _mm256_and_ps(masks[1], y[1])]
    }
    #[inline(always)]
    unsafe fn sum(x: F) -> f32 {
        let x = _mm256_add_ps(x[0], x[1]);
        let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
    }
    #[inline(always)]
    unsafe fn largest(x: F) -> f32 {
        let x = _mm256_max_ps(x[0], x[1]);
        let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        for (i, j) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
            let (from, to) = (from.add(i * from_stride + j), to.add(j * to_stride + i));
            transpose8(from, from_stride, to, to_stride);
        }
    }

    #[inline(always)]
    unsafe fn round(x: F) -> I {
        [_mm256_cvtps_epi32(x[0]), _mm256_cvtps_epi32(x[1])]
    }
    #[inline(always)]
    unsafe fn to_float(x: I) -> F {
        [_mm256_cvtepi32_ps(x[0]), _mm256_cvtepi32_ps(x[1])]
    }
    #[inline(always)]
    unsafe fn exp2_less_one(x: I) -> F {
        [power(x[0]), power(x[1])]
    }
    #[inline(always)]
    unsafe fn splat_i(x: i32) -> I {
        [_mm256_set1_epi32(x); 2]
    }
    #[inline(always)]
    unsafe fn sum_i(x: I) -> i32 {
        let x = _mm256_add_epi32(x[0], x[1]);
        let x = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
        let x = _mm_add_epi32(x, _mm_shuffle_epi32::<0b01_00_11_10>(x));
        _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32::<0b10_11_00_01>(x)))
    }
    #[inline(always)]
    unsafe fn add_i(a: I, b: I) -> I {
        [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn or_i(a: I, b: I) -> I {
        [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn and_i(a: I, mask: i32) -> I {
        let mask = _mm256_set1_epi32(mask);
        [_mm256_and_si256(a[0], mask), _mm256_and_si256(a[1], mask)]
    }
    #[inline(always)]
    unsafe fn shr_i(a: I, bits: usize) -> I {
        let bits = _mm_cvtsi32_si128(bits as i32);
        [_mm256_srl_epi32(a[0], bits), _mm256_srl_epi32(a[1], bits)]
    }
    #[inline(always)]
    unsafe fn shl_i(a: I, bits: usize) -> I {
        let bits = _mm_cvtsi32_si128(bits as i32);
        [_mm256_sll_epi32(a[0], bits), _mm256_sll_epi32(a[1], bits)]
    }
    #[inline(always)]
    unsafe fn store_i8(p: *mut i8, x: I) {
        let bytes = _mm_packs_epi16(narrowed(x[0]), narrowed(x[1]));
        _mm_storeu_si128(p.cast(), bytes);
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> I {
        let bytes = _mm_loadu_si128(p.cast());
        [
            _mm256_cvtepu8_epi32(bytes),
            _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes)),
        ]
    }
    #[inline(always)]
    unsafe fn load_i8(p: *const i8) -> I {
        let bytes = _mm_loadu_si128(p.cast());
        [
            _mm256_cvtepi8_epi32(bytes),
            _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)),
        ]
    }

    #[inline(always)]
    unsafe fn load_bytes(p: *const u8) -> I {
        [
            _mm256_loadu_si256(p.cast()),
            _mm256_loadu_si256(p.add(32).cast()),
        ]
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, x: I) {
        _mm256_storeu_si256(p.cast(), x[0]);
        _mm256_storeu_si256(p.add(32).cast(), x[1]);
    }
    #[inline(always)]
    unsafe fn splat_bytes(p: *const i8) -> I {
        [_mm256_set1_epi32(p.cast::<i32>().read_unaligned()); 2]
    }
    #[inline(always)]
    unsafe fn splat_byte(x: u8) -> I {
        [_mm256_set1_epi8(x as i8); 2]
    }
    #[inline(always)]
    unsafe fn and(a: I, b: I) -> I {
        [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn or(a: I, b: I) -> I {
        [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn shr(a: I, bits: usize) -> I {
        let bits = _mm_cvtsi32_si128(bits as i32);
        [_mm256_srl_epi16(a[0], bits), _mm256_srl_epi16(a[1], bits)]
    }
    #[inline(always)]
    unsafe fn shl(a: I, bits: usize) -> I {
        let bits = _mm_cvtsi32_si128(bits as i32);
        [_mm256_sll_epi16(a[0], bits), _mm256_sll_epi16(a[1], bits)]
    }
    #[inline(always)]
    unsafe fn dot(acc: I, u: I, q: I) -> I {
        // 63 · 127 twice stays within 16 bits.
        [
            accumulate(acc[0], u[0], q[0]),
            accumulate(acc[1], u[1], q[1]),
        ]
    }
    #[inline(always)]
    unsafe fn dot8(acc: I, u: I, q: I) -> I {
        // 255 · 127 twice would saturate: |w| · (sign(w)·q) with the signed byte w = u − 128 does not.
        [
            accumulate_signed(acc[0], u[0], q[0]),
            accumulate_signed(acc[1], u[1], q[1]),
        ]
    }
}
