//! Many tokens with a matrix of bf16 on the tiles of Intel's AMX: an instruction multiplies 16 rows of 32 numbers with
//! those of 16 tokens, rounded to bf16, and adds the 256 results to sums of f32.
//!
//! f32 could be cut into three parts of bf16 whose six larger products are as exact (Henry, Tang & Heinecke, 2019,
//! arXiv:1904.06376). Measured on a shared Emerald Rapids that takes as long as f32's own fma.

use std::arch::asm;
use std::arch::x86_64::*;

use half::bf16;

use super::arithmetic::{padded, prefetch, prefetch_many, Line};
use super::{FloatScratch, PANEL};
use crate::kernels::pool::{self, Parts as Shares};
use crate::kernels::simd::amx::Configured;
use crate::kernels::simd::{Kernel, Lanes, LANES};
use crate::kernels::Simd;

/// Panels that are computed together at most: activations come from far, and are read once for all of them.
pub(super) const GROUPS: usize = 8;
/// Tokens of a tile.
const TILE: usize = LANES;
/// Bytes of a tile of sixteen lines.
const TILE_BYTES: usize = 1024;

/// Pairs of a row that are multiplied in one go: the weights of a panel and two tiles of activations then share the first
/// cache.
const BLOCK: usize = 128;
/// Lines from one row of a packed block to the next: one more than it has, lest all rows meet in a few sets of the cache.
const STRIDE: usize = BLOCK / LANES + 1;
/// The fewest tokens that are worth whole tiles: fewer leave most of a tile empty.
pub(super) const LEAST_TOKENS: usize = 9;

/// Activations `[tokens, width]`: for every two tiles of sixteen tokens, for every [`BLOCK`] of pairs, for both tiles,
/// lines of one pair of all sixteen. What fills a tile up is undefined, and so are its sums.
#[derive(Default)]
pub(crate) struct TileInputs {
    lines: Vec<Line>,
    tokens: usize,
    width: usize,
}

impl TileInputs {
    /// Packs `x`, whole rows of `width`, on all threads.
    pub fn pack(&mut self, simd: Simd, x: &[f32], width: usize) {
        assert!(width > 0 && x.len().is_multiple_of(width) && simd == Simd::Amx);
        (self.width, self.tokens) = (width, x.len() / width);
        let len = self.pairs() * self.pair_lines();
        if self.lines.len() < len {
            self.lines.resize(len, Line::ZERO);
        }
        let lines_a_pair = self.pair_lines();
        let lines = Shares::new(&mut self.lines[..len]);
        let tiles = self.tokens.div_ceil(TILE);
        let blocks = self.blocks();
        pool::run(tiles, |tile| {
            let x = &x[tile * TILE * width..x.len().min((tile + 1) * TILE * width)];
            for block in 0..blocks {
                let at = tile / 2 * lines_a_pair + (2 * block + tile % 2) * BLOCK;
                // SAFETY: the buffer outlives `run`, each task has its own lines, and the CPU has what `Amx` names.
                unsafe { pack_tile(simd, x, width, block, lines.part(at, BLOCK)) };
            }
        });
    }

    /// Their products with the rows of some `panels`, each of at most [`PANEL`] rows, handed to `take` piece by piece.
    pub fn multiply<'w>(
        &self,
        panels: impl Iterator<Item = &'w [bf16]>,
        scratch: &mut FloatScratch,
        mut take: impl FnMut(Made),
    ) {
        let panels: Vec<&[bf16]> = panels.collect();
        // SAFETY: the CPU has what `Amx` names, or they were not packed.
        unsafe { products(&panels, self, &mut scratch.tiles, &mut take) };
    }

    /// Pairs of tiles.
    fn pairs(&self) -> usize {
        self.tokens.div_ceil(2 * TILE)
    }

    fn blocks(&self) -> usize {
        self.width.div_ceil(2 * BLOCK)
    }

    /// Lines of two tiles.
    fn pair_lines(&self) -> usize {
        2 * self.blocks() * BLOCK
    }

    /// Both tiles of `pair` in `block`.
    fn block(&self, pair: usize, block: usize) -> &[Line] {
        &self.lines[pair * self.pair_lines() + 2 * block * BLOCK..][..2 * BLOCK]
    }
}

/// One block of one tile, from the rows `x` of `width`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_tile(simd: Simd, x: &[f32], width: usize, block: usize, lines: &mut [Line]) {
    let start = 2 * block * BLOCK;
    let mut rows = [Line::ZERO; TILE];
    for (i, to) in lines.as_chunks_mut::<TILE>().0.iter_mut().enumerate() {
        let at = start + 2 * i * TILE;
        if at >= width {
            break;
        }
        for (row, line) in x.chunks_exact(width).zip(&mut rows) {
            let numbers = &row[at..];
            let pairs = match numbers.len() >= 2 * LANES {
                true => pairs(numbers.as_ptr()),
                false => pairs(padded(numbers.as_ptr(), numbers.len()).as_ptr()),
            };
            _mm512_store_si512(line.0.as_mut_ptr().cast(), pairs);
        }
        simd.run(super::tiles::Turn { from: &rows, to });
    }
}

/// Thirty-two numbers as pairs of bf16.
#[inline(always)]
unsafe fn pairs(numbers: *const f32) -> __m512i {
    pairs_of([
        _mm512_loadu_ps(numbers),
        _mm512_loadu_ps(numbers.add(LANES)),
    ])
}

/// The same of two vectors: those of the first, then those of the second.
#[inline(always)]
pub(crate) unsafe fn pairs_of([low, high]: [__m512; 2]) -> __m512i {
    // SAFETY: both are 512 bits of plain numbers.
    std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
}

/// Buffers of [`products`], used again by each call.
#[derive(Default)]
pub(crate) struct TileScratch {
    packed: Vec<Line>,
    sums: Vec<Line>,
    made: Vec<Line>,
}

/// Results of a few tokens, in the first cache.
pub(crate) struct Made<'a> {
    /// The first of the tokens, and how many there are: 32 at most.
    pub first: usize,
    pub tokens: usize,
    lines: &'a [Line],
}

impl Made<'_> {
    /// Those of one panel, of the token `first + token`: [`PANEL`] numbers, undefined past the panel's last row.
    #[inline(always)]
    pub fn row(&self, panel: usize, token: usize) -> &[f32] {
        let lines = &self.lines[(panel * 2 * TILE + token) * (PANEL / LANES)..][..PANEL / LANES];
        // SAFETY: lines are sixteen numbers each, one behind the other.
        unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), PANEL) }
    }
}

/// The products of some `panels`, each at most [`PANEL`] rows of `x`'s width, with all tokens of `x`, handed to `take`
/// piece by piece.
///
/// # Safety
/// The CPU has what [`Simd::Amx`] names.
unsafe fn products(
    panels: &[&[bf16]],
    x: &TileInputs,
    scratch: &mut TileScratch,
    take: &mut dyn FnMut(Made),
) {
    let (width, tokens) = (x.width, x.tokens);
    let groups = panels.len();
    let (pairs, blocks) = (x.pairs(), x.blocks());
    for (lines, len) in [
        (&mut scratch.packed, groups * PANEL * STRIDE),
        (&mut scratch.sums, groups * pairs * 2 * PANEL),
        (&mut scratch.made, groups * 2 * PANEL),
    ] {
        if lines.len() < len {
            lines.resize(len, Line::ZERO);
        }
    }
    let TileScratch { packed, sums, made } = scratch;
    let made = &mut made[..groups * 2 * PANEL];
    let _tiles = Configured::new();
    for block in 0..blocks {
        let start = 2 * block * BLOCK;
        let range = start..width.min(start + 2 * BLOCK);
        let steps = range.len().div_ceil(2 * LANES);
        for (rows, packed) in panels.iter().zip(packed.chunks_mut(PANEL * STRIDE)) {
            pack_panel(rows, width, range.clone(), packed);
        }
        for pair in 0..pairs {
            let tiles = x.block(pair, block);
            let next = match (pair + 1 < pairs, block + 1 < blocks) {
                (true, _) => x.block(pair + 1, block),
                (false, true) => x.block(0, block + 1),
                (false, false) => tiles,
            };
            // What is needed next is asked for meanwhile, a share beside each panel.
            let mut ahead = next.chunks(next.len().div_ceil(groups));
            for group in 0..groups {
                for line in ahead.next().unwrap_or_default() {
                    prefetch(line);
                }
                let packed = &packed[group * PANEL * STRIDE..][..PANEL * STRIDE];
                let sums = &mut sums[(pair * groups + group) * 2 * PANEL..][..2 * PANEL];
                multiply(packed, tiles, steps, block > 0, sums);
                if block + 1 == blocks {
                    let to = &mut made[group * 2 * PANEL..][..2 * PANEL];
                    Simd::Amx.run(Turn { sums, to });
                }
            }
            if block + 1 == blocks {
                let first = pair * 2 * TILE;
                take(Made {
                    first,
                    tokens: (tokens - first).min(2 * TILE),
                    lines: made,
                });
            }
        }
    }
}

/// The sums `[2, PANEL]` of sixteen tokens each to `[32, PANEL]`.
struct Turn<'a> {
    sums: &'a [Line],
    to: &'a mut [Line],
}

impl Kernel for Turn<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        assert!(self.sums.len() == 2 * PANEL && self.to.len() == 2 * PANEL);
        for half in 0..4 {
            let (tile, at) = (half / 2, half % 2);
            // SAFETY: sixteen lines, to sixteen rows of `PANEL`.
            L::transpose(
                self.sums.as_ptr().add(half * LANES).cast(),
                LANES,
                self.to
                    .as_mut_ptr()
                    .cast::<f32>()
                    .add(tile * TILE * PANEL + at * LANES),
                PANEL,
            );
        }
    }
}

/// The numbers `range` of each row of a panel.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_panel(
    weights: &[bf16],
    width: usize,
    range: std::ops::Range<usize>,
    packed: &mut [Line],
) {
    for (row, lines) in weights.chunks_exact(width).zip(packed.chunks_mut(STRIDE)) {
        for (numbers, line) in row[range.clone()].chunks(2 * LANES).zip(lines) {
            prefetch_many(numbers.as_ptr().wrapping_add(2 * width), 2 * LANES);
            let pairs = match numbers.len() == 2 * LANES {
                true => _mm512_loadu_si512(numbers.as_ptr().cast()),
                false => {
                    _mm512_loadu_si512(padded(numbers.as_ptr(), numbers.len()).as_ptr().cast())
                }
            };
            _mm512_store_si512(line.0.as_mut_ptr().cast(), pairs);
        }
    }
}

/// A packed panel with two tiles over `steps` times sixteen pairs, to or onto the sums `[2, PANEL]`.
///
/// Tiles 0 to 3 are the sums, 4 and 5 the panel's upper and lower rows, 6 and 7 the activations.
#[inline(always)]
unsafe fn multiply(packed: &[Line], tiles: &[Line], steps: usize, onto: bool, sums: &mut [Line]) {
    assert!(
        packed.len() == PANEL * STRIDE
            && tiles.len() == 2 * BLOCK
            && sums.len() == 2 * PANEL
            && (1..=BLOCK / LANES).contains(&steps)
    );
    asm!(
        "test {onto:e}, {onto:e}",
        "jz 2f",
        "tileloadd tmm0, [{c} + {line}*1]",
        "tileloadd tmm1, [{c} + {line}*1 + 2048]",
        "tileloadd tmm2, [{c} + {line}*1 + 1024]",
        "tileloadd tmm3, [{c} + {line}*1 + 3072]",
        "jmp 3f",
        "2:",
        "tilezero tmm0",
        "tilezero tmm1",
        "tilezero tmm2",
        "tilezero tmm3",
        "3:",
        "tileloadd tmm4, [{a} + {stride}*1]",
        "tileloadd tmm5, [{a} + {stride}*1 + {lower}]",
        "tileloadd tmm6, [{b} + {line}*1]",
        "tileloadd tmm7, [{b} + {line}*1 + {other}]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7",
        "add {a}, 64",
        "add {b}, 1024",
        "dec {steps}",
        "jnz 3b",
        "tilestored [{c} + {line}*1], tmm0",
        "tilestored [{c} + {line}*1 + 2048], tmm1",
        "tilestored [{c} + {line}*1 + 1024], tmm2",
        "tilestored [{c} + {line}*1 + 3072], tmm3",
        a = inout(reg) packed.as_ptr() => _,
        b = inout(reg) tiles.as_ptr() => _,
        c = in(reg) sums.as_mut_ptr(),
        steps = inout(reg) steps => _,
        onto = in(reg) u32::from(onto),
        line = in(reg) size_of::<Line>(),
        stride = in(reg) STRIDE * size_of::<Line>(),
        lower = const STRIDE * TILE_BYTES,
        other = const BLOCK * size_of::<Line>(),
        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
        options(nostack),
    );
}
