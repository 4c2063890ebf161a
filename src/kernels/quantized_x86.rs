//! The formats of [`super::quantized`] in 256-bit registers: AVX2, and AVX-512 VNNI's dot product where it is there.

use std::arch::x86_64::*;

use candle_core::quantized::GgmlDType;

use super::activations::{Tile, BLOCK, TILE};
use super::quantized::Kernel;
use super::Simd;

/// 32 weights of a block: `scale · u − min`, scale and min for each half of 16.
#[derive(Clone, Copy)]
struct Unpacked {
    /// Unsigned bytes; signed ones where [`Format::SIGNED`].
    u: __m256i,
    /// One lane for each group of four weights.
    scale: __m256,
    /// For both halves (the first counts for all 32 unless [`Format::HALVES`]).
    min: [f32; 2],
}

/// How a format lies in memory.
///
/// # Safety
/// `sub` and `head` read [`Format::BYTES`] bytes at `block`; the CPU must have AVX2 and F16C.
trait Format {
    /// Bytes of a (super)block.
    const BYTES: usize;
    /// Blocks of 32 in a superblock.
    const SUBS: usize;
    /// Scales belong to 16 weights, not 32.
    const HALVES: bool = false;
    /// `u` is signed and fills its byte (Q8_0).
    const SIGNED: bool = false;
    /// What is decoded once a superblock.
    type Head: Copy;
    unsafe fn head(block: *const u8) -> Self::Head;
    unsafe fn sub(block: *const u8, head: &Self::Head, index: usize) -> Unpacked;
}

/// A half-precision number at `p`.
#[inline(always)]
unsafe fn f16_at(p: *const u8) -> f32 {
    let bits = p.cast::<u16>().read_unaligned();
    _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
}

/// 32 nibbles of 16 bytes: the low ones first.
#[inline(always)]
unsafe fn nibbles(p: *const u8) -> __m256i {
    let bytes = _mm_loadu_si128(p.cast());
    let both = _mm256_set_m128i(_mm_srli_epi16::<4>(bytes), bytes);
    _mm256_and_si256(both, _mm256_set1_epi8(15))
}

/// 32 bits at `p` as bytes 16 or 0: the fifth bits of a Q5 block.
#[inline(always)]
unsafe fn fifth_bits(p: *const u8) -> __m256i {
    let bits = _mm256_set1_epi32(p.cast::<i32>().read_unaligned());
    let byte_of = _mm256_setr_epi64x(
        0,
        0x0101_0101_0101_0101,
        0x0202_0202_0202_0202,
        0x0303_0303_0303_0303,
    );
    let spread = _mm256_shuffle_epi8(bits, byte_of);
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201u64 as i64);
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
    _mm256_and_si256(set, _mm256_set1_epi8(16))
}

#[inline(always)]
unsafe fn unpacked(u: __m256i, scale: f32, min: f32) -> Unpacked {
    Unpacked {
        u,
        scale: _mm256_set1_ps(scale),
        min: [min, 0.0],
    }
}

struct Q4_0;
impl Format for Q4_0 {
    const BYTES: usize = 18;
    const SUBS: usize = 1;
    type Head = ();
    #[inline(always)]
    unsafe fn head(_block: *const u8) {}
    #[inline(always)]
    unsafe fn sub(block: *const u8, _head: &(), _index: usize) -> Unpacked {
        let d = f16_at(block);
        unpacked(nibbles(block.add(2)), d, 8.0 * d)
    }
}

struct Q4_1;
impl Format for Q4_1 {
    const BYTES: usize = 20;
    const SUBS: usize = 1;
    type Head = ();
    #[inline(always)]
    unsafe fn head(_block: *const u8) {}
    #[inline(always)]
    unsafe fn sub(block: *const u8, _head: &(), _index: usize) -> Unpacked {
        unpacked(nibbles(block.add(4)), f16_at(block), -f16_at(block.add(2)))
    }
}

struct Q5_0;
impl Format for Q5_0 {
    const BYTES: usize = 22;
    const SUBS: usize = 1;
    type Head = ();
    #[inline(always)]
    unsafe fn head(_block: *const u8) {}
    #[inline(always)]
    unsafe fn sub(block: *const u8, _head: &(), _index: usize) -> Unpacked {
        let d = f16_at(block);
        let u = _mm256_or_si256(nibbles(block.add(6)), fifth_bits(block.add(2)));
        unpacked(u, d, 16.0 * d)
    }
}

struct Q5_1;
impl Format for Q5_1 {
    const BYTES: usize = 24;
    const SUBS: usize = 1;
    type Head = ();
    #[inline(always)]
    unsafe fn head(_block: *const u8) {}
    #[inline(always)]
    unsafe fn sub(block: *const u8, _head: &(), _index: usize) -> Unpacked {
        let u = _mm256_or_si256(nibbles(block.add(8)), fifth_bits(block.add(4)));
        unpacked(u, f16_at(block), -f16_at(block.add(2)))
    }
}

struct Q8_0;
impl Format for Q8_0 {
    const BYTES: usize = 34;
    const SUBS: usize = 1;
    const SIGNED: bool = true;
    type Head = ();
    #[inline(always)]
    unsafe fn head(_block: *const u8) {}
    #[inline(always)]
    unsafe fn sub(block: *const u8, _head: &(), _index: usize) -> Unpacked {
        let u = _mm256_loadu_si256(block.add(2).cast());
        unpacked(u, f16_at(block), 0.0)
    }
}

/// Scales and minima of a K superblock, one of each for 32 weights.
#[derive(Clone, Copy)]
struct KScales {
    scales: [f32; 8],
    mins: [f32; 8],
}

/// Eight 6-bit scales and eight 6-bit minima in 12 bytes, times the superblock's own.
#[inline(always)]
unsafe fn k_scales(block: *const u8) -> KScales {
    let word = |i: usize| block.add(4 + 4 * i).cast::<u32>().read_unaligned();
    let (a, b, c) = (word(0), word(1), word(2));
    const SIX: u32 = 0x3f3f_3f3f;
    const FOUR: u32 = 0x0f0f_0f0f;
    const TWO: u32 = 0x0303_0303;
    let pair = |low: u32, high: u32| {
        let bytes = _mm_set_epi64x(0, (i64::from(high) << 32) | i64::from(low));
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))
    };
    let scales = pair(a & SIX, (c & FOUR) | (((a >> 6) & TWO) << 4));
    let mins = pair(b & SIX, ((c >> 4) & FOUR) | (((b >> 6) & TWO) << 4));
    let mut out = KScales {
        scales: [0.0; 8],
        mins: [0.0; 8],
    };
    _mm256_storeu_ps(
        out.scales.as_mut_ptr(),
        _mm256_mul_ps(scales, _mm256_set1_ps(f16_at(block))),
    );
    _mm256_storeu_ps(
        out.mins.as_mut_ptr(),
        _mm256_mul_ps(mins, _mm256_set1_ps(f16_at(block.add(2)))),
    );
    out
}

/// Nibbles of 32 bytes: the low ones for an even index, the high ones for an odd one.
#[inline(always)]
unsafe fn nibbles_of_32(p: *const u8, index: usize) -> __m256i {
    let bytes = _mm256_loadu_si256(p.cast());
    let bytes = match index % 2 {
        0 => bytes,
        _ => _mm256_srli_epi16::<4>(bytes),
    };
    _mm256_and_si256(bytes, _mm256_set1_epi8(15))
}

struct Q4K;
impl Format for Q4K {
    const BYTES: usize = 144;
    const SUBS: usize = 8;
    type Head = KScales;
    #[inline(always)]
    unsafe fn head(block: *const u8) -> KScales {
        k_scales(block)
    }
    #[inline(always)]
    unsafe fn sub(block: *const u8, head: &KScales, index: usize) -> Unpacked {
        let u = nibbles_of_32(block.add(16 + index / 2 * 32), index);
        unpacked(u, head.scales[index], head.mins[index])
    }
}

struct Q5K;
impl Format for Q5K {
    const BYTES: usize = 176;
    const SUBS: usize = 8;
    type Head = KScales;
    #[inline(always)]
    unsafe fn head(block: *const u8) -> KScales {
        k_scales(block)
    }
    #[inline(always)]
    unsafe fn sub(block: *const u8, head: &KScales, index: usize) -> Unpacked {
        let low = nibbles_of_32(block.add(48 + index / 2 * 32), index);
        let high = _mm256_loadu_si256(block.add(16).cast());
        let bit = _mm256_set1_epi8((1u8 << index) as i8);
        let set = _mm256_cmpeq_epi8(_mm256_and_si256(high, bit), bit);
        let u = _mm256_or_si256(low, _mm256_and_si256(set, _mm256_set1_epi8(16)));
        unpacked(u, head.scales[index], head.mins[index])
    }
}

struct Q6K;
impl Format for Q6K {
    const BYTES: usize = 210;
    const SUBS: usize = 8;
    const HALVES: bool = true;
    type Head = [f32; 16];
    #[inline(always)]
    unsafe fn head(block: *const u8) -> [f32; 16] {
        let d = _mm256_set1_ps(f16_at(block.add(208)));
        let scales = _mm_loadu_si128(block.add(192).cast());
        let half = |bytes| _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), d);
        let mut out = [0f32; 16];
        _mm256_storeu_ps(out.as_mut_ptr(), half(scales));
        _mm256_storeu_ps(out.as_mut_ptr().add(8), half(_mm_srli_si128::<8>(scales)));
        out
    }
    #[inline(always)]
    unsafe fn sub(block: *const u8, head: &[f32; 16], index: usize) -> Unpacked {
        let (half, part) = (index / 4, index % 4);
        // Parts 0 and 1 are the low nibbles of 64 bytes, parts 2 and 3 the high ones.
        let low = nibbles_of_32(block.add(half * 64 + part % 2 * 32), part / 2);
        let high = _mm256_loadu_si256(block.add(128 + half * 32).cast());
        let three = _mm256_set1_epi8(0x30);
        let high = match part {
            0 => _mm256_slli_epi16::<4>(high),
            1 => _mm256_slli_epi16::<2>(high),
            2 => high,
            _ => _mm256_srli_epi16::<2>(high),
        };
        let scales = [head[index * 2], head[index * 2 + 1]];
        Unpacked {
            u: _mm256_or_si256(low, _mm256_and_si256(high, three)),
            scale: _mm256_set_m128(_mm_set1_ps(scales[1]), _mm_set1_ps(scales[0])),
            min: [32.0 * scales[0], 32.0 * scales[1]],
        }
    }
}

/// Eight sums of four products each with the two bytes of an activation at `q`.
#[inline(always)]
unsafe fn dot<F: Format, const VNNI: bool>(u: __m256i, q: *const i8) -> __m256 {
    let high = _mm256_loadu_si256(q.cast());
    let low = _mm256_loadu_si256(q.add(BLOCK).cast());
    let sums = if VNNI {
        let high = _mm256_dpbusd_epi32(_mm256_setzero_si256(), u, high);
        _mm256_dpbusd_epi32(_mm256_slli_epi32::<7>(high), u, low)
    } else {
        let high = _mm256_slli_epi32::<7>(dot_of_bytes::<F>(u, high));
        _mm256_add_epi32(high, dot_of_bytes::<F>(u, low))
    };
    _mm256_cvtepi32_ps(sums)
}

/// Eight sums of four products each, without VNNI.
#[inline(always)]
unsafe fn dot_of_bytes<F: Format>(u: __m256i, q: __m256i) -> __m256i {
    let pairs = match F::SIGNED {
        // |u| · (sign(u)·q): 128 · 127 twice stays within 16 bits.
        true => _mm256_maddubs_epi16(_mm256_abs_epi8(u), _mm256_sign_epi8(q, u)),
        false => _mm256_maddubs_epi16(u, q),
    };
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
}

/// The weights of a block as [`dot`] wants them, with their minimum.
#[inline(always)]
unsafe fn prepare<F: Format, const VNNI: bool>(mut block: Unpacked) -> Unpacked {
    if F::SIGNED && VNNI {
        // The dot product takes unsigned bytes: u + 128, and the 128 joins the minimum.
        block.u = _mm256_xor_si256(block.u, _mm256_set1_epi8(-128));
        block.min[0] = 128.0 * _mm256_cvtss_f32(block.scale);
    }
    block
}

#[inline(always)]
unsafe fn sum_of_lanes(x: __m256) -> f32 {
    let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
}

/// Bytes of a cache line.
const LINE: usize = 64;
/// How far ahead weights are asked for: what a core reads during one access to memory, and some more. Rows of small
/// models are too short for the hardware to see the stream.
const PREFETCH: usize = 4096;

/// `R` rows with one token.
#[inline(always)]
unsafe fn rows_of_one<F: Format, const VNNI: bool, const R: usize>(
    rows: *const u8,
    row_bytes: usize,
    width: usize,
    tile: &Tile,
    out: &mut [f32],
) {
    let mut sums = [_mm256_setzero_ps(); R];
    let mut mins = [0f32; R];
    for superblock in 0..width / BLOCK / F::SUBS {
        let base = rows.add(superblock * F::BYTES);
        // Rows lie one after the other: the group of R is read as one stream, whatever the order within it.
        let ahead = rows.wrapping_add(PREFETCH + superblock * R * F::BYTES);
        for line in 0..(R * F::BYTES).div_ceil(LINE) {
            _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(line * LINE).cast());
        }
        let heads: [F::Head; R] = std::array::from_fn(|r| F::head(base.add(r * row_bytes)));
        for sub in 0..F::SUBS {
            let index = superblock * F::SUBS + sub;
            let q = tile.q.as_ptr().add(index * 2 * BLOCK);
            let scale = _mm256_set1_ps(*tile.scales.get_unchecked(index));
            let halves = [
                *tile.sums.get_unchecked(index * 2),
                *tile.sums.get_unchecked(index * 2 + 1),
            ];
            for r in 0..R {
                let block = prepare::<F, VNNI>(F::sub(base.add(r * row_bytes), &heads[r], sub));
                let products = dot::<F, VNNI>(block.u, q);
                sums[r] = _mm256_fmadd_ps(products, _mm256_mul_ps(block.scale, scale), sums[r]);
                if F::HALVES {
                    mins[r] += block.min[0] * halves[0] + block.min[1] * halves[1];
                } else if VNNI || !F::SIGNED {
                    mins[r] += block.min[0] * (halves[0] + halves[1]);
                }
            }
        }
    }
    for r in 0..R {
        out[r] = sum_of_lanes(sums[r]) - mins[r];
    }
}

/// `R` rows with the eight tokens of a full tile; `out` is `[R, 8]`.
#[inline(always)]
unsafe fn rows_of_eight<F: Format, const VNNI: bool, const R: usize>(
    rows: *const u8,
    row_bytes: usize,
    width: usize,
    tile: &Tile,
    out: &mut [f32],
) {
    let mut sums = [[_mm256_setzero_ps(); TILE]; R];
    let mut mins = [_mm256_setzero_ps(); R];
    for superblock in 0..width / BLOCK / F::SUBS {
        let base = rows.add(superblock * F::BYTES);
        let heads: [F::Head; R] = std::array::from_fn(|r| F::head(base.add(r * row_bytes)));
        for sub in 0..F::SUBS {
            let index = superblock * F::SUBS + sub;
            let blocks: [Unpacked; R] = std::array::from_fn(|r| {
                prepare::<F, VNNI>(F::sub(base.add(r * row_bytes), &heads[r], sub))
            });
            let q = tile.q.as_ptr().add(index * TILE * 2 * BLOCK);
            let scales = tile.scales.as_ptr().add(index * TILE);
            for (block, sums) in blocks.iter().zip(&mut sums) {
                for (token, sum) in sums.iter_mut().enumerate() {
                    let products = dot::<F, VNNI>(block.u, q.add(token * 2 * BLOCK));
                    let scale = _mm256_broadcast_ss(&*scales.add(token));
                    *sum = _mm256_fmadd_ps(products, _mm256_mul_ps(block.scale, scale), *sum);
                }
            }
            if VNNI || !F::SIGNED {
                let halves = tile.sums.as_ptr().add(index * 2 * TILE);
                let (first, second) = (_mm256_loadu_ps(halves), _mm256_loadu_ps(halves.add(TILE)));
                for r in 0..R {
                    let [low, high] = blocks[r].min.map(|min| _mm256_set1_ps(min));
                    mins[r] = if F::HALVES {
                        _mm256_fmadd_ps(high, second, _mm256_fmadd_ps(low, first, mins[r]))
                    } else {
                        _mm256_fmadd_ps(low, _mm256_add_ps(first, second), mins[r])
                    };
                }
            }
        }
    }
    for r in 0..R {
        let mut offsets = [0f32; TILE];
        _mm256_storeu_ps(offsets.as_mut_ptr(), mins[r]);
        for token in 0..TILE {
            out[r * TILE + token] = sum_of_lanes(sums[r][token]) - offsets[token];
        }
    }
}

/// All `rows` with all tokens of `tile`.
#[inline(always)]
unsafe fn run<F: Format, const VNNI: bool>(
    bytes: *const u8,
    row_bytes: usize,
    width: usize,
    rows: usize,
    tile: &Tile,
    out: &mut [f32],
) {
    if tile.lanes == TILE {
        // Two rows share what is read of the tile; AVX2's 16 registers hold the sums of one.
        let pairs = if VNNI { rows / 2 } else { 0 };
        let (paired, single) = out.split_at_mut(pairs * 2 * TILE);
        for (pair, out) in paired.chunks_exact_mut(2 * TILE).enumerate() {
            let first = bytes.add(pair * 2 * row_bytes);
            rows_of_eight::<F, VNNI, 2>(first, row_bytes, width, tile, out);
        }
        for (row, out) in single.chunks_exact_mut(TILE).enumerate() {
            let first = bytes.add((pairs * 2 + row) * row_bytes);
            rows_of_eight::<F, VNNI, 1>(first, row_bytes, width, tile, out);
        }
        return;
    }
    // Several rows at a time keep independent sums in flight.
    const R: usize = 4;
    let whole = rows / R * R;
    for (group, out) in out[..whole].chunks_exact_mut(R).enumerate() {
        let first = bytes.add(group * R * row_bytes);
        rows_of_one::<F, VNNI, R>(first, row_bytes, width, tile, out);
    }
    for row in whole..rows {
        let first = bytes.add(row * row_bytes);
        rows_of_one::<F, VNNI, 1>(first, row_bytes, width, tile, &mut out[row..row + 1]);
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn run_avx2<F: Format>(
    bytes: *const u8,
    row_bytes: usize,
    width: usize,
    rows: usize,
    tile: &Tile,
    out: &mut [f32],
) {
    run::<F, false>(bytes, row_bytes, width, rows, tile, out);
}

#[target_feature(enable = "avx2,fma,f16c,avx512vnni,avx512vl")]
unsafe fn run_vnni<F: Format>(
    bytes: *const u8,
    row_bytes: usize,
    width: usize,
    rows: usize,
    tile: &Tile,
    out: &mut [f32],
) {
    run::<F, true>(bytes, row_bytes, width, rows, tile, out);
}

fn of_format<F: Format>(simd: Simd) -> Option<Kernel> {
    match simd {
        Simd::Portable => None,
        Simd::Avx2 => Some(run_avx2::<F>),
        Simd::Avx512 | Simd::Avx512Bf16 => Some(run_vnni::<F>),
    }
}

/// The kernel of a format, where there is one.
pub(super) fn kernel(simd: Simd, dtype: GgmlDType) -> Option<Kernel> {
    match dtype {
        GgmlDType::Q4_0 => of_format::<Q4_0>(simd),
        GgmlDType::Q4_1 => of_format::<Q4_1>(simd),
        GgmlDType::Q5_0 => of_format::<Q5_0>(simd),
        GgmlDType::Q5_1 => of_format::<Q5_1>(simd),
        GgmlDType::Q8_0 => of_format::<Q8_0>(simd),
        GgmlDType::Q4K => of_format::<Q4K>(simd),
        GgmlDType::Q5K => of_format::<Q5K>(simd),
        GgmlDType::Q6K => of_format::<Q6K>(simd),
        _ => None,
    }
}
