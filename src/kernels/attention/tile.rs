//! The arithmetic: a few query rows against the keys and values of one chunk.
//!
//! The running softmax of FlashAttention-2 (Dao, 2023, arXiv:2307.08691), in base 2: queries come multiplied by
//! `scale · log2(e)`.

use std::ops::Range;

use crate::kernels::cache::{Element, Head, Shape, CHUNK, SCALE_GROUP};
use crate::kernels::simd::{Kernel, Lanes, LANES};

/// Numbers from one row of scores to the next: rows that lie powers of two apart would share a few lines of the cache.
pub(super) const SCORES: usize = CHUNK + LANES;

/// Numbers of rows that a tile is compiled for.
pub(super) const TILE_ROWS: [usize; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 12];

/// Query rows whose accumulators fit the registers.
const fn most_rows(accumulators: usize) -> usize {
    match accumulators {
        24.. => 12,
        6.. => 6,
        _ => 4,
    }
}

/// The most rows of a tile in an instruction set.
pub(super) struct MostRows;

impl Kernel for MostRows {
    type Output = usize;

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) -> usize {
        most_rows(L::ACCUMULATORS)
    }
}

/// What a tile has seen so far.
pub(super) struct State<'a> {
    /// Each row's largest score, `[16]`, of which the first `R` count; [`f32::MIN`] before the first.
    pub max: &'a mut [f32],
    /// Sums of `2^(score − max)`, `[R, 16]`: a row's sum is that of its lanes.
    pub sum: &'a mut [f32],
    /// Sums of `2^(score − max) · value`, `[R, padded]`.
    pub out: &'a mut [f32],
}

/// `R` query rows take in the part of a chunk that they see.
pub(super) struct Tile<'a, E, const R: usize> {
    pub shape: &'a Shape,
    pub head: Head<'a, E>,
    /// The keys that come after these, to be fetched meanwhile.
    pub next: *const E,
    /// `[head_dim, R]`.
    pub queries: &'a [f32],
    /// The slots of the chunk that each row sees.
    pub seen: &'a [(usize, usize)],
    pub state: State<'a>,
    /// Scratch, `[R, SCORES]`.
    pub scores: &'a mut [f32],
}

impl<E: Element, const R: usize> Kernel for Tile<'_, E, R> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(mut self) {
        assert!(R <= most_rows(L::ACCUMULATORS) && self.seen.len() == R);
        assert!(self.queries.len() == R * self.shape.head_dim && self.scores.len() == R * SCORES);
        assert!(self.state.max.len() == LANES && self.state.sum.len() == R * LANES);
        assert!(self.state.out.len() == R * self.shape.padded);
        let (first, last) = self
            .seen
            .iter()
            .filter(|(from, to)| from < to)
            .fold((CHUNK, 0), |(first, last), &(from, to)| {
                (first.min(from), last.max(to))
            });
        assert!(last <= CHUNK);
        if first >= last {
            return;
        }
        // Vectors of keys at a time, so that there are enough independent sums.
        let vectors = if L::ACCUMULATORS >= 4 * R {
            self.scores::<L, 4>(first, last)
        } else if L::ACCUMULATORS >= 2 * R {
            self.scores::<L, 2>(first, last)
        } else {
            self.scores::<L, 1>(first, last)
        };
        self.hide(vectors);
        let shrink = self.softmax::<L>(vectors);
        if L::ACCUMULATORS >= 4 * R {
            self.values::<L, 4>(first, last, &shrink);
        } else if L::ACCUMULATORS >= 2 * R {
            self.values::<L, 2>(first, last, &shrink);
        } else {
            self.values::<L, 1>(first, last, &shrink);
        }
    }
}

// The arrays are registers: rows and vectors are counted, in them as in memory.
#[allow(clippy::needless_range_loop)]
impl<E: Element, const R: usize> Tile<'_, E, R> {
    /// Scores of the slots `first..last`, `V` vectors at a time; returns the vectors that were written, which may be
    /// a few more.
    #[inline(always)]
    unsafe fn scores<L: Lanes, const V: usize>(
        &mut self,
        first: usize,
        last: usize,
    ) -> (usize, usize) {
        let (dim, groups) = (self.shape.head_dim, self.shape.groups);
        let queries = self.queries.as_ptr();
        let (first, last) = (first / (V * LANES) * V, last.div_ceil(V * LANES) * V);
        for block in (first..last).step_by(V) {
            let keys = self.head.keys.add(block * dim * LANES);
            let mut sums = [[L::splat(0.0); V]; R];
            for start in (0..dim).step_by(LANES) {
                let mut scale = [L::splat(0.0); V];
                if E::SCALED {
                    for (j, scale) in scale.iter_mut().enumerate() {
                        let at = ((block + j) * groups + start / SCALE_GROUP) * LANES;
                        *scale = L::load(self.head.key_scales.add(at));
                    }
                }
                // The values of the same keys are wanted next.
                let mut values = self
                    .head
                    .values
                    .add((start * CHUNK) + block * LANES * LANES);
                for d in start..dim.min(start + LANES) {
                    fetch::<L, E, R, V>(values);
                    values = values.add(V * LANES);
                    let mut k = [L::splat(0.0); V];
                    for j in 0..V {
                        k[j] = E::load::<L>(keys.add((j * dim + d) * LANES), scale[j]);
                    }
                    for r in 0..R {
                        let q = L::splat(*queries.add(d * R + r));
                        for j in 0..V {
                            sums[r][j] = L::fma(k[j], q, sums[r][j]);
                        }
                    }
                }
            }
            for r in 0..R {
                for j in 0..V {
                    let at = r * SCORES + (block + j) * LANES;
                    L::store(self.scores.as_mut_ptr().add(at), sums[r][j]);
                }
            }
        }
        (first, last)
    }

    /// −∞ for what a row does not see.
    #[inline(always)]
    fn hide(&mut self, (first, last): (usize, usize)) {
        let (first, last) = (first * LANES, last * LANES);
        for (r, &(from, to)) in self.seen.iter().enumerate() {
            let row = &mut self.scores[r * SCORES..(r + 1) * SCORES];
            if from >= to {
                row[first..last].fill(f32::NEG_INFINITY);
                continue;
            }
            if from > first {
                row[first..from].fill(f32::NEG_INFINITY);
            }
            if to < last {
                row[to..last].fill(f32::NEG_INFINITY);
            }
        }
    }

    /// Scores to powers of two below the new maximum; returns what the sums so far shrink by.
    #[inline(always)]
    unsafe fn softmax<L: Lanes>(&mut self, (first, last): (usize, usize)) -> [f32; LANES] {
        let mut largest = [f32::MIN; LANES];
        for (r, largest) in largest.iter_mut().enumerate().take(R) {
            let row = self.scores.as_ptr().add(r * SCORES);
            let mut max = L::load(row.add(first * LANES));
            for i in first + 1..last {
                max = L::max(max, L::load(row.add(i * LANES)));
            }
            *largest = L::largest(max);
        }
        let before = L::load(self.state.max.as_ptr());
        let max = L::max(L::load(largest.as_ptr()), before);
        L::store(self.state.max.as_mut_ptr(), max);
        let mut shrink = [0.0; LANES];
        L::store(shrink.as_mut_ptr(), exp2::<L>(L::sub(before, max)));
        for r in 0..R {
            let row = self.scores.as_mut_ptr().add(r * SCORES);
            let max = L::splat(self.state.max[r]);
            let at = self.state.sum.as_mut_ptr().add(r * LANES);
            let mut sum = L::mul(L::load(at), L::splat(shrink[r]));
            for i in first..last {
                let p = exp2::<L>(L::sub(L::load(row.add(i * LANES)), max));
                L::store(row.add(i * LANES), p);
                sum = L::add(sum, p);
            }
            L::store(at, sum);
        }
        shrink
    }

    /// Adds the values of the slots `first..last`, `V` vectors of dimensions at a time.
    #[inline(always)]
    unsafe fn values<L: Lanes, const V: usize>(
        &mut self,
        first: usize,
        last: usize,
        shrink: &[f32; LANES],
    ) {
        let vectors = self.shape.padded / LANES;
        let mut i = 0;
        while i + V <= vectors {
            self.dimensions::<L, V>(i, first, last, shrink);
            i += V;
        }
        if V > 2 && i + 2 <= vectors {
            self.dimensions::<L, 2>(i, first, last, shrink);
            i += 2;
        }
        if V > 1 && i < vectors {
            self.dimensions::<L, 1>(i, first, last, shrink);
        }
    }

    /// As [`Tile::values`], for the `V` vectors of dimensions from `start` on.
    #[inline(always)]
    unsafe fn dimensions<L: Lanes, const V: usize>(
        &mut self,
        start: usize,
        first: usize,
        last: usize,
        shrink: &[f32; LANES],
    ) {
        let out = self.state.out.as_mut_ptr().add(start * LANES);
        let mut sums = [[L::splat(0.0); V]; R];
        for r in 0..R {
            for j in 0..V {
                let so_far = L::load(out.add(r * self.shape.padded + j * LANES));
                sums[r][j] = L::mul(so_far, L::splat(shrink[r]));
            }
        }
        let next = self.next.wrapping_add(start * (last - first) * LANES);
        let [from, to] = self.common(first, last);
        let next = self.slots::<L, V, false>(start, first..from, next, &mut sums);
        let next = self.slots::<L, V, true>(start, from..to, next, &mut sums);
        self.slots::<L, V, false>(start, to..last, next, &mut sums);
        for r in 0..R {
            for j in 0..V {
                L::store(out.add(r * self.shape.padded + j * LANES), sums[r][j]);
            }
        }
    }

    /// The slots among `first..last` that all rows see.
    #[inline(always)]
    fn common(&self, first: usize, last: usize) -> [usize; 2] {
        let (from, to) = self
            .seen
            .iter()
            .fold((first, last), |(first, last), &(from, to)| {
                (first.max(from), last.min(to))
            });
        let from = from.min(last);
        [from, to.max(from)]
    }

    /// Adds the values of `slots` to `sums`, `V` vectors of dimensions from `start` on, and fetches as many from `next`
    /// on; returns what comes behind those. Unless all rows see all of them (`ALL`), each row takes its own alone: what is
    /// not a number stays so times a weight of 0, and a row must not show what it does not see.
    #[inline(always)]
    unsafe fn slots<L: Lanes, const V: usize, const ALL: bool>(
        &self,
        start: usize,
        slots: Range<usize>,
        mut next: *const E,
        sums: &mut [[L::F; V]; R],
    ) -> *const E {
        let values = self.head.values.add(start * CHUNK * LANES);
        let scales = self.head.value_scales;
        let scores = self.scores.as_ptr();
        for slot in slots {
            fetch::<L, E, R, V>(next);
            next = next.wrapping_add(V * LANES);
            let mut v = [L::splat(0.0); V];
            for j in 0..V {
                let scale = match E::SCALED {
                    true => {
                        let group = (start + j) * LANES / SCALE_GROUP;
                        L::splat(*scales.add(group * CHUNK + slot))
                    }
                    false => L::splat(0.0),
                };
                v[j] = E::load::<L>(values.add((j * CHUNK + slot) * LANES), scale);
            }
            for r in 0..R {
                let (from, to) = self.seen[r];
                if ALL || (from <= slot && slot < to) {
                    let p = L::splat(*scores.add(r * SCORES + slot));
                    for j in 0..V {
                        sums[r][j] = L::fma(v[j], p, sums[r][j]);
                    }
                }
            }
        }
        next
    }
}

/// Asks for `V` vectors at `p` in tiles of few rows, which wait for memory rather than for arithmetic.
#[inline(always)]
unsafe fn fetch<L: Lanes, E, const R: usize, const V: usize>(p: *const E) {
    const LINE: usize = 64;
    if R <= 8 {
        for i in 0..(V * LANES * size_of::<E>()).div_ceil(LINE) {
            L::prefetch(p.cast::<u8>().wrapping_add(i * LINE));
        }
    }
}

/// `2^x` within two units in the last place for `x ≤ 0`; 0 below −126, and not a number stays so (coefficients:
/// Cephes' `exp2f`, doubled, as the exponent is one less).
#[inline(always)]
pub(super) unsafe fn exp2<L: Lanes>(x: L::F) -> L::F {
    // The operand that is not a number wins when it comes second.
    let x = L::max(L::splat(-126.0), x);
    let n = L::round(x);
    let r = L::sub(x, L::to_float(n));
    let mut p = L::splat(2.0 * 1.535_336_2e-4);
    for c in [
        2.0 * 1.339_887_4e-3,
        2.0 * 9.618_437e-3,
        2.0 * 5.550_332_5e-2,
        2.0 * 0.240_226_48,
        2.0 * std::f32::consts::LN_2,
        2.0,
    ] {
        p = L::fma(p, r, L::splat(c));
    }
    L::mul(p, L::exp2_less_one(n))
}
