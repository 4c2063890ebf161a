//! Many tokens: a panel of rows of the weight with tiles of tokens.
//!
//! Lanes are tokens, and the weight's numbers are spread over them one by one; so its rows need no transposing, only
//! to be widened and brought near each other, which also puts them in the cache.

use super::arithmetic::{padded, prefetch, prefetch_many, Arithmetic, Line};
use super::dots::Dots;
use super::tiles::{FloatTiles, TILE};
use super::{Operation, PANEL};
use crate::kernels::simd::{Kernel, Lanes, LANES};
use crate::kernels::Simd;

/// The most units of a row that are multiplied in one go: a panel of them stays in the second cache.
const BLOCK: usize = 512;
/// Lines from one row of the packed block to the next: one more than it has, lest all rows meet in a few sets of the
/// first cache.
const STRIDE: usize = BLOCK / LANES + 1;

/// Rows with all tokens of `x`, to `out` `[tokens, PANEL]`.
pub(super) struct Panel<'a, W> {
    pub simd: Simd,
    pub weights: &'a [W],
    pub x: &'a FloatTiles,
    pub out: &'a mut [f32],
    pub scratch: &'a mut Vec<Line>,
}

impl<W: Copy + Default> Operation for Panel<'_, W> {
    type Weight = W;

    #[inline(always)]
    unsafe fn eval<A: Arithmetic<Weight = W>>(self) {
        let Self {
            simd,
            weights,
            x,
            out,
            scratch,
        } = self;
        let (width, tiles, units) = (x.width(), x.tiles(), x.units());
        let (out, rows_out) = out.split_at_mut((x.tokens() - x.rows()) * PANEL);
        let len = PANEL * (STRIDE + tiles);
        if scratch.len() < len {
            scratch.resize(len, Line::ZERO);
        }
        let (packed, sums) = scratch.split_at_mut(PANEL * STRIDE);
        // Blocks of about the same size.
        let blocks = units.div_ceil(BLOCK);
        let block = units.div_ceil(blocks).next_multiple_of(LANES);
        for start in (0..if tiles > 0 { units } else { 0 }).step_by(block) {
            let len = block.min(units - start);
            pack::<A>(weights, width, start, len, packed);
            let carry = start > 0;
            // The next block, or the first one of the rows that follow, if there are any.
            let next_weights = match start + len < units {
                true => weights
                    .as_ptr()
                    .wrapping_add((start + len) * A::PER_VECTOR / LANES),
                false => weights.as_ptr().wrapping_add(weights.len()),
            };
            let lines =
                |tile: usize, start: usize| &x.tile(tile)[start..(start + block).min(units)];
            let mut tile = 0;
            while tile < tiles {
                let pair = A::ACCUMULATORS >= 16 && tile + 1 < tiles;
                let count = 1 + usize::from(pair);
                // What is needed next is fetched meanwhile: it comes from the third cache.
                let next = match tile + count {
                    next if next < tiles => {
                        [lines(next, start), lines((next + 1).min(tiles - 1), start)]
                    }
                    _ if start + len < units => {
                        [lines(0, start + len), lines(1 % tiles, start + len)]
                    }
                    _ => [lines(0, 0), lines(1 % tiles, 0)],
                };
                let ahead = Ahead {
                    x: next,
                    weights: (tile == 0).then_some(next_weights),
                    width,
                };
                let sums = &mut sums[tile * PANEL..(tile + count) * PANEL];
                let rows = weights.len() / width;
                match pair {
                    true => {
                        let lines = [lines(tile, start), lines(tile + 1, start)];
                        columns::<A, 2>(packed, lines, &ahead, carry, sums, rows);
                    }
                    false => {
                        columns::<A, 1>(packed, [lines(tile, start)], &ahead, carry, sums, rows)
                    }
                }
                if start + len == units {
                    let first = tile * TILE * PANEL;
                    let end = out.len().min(first + count * TILE * PANEL);
                    simd.run(Turn {
                        sums,
                        out: &mut out[first..end],
                    });
                }
                tile += count;
            }
        }
        Dots {
            weights,
            width,
            x: x.last_rows(),
            out: rows_out,
        }
        .eval::<A>();
    }
}

/// Units `start..start + len` of every row.
#[inline(always)]
unsafe fn pack<A: Arithmetic>(
    weights: &[A::Weight],
    width: usize,
    start: usize,
    len: usize,
    packed: &mut [Line],
) {
    let numbers = A::PER_VECTOR / LANES;
    for (row, lines) in weights.chunks(width).zip(packed.chunks_mut(STRIDE)) {
        let row = &row[start * numbers..((start + len) * numbers).min(width)];
        for (i, line) in lines[..len.div_ceil(LANES)].iter_mut().enumerate() {
            let at = i * A::PER_VECTOR;
            let p = row.as_ptr().add(at);
            prefetch_many(p.wrapping_add(2 * width), A::PER_VECTOR);
            // SAFETY: a whole vector lies within the row, or what is left of it is copied first.
            let units = match row.len() - at >= A::PER_VECTOR {
                true => A::weights(p),
                false => A::weights(padded(p, row.len() - at).as_ptr()),
            };
            A::store(line.0.as_mut_ptr(), units);
        }
    }
}

/// What will be read soon and is asked for meanwhile.
struct Ahead<'a, W> {
    /// The next tiles.
    x: [&'a [Line]; 2],
    /// The next rows, from the unit on where the next block starts.
    weights: Option<*const W>,
    width: usize,
}

impl<W> Ahead<'_, W> {
    /// The lines for the `part`th of several passes: half a tile each.
    #[inline(always)]
    fn lines(&self, part: usize) -> *const Line {
        let tile = self.x[part / 2 % 2];
        tile.as_ptr().wrapping_add(part % 2 * (tile.len() / 2))
    }

    #[inline(always)]
    fn weights_from(&self, row: usize) -> Option<*const W> {
        Some(self.weights?.wrapping_add(row * self.width))
    }
}

/// All rows with `V` tiles; sums are `[V, PANEL]` lines.
#[inline(always)]
unsafe fn columns<A: Arithmetic, const V: usize>(
    packed: &[Line],
    x: [&[Line]; V],
    ahead: &Ahead<A::Weight>,
    carry: bool,
    sums: &mut [Line],
    rows: usize,
) {
    let mut row = 0;
    let mut part = 0;
    while row < rows {
        let left = PANEL - row;
        let (packed, sums) = (&packed[row * STRIDE..], &mut sums[row..]);
        let ahead = (ahead.lines(part), ahead.weights_from(row), ahead.width);
        part += 1;
        // Rows past the last one are whatever lies there: nobody reads their sums.
        row += if A::ACCUMULATORS >= 16 {
            block::<A, 8, V>(packed, x, ahead, carry, sums)
        } else if A::ACCUMULATORS >= 6 && left > 8 {
            block::<A, 6, V>(packed, x, ahead, carry, sums)
        } else {
            block::<A, 4, V>(packed, x, ahead, carry, sums)
        };
    }
}

/// `R` rows with `V` tiles; returns `R`.
#[inline(always)]
unsafe fn block<A: Arithmetic, const R: usize, const V: usize>(
    packed: &[Line],
    x: [&[Line]; V],
    (next, next_weights, width): (*const Line, Option<*const A::Weight>, usize),
    carry: bool,
    sums: &mut [Line],
) -> usize {
    assert!(
        packed.len() >= (R - 1) * STRIDE + x[0].len().div_ceil(LANES)
            && sums.len() >= (V - 1) * PANEL + R
    );
    let mut acc = [[A::zero(); V]; R];
    if carry {
        for r in 0..R {
            for v in 0..V {
                acc[r][v] = A::load_sums(sums[v * PANEL + r].0.as_ptr());
            }
        }
    }
    let w: *const f32 = packed.as_ptr().cast();
    let tiles: [*const f32; V] = x.map(|x| x.as_ptr().cast());
    let len = x[0].len();
    for start in (0..len).step_by(LANES) {
        // Both are spread over the arithmetic, which hides them.
        for line in 0..LANES / 2 {
            prefetch(next.wrapping_add(start / 2 + line));
        }
        if let Some(weights) = next_weights {
            let at = start * A::PER_VECTOR / LANES;
            for r in 0..R {
                prefetch_many(weights.wrapping_add(r * width + at), A::PER_VECTOR);
            }
        }
        for k in start..len.min(start + LANES) {
            // SAFETY: the tiles are of one length; the rows of `packed` hold as many units (asserted).
            let mut x = [A::zero_units(); V];
            for (x, tile) in x.iter_mut().zip(tiles) {
                *x = A::load(tile.add(k * LANES));
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                let w = A::splat(w.add(r * STRIDE * LANES + k));
                for (acc, x) in acc.iter_mut().zip(x) {
                    *acc = A::add_product(*acc, w, x);
                }
            }
        }
    }
    for r in 0..R {
        for v in 0..V {
            A::store_sums(sums[v * PANEL + r].0.as_mut_ptr(), acc[r][v]);
        }
    }
    R
}

/// Sums of tiles, `[tiles, PANEL, 16]`, to `out` `[tokens, PANEL]`.
pub(super) struct Turn<'a> {
    pub sums: &'a [Line],
    pub out: &'a mut [f32],
}

impl Kernel for Turn<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        for (sums, out) in self
            .sums
            .chunks(PANEL)
            .zip(self.out.chunks_mut(TILE * PANEL))
        {
            let mut turned = [0.0; TILE * PANEL];
            let full = out.len() == turned.len();
            let to = if full {
                out.as_mut_ptr()
            } else {
                turned.as_mut_ptr()
            };
            for half in (0..PANEL).step_by(LANES) {
                // SAFETY: sixteen lines from `half` on, to sixteen rows of `PANEL`.
                L::transpose(
                    sums[half..half + LANES].as_ptr().cast(),
                    LANES,
                    to.add(half),
                    PANEL,
                );
            }
            if !full {
                out.copy_from_slice(&turned[..out.len()]);
            }
        }
    }
}
