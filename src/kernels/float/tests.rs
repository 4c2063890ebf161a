//! Every instruction set against plain sums in f64.

use proptest::prelude::*;

use super::*;

/// Numbers of −1..1.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The matrix `w` `[rows, width]`, rounded to each type, times `x` on every instruction set.
fn check(w: &[f32], x: &[f32], rows: usize, width: usize) {
    let f16: Vec<f16> = w.iter().map(|&w| f16::from_f32(w)).collect();
    let bf16: Vec<bf16> = w.iter().map(|&w| bf16::from_f32(w)).collect();
    for floats in [Floats::F32(w), Floats::F16(&f16), Floats::BF16(&bf16)] {
        let widened: Vec<f32> = match floats {
            Floats::F32(w) => w.to_vec(),
            Floats::F16(w) => w.iter().map(|w| w.to_f32()).collect(),
            Floats::BF16(w) => w.iter().map(|w| w.to_f32()).collect(),
        };
        for simd in Simd::available() {
            let matrix = FloatMatrix::new(simd, floats, rows, width).expect("the sizes fit");
            let rounded = matches!(floats, Floats::BF16(_)) && simd >= Simd::Avx512Bf16;
            let pairs = rounded && x.len() > width;
            let x: Vec<f32> = match pairs {
                true => x.iter().map(|&x| bf16::from_f32(x).to_f32()).collect(),
                false => x.to_vec(),
            };
            compare(&matrix, &widened, &x, simd);
        }
    }
}

fn compare(matrix: &FloatMatrix, w: &[f32], x: &[f32], simd: Simd) {
    let (rows, width) = (matrix.rows(), matrix.width());
    let out = matrix.multiply(x);
    assert_eq!(out.len(), x.len() / width * rows);
    for (i, y) in out.iter().enumerate() {
        let (token, row) = (i / rows, i % rows);
        let products =
            (0..width).map(|k| f64::from(w[row * width + k]) * f64::from(x[token * width + k]));
        let (exact, size) = products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
        assert!(
            (f64::from(*y) - exact).abs() <= 1e-6 * size + 1e-30,
            "{simd:?} {rows} x {width}, token {token}, row {row}: {y} for {exact}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_type_equals_the_plain_product(
        tokens in 1usize..70, rows in 1usize..180, width in 1usize..150, seed in 1u64..1000
    ) {
        check(&noise(seed, rows * width), &noise(seed + 1, tokens * width), rows, width);
    }
}

#[test]
fn wide_matrices_are_summed_in_blocks() {
    for (tokens, rows, width) in [
        (1, 9, 4864),
        (3, 5, 1025),
        (16, 33, 513),
        (29, 32, 1024),
        (40, 7, 2051),
    ] {
        check(
            &noise(3, rows * width),
            &noise(4, tokens * width),
            rows,
            width,
        );
    }
}

#[test]
fn buffers_serve_products_of_any_size() {
    let mut inputs = FloatInputs::default();
    for (tokens, rows, width) in [
        (40, 40, 100),
        (2, 3, 5),
        (20, 64, 600),
        (9, 33, 64),
        (0, 3, 4),
    ] {
        let (w, x) = (noise(5, rows * width), noise(6, tokens * width));
        for simd in Simd::available() {
            let matrix =
                FloatMatrix::new(simd, Floats::F32(&w), rows, width).expect("the sizes fit");
            let mut out = vec![f32::NAN; tokens * rows];
            matrix.multiply_into(&x, &mut inputs, &mut out);
            assert_eq!(out, matrix.multiply(&x));
        }
    }
}

/// One bad number of the weight, or of the activations, spoils its own row or token, and nothing beside it.
#[test]
fn what_is_not_finite_stays_visible_and_in_its_place() {
    let (rows, width) = (35, 37);
    for (tokens, bad) in [
        (1, f32::NAN),
        (5, f32::INFINITY),
        (28, f32::NAN),
        (36, f32::NEG_INFINITY),
    ] {
        let mut w = vec![1.0; rows * width];
        let mut x = vec![1.0; tokens * width];
        w[2 * width + 36] = bad;
        x[tokens * width - 1] = bad;
        let bf16: Vec<bf16> = w.iter().map(|&w| bf16::from_f32(w)).collect();
        let f16: Vec<f16> = w.iter().map(|&w| f16::from_f32(w)).collect();
        for floats in [Floats::F32(&w), Floats::F16(&f16), Floats::BF16(&bf16)] {
            for simd in Simd::available() {
                let matrix = FloatMatrix::new(simd, floats, rows, width).expect("the sizes fit");
                for (i, y) in matrix.multiply(&x).into_iter().enumerate() {
                    let spoilt = i / rows == tokens - 1 || i % rows == 2;
                    assert_eq!(!y.is_finite(), spoilt, "{simd:?} {tokens} tokens, {i}: {y}");
                }
            }
        }
    }
}

#[test]
fn extreme_scales_and_denormals() {
    for scale in [1e-38, 1e-20, 1e15] {
        let (rows, width, tokens) = (5, 50, 18);
        let w: Vec<f32> = noise(7, rows * width).iter().map(|w| w * scale).collect();
        let x: Vec<f32> = noise(8, tokens * width)
            .iter()
            .map(|x| x / scale.max(1e-30))
            .collect();
        for simd in Simd::available() {
            let matrix =
                FloatMatrix::new(simd, Floats::F32(&w), rows, width).expect("the sizes fit");
            compare(&matrix, &w, &x, simd);
        }
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let w = [0.0; 12];
    for (rows, width) in [(3, 5), (12, 0), (usize::MAX, 12)] {
        assert!(FloatMatrix::new(Simd::detect(), Floats::F32(&w), rows, width).is_none());
    }
}
