//! Activations packed for [`FloatMatrix::panel`](super::FloatMatrix::panel).

use half::bf16;

use super::arithmetic::{padded, Arithmetic, Line};
use super::{run_bf16, Operation, Unit};
use crate::kernels::pool::{self, Parts};
use crate::kernels::simd::{Kernel, Lanes, LANES};
use crate::kernels::Simd;

/// Tokens of a tile: one to a lane.
pub(super) const TILE: usize = LANES;
/// The most tokens at the end that stay rows: more are better off as a tile that is not full.
const MOST_ROWS: usize = TILE / 2;

/// Activations `[tokens, width]` in units (see [`Unit`]): tiles of sixteen tokens `[units, 16]`, the last one filled
/// up with zeros, or up to eight last tokens as rows `[units]`. Packed once for all products that share them; the
/// buffer is used again.
#[derive(Default)]
pub struct FloatTiles {
    lines: Vec<Line>,
    unit: Unit,
    tokens: usize,
    width: usize,
}

impl FloatTiles {
    /// Packs `x`, whole rows of `width`, on all threads.
    pub fn pack(&mut self, simd: Simd, unit: Unit, x: &[f32], width: usize) {
        assert!(
            width > 0 && x.len().is_multiple_of(width),
            "activations come in whole rows"
        );
        (self.unit, self.width, self.tokens) = (unit, width, x.len() / width);
        let (units, row_lines) = (self.units(), self.row_lines());
        let len = self.tiles() * units + self.rows() * row_lines;
        if self.lines.len() < len {
            self.lines.resize(len, Line::ZERO);
        }
        let (tiles, rows) = (self.tiles(), self.rows());
        let lines = Parts::new(&mut self.lines[..len]);
        pool::run(tiles + rows.min(1), |task| {
            let x = &x[task * TILE * width..x.len().min((task + 1) * TILE * width)];
            let (start, len) = match task < tiles {
                true => (task * units, units),
                false => (tiles * units, rows * row_lines),
            };
            // SAFETY: the buffer outlives `run`, and each task has its own lines.
            let lines = unsafe { lines.part(start, len) };
            let tile = task < tiles;
            run_bf16(
                simd,
                unit,
                Pack {
                    simd,
                    x,
                    width,
                    tile,
                    lines,
                },
            );
        });
    }

    /// Tokens that are packed.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn unit(&self) -> Unit {
        self.unit
    }

    /// Units of a token.
    pub(super) fn units(&self) -> usize {
        self.width.div_ceil(self.unit.numbers())
    }

    /// Lines of a token that stays a row.
    pub(super) fn row_lines(&self) -> usize {
        self.units().div_ceil(LANES)
    }

    /// Tiles, the last of which may be filled up with zeros.
    pub(super) fn tiles(&self) -> usize {
        self.tokens / TILE + usize::from(self.tokens % TILE > MOST_ROWS)
    }

    /// Tokens at the end that stay rows.
    pub(super) fn rows(&self) -> usize {
        self.tokens.saturating_sub(self.tiles() * TILE)
    }

    /// Tile `index`, `[units]` lines.
    pub(super) fn tile(&self, index: usize) -> &[Line] {
        &self.lines[index * self.units()..(index + 1) * self.units()]
    }

    /// The tokens that are rows, `[rows, row_lines]` lines, filled up with zeros.
    pub(super) fn last_rows(&self) -> &[Line] {
        &self.lines[self.tiles() * self.units()..][..self.rows() * self.row_lines()]
    }
}

/// One tile, or the rows at the end.
struct Pack<'a> {
    simd: Simd,
    x: &'a [f32],
    width: usize,
    tile: bool,
    lines: &'a mut [Line],
}

impl Operation for Pack<'_> {
    // Which one does not matter: none is read.
    type Weight = bf16;

    #[inline(always)]
    unsafe fn eval<A: Arithmetic<Weight = bf16>>(self) {
        let Self {
            simd,
            x,
            width,
            tile,
            lines,
        } = self;
        if !tile {
            let row_lines = width.div_ceil(A::PER_VECTOR);
            for (row, lines) in x.chunks(width).zip(lines.chunks_mut(row_lines)) {
                for (i, line) in lines.iter_mut().enumerate() {
                    A::store(line.0.as_mut_ptr(), units::<A>(row, i * A::PER_VECTOR));
                }
            }
            return;
        }
        let mut block = [Line::ZERO; TILE];
        for (i, lines) in lines.chunks_mut(LANES).enumerate() {
            for (row, line) in x.chunks(width).zip(&mut block) {
                A::store(line.0.as_mut_ptr(), units::<A>(row, i * A::PER_VECTOR));
            }
            match <&mut [Line; LANES]>::try_from(&mut *lines) {
                Ok(lines) => simd.run(Turn {
                    from: &block,
                    to: lines,
                }),
                Err(_) => {
                    let mut turned = [Line::ZERO; LANES];
                    simd.run(Turn {
                        from: &block,
                        to: &mut turned,
                    });
                    lines.copy_from_slice(&turned[..lines.len()]);
                }
            }
        }
    }
}

/// Units from number `at` of a token on, filled up with zeros.
#[inline(always)]
unsafe fn units<A: Arithmetic>(row: &[f32], at: usize) -> A::Units {
    // SAFETY: a whole vector lies within the row, or what is left of it is copied first.
    match row.len() - at >= A::PER_VECTOR {
        true => A::activations(row.as_ptr().add(at)),
        false => A::activations(padded(row.as_ptr().add(at), row.len() - at).as_ptr()),
    }
}

/// A block of lines, transposed.
pub(super) struct Turn<'a> {
    pub from: &'a [Line; LANES],
    pub to: &'a mut [Line; LANES],
}

impl Kernel for Turn<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        // SAFETY: both are sixteen rows of sixteen.
        L::transpose(
            self.from.as_ptr().cast(),
            LANES,
            self.to.as_mut_ptr().cast(),
            LANES,
        );
    }
}
