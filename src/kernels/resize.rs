//! Resizing of 8-bit pictures in fixed point: each line of the result is a weighted sum of neighbouring lines.
//!
//! Integers throughout, so that a result is the same on every instruction set. Down a column the lines are the
//! picture's rows. Along a row they are its pixels: sixteen rows are turned on their side, so that the same arithmetic
//! serves, on whole vectors.

use super::pool::{self, Parts};
use super::simd::{Kernel, Lanes, Simd};

/// Bits of a weight after the point: 8 of 32 are a byte's, two are left for sums beyond its range.
pub const WEIGHT_BITS: u32 = 32 - 8 - 2;

/// Bytes of a pixel.
const PIXEL: usize = 3;
/// Rows that are turned on their side together.
const TILE: usize = 16;
/// Bytes that are computed together: a pixel's in all rows of a tile.
const BLOCK: usize = PIXEL * TILE;
/// Rows that make a task, of the source and of the result.
const ROWS_A_TASK: usize = 4 * TILE;
const RESULTS_A_TASK: usize = 8;

/// What each line of a result is made of: neighbouring lines of the source and their weights, in units of
/// 2^-[`WEIGHT_BITS`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taps {
    firsts: Vec<usize>,
    ends: Vec<usize>,
    weights: Vec<i32>,
}

impl Taps {
    /// Adds a line: the sum of the lines from `first` on, times `weights`.
    pub fn push(&mut self, first: usize, weights: impl IntoIterator<Item = i32>) {
        self.weights.extend(weights);
        self.firsts.push(first);
        self.ends.push(self.weights.len());
    }

    /// Lines of the result.
    pub fn len(&self) -> usize {
        self.firsts.len()
    }

    /// Whether the result has no lines.
    pub fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    /// How many lines of the source they reach.
    pub fn reach(&self) -> usize {
        let ends = (0..self.len()).map(|i| self.firsts[i] + self.line(i).1.len());
        ends.max().unwrap_or(0)
    }

    /// The first line of the source and the weights of line `index`.
    fn line(&self, index: usize) -> (usize, &[i32]) {
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        (self.firsts[index], &self.weights[start..self.ends[index]])
    }
}

/// Resizes every row: `[rows, width, 3]` to `[rows, taps.len(), 3]`.
///
/// # Panics
/// A length that does not fit, or taps beyond the width.
pub fn resize_columns(simd: Simd, rgb: &[u8], width: usize, taps: &Taps) -> Vec<u8> {
    let (from, to) = (width * PIXEL, taps.len() * PIXEL);
    assert!(from > 0 && rgb.len().is_multiple_of(from) && taps.reach() <= width);
    let rows = rgb.len() / from;
    let mut out = vec![0; rows * to];
    let parts = Parts::new(&mut out);
    pool::run(rows.div_ceil(ROWS_A_TASK), |task| {
        let first = task * ROWS_A_TASK;
        let count = ROWS_A_TASK.min(rows - first);
        simd.run(Columns {
            rgb: &rgb[first * from..(first + count) * from],
            width,
            taps,
            // SAFETY: each task has its own rows.
            out: unsafe { parts.part(first * to, count * to) },
        });
    });
    out
}

/// Resizes every column: `[rows, width, 3]` to `[taps.len(), width, 3]`.
///
/// # Panics
/// A length that does not fit, or taps beyond the last row.
pub fn resize_rows(simd: Simd, rgb: &[u8], width: usize, taps: &Taps) -> Vec<u8> {
    let row = width * PIXEL;
    assert!(row > 0 && rgb.len().is_multiple_of(row) && taps.reach() <= rgb.len() / row);
    let mut out = vec![0; taps.len() * row];
    let parts = Parts::new(&mut out);
    pool::run(taps.len().div_ceil(RESULTS_A_TASK), |task| {
        let first = task * RESULTS_A_TASK;
        let count = RESULTS_A_TASK.min(taps.len() - first);
        simd.run(Rows {
            rgb,
            row,
            taps,
            first,
            // SAFETY: each task has its own rows.
            out: unsafe { parts.part(first * row, count * row) },
        });
    });
    out
}

/// Rows of one task to rows of another width.
struct Columns<'a> {
    rgb: &'a [u8],
    width: usize,
    taps: &'a Taps,
    out: &'a mut [u8],
}

impl Kernel for Columns<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let (from, to) = (self.width * PIXEL, self.taps.len() * PIXEL);
        let mut tile = vec![[0; TILE]; from.next_multiple_of(TILE)];
        let mut results = vec![[0; TILE]; to.next_multiple_of(TILE)];
        let rows = self.rgb.chunks(TILE * from);
        for (rgb, out) in rows.zip(self.out.chunks_mut(TILE * to)) {
            turn(rgb, from, &mut tile);
            for (index, pixel) in results.chunks_exact_mut(PIXEL).enumerate() {
                // Past the last pixel, where the rows of a block end.
                if index == self.taps.len() {
                    break;
                }
                let (first, weights) = self.taps.line(index);
                let lines = &tile[first * PIXEL..(first + weights.len()) * PIXEL];
                let lines = lines.as_flattened().as_chunks::<BLOCK>().0;
                let sum = weighted(weights, lines.iter());
                pixel.as_flattened_mut().copy_from_slice(&sum);
            }
            turn_back(&results, out, to);
        }
    }
}

/// Rows of the result, from `first` on.
struct Rows<'a> {
    rgb: &'a [u8],
    /// Bytes.
    row: usize,
    taps: &'a Taps,
    first: usize,
    out: &'a mut [u8],
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        for (index, out) in self.out.chunks_exact_mut(self.row).enumerate() {
            let (first, weights) = self.taps.line(self.first + index);
            let lines = &self.rgb[first * self.row..(first + weights.len()) * self.row];
            let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
            let mut at = 0;
            for block in blocks {
                *block = weighted(weights, slices(lines, self.row, at));
                at += BLOCK;
            }
            for byte in rest {
                [*byte] = weighted(weights, slices(lines, self.row, at));
                at += 1;
            }
        }
    }
}

/// `N` bytes from `at` on of every row.
#[inline(always)]
fn slices<const N: usize>(
    lines: &[u8],
    row: usize,
    at: usize,
) -> impl Iterator<Item = &[u8; N]> + '_ {
    let starts = lines.chunks_exact(row);
    starts.filter_map(move |line| line.get(at..)?.first_chunk())
}

/// The weighted sum of `lines`, rounded to bytes.
#[inline(always)]
fn weighted<'a, const N: usize>(
    weights: &[i32],
    lines: impl Iterator<Item = &'a [u8; N]>,
) -> [u8; N] {
    let mut sums = [1 << (WEIGHT_BITS - 1); N];
    for (weight, line) in weights.iter().zip(lines) {
        for (sum, x) in sums.iter_mut().zip(line) {
            *sum += weight * i32::from(*x);
        }
    }
    let mut bytes = [0; N];
    for (byte, sum) in bytes.iter_mut().zip(sums) {
        *byte = (sum >> WEIGHT_BITS).clamp(0, 255) as u8;
    }
    bytes
}

/// Up to sixteen rows of `row` bytes to columns: byte `i` of all rows becomes `tile[i]`.
#[inline(always)]
fn turn(rgb: &[u8], row: usize, tile: &mut [[u8; TILE]]) {
    for (index, out) in tile.chunks_exact_mut(TILE).enumerate() {
        let at = index * TILE;
        let len = TILE.min(row - at);
        let mut block = [[0; TILE]; TILE];
        for (line, bytes) in block.iter_mut().zip(rgb.chunks_exact(row)) {
            match bytes[at..].first_chunk() {
                Some(bytes) => *line = *bytes,
                None => line[..len].copy_from_slice(&bytes[at..]),
            }
        }
        out.copy_from_slice(&transposed(block));
    }
}

/// Undoes [`turn`].
#[inline(always)]
fn turn_back(tile: &[[u8; TILE]], out: &mut [u8], row: usize) {
    for (index, block) in tile.as_chunks::<TILE>().0.iter().enumerate() {
        let at = index * TILE;
        let len = TILE.min(row - at);
        let block = transposed(*block);
        for (bytes, line) in out.chunks_exact_mut(row).zip(&block) {
            match bytes[at..].first_chunk_mut() {
                Some(bytes) => *bytes = *line,
                None => bytes[at..].copy_from_slice(&line[..len]),
            }
        }
    }
}

/// Rows to columns by four shuffles: each moves a bit of the row's number to the column's.
#[inline(always)]
fn transposed(mut block: [[u8; TILE]; TILE]) -> [[u8; TILE]; TILE] {
    for _ in 0..4 {
        let mut next = [[0; TILE]; TILE];
        for i in 0..TILE / 2 {
            let (low, high) = (&block[i], &block[i + TILE / 2]);
            for j in 0..TILE / 2 {
                next[2 * i][2 * j] = low[j];
                next[2 * i][2 * j + 1] = high[j];
                next[2 * i + 1][2 * j] = low[j + TILE / 2];
                next[2 * i + 1][2 * j + 1] = high[j + TILE / 2];
            }
        }
        block = next;
    }
    block
}

#[cfg(test)]
mod tests;
