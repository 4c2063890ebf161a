//! One or few tokens: rows of the weight straight from memory, each read once. Lanes run along the row.

use super::arithmetic::{padded, prefetch_many, Arithmetic, Line};
use super::{Operation, PANEL};
use crate::kernels::simd::LANES;

/// How far ahead weights are asked for, in bytes: over the end of a page of 4 KiB, where the hardware stops doing so.
/// Four times as far cost a third of the speed for halves on a Zen 4.
const AHEAD: usize = 1024;

/// Rows of `x.len()` numbers with one token, in f32.
pub(super) struct Dot<'a, W> {
    pub weights: &'a [W],
    pub x: &'a [f32],
    pub out: &'a mut [f32],
}

impl<W: Copy + Default> Operation for Dot<'_, W> {
    type Weight = W;

    #[inline(always)]
    unsafe fn eval<A: Arithmetic<Weight = W>>(self) {
        let width = self.x.len();
        let whole = width / A::PER_VECTOR * A::PER_VECTOR;
        let last = padded(self.x.as_ptr().add(whole), width - whole);
        for (w, out) in self.weights.chunks_exact(width).zip(self.out) {
            *out = dot::<A>(w, self.x, &last);
        }
    }
}

/// One row with the token `x`, whose last numbers, filled up with zeros, are `last`.
#[inline(always)]
unsafe fn dot<A: Arithmetic>(weights: &[A::Weight], x: &[f32], last: &[f32]) -> f32 {
    const UNROLL: usize = 4;
    let width = x.len();
    assert!(weights.len() == width && last.len() >= A::PER_VECTOR);
    let (w, x) = (weights.as_ptr(), x.as_ptr());
    let mut sums = [A::zero(); UNROLL];
    let mut at = 0;
    // SAFETY: row and token hold `width` numbers (asserted); what is left of the row is copied first.
    while at + UNROLL * A::PER_VECTOR <= width {
        prefetch_many(
            w.wrapping_add(at + AHEAD / size_of::<A::Weight>()),
            UNROLL * A::PER_VECTOR,
        );
        for i in 0..UNROLL {
            let at = at + i * A::PER_VECTOR;
            sums[i] = A::add_product(sums[i], A::weights(w.add(at)), A::activations(x.add(at)));
        }
        at += UNROLL * A::PER_VECTOR;
    }
    while at + A::PER_VECTOR <= width {
        sums[0] = A::add_product(sums[0], A::weights(w.add(at)), A::activations(x.add(at)));
        at += A::PER_VECTOR;
    }
    if at < width {
        let w = padded(w.add(at), width - at);
        sums[1] = A::add_product(
            sums[1],
            A::weights(w.as_ptr()),
            A::activations(last.as_ptr()),
        );
    }
    A::total(A::add(A::add(sums[0], sums[1]), A::add(sums[2], sums[3])))
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
        for r in 0..R {
            // SAFETY: `R` rows and `T` tokens are there (asserted).
            units[r] = A::weights(w.add(r * width + at));
        }
        add_products::<A, R, T>(&mut sums, units, x.add(line * LANES), row_lines);
    }
    if whole < row_lines {
        let at = whole * A::PER_VECTOR;
        let mut units = [A::zero_units(); R];
        for r in 0..R {
            let last = padded(w.add(r * width + at), width - at);
            units[r] = A::weights(last.as_ptr());
        }
        add_products::<A, R, T>(&mut sums, units, x.add(whole * LANES), row_lines);
    }
    for r in 0..R {
        for t in 0..T {
            out[t * PANEL + r] = A::total(sums[r][t]);
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
        for r in 0..R {
            sums[r][t] = A::add_product(sums[r][t], w[r], x);
        }
    }
}
