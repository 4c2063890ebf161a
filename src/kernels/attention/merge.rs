//! One result out of the results over parts of the keys.

use super::tile::exp2;
use crate::kernels::simd::{Kernel, Lanes, LANES};

/// One row: the parts' results weighted by their share of the whole.
pub(super) struct Merge<'a> {
    /// `[parts]`; overwritten.
    pub max: &'a mut [f32],
    /// `[parts]`, a whole number of vectors, as is `max`: what is too many has the sum 0.
    pub sum: &'a [f32],
    /// `[parts, padded]`.
    pub out: &'a [f32],
    pub padded: usize,
    /// `[head_dim]`.
    pub result: &'a mut [f32],
}

impl Kernel for Merge<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        assert!(self.max.len() == self.sum.len() && self.max.len().is_multiple_of(LANES));
        let parts = self.out.len() / self.padded;
        assert!(parts <= self.max.len() && self.result.len() <= self.padded);
        let max = self.max.iter().copied().fold(f32::MIN, f32::max);
        let mut sum = L::splat(0.0);
        for (max_of, sum_of) in self
            .max
            .chunks_exact_mut(LANES)
            .zip(self.sum.chunks_exact(LANES))
        {
            let weight = exp2::<L>(L::sub(L::load(max_of.as_ptr()), L::splat(max)));
            L::store(max_of.as_mut_ptr(), weight);
            sum = L::fma(weight, L::load(sum_of.as_ptr()), sum);
        }
        let sum = L::sum(sum);
        for (i, result) in self.result.chunks_mut(LANES).enumerate() {
            let mut x = L::splat(0.0);
            for (part, &weight) in self.out.chunks_exact(self.padded).zip(&*self.max) {
                x = L::fma(L::load(part.as_ptr().add(i * LANES)), L::splat(weight), x);
            }
            put::<L>(L::div(x, L::splat(sum)), result);
        }
    }
}

/// One row that has seen all of its keys.
pub(super) struct Finish<'a> {
    /// `[16]`.
    pub sum: &'a [f32],
    /// `[padded]`.
    pub out: &'a [f32],
    /// `[head_dim]`.
    pub result: &'a mut [f32],
}

impl Kernel for Finish<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        assert!(self.sum.len() == LANES && self.result.len() <= self.out.len());
        assert!(self.out.len().is_multiple_of(LANES));
        let sum = L::splat(L::sum(L::load(self.sum.as_ptr())));
        for (x, result) in self
            .out
            .chunks_exact(LANES)
            .zip(self.result.chunks_mut(LANES))
        {
            put::<L>(L::div(L::load(x.as_ptr()), sum), result);
        }
    }
}

/// The first of `x` into `result`, at most sixteen numbers.
#[inline(always)]
pub(super) unsafe fn put<L: Lanes>(x: L::F, result: &mut [f32]) {
    if result.len() == LANES {
        return L::store(result.as_mut_ptr(), x);
    }
    let mut all = [0.0; LANES];
    L::store(all.as_mut_ptr(), x);
    result.copy_from_slice(&all[..result.len()]);
}
