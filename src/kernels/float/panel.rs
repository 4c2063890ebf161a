//! Many tokens: a panel of rows of the weight with tiles of tokens.
//!
//! Lanes are tokens, and the weight's numbers are spread over them one by one; so its rows need no transposing, only
//! to be widened and brought near each other, which also puts them in the cache.

use super::arithmetic::{padded, prefetch_many, Arithmetic, Line};
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
            let mut tile = 0;
            while tile < tiles {
                let pair = A::ACCUMULATORS >= 16 && tile + 1 < tiles;
                let count = 1 + usize::from(pair);
                let lines =
                    std::array::from_fn(|i| &x.tile((tile + i).min(tiles - 1))[start..start + len]);
                let sums = &mut sums[tile * PANEL..(tile + count) * PANEL];
                match pair {
                    true => columns::<A, 2>(packed, lines, carry, sums, weights.len() / width),
                    false => {
                        columns::<A, 1>(packed, [lines[0]], carry, sums, weights.len() / width)
                    }
                }
                if start + len == units {
                    let out = &mut out[tile * TILE * PANEL..];
                    let out = match out.len() > count * TILE * PANEL {
                        true => &mut out[..count * TILE * PANEL],
                        false => out,
                    };
                    simd.run(Turn { sums, out });
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

/// All rows with `V` tiles; sums are `[V, PANEL]` lines.
#[inline(always)]
unsafe fn columns<A: Arithmetic, const V: usize>(
    packed: &[Line],
    x: [&[Line]; V],
    carry: bool,
    sums: &mut [Line],
    rows: usize,
) {
    let mut row = 0;
    while row < rows {
        let left = PANEL - row;
        let (packed, sums) = (&packed[row * STRIDE..], &mut sums[row..]);
        // Rows past the last one are whatever lies there: nobody reads their sums.
        row += if A::ACCUMULATORS >= 16 {
            block::<A, 8, V>(packed, x, carry, sums)
        } else if A::ACCUMULATORS >= 6 && left > 8 {
            block::<A, 6, V>(packed, x, carry, sums)
        } else {
            block::<A, 4, V>(packed, x, carry, sums)
        };
    }
}

/// `R` rows with `V` tiles; returns `R`.
#[inline(always)]
unsafe fn block<A: Arithmetic, const R: usize, const V: usize>(
    packed: &[Line],
    x: [&[Line]; V],
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
    for k in 0..x[0].len() {
        // SAFETY: the tiles are of one length; the rows of `packed` hold as many units (asserted).
        let x = tiles.map(|x| A::load(x.add(k * LANES)));
        for (r, acc) in acc.iter_mut().enumerate() {
            let w = A::splat(w.add(r * STRIDE * LANES + k));
            for v in 0..V {
                acc[v] = A::add_product(acc[v], w, x[v]);
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
struct Turn<'a> {
    sums: &'a [Line],
    out: &'a mut [f32],
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
