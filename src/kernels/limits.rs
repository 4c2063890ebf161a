//! What one thread of this CPU can do at most: bytes read from memory, and arithmetic in registers. [`crate::bench`] runs
//! these on as many threads as a model and says which share of the limit the model reached.

use std::hint::black_box;

#[cfg(target_arch = "x86_64")]
use super::Simd;

/// Arithmetic by the type of its operands; each CPU has another peak for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// Fused multiply-add of f32.
    F32,
    /// Tiles or dot products of bf16 pairs, where the CPU has them; else as f32.
    Bf16,
    /// Dot products of four bytes, where the CPU has them; else what it has for bytes.
    Int8,
}

/// Reads all of `data` once, in loads as wide as the registers. The result depends on every byte read.
pub fn read(data: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: AVX-512F is there.
            return unsafe { x86::read_avx512(data) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: AVX2 is there.
            return unsafe { x86::read_avx2(data) };
        }
    }
    read_portable(data)
}

fn read_portable(data: &[u8]) -> u64 {
    let mut sums = [0u64; 16];
    for block in data.as_chunks::<128>().0 {
        for (sum, word) in sums.iter_mut().zip(block.as_chunks::<8>().0) {
            *sum ^= u64::from_ne_bytes(*word);
        }
    }
    sums.iter().fold(0, |all, sum| all ^ sum)
}

/// Multiplies and adds in registers for `rounds` rounds; the operations that took, a multiplication and an addition
/// being one each.
pub fn compute(kind: Arithmetic, rounds: u64) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        let avx512 = is_x86_feature_detected!("avx512f");
        match kind {
            Arithmetic::Bf16 if Simd::detect() == Simd::Amx => {
                // SAFETY: it is there.
                return unsafe { x86::bf16_amx(rounds) };
            }
            Arithmetic::Bf16 if avx512 && is_x86_feature_detected!("avx512bf16") => {
                // SAFETY: AVX-512F and AVX-512 BF16 are there.
                return unsafe { x86::bf16_avx512(rounds) };
            }
            Arithmetic::Int8 if avx512 && is_x86_feature_detected!("avx512vnni") => {
                // SAFETY: AVX-512F and AVX-512 VNNI are there.
                return unsafe { x86::int8_avx512(rounds) };
            }
            Arithmetic::Int8 if is_x86_feature_detected!("avx2") => {
                // SAFETY: AVX2 is there.
                return unsafe { x86::int8_avx2(rounds) };
            }
            _ if avx512 => {
                // SAFETY: AVX-512F is there.
                return unsafe { x86::f32_avx512(rounds) };
            }
            _ if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => {
                // SAFETY: AVX2 and FMA are there.
                return unsafe { x86::f32_avx2(rounds) };
            }
            _ => {}
        }
    }
    // What has no path of its own is measured as f32, which every CPU has.
    f32_portable(rounds)
}

/// In lanes that the compiler puts into registers of whatever width the CPU's baseline has.
fn f32_portable(rounds: u64) -> u64 {
    const LANES: usize = 64;
    let (a, b) = black_box((1e-3f32, 1e-3f32));
    let mut sums = [0f32; LANES];
    for _ in 0..rounds {
        for sum in &mut sums {
            // Fused where that is one instruction, and not a call of the C library.
            *sum = match cfg!(target_arch = "aarch64") {
                true => sum.mul_add(a, b),
                false => *sum * a + b,
            };
        }
    }
    black_box(sums);
    rounds * LANES as u64 * 2
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use crate::kernels::simd::amx::Configured;

    /// Independent sums of the 512-bit loops: more than latency times ports, fewer than the 32 registers.
    const WIDE: usize = 24;
    /// The same for the 16 registers of AVX2.
    const NARROW: usize = 12;

    #[target_feature(enable = "avx512f")]
    pub fn read_avx512(data: &[u8]) -> u64 {
        let mut sums = [_mm512_setzero_si512(); 8];
        for block in data.as_chunks::<512>().0 {
            for (sum, line) in sums.iter_mut().zip(block.as_chunks::<64>().0) {
                // SAFETY: a line is 64 bytes, and the load asks for no alignment.
                let x = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
                *sum = _mm512_xor_si512(*sum, x);
            }
        }
        let all = sums
            .iter()
            .fold(_mm512_setzero_si512(), |a, b| _mm512_xor_si512(a, *b));
        _mm512_reduce_or_epi64(all) as u64
    }

    #[target_feature(enable = "avx2")]
    pub fn read_avx2(data: &[u8]) -> u64 {
        let mut sums = [_mm256_setzero_si256(); 8];
        for block in data.as_chunks::<256>().0 {
            for (sum, line) in sums.iter_mut().zip(block.as_chunks::<32>().0) {
                // SAFETY: a line is 32 bytes, and the load asks for no alignment.
                let x = unsafe { _mm256_loadu_si256(line.as_ptr().cast()) };
                *sum = _mm256_xor_si256(*sum, x);
            }
        }
        let all = sums
            .iter()
            .fold(_mm256_setzero_si256(), |a, b| _mm256_xor_si256(a, *b));
        let halves = _mm_xor_si128(
            _mm256_castsi256_si128(all),
            _mm256_extracti128_si256::<1>(all),
        );
        (_mm_cvtsi128_si64(halves) ^ _mm_extract_epi64::<1>(halves)) as u64
    }

    #[target_feature(enable = "avx512f")]
    pub fn f32_avx512(rounds: u64) -> u64 {
        let (a, b) = black_box((_mm512_set1_ps(1e-3), _mm512_set1_ps(1e-3)));
        let mut sums = [_mm512_setzero_ps(); WIDE];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(a, b, *sum);
            }
        }
        black_box(sums);
        rounds * (WIDE * 16 * 2) as u64
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn f32_avx2(rounds: u64) -> u64 {
        let (a, b) = black_box((_mm256_set1_ps(1e-3), _mm256_set1_ps(1e-3)));
        let mut sums = [_mm256_setzero_ps(); NARROW];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(a, b, *sum);
            }
        }
        black_box(sums);
        rounds * (NARROW * 8 * 2) as u64
    }

    /// # Safety
    /// The CPU has what [`Simd::Amx`](super::Simd::Amx) names.
    pub unsafe fn bf16_amx(rounds: u64) -> u64 {
        // Numbers, as products of zeros take less power and a higher clock. Small ones, so that sums stay finite.
        let numbers: [u32; 256] = std::array::from_fn(|i| 0x3a11_ba33 ^ ((i as u32) << 4));
        let _tiles = Configured::new();
        // Four tiles of sums, as many as products have.
        std::arch::asm!(
            "tileloadd tmm4, [{numbers} + {line}*1]",
            "tileloadd tmm5, [{numbers} + {line}*1]",
            "tileloadd tmm6, [{numbers} + {line}*1]",
            "tileloadd tmm7, [{numbers} + {line}*1]",
            "test {rounds}, {rounds}",
            "jz 3f",
            "2:",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "dec {rounds}",
            "jnz 2b",
            "3:",
            rounds = inout(reg) rounds => _,
            numbers = in(reg) numbers.as_ptr(),
            line = in(reg) 64usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(readonly, nostack),
        );
        rounds * 4 * (16 * 16 * 32 * 2)
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub fn bf16_avx512(rounds: u64) -> u64 {
        let ones = _mm512_set1_ps(1e-3);
        let pairs = _mm512_cvtne2ps_pbh(ones, ones);
        let (a, b) = black_box((pairs, pairs));
        let mut sums = [_mm512_setzero_ps(); WIDE];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, a, b);
            }
        }
        black_box(sums);
        rounds * (WIDE * 32 * 2) as u64
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub fn int8_avx512(rounds: u64) -> u64 {
        let (a, b) = black_box((_mm512_set1_epi8(3), _mm512_set1_epi8(-5)));
        let mut sums = [_mm512_setzero_si512(); WIDE];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        black_box(sums);
        rounds * (WIDE * 64 * 2) as u64
    }

    #[target_feature(enable = "avx2")]
    pub fn int8_avx2(rounds: u64) -> u64 {
        let (b, ones) = black_box((_mm256_set1_epi8(-5), _mm256_set1_epi16(1)));
        let mut sums = [_mm256_set1_epi8(3); NARROW];
        for _ in 0..rounds {
            for sum in &mut sums {
                // The product takes the sum itself: one that did not would be moved out of the loop.
                let products = _mm256_maddubs_epi16(*sum, b);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, ones));
            }
        }
        black_box(sums);
        rounds * (NARROW * 32 * 2) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_counts_what_it_does() {
        for kind in [Arithmetic::F32, Arithmetic::Bf16, Arithmetic::Int8] {
            let once = compute(kind, 1);
            assert!(once > 0);
            assert_eq!(compute(kind, 1000), 1000 * once, "{kind:?}");
        }
        assert_eq!(f32_portable(3), 3 * 128);
    }

    #[test]
    fn what_is_read_depends_on_every_block() {
        let mut data = vec![0u8; 4096];
        assert_eq!((read(&data), read_portable(&data)), (0, 0));
        for at in [0, 777, 4095] {
            data[at] = 1;
            assert_ne!(read(&data), 0, "{at}");
            assert_ne!(read_portable(&data), 0, "{at}");
            data[at] = 0;
        }
    }
}
