//! Products of f32 activations with a matrix of floats (f32, f16 or bf16), which is widened in registers.

use half::{bf16, f16};
use rayon::prelude::*;

use super::Simd;

/// Tokens of a tile.
const TILE: usize = 8;
/// Rows that one task computes for all tokens.
const ROWS_A_TASK: usize = 32;

/// The numbers of a [`FloatMatrix`].
#[derive(Clone, Copy)]
pub enum Floats<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    BF16(&'a [bf16]),
}

/// A matrix of floats `[rows, width]`, row by row.
#[derive(Clone, Copy)]
pub struct FloatMatrix<'a> {
    floats: Floats<'a>,
    rows: usize,
    width: usize,
}

impl<'a> FloatMatrix<'a> {
    /// None where this CPU has no kernel of crane's or the sizes do not fit.
    pub fn new(simd: Simd, floats: Floats<'a>, rows: usize, width: usize) -> Option<Self> {
        let len = match floats {
            Floats::F32(x) => x.len(),
            Floats::F16(x) => x.len(),
            Floats::BF16(x) => x.len(),
        };
        let fits = width > 0 && rows.checked_mul(width) == Some(len);
        (simd != Simd::Portable && fits).then_some(Self {
            floats,
            rows,
            width,
        })
    }

    /// `x · Wᵀ` for `x` of `[tokens, width]`: `[tokens, rows]`.
    pub fn multiply(&self, x: &[f32]) -> Vec<f32> {
        assert!(
            x.len().is_multiple_of(self.width),
            "activations come in whole rows"
        );
        let tokens = x.len() / self.width;
        let mut out = vec![0f32; tokens * self.rows];
        if tokens == 1 {
            let rows = self
                .rows
                .div_ceil(rayon::current_num_threads() * 4)
                .next_multiple_of(ROWS_A_TASK);
            out.par_chunks_mut(rows)
                .enumerate()
                .for_each(|(task, out)| self.dot(task * rows, x, out));
            return out;
        }
        // Tasks own rows of W, which are columns of the result: they are computed apart and then put in place.
        let panels: Vec<Vec<f32>> = (0..self.rows.div_ceil(ROWS_A_TASK))
            .into_par_iter()
            .map(|task| self.panel(task * ROWS_A_TASK, x, tokens))
            .collect();
        out.par_chunks_mut(self.rows)
            .enumerate()
            .for_each(|(token, out)| {
                for (panel, out) in panels.iter().zip(out.chunks_mut(ROWS_A_TASK)) {
                    for (row, out) in out.iter_mut().enumerate() {
                        *out = panel[row * tokens + token];
                    }
                }
            });
        out
    }

    /// The columns `first .. first + 32` of the result, `[columns, tokens]`.
    fn panel(&self, first: usize, x: &[f32], tokens: usize) -> Vec<f32> {
        let rows = ROWS_A_TASK.min(self.rows - first);
        let mut panel = vec![0f32; rows * tokens];
        for (tile, x) in x.chunks(TILE * self.width).enumerate() {
            let lanes = x.len() / self.width;
            for row in 0..rows {
                let out = &mut panel[row * tokens + tile * TILE..][..lanes];
                self.dot_of_tokens(first + row, x, out);
            }
        }
        panel
    }

    /// Rows from `first` on with one token.
    fn dot(&self, first: usize, x: &[f32], out: &mut [f32]) {
        for (row, out) in out.iter_mut().enumerate() {
            self.dot_of_tokens(first + row, x, std::slice::from_mut(out));
        }
    }

    /// One row with the tokens in `x`, `[out.len(), width]`, at most eight.
    fn dot_of_tokens(&self, row: usize, x: &[f32], out: &mut [f32]) {
        let range = row * self.width..(row + 1) * self.width;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: AVX2, FMA and F16C are there (checked in `new`), and `x` holds `out.len()` rows as long as the slice.
        unsafe {
            match self.floats {
                Floats::F32(w) => x86::dot(&w[range], x, out),
                Floats::F16(w) => x86::dot(&w[range], x, out),
                Floats::BF16(w) => x86::dot(&w[range], x, out),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = (range, x, out);
            unreachable!("no matrix is made without a kernel");
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use half::{bf16, f16};

    use super::TILE;

    /// A number that eight at a time become f32.
    pub trait Wide: Copy {
        /// # Safety
        /// Eight numbers at `p`; AVX2 and F16C.
        unsafe fn load(p: *const Self) -> __m256;
        fn one(self) -> f32;
    }

    impl Wide for f32 {
        #[inline(always)]
        unsafe fn load(p: *const f32) -> __m256 {
            _mm256_loadu_ps(p)
        }
        fn one(self) -> f32 {
            self
        }
    }

    impl Wide for f16 {
        #[inline(always)]
        unsafe fn load(p: *const f16) -> __m256 {
            _mm256_cvtph_ps(_mm_loadu_si128(p.cast()))
        }
        fn one(self) -> f32 {
            self.to_f32()
        }
    }

    impl Wide for bf16 {
        #[inline(always)]
        unsafe fn load(p: *const bf16) -> __m256 {
            let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
        }
        fn one(self) -> f32 {
            self.to_f32()
        }
    }

    /// Bytes of a cache line, and how far ahead weights are asked for.
    const LINE: usize = 64;
    const PREFETCH: usize = 4096;

    /// `w` with each row of `x`, `[out.len(), w.len()]`.
    ///
    /// # Safety
    /// AVX2, FMA and F16C; `x` must hold `out.len()` rows, at most eight.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub unsafe fn dot<W: Wide>(w: &[W], x: &[f32], out: &mut [f32]) {
        match out.len() {
            1 => out[0] = dot_of_one(w, x),
            TILE => dot_of_tile::<W, TILE>(w, x, out),
            _ => {
                for (x, out) in x.chunks_exact(w.len()).zip(out) {
                    *out = dot_of_one(w, x);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn dot_of_one<W: Wide>(w: &[W], x: &[f32]) -> f32 {
        let mut sums = [_mm256_setzero_ps(); 4];
        let whole = w.len() / 32 * 32;
        for start in (0..whole).step_by(32) {
            let p = w.as_ptr().add(start);
            for line in 0..(32 * size_of::<W>()).div_ceil(LINE) {
                let ahead = p.cast::<i8>().wrapping_add(PREFETCH + line * LINE);
                _mm_prefetch::<_MM_HINT_T0>(ahead);
            }
            for (i, sum) in sums.iter_mut().enumerate() {
                let x = _mm256_loadu_ps(x.as_ptr().add(start + 8 * i));
                *sum = _mm256_fmadd_ps(W::load(p.add(8 * i)), x, *sum);
            }
        }
        let total = _mm256_add_ps(
            _mm256_add_ps(sums[0], sums[1]),
            _mm256_add_ps(sums[2], sums[3]),
        );
        sum_of_lanes(total) + rest(&w[whole..], &x[whole..])
    }

    #[inline(always)]
    unsafe fn dot_of_tile<W: Wide, const T: usize>(w: &[W], x: &[f32], out: &mut [f32]) {
        let width = w.len();
        let mut sums = [_mm256_setzero_ps(); T];
        let whole = width / 8 * 8;
        for start in (0..whole).step_by(8) {
            let weights = W::load(w.as_ptr().add(start));
            for (token, sum) in sums.iter_mut().enumerate() {
                let x = _mm256_loadu_ps(x.as_ptr().add(token * width + start));
                *sum = _mm256_fmadd_ps(weights, x, *sum);
            }
        }
        for (token, (sum, out)) in sums.iter().zip(out).enumerate() {
            let x = &x[token * width..(token + 1) * width];
            *out = sum_of_lanes(*sum) + rest(&w[whole..], &x[whole..]);
        }
    }

    /// What does not fill a register.
    fn rest<W: Wide>(w: &[W], x: &[f32]) -> f32 {
        w.iter().zip(x).map(|(w, x)| w.one() * x).sum()
    }

    #[inline(always)]
    unsafe fn sum_of_lanes(x: __m256) -> f32 {
        let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(w: &[f32], floats: Floats, x: &[f32], rows: usize, width: usize) {
        let Some(matrix) = FloatMatrix::new(Simd::detect(), floats, rows, width) else {
            assert_eq!(Simd::detect(), Simd::Portable);
            return;
        };
        let out = matrix.multiply(x);
        for (i, y) in out.iter().enumerate() {
            let (token, row) = (i / rows, i % rows);
            let expected: f64 = (0..width)
                .map(|k| f64::from(w[row * width + k]) * f64::from(x[token * width + k]))
                .sum();
            let size: f64 = (0..width)
                .map(|k| f64::from(w[row * width + k] * x[token * width + k]).abs())
                .sum();
            assert!(
                (f64::from(*y) - expected).abs() <= 1e-6 * size + 1e-30,
                "{y} {expected}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_type_equals_the_plain_product(
            tokens in 1usize..20, rows in 1usize..70, width in 1usize..150, seed in 1u64..1000
        ) {
            let mut state = seed;
            let mut noise = |len: usize| -> Vec<f32> {
                (0..len).map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
                }).collect()
            };
            let (w, x) = (noise(rows * width), noise(tokens * width));
            check(&w, Floats::F32(&w), &x, rows, width);
            let halves: Vec<f16> = w.iter().map(|&w| f16::from_f32(w)).collect();
            let widened: Vec<f32> = halves.iter().map(|w| w.to_f32()).collect();
            check(&widened, Floats::F16(&halves), &x, rows, width);
            let halves: Vec<bf16> = w.iter().map(|&w| bf16::from_f32(w)).collect();
            let widened: Vec<f32> = halves.iter().map(|w| w.to_f32()).collect();
            check(&widened, Floats::BF16(&halves), &x, rows, width);
        }
    }

    #[test]
    fn not_a_number_stays_visible() {
        let w = [f32::NAN; 40];
        if let Some(matrix) = FloatMatrix::new(Simd::detect(), Floats::F32(&w), 1, 40) {
            assert!(matrix.multiply(&[1.0; 40])[0].is_nan());
        }
    }
}
