//! One or few tokens: rows of the weight straight from memory, each read once. Lanes run along the row.

use super::arithmetic::{padded, prefetch_many, Arithmetic, Line};
use super::{Operation, PANEL};
use crate::kernels::simd::LANES;

/// How far ahead weights are asked for, in bytes: over the end of a page of 4 KiB, where the hardware stops doing so.
/// Four times as far cost a third of the speed for halves on a Zen 4.
const AHEAD: usize = 1024;

/// Bytes of a token that stay in the first cache beside a stream of weights.
const NARROW: usize = 8 << 10;

/// Rows of `width` numbers with each token of `x`, `[tokens, width]`, in f32: token `t` goes to `out[t · stride ..]`,
/// one number a row. A number does not depend on how many tokens there are.
pub(super) struct Dot<'a, W> {
    pub weights: &'a [W],
    pub x: &'a [f32],
    pub width: usize,
    pub out: &'a mut [f32],
    pub stride: usize,
}

impl<W: Copy + Default> Operation for Dot<'_, W> {
    type Weight = W;

    #[inline(always)]
    unsafe fn eval<A: Arithmetic<Weight = W>>(self) {
        let width = self.width;
        let whole = width / A::PER_VECTOR * A::PER_VECTOR;
        // A token that fills the first cache is better read once for several rows; else one stream is the fastest.
        let rows = match width * size_of::<f32>() > NARROW {
            true => 4,
            false => 1,
        };
        let (mut at, mut left) = (0, self.weights);
        while !left.is_empty() {
            let (w, rest) = left.split_at(left.len().min(rows * width));
            let count = w.len() / width;
            for (x, out) in self
                .x
                .chunks_exact(width)
                .zip(self.out.chunks_mut(self.stride))
            {
                let last = padded(x.as_ptr().add(whole), width - whole);
                let out = &mut out[at..at + count];
                match <&mut [f32; 4]>::try_from(&mut *out) {
                    Ok(out) => *out = dot::<A, 4, 2>(w, x, &last),
                    Err(_) => {
                        for (w, out) in w.chunks(width).zip(out) {
                            [*out] = dot::<A, 1, 4>(w, x, &last);
                        }
                    }
                }
            }
            (at, left) = (at + count, rest);
        }
    }
}

/// `R` rows with the token `x`, whose last numbers, filled up with zeros, are `last`; `U` vectors of each at a time.
#[inline(always)]
unsafe fn dot<A: Arithmetic, const R: usize, const U: usize>(
    weights: &[A::Weight],
    x: &[f32],
    last: &[f32],
) -> [f32; R] {
    let width = x.len();
    assert!(weights.len() == R * width && last.len() >= A::PER_VECTOR);
    let (w, x) = (weights.as_ptr(), x.as_ptr());
    let mut sums = [[A::zero(); U]; R];
    let mut at = 0;
    // SAFETY: the rows and the token hold `width` numbers (asserted); what is left of a row is copied first.
    while at + U * A::PER_VECTOR <= width {
        for (r, sums) in sums.iter_mut().enumerate() {
            let w = w.wrapping_add(r * width + at);
            prefetch_many(
                w.wrapping_add(AHEAD / size_of::<A::Weight>()),
                U * A::PER_VECTOR,
            );
            for (i, sum) in sums.iter_mut().enumerate() {
                let x = A::activations(x.add(at + i * A::PER_VECTOR));
                *sum = A::add_product(*sum, A::weights(w.add(i * A::PER_VECTOR)), x);
            }
        }
        at += U * A::PER_VECTOR;
    }
    while at + A::PER_VECTOR <= width {
        let x = A::activations(x.add(at));
        for (r, sums) in sums.iter_mut().enumerate() {
            sums[0] = A::add_product(sums[0], A::weights(w.add(r * width + at)), x);
        }
        at += A::PER_VECTOR;
    }
    let mut out = [0.0; R];
    for (r, (sums, out)) in sums.iter_mut().zip(&mut out).enumerate() {
        if at < width {
            let w = padded(w.add(r * width + at), width - at);
            let x = A::activations(last.as_ptr());
            sums[0] = A::add_product(sums[0], A::weights(w.as_ptr()), x);
        }
        let (first, others) = sums.split_at_mut(1);
        for sum in others {
            first[0] = A::add(first[0], *sum);
        }
        *out = A::total(first[0]);
    }
    out
}

/// Rows of `width` numbers with few tokens, each `[row_lines]` lines of `x`, to `out` `[tokens, PANEL]`.
pub(super) struct Dots<'a, W> {
    pub weights: &'a [W],
    pub width: usize,
    pub x: &'a [Line],
    pub out: &'a mut [f32],
}

impl<W: Copy + Default> Operation for Dots<'_, W> {
    type Weight = W;

    #[inline(always)]
    unsafe fn eval<A: Arithmetic<Weight = W>>(self) {
        let Self {
            weights,
            width,
            x,
            out,
        } = self;
        let row_lines = width.div_ceil(A::PER_VECTOR);
        let rows_at_once = if A::ACCUMULATORS >= 16 { 4 } else { 2 };
        for (block, weights) in weights.chunks(rows_at_once * width).enumerate() {
            let tokens_at_once = rows_at_once;
            let groups = x.chunks(tokens_at_once * row_lines);
            let outs = out.chunks_mut(tokens_at_once * PANEL);
            for (group, (x, out)) in groups.zip(outs).enumerate() {
                let out = &mut out[block * rows_at_once..];
                let ahead = group == 0;
                match (weights.len() / width, x.len() / row_lines) {
                    (4, 4) => dots::<A, 4, 4>(weights, width, x, out, ahead),
                    (4, 3) => dots::<A, 4, 3>(weights, width, x, out, ahead),
                    (4, 2) => dots::<A, 4, 2>(weights, width, x, out, ahead),
                    (4, 1) => dots::<A, 4, 1>(weights, width, x, out, ahead),
                    (2, 2) => dots::<A, 2, 2>(weights, width, x, out, ahead),
                    (rows, tokens) => {
                        for row in 0..rows {
                            for token in 0..tokens {
                                let (w, x) = (&weights[row * width..], &x[token * row_lines..]);
                                dots::<A, 1, 1>(
                                    w,
                                    width,
                                    x,
                                    &mut out[token * PANEL + row..],
                                    ahead,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The first `R` rows of `weights` with the first `T` tokens of `x`.
#[inline(always)]
unsafe fn dots<A: Arithmetic, const R: usize, const T: usize>(
    weights: &[A::Weight],
    width: usize,
    x: &[Line],
    out: &mut [f32],
    ahead: bool,
) {
    let row_lines = width.div_ceil(A::PER_VECTOR);
    assert!(
        weights.len() >= R * width
            && x.len() >= T * row_lines
            && out.len() > (T - 1) * PANEL + R - 1
    );
    let (w, x): (*const A::Weight, *const f32) = (weights.as_ptr(), x.as_ptr().cast());
    let mut sums = [[A::zero(); T]; R];
    let whole = width / A::PER_VECTOR;
    for line in 0..whole {
        let at = line * A::PER_VECTOR;
        if ahead {
            for r in 0..R {
                prefetch_many(w.wrapping_add((R + r) * width + at), 1);
            }
        }
        // No closures here: they would not be compiled for the instruction set.
        let mut units = [A::zero_units(); R];
        for (r, units) in units.iter_mut().enumerate() {
            // SAFETY: `R` rows and `T` tokens are there (asserted).
            *units = A::weights(w.add(r * width + at));
        }
        add_products::<A, R, T>(&mut sums, units, x.add(line * LANES), row_lines);
    }
    if whole < row_lines {
        let at = whole * A::PER_VECTOR;
        let mut units = [A::zero_units(); R];
        for (r, units) in units.iter_mut().enumerate() {
            let last = padded(w.add(r * width + at), width - at);
            *units = A::weights(last.as_ptr());
        }
        add_products::<A, R, T>(&mut sums, units, x.add(whole * LANES), row_lines);
    }
    for (r, sums) in sums.iter().enumerate() {
        for (t, sum) in sums.iter().enumerate() {
            out[t * PANEL + r] = A::total(*sum);
        }
    }
}

/// `sums` with products of one vector of each row and each token of `x`.
#[inline(always)]
unsafe fn add_products<A: Arithmetic, const R: usize, const T: usize>(
    sums: &mut [[A::Sums; T]; R],
    w: [A::Units; R],
    x: *const f32,
    row_lines: usize,
) {
    for t in 0..T {
        let x = A::load(x.add(t * row_lines * LANES));
        for (sums, w) in sums.iter_mut().zip(w) {
            sums[t] = A::add_product(sums[t], w, x);
        }
    }
}
