//! Products of activations with a matrix in GGUF's quantised blocks, read where they lie.
//!
//! A weight is `scale · u − min` with small unsigned integers `u`; an activation is `scale · q` (see
//! [`Activations`]). A product of two blocks is an integer dot product and two multiplications, whatever the format:
//! `Σ w·x = s_w·s_x·Σ u·q − min·(s_x·Σ q)`. (The formats: ggml's `ggml-common.h` and `ggml-quants.c`.)

use candle_core::quantized::GgmlDType;
use rayon::prelude::*;

use super::activations::{Tile, BLOCK};
use super::{Activations, Simd};

/// A quantised matrix `[rows, width]` in GGUF's layout.
#[derive(Clone, Copy)]
pub struct QuantizedMatrix<'a> {
    kernel: Kernel,
    bytes: &'a [u8],
    rows: usize,
    width: usize,
    row_bytes: usize,
}

/// Dots one or more consecutive rows with all tokens of a tile: `(first row's bytes, row_bytes, width, rows, tile, out)`
/// with `out` of `[rows, lanes]`.
///
/// # Safety
/// The CPU must have the kernel's instruction set; the rows must lie within their slice, and the tile be of that width.
pub(super) type Kernel = unsafe fn(*const u8, usize, usize, usize, &Tile, &mut [f32]);

/// Rows that one task computes for all tokens.
const ROWS_A_TASK: usize = 64;

impl<'a> QuantizedMatrix<'a> {
    /// None where crane has no kernel of its own for the format, the width or this CPU.
    pub fn new(
        simd: Simd,
        dtype: GgmlDType,
        bytes: &'a [u8],
        rows: usize,
        width: usize,
    ) -> Option<Self> {
        let kernel = kernel(simd, dtype)?;
        if width == 0 || !width.is_multiple_of(dtype.block_size()) || !width.is_multiple_of(BLOCK) {
            return None;
        }
        let row_bytes = width / dtype.block_size() * dtype.type_size();
        (rows.checked_mul(row_bytes)? == bytes.len()).then_some(Self {
            kernel,
            bytes,
            rows,
            width,
            row_bytes,
        })
    }

    /// `x · Wᵀ`, `[tokens, rows]`.
    pub fn multiply(&self, x: &Activations) -> Vec<f32> {
        assert_eq!(x.width(), self.width, "the widths of a product differ");
        let mut out = vec![0f32; x.tokens() * self.rows];
        match x.tiles() {
            [tile] if x.tokens() == 1 => {
                let rows = self
                    .rows
                    .div_ceil(rayon::current_num_threads() * 4)
                    .next_multiple_of(ROWS_A_TASK);
                out.par_chunks_mut(rows)
                    .enumerate()
                    .for_each(|(task, out)| self.dot(task * rows, tile, out));
            }
            tiles => {
                // Tasks own rows of W, which are columns of the result: they are computed apart and then put in place.
                let panels: Vec<Vec<f32>> = (0..self.rows.div_ceil(ROWS_A_TASK))
                    .into_par_iter()
                    .map(|task| self.panel(task * ROWS_A_TASK, tiles, x.tokens()))
                    .collect();
                out.par_chunks_mut(self.rows)
                    .enumerate()
                    .for_each(|(token, out)| {
                        for (panel, out) in panels.iter().zip(out.chunks_mut(ROWS_A_TASK)) {
                            out.copy_from_slice(&panel[token * out.len()..][..out.len()]);
                        }
                    });
            }
        }
        out
    }

    /// The columns `first .. first + 64` of the result, `[tokens, columns]`.
    fn panel(&self, first: usize, tiles: &[Tile], tokens: usize) -> Vec<f32> {
        let rows = ROWS_A_TASK.min(self.rows - first);
        let mut panel = vec![0f32; tokens * rows];
        let mut part = Vec::new();
        let mut token = 0;
        for tile in tiles {
            part.clear();
            part.resize(rows * tile.lanes, 0f32);
            self.dot(first, tile, &mut part);
            for lane in 0..tile.lanes.min(tokens - token) {
                for (row, out) in panel[(token + lane) * rows..][..rows]
                    .iter_mut()
                    .enumerate()
                {
                    *out = part[row * tile.lanes + lane];
                }
            }
            token += tile.lanes;
        }
        panel
    }

    /// Rows from `first` on with all tokens of `tile`; `out` is `[rows, lanes]`.
    fn dot(&self, first: usize, tile: &Tile, out: &mut [f32]) {
        let rows = out.len() / tile.lanes;
        let bytes = &self.bytes[first * self.row_bytes..(first + rows) * self.row_bytes];
        // SAFETY: `kernel` was chosen for this CPU, `bytes` holds `rows` whole rows, and the tile has this width.
        unsafe { (self.kernel)(bytes.as_ptr(), self.row_bytes, self.width, rows, tile, out) }
    }
}

#[cfg(target_arch = "x86_64")]
fn kernel(simd: Simd, dtype: GgmlDType) -> Option<Kernel> {
    super::quantized_x86::kernel(simd, dtype)
}

#[cfg(not(target_arch = "x86_64"))]
fn kernel(_simd: Simd, _dtype: GgmlDType) -> Option<Kernel> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;

    const TYPES: [GgmlDType; 8] = [
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q8_0,
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

    /// The plain product of the dequantised weights with the dequantised activations, in f64.
    fn reference(weights: &[f32], x: &Activations, rows: usize, width: usize) -> Vec<f32> {
        let mut out = Vec::new();
        for token in 0..x.tokens() {
            let tile = &x.tiles()[token / super::super::activations::TILE];
            let lane = token % super::super::activations::TILE;
            for row in 0..rows {
                let sum: f64 = (0..width)
                    .map(|i| f64::from(weights[row * width + i]) * f64::from(tile.number(lane, i)))
                    .sum();
                out.push(sum as f32);
            }
        }
        out
    }

    fn check(simd: Simd, dtype: GgmlDType, tokens: usize, rows: usize, blocks: usize, scale: f32) {
        let width = dtype.block_size() * blocks;
        let floats: Vec<f32> = noise(7, rows * width).iter().map(|x| x * scale).collect();
        let source = Tensor::from_vec(floats, (rows, width), &Device::Cpu).unwrap();
        let tensor = QTensor::quantize(&source, dtype).unwrap();
        let weights: Vec<f32> = tensor
            .dequantize(&Device::Cpu)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        let x = Activations::quantize(&noise(3, tokens * width), width);
        let data = tensor.data().unwrap();
        let matrix = QuantizedMatrix::new(simd, dtype, &data, rows, width).unwrap();
        let expected = reference(&weights, &x, rows, width);
        let tolerance = 1e-5 * scale * width as f32;
        for (i, (a, e)) in matrix.multiply(&x).iter().zip(&expected).enumerate() {
            assert!(
                (a - e).abs() <= tolerance,
                "{dtype:?} {simd:?} {i}: {a} for {e}"
            );
        }
    }

    fn available() -> Vec<Simd> {
        Simd::available().filter(|s| *s != Simd::Portable).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_format_equals_the_plain_product(
            tokens in 1usize..20, rows in 1usize..150, blocks in 1usize..5, scale in -6i32..6
        ) {
            for simd in available() {
                for dtype in TYPES {
                    check(simd, dtype, tokens, rows, blocks, 10f32.powi(scale / 2));
                }
            }
        }
    }

    #[test]
    fn the_largest_numbers_do_not_saturate() {
        for simd in available() {
            for dtype in TYPES {
                let width = dtype.block_size();
                let source = Tensor::full(-1.0f32, (3, width), &Device::Cpu).unwrap();
                let tensor = QTensor::quantize(&source, dtype).unwrap();
                let data = tensor.data().unwrap();
                let weights = tensor
                    .dequantize(&Device::Cpu)
                    .unwrap()
                    .flatten_all()
                    .unwrap();
                let expected: f32 = weights.to_vec1::<f32>().unwrap()[..width].iter().sum();
                let x = Activations::quantize(&vec![1.0; width], width);
                let out = QuantizedMatrix::new(simd, dtype, &data, 3, width)
                    .unwrap()
                    .multiply(&x);
                for y in out {
                    assert!(
                        (y - expected).abs() < 1e-3 * width as f32,
                        "{dtype:?} {simd:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn refuses_what_it_cannot_compute() {
        assert!(QuantizedMatrix::new(Simd::Portable, GgmlDType::Q8_0, &[0; 34], 1, 32).is_none());
        for simd in available() {
            assert!(QuantizedMatrix::new(simd, GgmlDType::Q8_0, &[0; 33], 1, 32).is_none());
            assert!(QuantizedMatrix::new(simd, GgmlDType::Q2K, &[0; 84], 1, 256).is_none());
        }
    }
}
