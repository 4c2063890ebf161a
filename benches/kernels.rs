//! Single kernels at the shapes of Qwen2.5-0.5B: `cargo bench --bench kernels [-- TYPE]`.
//!
//! For each quantised type the time of a product of `[tokens, width]` with `[rows, width]` (median of nine, all
//! threads), as gigabytes of weights and as billions of operations (two a weight and token) a second. Weights of the
//! one-token rows are read from memory, not from the cache: each repetition takes another copy.

use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use crane::kernels::{Activations, QuantizedMatrix, Simd};

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
const TOKENS: [usize; 3] = [1, 8, 256];
const REPETITIONS: usize = 9;
/// Copies of the weights: together larger than the caches.
const COPIES: usize = 24;

fn main() -> Result<()> {
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    println!("| type | rows x width | tokens | ms | GB/s | GOP/s |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, dtype) in TYPES {
        if wanted.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        for (rows, width) in SHAPES {
            if !width.is_multiple_of(dtype.block_size()) {
                continue;
            }
            let source = Tensor::randn(0f32, 1f32, (rows, width), &Device::Cpu)?;
            let data = QTensor::quantize(&source, dtype)?.data()?.into_owned();
            let copies: Vec<Vec<u8>> = (0..COPIES).map(|_| data.clone()).collect();
            for tokens in TOKENS {
                let x: Vec<f32> =
                    Tensor::randn(0f32, 1f32, tokens * width, &Device::Cpu)?.to_vec1()?;
                let mut times = Vec::new();
                for repetition in 0..REPETITIONS {
                    let bytes = &copies[repetition % COPIES];
                    let started = Instant::now();
                    let matrix = QuantizedMatrix::new(Simd::detect(), dtype, bytes, rows, width)
                        .context("no kernel for this CPU")?;
                    let y = rayon::scope(|_| matrix.multiply(&Activations::quantize(&x, width)));
                    std::hint::black_box(y);
                    times.push(started.elapsed().as_secs_f64());
                }
                times.sort_by(f64::total_cmp);
                let seconds = times[REPETITIONS / 2];
                println!(
                    "| {name} | {rows} x {width} | {tokens} | {:.3} | {:.1} | {:.0} |",
                    seconds * 1e3,
                    data.len() as f64 / seconds / 1e9,
                    2.0 * (rows * width * tokens) as f64 / seconds / 1e9,
                );
            }
        }
    }
    Ok(())
}
