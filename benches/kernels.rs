//! Products with quantised matrices, beside the machine's limits: `cargo bench --bench kernels [-- TYPE]`.
//!
//! A row is a product of `[tokens, width]` with `[rows, width]` on all threads: the median of its repetitions, the
//! bytes of weights or the operations (two a weight and token) a second, and the share of the limit measured in the
//! same process: memory read by all threads for one token, int8 dot products in registers for many. Weights of one
//! token come from memory, not from the cache: each repetition takes another matrix.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use crane::bench::Limits;
use crane::kernels::limits::Arithmetic;
use crane::kernels::{multiply, pool, Arena, Inputs, Matrix, PackedMatrix, Product, Simd};

const TYPES: [(&str, GgmlDType); 8] = [
    ("q4_0", GgmlDType::Q4_0),
    ("q4_1", GgmlDType::Q4_1),
    ("q5_0", GgmlDType::Q5_0),
    ("q5_1", GgmlDType::Q5_1),
    ("q8_0", GgmlDType::Q8_0),
    ("q4k", GgmlDType::Q4K),
    ("q5k", GgmlDType::Q5K),
    ("q6k", GgmlDType::Q6K),
];
const SHAPES: [(usize, usize); 2] = [(4864, 896), (896, 4864)];
const TOKENS: [usize; 4] = [1, 6, 48, 512];
const REPETITIONS: usize = 31;
/// Bytes that the matrices of a row have together: far more than the caches.
const BYTES: usize = 192 << 20;

fn main() -> Result<()> {
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    let simd = Simd::detect();
    println!("{simd:?}, {} threads\n", pool::threads());
    println!("| type | rows x width | tokens | µs | GB/s | GOP/s | share of the limit |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (name, dtype) in TYPES {
        if wanted.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        for (rows, width) in SHAPES {
            if !PackedMatrix::supports(dtype, width) {
                continue;
            }
            let source = Tensor::randn(0f32, 1f32, (rows, width), &Device::Cpu)?;
            let data = QTensor::quantize(&source, dtype)?.data()?.into_owned();
            let arena = Arena::default();
            let matrices = (0..BYTES.div_ceil(data.len()))
                .map(|_| {
                    let packed =
                        PackedMatrix::pack(simd, dtype, &data, [rows, width], &arena, &|_| {})?;
                    Ok(Matrix::Packed(packed.context("no such format")?))
                })
                .collect::<Result<Vec<Matrix>>>()?;
            for tokens in TOKENS {
                let limits = Limits::measure(pool::threads())?;
                let x = Tensor::randn(0f32, 1f32, tokens * width, &Device::Cpu)?.to_vec1()?;
                let seconds = median(tokens, &x, simd, &matrices);
                let bytes = data.len() as f64 / seconds;
                let operations = 2.0 * (rows * width * tokens) as f64 / seconds;
                let share = match tokens {
                    1 => bytes / limits.bandwidth,
                    _ => operations / limits.peak(Arithmetic::Int8),
                };
                println!(
                    "| {name} | {rows} x {width} | {tokens} | {:.1} | {:.1} | {:.0} | {:.0} % |",
                    seconds * 1e6,
                    bytes / 1e9,
                    operations / 1e9,
                    share * 100.0,
                );
            }
        }
    }
    Ok(())
}

/// Seconds of a product.
fn median(tokens: usize, x: &[f32], simd: Simd, matrices: &[Matrix]) -> f64 {
    let mut inputs = Inputs::default();
    let mut out = vec![0f32; tokens * matrices[0].rows()];
    let mut times: Vec<f64> = (0..REPETITIONS.max(matrices.len().min(200)))
        .map(|repetition| {
            let started = Instant::now();
            let product = Product {
                matrix: &matrices[repetition % matrices.len()],
                bias: None,
                out: &mut out,
                add: false,
            };
            multiply(simd, x, [product], &mut inputs);
            black_box(&out);
            started.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
