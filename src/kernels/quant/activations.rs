//! Activations as blocks of small integers, for products with quantised weights.

use crate::kernels::pool::{self, Parts};
use crate::kernels::simd::{Kernel, Lanes, Simd, LANES};

/// Numbers that share a scale.
pub(super) const BLOCK: usize = 32;
/// Tokens of a full tile: with two groups of rows their sums fill 32 registers.
pub(super) const TILE: usize = 6;
/// Sums of a block that are kept: those of its halves, and of all of it.
pub(super) const SUMS: usize = 3;

/// The largest integer.
const STEPS: f32 = 127.0;
/// Tokens from which on quantising is shared out.
const MANY_TOKENS: usize = 24;

/// Rows of activations, `[tokens, width]`, quantised in blocks of 32: `x ≈ scale · q`, the largest of a block being
/// ±127 (as llama.cpp's Q8_0). Tokens lie in tiles, so that a kernel reads those of a tile from front to back.
#[derive(Default)]
pub struct Activations {
    width: usize,
    tokens: usize,
    tile: usize,
    /// `[tiles, blocks, tile, 32]`.
    q: Vec<i8>,
    /// `[tiles, blocks, tile]`.
    scales: Vec<f32>,
    /// Sums of the integers, negative, `[tiles, blocks, 3, tile]`.
    sums: Vec<i32>,
    /// The same times the scale, and positive.
    scaled_sums: Vec<f32>,
}

/// One tile: pointers to its part of each buffer.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub q: *const i8,
    pub scales: *const f32,
    pub sums: *const i32,
    pub scaled_sums: *const f32,
}

impl Activations {
    /// Quantises `x`, `[tokens, width]`; `width` is a multiple of 32. Memory is kept from call to call.
    pub fn quantize(&mut self, simd: Simd, x: &[f32], width: usize) {
        assert!(
            width > 0 && width.is_multiple_of(BLOCK) && x.len().is_multiple_of(width),
            "activations come in whole blocks of {BLOCK}"
        );
        let tokens = x.len() / width;
        let tile = match tokens {
            0 | 1 => 1,
            2 => 2,
            // Full tiles, though smaller ones, rather than larger ones a third of which is empty.
            3 | 4 | 7 | 8 | 13..=16 => 4,
            _ => TILE,
        };
        (self.width, self.tokens, self.tile) = (width, tokens, tile);
        let lanes = tokens.next_multiple_of(tile);
        let blocks = width / BLOCK;
        self.q.resize(lanes * width, 0);
        self.scales.resize(lanes * blocks, 0.0);
        self.sums.resize(lanes * blocks * SUMS, 0);
        self.scaled_sums.resize(lanes * blocks * SUMS, 0.0);
        let (q, scales) = (Parts::new(&mut self.q), Parts::new(&mut self.scales));
        let (sums, scaled) = (
            Parts::new(&mut self.sums),
            Parts::new(&mut self.scaled_sums),
        );
        let quantize = |index: usize| {
            let size = tile * blocks;
            // SAFETY: each tile has its own part of every buffer.
            unsafe {
                simd.run(Quantize {
                    x: x.get(index * tile * width..).unwrap_or(&[]),
                    width,
                    tile,
                    q: q.part(index * size * BLOCK, size * BLOCK),
                    scales: scales.part(index * size, size),
                    sums: sums.part(index * size * SUMS, size * SUMS),
                    scaled_sums: scaled.part(index * size * SUMS, size * SUMS),
                })
            }
        };
        match tokens {
            0..MANY_TOKENS => (0..lanes / tile).for_each(quantize),
            _ => pool::run(lanes / tile, quantize),
        }
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Tokens of a tile; those past the last token are zero.
    pub(super) fn tile(&self) -> usize {
        self.tile
    }

    pub(super) fn tiles(&self) -> usize {
        self.tokens.div_ceil(self.tile)
    }

    /// Tile `index`.
    pub(super) fn at(&self, index: usize) -> Tile {
        let start = index * self.tile * (self.width / BLOCK);
        Tile {
            q: self.q[start * BLOCK..].as_ptr(),
            scales: self.scales[start..].as_ptr(),
            sums: self.sums[start * SUMS..].as_ptr(),
            scaled_sums: self.scaled_sums[start * SUMS..].as_ptr(),
        }
    }

    /// The numbers of row `token` as the kernels see them.
    #[cfg(test)]
    pub fn row(&self, token: usize) -> Vec<f32> {
        let (tile, lane) = (token / self.tile, token % self.tile);
        (0..self.width)
            .map(|i| {
                let at = (tile * (self.width / BLOCK) + i / BLOCK) * self.tile + lane;
                self.scales[at] * f32::from(self.q[at * BLOCK + i % BLOCK])
            })
            .collect()
    }
}

/// Fills one tile.
struct Quantize<'a> {
    /// The tile's rows and all after them.
    x: &'a [f32],
    width: usize,
    tile: usize,
    q: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
    scaled_sums: &'a mut [f32],
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let tile = self.tile;
        let blocks = self.width / BLOCK;
        for lane in 0..tile {
            let Some(row) = self.x.get(lane * self.width..(lane + 1) * self.width) else {
                for block in 0..blocks {
                    let at = block * tile + lane;
                    self.q[at * BLOCK..(at + 1) * BLOCK].fill(0);
                    self.scales[at] = 0.0;
                    for i in 0..SUMS {
                        self.sums[(block * SUMS + i) * tile + lane] = 0;
                        self.scaled_sums[(block * SUMS + i) * tile + lane] = 0.0;
                    }
                }
                continue;
            };
            // x · 0 is 0, or NaN where x is not finite: a broken model must not answer nonsense.
            let mut broken = L::splat(0.0);
            for (block, x) in row.chunks_exact(BLOCK).enumerate() {
                let x = [L::load(x.as_ptr()), L::load(x.as_ptr().add(LANES))];
                broken = L::fma(x[0], L::splat(0.0), L::fma(x[1], L::splat(0.0), broken));
                let largest = L::largest(L::max(L::abs(x[0]), L::abs(x[1])));
                let inverse = if largest > 0.0 { STEPS / largest } else { 0.0 };
                // A block of denormals has an infinite inverse.
                let inverse = if inverse.is_finite() { inverse } else { 0.0 };
                let scale = largest / STEPS;
                let at = block * tile + lane;
                *self.scales.get_unchecked_mut(at) = scale;
                let mut sums = [0i32; SUMS];
                for half in 0..2 {
                    let q = L::round(L::mul(x[half], L::splat(inverse)));
                    L::store_i8(self.q.as_mut_ptr().add(at * BLOCK + half * LANES), q);
                    sums[half] = L::sum_i(q);
                }
                sums[2] = sums[0] + sums[1];
                for (i, sum) in sums.into_iter().enumerate() {
                    let at = (block * SUMS + i) * tile + lane;
                    *self.sums.get_unchecked_mut(at) = -sum;
                    *self.scaled_sums.get_unchecked_mut(at) = scale * sum as f32;
                }
            }
            if L::sum(broken).is_nan() {
                self.scales[lane] = f32::NAN;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back_within_half_a_step(
            x in proptest::collection::vec(-1e3f32..1e3, 96 * 31), tokens in 1usize..31
        ) {
            let x = &x[..96 * tokens];
            for simd in Simd::available() {
                let mut activations = Activations::default();
                activations.quantize(simd, x, 96);
                for (token, x) in x.chunks(96).enumerate() {
                    let row = activations.row(token);
                    for (x, row) in x.chunks(32).zip(row.chunks(32)) {
                        let step = x.iter().fold(0f32, |m, x| m.max(x.abs())) / 127.0;
                        for (x, y) in x.iter().zip(row) {
                            prop_assert!((x - y).abs() <= 0.501 * step, "{simd:?}: {x} became {y}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        for simd in Simd::available() {
            let mut activations = Activations::default();
            for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = [1.0f32; 128];
                x[77] = wrong;
                activations.quantize(simd, &x, 128);
                assert!(activations.row(0).iter().any(|y| y.is_nan()), "{simd:?}");
            }
            activations.quantize(simd, &[0.0; 64], 64);
            assert_eq!(activations.row(0), [0.0; 64]);
            activations.quantize(simd, &[1e-42; 64], 64);
            assert!(activations.row(0).iter().all(|y| y.is_finite()));
        }
    }
}
