//! Many tokens on the tiles of Intel's AMX: an instruction multiplies 16 rows of 32 bf16 numbers with those of 16 tokens
//! and adds the 256 results to sums of f32.
//!
//! A matrix of bf16 takes its activations rounded to bf16. Numbers of f32 and f16 are cut into three parts of bf16,
//! which together hold all 24 bits; of the nine products of parts the six that are not below f32's own rounding are
//! summed. That is as exact as f32 (Henry, Tang & Heinecke, 2019, arXiv:1904.06376), and three times as fast as its fma.

use std::arch::asm;
use std::arch::x86_64::*;

use half::{bf16, f16};

use super::arithmetic::{padded, prefetch, prefetch_many, Line};
use super::{FloatScratch, Floats, PANEL};
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

/// Into how many parts of bf16 a number is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Cut {
    #[default]
    One,
    Three,
}

impl Cut {
    pub const fn parts(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }

    /// Pairs of a row that are multiplied in one go: the weights of a panel and two tiles of activations then share the
    /// first cache.
    const fn block(self) -> usize {
        match self {
            Self::One => 256,
            Self::Three => 64,
        }
    }

    /// Lines from one row of a packed block to the next: one more than it has, lest all rows meet in a few sets of the
    /// cache.
    const fn stride(self) -> usize {
        self.block() / LANES + 1
    }

    /// Lines of a packed block of a panel.
    const fn panel(self) -> usize {
        self.parts() * PANEL * self.stride()
    }

    /// The fewest tokens that are worth whole tiles: fewer leave most of a tile empty.
    pub(super) const fn least(self) -> usize {
        match self {
            Self::One => 9,
            Self::Three => 17,
        }
    }
}

/// Activations `[tokens, width]`: for every two tiles of sixteen tokens, for every block of [`Cut::block`] pairs, for
/// both tiles, for every part, lines of one pair of all sixteen. What fills a tile up is undefined, and so are its sums.
#[derive(Default)]
pub(crate) struct TileInputs {
    lines: Vec<Line>,
    cut: Cut,
    tokens: usize,
    width: usize,
}

impl TileInputs {
    /// Packs `x`, whole rows of `width`, on all threads.
    pub fn pack(&mut self, simd: Simd, cut: Cut, x: &[f32], width: usize) {
        assert!(width > 0 && x.len().is_multiple_of(width) && simd == Simd::Amx);
        (self.cut, self.width, self.tokens) = (cut, width, x.len() / width);
        let len = self.pairs() * self.pair_lines();
        if self.lines.len() < len {
            self.lines.resize(len, Line::ZERO);
        }
        let lines_a_pair = self.pair_lines();
        let lines = Shares::new(&mut self.lines[..len]);
        let tiles = self.tokens.div_ceil(TILE);
        let (blocks, tile_lines) = (self.blocks(), cut.parts() * cut.block());
        pool::run(tiles, |tile| {
            let x = &x[tile * TILE * width..x.len().min((tile + 1) * TILE * width)];
            for block in 0..blocks {
                let at = tile / 2 * lines_a_pair + (2 * block + tile % 2) * tile_lines;
                // SAFETY: the buffer outlives `run`, each task has its own lines, and the CPU has what `Amx` names.
                unsafe { pack_tile(simd, cut, x, width, block, lines.part(at, tile_lines)) };
            }
        });
    }

    /// Their products with the rows of some `panels`, each of at most [`PANEL`] rows, handed to `take` piece by piece.
    pub fn multiply<'w>(
        &self,
        panels: impl Iterator<Item = Floats<'w>>,
        scratch: &mut FloatScratch,
        mut take: impl FnMut(Made),
    ) {
        let panels: Vec<Floats> = panels.collect();
        // SAFETY: the CPU has what `Amx` names, or they were not packed.
        unsafe { products(&panels, self, &mut scratch.tiles, &mut take) };
    }

    /// Pairs of tiles.
    fn pairs(&self) -> usize {
        self.tokens.div_ceil(2 * TILE)
    }

    fn blocks(&self) -> usize {
        self.width.div_ceil(2 * self.cut.block())
    }

    /// Lines of two tiles.
    fn pair_lines(&self) -> usize {
        2 * self.blocks() * self.cut.parts() * self.cut.block()
    }

    /// Both tiles of `pair` in `block`.
    fn block(&self, pair: usize, block: usize) -> &[Line] {
        let len = 2 * self.cut.parts() * self.cut.block();
        &self.lines[pair * self.pair_lines() + block * len..][..len]
    }
}

/// One block of one tile, from the rows `x` of `width`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_tile(
    simd: Simd,
    cut: Cut,
    x: &[f32],
    width: usize,
    block: usize,
    lines: &mut [Line],
) {
    let (pairs, start) = (cut.block(), 2 * block * cut.block());
    let mut rows = [[Line::ZERO; TILE]; 3];
    for first in (0..pairs).step_by(LANES) {
        let at = start + 2 * first;
        if at >= width {
            // What is left of the vector that is read past the row's end.
            for part in 0..cut.parts() {
                lines[part * pairs + first..][..LANES].fill(Line::ZERO);
            }
            continue;
        }
        for (token, row) in x.chunks_exact(width).enumerate() {
            let numbers = load(&row[at..], |p| _mm512_loadu_ps(p));
            for (part, pairs) in split(numbers, cut).into_iter().enumerate() {
                _mm512_store_si512(rows[part][token].0.as_mut_ptr().cast(), pairs);
            }
        }
        for (part, rows) in rows.iter().enumerate().take(cut.parts()) {
            if let Some(to) = lines[part * pairs + first..].first_chunk_mut() {
                simd.run(super::tiles::Turn { from: rows, to });
            }
        }
    }
}

/// Thirty-two numbers of a row, zeros past its end.
#[inline(always)]
unsafe fn load<W: Copy + Default>(row: &[W], widen: impl Fn(*const W) -> __m512) -> [__m512; 2] {
    match row.len() >= 2 * LANES {
        true => [widen(row.as_ptr()), widen(row.as_ptr().add(LANES))],
        false => {
            let full = padded(row.as_ptr(), row.len());
            [widen(full.as_ptr()), widen(full.as_ptr().add(LANES))]
        }
    }
}

/// Numbers as pairs of bf16, the largest part first; parts that are not asked for are 0.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(crate) unsafe fn split([mut low, mut high]: [__m512; 2], cut: Cut) -> [__m512i; 3] {
    let mut parts = [_mm512_setzero_si512(); 3];
    for (i, part) in parts.iter_mut().enumerate().take(cut.parts()) {
        // SAFETY: both are 512 bits of plain numbers.
        *part = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
        if i + 1 < cut.parts() {
            let widened =
                |half| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half)));
            low = _mm512_sub_ps(low, widened(_mm512_castsi512_si256(*part)));
            high = _mm512_sub_ps(high, widened(_mm512_extracti64x4_epi64::<1>(*part)));
        }
    }
    parts
}

/// A number of the weight.
trait Number: Copy + Default {
    const CUT: Cut;

    /// The first thirty-two numbers of `row`, zeros past its end, as the parts of its cut.
    ///
    /// # Safety
    /// The CPU has what [`Simd::Amx`] names.
    unsafe fn pairs(row: &[Self]) -> [__m512i; 3];
}

impl Number for bf16 {
    const CUT: Cut = Cut::One;

    #[inline(always)]
    unsafe fn pairs(row: &[bf16]) -> [__m512i; 3] {
        let zero = _mm512_setzero_si512();
        match row.len() >= 2 * LANES {
            true => [_mm512_loadu_si512(row.as_ptr().cast()), zero, zero],
            false => {
                let full = padded(row.as_ptr(), row.len());
                [_mm512_loadu_si512(full.as_ptr().cast()), zero, zero]
            }
        }
    }
}

impl Number for f32 {
    const CUT: Cut = Cut::Three;

    #[inline(always)]
    unsafe fn pairs(row: &[f32]) -> [__m512i; 3] {
        split(load(row, |p| _mm512_loadu_ps(p)), Cut::Three)
    }
}

impl Number for f16 {
    const CUT: Cut = Cut::Three;

    #[inline(always)]
    unsafe fn pairs(row: &[f16]) -> [__m512i; 3] {
        let widen = |p: *const f16| _mm512_cvtph_ps(_mm256_loadu_si256(p.cast()));
        split(load(row, widen), Cut::Three)
    }
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
    panels: &[Floats],
    x: &TileInputs,
    scratch: &mut TileScratch,
    take: &mut dyn FnMut(Made),
) {
    let (cut, width, tokens) = (x.cut, x.width, x.tokens);
    let groups = panels.len();
    let (pairs, blocks) = (x.pairs(), x.blocks());
    for (lines, len) in [
        (&mut scratch.packed, groups * cut.panel()),
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
        let start = 2 * block * cut.block();
        let range = start..width.min(start + 2 * cut.block());
        let steps = range.len().div_ceil(2 * LANES);
        for (rows, packed) in panels.iter().zip(packed.chunks_mut(cut.panel())) {
            match rows {
                Floats::F32(w) => pack_panel(w, width, range.clone(), packed),
                Floats::F16(w) => pack_panel(w, width, range.clone(), packed),
                Floats::BF16(w) => pack_panel(w, width, range.clone(), packed),
            }
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
                let packed = &packed[group * cut.panel()..][..cut.panel()];
                let sums = &mut sums[(pair * groups + group) * 2 * PANEL..][..2 * PANEL];
                multiply(cut, packed, tiles, steps, block > 0, sums);
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
unsafe fn pack_panel<W: Number>(
    weights: &[W],
    width: usize,
    range: std::ops::Range<usize>,
    packed: &mut [Line],
) {
    let cut = W::CUT;
    assert!(packed.len() == cut.panel());
    for (at, row) in weights.chunks_exact(width).enumerate() {
        let row = &row[range.clone()];
        for (i, numbers) in row.chunks(2 * LANES).enumerate() {
            prefetch_many(numbers.as_ptr().wrapping_add(2 * width), 2 * LANES);
            let parts = W::pairs(numbers);
            for (part, pairs) in parts.into_iter().enumerate().take(cut.parts()) {
                let line = &mut packed[(part * PANEL + at) * cut.stride() + i];
                _mm512_store_si512(line.0.as_mut_ptr().cast(), pairs);
            }
        }
    }
}

/// A packed panel with two tiles over `steps` times sixteen pairs, to or onto the sums `[2, PANEL]`.
#[inline(always)]
unsafe fn multiply(
    cut: Cut,
    packed: &[Line],
    tiles: &[Line],
    steps: usize,
    onto: bool,
    sums: &mut [Line],
) {
    assert!(
        packed.len() == cut.panel()
            && tiles.len() == 2 * cut.parts() * cut.block()
            && sums.len() == 2 * PANEL
            && (1..=cut.block() / LANES).contains(&steps)
    );
    let (a, b, c) = (packed.as_ptr(), tiles.as_ptr(), sums.as_mut_ptr());
    match cut {
        Cut::One => one(a, b, c, steps, onto),
        Cut::Three => three(a, b, c, steps, onto),
    }
}

/// Numbers of one part. Tiles 0 to 3 are the sums, 4 and 5 the panel's upper and lower rows, 6 and 7 the activations.
#[inline(always)]
unsafe fn one(a: *const Line, b: *const Line, c: *mut Line, steps: usize, onto: bool) {
    const CUT: Cut = Cut::One;
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
        a = inout(reg) a => _,
        b = inout(reg) b => _,
        c = in(reg) c,
        steps = inout(reg) steps => _,
        onto = in(reg) u32::from(onto),
        line = in(reg) size_of::<Line>(),
        stride = in(reg) CUT.stride() * size_of::<Line>(),
        lower = const CUT.stride() * TILE_BYTES,
        other = const CUT.block() * 64,
        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
        options(nostack),
    );
}

/// The same of three parts: the first of one with all of the other, and both second ones.
#[inline(always)]
unsafe fn three(a: *const Line, b: *const Line, c: *mut Line, steps: usize, onto: bool) {
    const CUT: Cut = Cut::Three;
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
        "tileloadd tmm6, [{b} + {line}*1 + {pairs}*2]",
        "tileloadd tmm7, [{b} + {line}*1 + {pairs}*2 + {other}]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7",
        "tileloadd tmm6, [{b} + {line}*1 + {pairs}*1]",
        "tileloadd tmm7, [{b} + {line}*1 + {pairs}*1 + {other}]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7",
        "tileloadd tmm4, [{a} + {stride}*1 + {part}*1]",
        "tileloadd tmm5, [{a} + {stride}*1 + {part}*1 + {lower}]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7",
        "tileloadd tmm6, [{b} + {line}*1]",
        "tileloadd tmm7, [{b} + {line}*1 + {other}]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7",
        "tileloadd tmm4, [{a} + {stride}*1 + {part}*2]",
        "tileloadd tmm5, [{a} + {stride}*1 + {part}*2 + {lower}]",
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
        a = inout(reg) a => _,
        b = inout(reg) b => _,
        c = in(reg) c,
        steps = inout(reg) steps => _,
        onto = in(reg) u32::from(onto),
        line = in(reg) size_of::<Line>(),
        stride = in(reg) CUT.stride() * size_of::<Line>(),
        lower = const CUT.stride() * TILE_BYTES,
        other = const 3 * CUT.block() * 64,
        part = const PANEL * CUT.stride() * 64,
        pairs = const CUT.block() * 64,
        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
        options(nostack),
    );
}
