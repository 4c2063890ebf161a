//! The arithmetic: a panel of rows with tiles of samples.

use half::bf16;

use super::{PANEL, SEGMENT};
use crate::kernels::float::arithmetic::{prefetch, Arithmetic, Line};
use crate::kernels::float::Operation;
use crate::kernels::simd::LANES;

/// One panel with all tiles of a segment.
pub(super) struct Tiles<'a> {
    /// `[columns, PANEL]`.
    pub weights: &'a [f32],
    pub columns: &'a [usize],
    pub x: &'a [f32],
    pub from: usize,
    pub len: usize,
    pub carry: bool,
    /// The samples are read for the first time: those of the next tile are asked for meanwhile.
    pub ahead: bool,
    /// `[PANEL, SEGMENT]`.
    pub sums: &'a mut [Line],
}

/// The same over f32.
pub(super) struct InF32<'a>(pub Tiles<'a>);

impl Operation for InF32<'_> {
    type Weight = f32;

    #[inline(always)]
    unsafe fn eval<A: Arithmetic<Weight = f32>>(self) {
        self.0.all::<A>();
    }
}

impl Operation for Tiles<'_> {
    type Weight = bf16;

    #[inline(always)]
    unsafe fn eval<A: Arithmetic<Weight = bf16>>(self) {
        self.all::<A>();
    }
}

impl Tiles<'_> {
    #[inline(always)]
    unsafe fn all<A: Arithmetic>(self) {
        assert!(
            self.weights.len() >= self.columns.len() * PANEL
                && self.sums.len() >= PANEL * SEGMENT / LANES
                && self.len <= SEGMENT
        );
        let flags = (self.carry, self.ahead);
        let mut at = 0;
        while at < self.len {
            let x = self.x.as_ptr().add(self.from + at);
            let sums = self.sums.as_mut_ptr().cast::<f32>().add(at);
            if A::ACCUMULATORS < 16 {
                for r in (0..PANEL).step_by(4) {
                    let (w, sums) = (self.weights.as_ptr().add(r), sums.add(r * SEGMENT));
                    tile::<A, 4, 1>(w, self.columns, x, (self.carry, self.ahead && r == 0), sums);
                }
                at += LANES;
            } else if self.len - at > LANES {
                tile::<A, PANEL, 2>(self.weights.as_ptr(), self.columns, x, flags, sums);
                at += 2 * LANES;
            } else {
                tile::<A, PANEL, 1>(self.weights.as_ptr(), self.columns, x, flags, sums);
                at += LANES;
            }
        }
    }
}

/// `R` rows with `V` vectors of samples.
#[inline(always)]
unsafe fn tile<A: Arithmetic, const R: usize, const V: usize>(
    weights: *const f32,
    columns: &[usize],
    x: *const f32,
    (carry, ahead): (bool, bool),
    sums: *mut f32,
) {
    let mut acc = [[A::zero(); V]; R];
    if carry {
        for (r, acc) in acc.iter_mut().enumerate() {
            for (v, acc) in acc.iter_mut().enumerate() {
                *acc = A::load_sums(sums.add(r * SEGMENT + v * LANES));
            }
        }
    }
    let mut w = weights;
    for &column in columns {
        if ahead {
            // What is asked for need not exist.
            let next = x.wrapping_add(column + V * LANES);
            for v in 0..V {
                prefetch(next.wrapping_add(v * LANES));
            }
        }
        // SAFETY: a column has a whole number of tiles from its start on (checked in `starts`).
        let mut units = [A::zero_units(); V];
        for (v, units) in units.iter_mut().enumerate() {
            *units = A::load(x.add(column + v * LANES));
        }
        for (r, acc) in acc.iter_mut().enumerate() {
            let w = A::splat(w.add(r));
            for (acc, units) in acc.iter_mut().zip(units) {
                *acc = A::add_product(*acc, w, units);
            }
        }
        w = w.add(PANEL);
    }
    for (r, acc) in acc.iter().enumerate() {
        for (v, acc) in acc.iter().enumerate() {
            A::store_sums(sums.add(r * SEGMENT + v * LANES), *acc);
        }
    }
}
