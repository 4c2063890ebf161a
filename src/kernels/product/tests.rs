//! What follows a product, and several at once, against plain arithmetic.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::kernels::{FloatData, FloatType};

/// A matrix of f32, and its numbers.
fn matrix(simd: Simd, seed: u64, rows: usize, width: usize) -> (Matrix, Vec<f32>) {
    let numbers = noise(seed, rows * width);
    (floats(simd, FloatType::F32, &numbers, rows, width), numbers)
}

fn floats(simd: Simd, kind: FloatType, numbers: &[f32], rows: usize, width: usize) -> Matrix {
    let arena = crate::kernels::Arena::default();
    let mut bytes = arena.take(rows * width * kind.size()).unwrap();
    for (bytes, &x) in bytes.chunks_exact_mut(kind.size()).zip(numbers) {
        match kind {
            FloatType::F32 => bytes.copy_from_slice(&x.to_le_bytes()),
            FloatType::F16 => bytes.copy_from_slice(&half::f16::from_f32(x).to_le_bytes()),
            FloatType::BF16 => bytes.copy_from_slice(&half::bf16::from_f32(x).to_le_bytes()),
        }
    }
    let data = FloatData::own(simd, kind, bytes, rows, width);
    Matrix::Float(data.unwrap())
}

/// A matrix of some type, floats or `Q4_0`.
fn matrix_of(simd: Simd, kind: Option<FloatType>, seed: u64, rows: usize, width: usize) -> Matrix {
    let numbers = noise(seed, rows * width);
    let Some(kind) = kind else {
        let device = candle_core::Device::Cpu;
        let tensor = candle_core::Tensor::from_vec(numbers, (rows, width), &device).unwrap();
        let dtype = candle_core::quantized::GgmlDType::Q4_0;
        let tensor = candle_core::quantized::QTensor::quantize(&tensor, dtype).unwrap();
        let (data, arena) = (tensor.data().unwrap(), crate::kernels::Arena::default());
        let packed = PackedMatrix::pack(simd, dtype, &data, [rows, width], &arena, &|_| {});
        return Matrix::Packed(packed.unwrap().unwrap());
    };
    floats(simd, kind, &numbers, rows, width)
}

/// Numbers in −1..1 of a small generator.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// `x · Wᵀ + b` in f64, `[tokens, rows]`.
fn plain(x: &[f32], w: &[f32], bias: &[f32], width: usize) -> Vec<f64> {
    x.chunks(width)
        .flat_map(|x| {
            w.chunks(width).zip(bias).map(move |(w, b)| {
                let dot: f64 = w
                    .iter()
                    .zip(x)
                    .map(|(w, x)| f64::from(*w) * f64::from(*x))
                    .sum();
                dot + f64::from(*b)
            })
        })
        .collect()
}

fn close(out: &[f32], expected: impl Iterator<Item = f64>, what: &str) {
    for (i, (y, e)) in out.iter().zip(expected).enumerate() {
        assert!(
            (f64::from(*y) - e).abs() <= 1e-5 * (1.0 + e.abs()),
            "{what} {i}: {y} for {e}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn products_are_stored_added_and_gated(
        tokens in 1usize..45, rows in 1usize..90, others in 1usize..40, width in 1usize..70, seed in any::<u64>()
    ) {
        let x = noise(seed, tokens * width);
        let (bias, zeros) = (noise(seed ^ 1, rows), vec![0f32; rows.max(others)]);
        for simd in Simd::available() {
            let (first, w) = matrix(simd, seed ^ 2, rows, width);
            let (second, v) = matrix(simd, seed ^ 3, others, width);
            let mut inputs = Inputs::default();
            let mut stored = vec![f32::NAN; tokens * rows];
            let before = noise(seed ^ 4, tokens * others);
            let mut added = before.clone();
            let products = [
                Product { matrix: &first, bias: Some(&bias), out: &mut stored, add: false },
                Product { matrix: &second, bias: None, out: &mut added, add: true },
            ];
            multiply(simd, &x, products, &mut inputs);
            close(&stored, plain(&x, &w, &bias, width).into_iter(), "stored");
            let sums = plain(&x, &v, &zeros[..others], width);
            let sums = sums.iter().zip(&before).map(|(y, b)| y + f64::from(*b));
            close(&added, sums, "added");

            // Some rows with the last token alone.
            let from = rows / 2 / 16 * 16;
            let mut some = vec![f32::NAN; rows - from];
            let last = &x[x.len() - width..];
            let weights = Weights { matrix: &first, bias: Some(&bias) };
            multiply_rows(simd, last, weights, from, &mut some, &mut inputs);
            close(&some, plain(last, &w, &bias, width).into_iter().skip(from), "some rows");

            let (up, u) = matrix(simd, seed ^ 5, rows, width);
            let mut gated = vec![f32::NAN; tokens * rows];
            let gate = Weights { matrix: &first, bias: Some(&bias) };
            let up = Weights { matrix: &up, bias: None };
            swiglu(simd, &x, gate, up, &mut gated, &mut inputs);
            let gates = plain(&x, &w, &bias, width);
            let ups = plain(&x, &u, &zeros[..rows], width);
            let expected = gates.iter().zip(&ups).map(|(g, u)| g / (1.0 + (-g).exp()) * u);
            close(&gated, expected, "gated");
        }
    }
}

#[test]
fn tokens_apart_have_the_numbers_of_each_alone() {
    let kinds = [
        None,
        Some(FloatType::F32),
        Some(FloatType::F16),
        Some(FloatType::BF16),
    ];
    let pairs = kinds.iter().map(|&kind| (kind, kind));
    let pairs: Vec<_> = pairs.chain([(kinds[0], kinds[3])]).collect();
    // Narrow and wide, rows that fill their panels and rows that do not; the last width is for both kinds of kernel.
    for (rows, width) in [(64, 64), (77, 96), (35, 2080)] {
        for simd in Simd::available() {
            for &(kind, other) in &pairs {
                let gate = matrix_of(simd, kind, 3, rows, width);
                let up = matrix_of(simd, other, 4, rows, width);
                let bias = noise(5, rows);
                let weights = |matrix| Weights {
                    matrix,
                    bias: Some(&bias),
                };
                let compute = |x: &[f32], apart: bool| {
                    let tokens = x.len() / width;
                    let mut inputs = Inputs {
                        apart,
                        ..Inputs::default()
                    };
                    let mut out = [(); 3].map(|()| vec![0.5f32; tokens * rows]);
                    let [stored, added, gated] = &mut out;
                    let product = |matrix, out, add| Product {
                        matrix,
                        bias: Some(&bias),
                        out,
                        add,
                    };
                    let products = [product(&gate, stored, false), product(&up, added, true)];
                    multiply(simd, x, products, &mut inputs);
                    swiglu(simd, x, weights(&gate), weights(&up), gated, &mut inputs);
                    out.map(|out| out.into_iter().map(f32::to_bits).collect::<Vec<_>>())
                };
                for tokens in [1, 2, 3, 5, 8, 9, 17] {
                    let x = noise(6, tokens * width);
                    let together = compute(&x, true);
                    for (token, x) in x.chunks(width).enumerate() {
                        let alone = compute(x, false);
                        for (together, alone) in together.iter().zip(&alone) {
                            let together = &together[token * rows..(token + 1) * rows];
                            assert_eq!(together, alone, "{simd:?} {kind:?} {tokens}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_matrix_of_another_length_or_at_an_odd_address_is_refused() {
    let bytes: Arc<Vec<u8>> = Arc::new(vec![0; 64]);
    let even = bytes.as_ptr().align_offset(4);
    let make = |start: usize, len: usize, rows: usize| {
        let range = start..start + len;
        FloatData::shared(
            Simd::detect(),
            FloatType::F32,
            bytes.clone(),
            range,
            rows,
            4,
        )
    };
    assert!(make(even, 32, 2).is_some());
    assert!(make(even + 1, 32, 2).is_none());
    assert!(make(even, 32, 3).is_none());
    assert!(make(even, 640, 40).is_none(), "past the end");
    assert!(make(even, 32, usize::MAX).is_none());
}
