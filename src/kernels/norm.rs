//! Normalisation of rows: by the root of the mean square, or by mean and variance.

use super::pool::{self, Parts};
use super::simd::{Kernel, Lanes, Simd, LANES};

/// Numbers that make a task worth its hand-over.
const TASK_NUMBERS: usize = 16 << 10;

/// `out = weight ⊙ x / sqrt(mean(x²) + eps)` of each row of `x`, `[rows, weight.len()]`.
///
/// # Panics
/// Lengths that do not fit each other.
pub fn rms_norm(simd: Simd, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    assert!(x.len() == out.len() && width > 0 && x.len().is_multiple_of(width));
    let rows_a_task = TASK_NUMBERS.div_ceil(width);
    let parts = Parts::new(out);
    pool::run((x.len() / width).div_ceil(rows_a_task), |task| {
        let start = task * rows_a_task * width;
        let x = &x[start..x.len().min(start + rows_a_task * width)];
        // SAFETY: each task has its own rows.
        let out = unsafe { parts.part(start, x.len()) };
        simd.run(RmsNorm {
            x,
            weight,
            eps,
            out,
        });
    });
}

/// The same in place: `x` is `[rows, heads · weight.len()]` and each head is normed by itself.
pub fn rms_norm_in_place(simd: Simd, x: &mut [f32], weight: &[f32], eps: f32) {
    let width = weight.len();
    assert!(width > 0 && x.len().is_multiple_of(width));
    let rows_a_task = TASK_NUMBERS.div_ceil(width);
    let len = x.len();
    let parts = Parts::new(x);
    pool::run((len / width).div_ceil(rows_a_task), |task| {
        let start = task * rows_a_task * width;
        // SAFETY: each task has its own rows.
        let out = unsafe { parts.part(start, (rows_a_task * width).min(len - start)) };
        for row in out.chunks_exact_mut(width) {
            // SAFETY: a row is read to its end before it is written.
            let x = unsafe { std::slice::from_raw_parts(row.as_ptr(), width) };
            let factor = simd.run(Factor { x, eps });
            row.iter_mut()
                .zip(weight)
                .for_each(|(x, w)| *x *= factor * w);
        }
    });
}

/// `out = weight ⊙ (x − mean) / sqrt(var + eps) + bias` of each row of `x`, `[rows, weight.len()]` (Ba et al., 2016,
/// arXiv:1607.06450).
///
/// # Panics
/// Lengths that do not fit each other.
pub fn layer_norm(simd: Simd, x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    assert!(x.len() == out.len() && width > 0 && x.len().is_multiple_of(width));
    assert_eq!(bias.len(), width);
    let rows_a_task = TASK_NUMBERS.div_ceil(width);
    let parts = Parts::new(out);
    pool::run((x.len() / width).div_ceil(rows_a_task), |task| {
        let start = task * rows_a_task * width;
        let x = &x[start..x.len().min(start + rows_a_task * width)];
        // SAFETY: each task has its own rows.
        let out = unsafe { parts.part(start, x.len()) };
        simd.run(LayerNorm {
            x,
            weight,
            bias,
            eps,
            out,
        });
    });
}

struct LayerNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let width = self.weight.len();
        let rows = self.x.chunks_exact(width);
        for (x, out) in rows.zip(self.out.chunks_exact_mut(width)) {
            let mut sum = L::splat(0.0);
            let (chunks, rest) = x.as_chunks::<LANES>();
            for chunk in chunks {
                sum = L::add(sum, L::load(chunk.as_ptr()));
            }
            let mean = (L::sum(sum) + rest.iter().sum::<f32>()) / width as f32;
            for (out, x) in out.iter_mut().zip(x) {
                *out = x - mean;
            }
            let factor = Factor {
                x: out,
                eps: self.eps,
            }
            .eval::<L>();
            for ((out, w), b) in out.iter_mut().zip(self.weight).zip(self.bias) {
                *out = *out * factor * w + b;
            }
        }
    }
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let width = self.weight.len();
        for (x, out) in self
            .x
            .chunks_exact(width)
            .zip(self.out.chunks_exact_mut(width))
        {
            let factor = Factor { x, eps: self.eps }.eval::<L>();
            for ((out, x), w) in out.iter_mut().zip(x).zip(self.weight) {
                *out = x * factor * w;
            }
        }
    }
}

/// `1 / sqrt(mean(x²) + eps)`.
struct Factor<'a> {
    x: &'a [f32],
    eps: f32,
}

impl Kernel for Factor<'_> {
    type Output = f32;

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) -> f32 {
        let mut sums = [L::splat(0.0); 2];
        let (chunks, rest) = self.x.as_chunks::<{ 2 * LANES }>();
        for chunk in chunks {
            for (i, sum) in sums.iter_mut().enumerate() {
                let x = L::load(chunk.as_ptr().add(i * LANES));
                *sum = L::fma(x, x, *sum);
            }
        }
        let sum = L::sum(L::add(sums[0], sums[1])) + rest.iter().map(|x| x * x).sum::<f32>();
        1.0 / (sum / self.x.len() as f32 + self.eps).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_definition(
            x in proptest::collection::vec(-30f32..30.0, 3 * 70), width in 1usize..70, rows in 1usize..4
        ) {
            let x = &x[..rows * width];
            let weight: Vec<f32> = (0..width).map(|i| 0.5 + i as f32 * 0.01).collect();
            for simd in Simd::available() {
                let mut out = vec![0f32; x.len()];
                rms_norm(simd, x, &weight, 1e-5, &mut out);
                let mut centred = vec![0f32; x.len()];
                let bias: Vec<f32> = weight.iter().map(|w| w - 0.7).collect();
                layer_norm(simd, x, &weight, &bias, 1e-5, &mut centred);
                for (x, y) in x.chunks(width).zip(centred.chunks(width)) {
                    let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / width as f64;
                    let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / width as f64;
                    for i in 0..width {
                        let exact = (f64::from(x[i]) - mean) / (variance + 1e-5).sqrt() * f64::from(weight[i]) + f64::from(bias[i]);
                        prop_assert!((f64::from(y[i]) - exact).abs() <= 1e-5 * (1.0 + exact.abs()), "{} {exact}", y[i]);
                    }
                }
                let mut again = x.to_vec();
                rms_norm_in_place(simd, &mut again, &weight, 1e-5);
                for (row, (x, out)) in x.chunks(width).zip(out.chunks(width)).enumerate() {
                    let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / width as f64;
                    for i in 0..width {
                        let exact = f64::from(x[i]) * f64::from(weight[i]) / (mean + 1e-5).sqrt();
                        prop_assert!((f64::from(out[i]) - exact).abs() <= 1e-6 * (1.0 + exact.abs()));
                        prop_assert!((out[i] - again[row * width + i]).abs() <= 1e-6 * (1.0 + out[i].abs()));
                    }
                }
            }
        }
    }
}
