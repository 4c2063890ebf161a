//! Packed matrices against the plain product of what candle dequantises.

use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::*;

const TYPES: [GgmlDType; 10] = [
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q5_1,
    GgmlDType::Q8_0,
    GgmlDType::Q2K,
    GgmlDType::Q3K,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
];

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

fn packed(simd: Simd, tensor: &QTensor) -> PackedMatrix {
    let (rows, width) = tensor.shape().dims2().unwrap();
    let data = tensor.data().unwrap();
    let arena = Arena::default();
    PackedMatrix::pack(simd, tensor.dtype(), &data, [rows, width], &arena, &|_| {})
        .unwrap()
        .unwrap()
}

fn floats(tensor: &QTensor) -> Vec<f32> {
    let floats = tensor.dequantize(&Device::Cpu).unwrap();
    floats.flatten_all().unwrap().to_vec1().unwrap()
}

/// All products, `[tokens, rows]`, by the way that many tokens take, or by that of one token.
fn products(matrix: &PackedMatrix, x: &Activations) -> Vec<f32> {
    let (rows, tokens) = (matrix.rows(), x.tokens());
    let mut out = vec![0f32; tokens * rows];
    let mut panel = vec![0f32; PackedMatrix::panel_len(x)];
    for first in (0..rows).step_by(PANEL) {
        matrix.panel(x, first, &mut panel);
        for token in 0..tokens {
            for row in first..rows.min(first + PANEL) {
                out[token * rows + row] = panel[token * PANEL + row - first];
            }
        }
    }
    if tokens == 1 {
        let mut dots = vec![0f32; rows];
        matrix.dot(x, 0, &mut dots);
        for (dot, panel) in dots.iter().zip(&out) {
            assert_eq!(dot.to_bits(), panel.to_bits(), "{dot} {panel}");
        }
        return dots;
    }
    out
}

fn check(tensor: &QTensor, x: &[f32], scale: f32) {
    let (rows, width) = tensor.shape().dims2().unwrap();
    let weights = floats(tensor);
    for simd in Simd::available() {
        let matrix = packed(simd, tensor);
        let mut activations = Activations::default();
        activations.quantize(simd, x, width);
        let out = products(&matrix, &activations);
        for (token, out) in out.chunks(rows).enumerate() {
            let x = activations.row(token);
            for (y, w) in out.iter().zip(weights.chunks(width)) {
                let exact: f64 = w
                    .iter()
                    .zip(&x)
                    .map(|(w, x)| f64::from(*w) * f64::from(*x))
                    .sum();
                let tolerance = 1e-6 * f64::from(scale) * width as f64;
                assert!(
                    (f64::from(*y) - exact).abs() <= tolerance,
                    "{:?} {simd:?}: {y} for {exact}",
                    tensor.dtype()
                );
            }
        }
        let mut row = vec![0f32; width];
        for (i, w) in weights.chunks(width).enumerate() {
            matrix.row(i, &mut row);
            for (a, b) in row.iter().zip(w) {
                assert!(
                    (a - b).abs() <= 1e-6 * scale,
                    "{:?} {simd:?}: {a} for {b}",
                    tensor.dtype()
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn a_token_has_the_same_numbers_in_any_company(
        tokens in 1usize..20, rows in 1usize..70, blocks in 1usize..3, seed in any::<u64>()
    ) {
        for dtype in TYPES {
            let width = blocks * dtype.block_size().max(32);
            let weights = Tensor::from_vec(noise(seed, rows * width), (rows, width), &Device::Cpu).unwrap();
            let tensor = QTensor::quantize(&weights, dtype).unwrap();
            let x = noise(seed ^ 1, tokens * width);
            for simd in Simd::available() {
                let matrix = packed(simd, &tensor);
                let mut activations = Activations::default();
                activations.quantize(simd, &x, width);
                let together = products(&matrix, &activations);
                for (token, together) in together.chunks(rows).enumerate() {
                    activations.quantize(simd, &x[token * width..(token + 1) * width], width);
                    let alone = products(&matrix, &activations);
                    for (a, b) in together.iter().zip(&alone) {
                        prop_assert_eq!(a.to_bits(), b.to_bits(), "{:?} {:?}: {} {}", dtype, simd, a, b);
                    }
                }
            }
        }
    }

    #[test]
    fn every_format_equals_the_plain_product(
        tokens in 1usize..20, rows in 1usize..100, blocks in 1usize..4, scale in -3i32..3, seed in any::<u64>()
    ) {
        for dtype in TYPES {
            let width = dtype.block_size() * blocks;
            let scale = 10f32.powi(scale);
            let w: Vec<f32> = noise(seed, rows * width).iter().map(|x| x * scale).collect();
            let source = Tensor::from_vec(w, (rows, width), &Device::Cpu).unwrap();
            let tensor = QTensor::quantize(&source, dtype).unwrap();
            check(&tensor, &noise(seed ^ 0xabcd, tokens * width), scale);
        }
    }
}

#[test]
fn long_rows_and_many_tokens() {
    for dtype in TYPES {
        let (rows, width) = (65, 4864);
        let source = Tensor::from_vec(noise(5, rows * width), (rows, width), &Device::Cpu).unwrap();
        let tensor = QTensor::quantize(&source, dtype).unwrap();
        check(&tensor, &noise(6, 47 * width), 1.0);
    }
}

#[test]
fn extremes_do_not_saturate_and_zeros_are_zero() {
    for dtype in TYPES {
        let width = dtype.block_size();
        for value in [-1.0f32, 1.0, 0.0, 60_000.0, 1e-7] {
            let alternating: Vec<f32> = (0..3 * width)
                .map(|i| if i % 3 == 0 { value } else { -value })
                .collect();
            let source = Tensor::from_vec(alternating, (3, width), &Device::Cpu).unwrap();
            let tensor = QTensor::quantize(&source, dtype).unwrap();
            for x in [1.0f32, -1.0, 1e-30, 1e5] {
                check(
                    &tensor,
                    &vec![x; 7 * width],
                    1.0 + 10.0 * value.abs() * x.abs(),
                );
            }
        }
    }
}

/// Random bytes are weights that no quantiser makes: every bit pattern of a block must be read right.
#[test]
fn any_block_is_read_as_candle_reads_it() {
    for dtype in TYPES {
        let (rows, width) = (19, dtype.block_size() * 2);
        let len = rows * 2 * dtype.type_size();
        let mut bytes: Vec<u8> = noise(11, len)
            .iter()
            .map(|x| (x * 1e6) as i32 as u8)
            .collect();
        // Halves that are moderate numbers, wherever a format keeps them.
        for block in bytes.chunks_mut(dtype.type_size()) {
            let places: &[usize] = match dtype {
                GgmlDType::Q4_0 | GgmlDType::Q5_0 | GgmlDType::Q8_0 => &[0],
                GgmlDType::Q2K => &[80, 82],
                GgmlDType::Q3K => &[108],
                GgmlDType::Q6K => &[208],
                _ => &[0, 2],
            };
            for &place in places {
                block[place + 1] = 0x2c | (block[place + 1] & 0x83);
            }
        }
        let storage =
            candle_core::quantized::QStorage::from_data(bytes.into(), &Device::Cpu, dtype).unwrap();
        let tensor = QTensor::new(storage, (rows, width)).unwrap();
        check(&tensor, &noise(3, 5 * width), 100.0);
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let arena = Arena::default();
    let pack = |dtype, bytes: &[u8], rows, width| {
        PackedMatrix::pack(Simd::detect(), dtype, bytes, [rows, width], &arena, &|_| {}).unwrap()
    };
    assert!(pack(GgmlDType::Q8_0, &[0; 34], 1, 32).is_some());
    assert!(pack(GgmlDType::Q8_0, &[0; 33], 1, 32).is_none());
    assert!(pack(GgmlDType::Q8_0, &[0; 34], usize::MAX, 32).is_none());
    assert!(pack(GgmlDType::Q4K, &[0; 144], 1, 128).is_none());
    assert!(pack(GgmlDType::F32, &[0; 128], 1, 32).is_none());
}

#[test]
fn a_source_is_let_go_part_by_part_and_whole() {
    let (rows, width) = (40_000, 1024);
    let data = vec![0u8; rows * width / 32 * 34];
    let parts = std::sync::Mutex::new(Vec::new());
    let arena = Arena::default();
    let read = |range: Range<usize>| parts.lock().unwrap().push(range);
    PackedMatrix::pack(
        Simd::detect(),
        GgmlDType::Q8_0,
        &data,
        [rows, width],
        &arena,
        &read,
    )
    .unwrap();
    let parts = parts.into_inner().unwrap();
    assert!(parts.len() > 1);
    assert_eq!(parts[0].start, 0);
    assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
    assert_eq!(parts[parts.len() - 1].end, data.len());
}
