//! Memory that attention uses again and again.

use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};

use super::tile::SCORES;
use crate::kernels::float::arithmetic::Line;
use crate::kernels::pool::Parts;
use crate::kernels::simd::LANES;

/// Scratch for [`super::Attention::forward`]; one serves all layers. It grows to what the largest call needs.
#[derive(Default)]
pub struct Workspace {
    pub(super) partials: Partials,
    /// For each of several sequences.
    pub(super) more_partials: Vec<Partials>,
    pub(super) stack: Stack,
    /// For packed keys and values.
    pub(super) tiles: Vec<Line>,
}

/// Memory for results over parts of the keys.
#[derive(Default)]
pub(super) struct Partials {
    max: Vec<f32>,
    sum: Vec<f32>,
    out: Vec<f32>,
    left: Vec<AtomicUsize>,
}

impl Workspace {
    /// Nothing held yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Partials {
    /// For `rows` rows, `groups` groups of which are merged together, over `parts` parts of the keys.
    pub(super) fn prepare(
        &mut self,
        rows: usize,
        groups: usize,
        parts: usize,
        padded: usize,
    ) -> Partial<'_> {
        let (rows, groups) = if parts > 1 { (rows, groups) } else { (0, 0) };
        let width = parts.next_multiple_of(LANES);
        let grow = |buffer: &mut Vec<f32>, len: usize, value: f32| {
            buffer.clear();
            buffer.resize(len, value);
        };
        grow(&mut self.max, rows * width, f32::MIN);
        grow(&mut self.sum, rows * width, 0.0);
        // Written before it is read.
        if self.out.len() < rows * parts * padded {
            self.out.resize(rows * parts * padded, 0.0);
        }
        self.left.clear();
        self.left.resize_with(groups, || AtomicUsize::new(parts));
        Partial {
            max: Parts::new(&mut self.max),
            sum: Parts::new(&mut self.sum),
            out: Parts::new(&mut self.out),
            left: &self.left,
            width,
            parts,
            padded,
        }
    }
}

/// Results over parts of the keys, for each row.
pub(super) struct Partial<'a> {
    /// `[rows, width]`.
    max: Parts<f32>,
    /// `[rows, width]`.
    sum: Parts<f32>,
    /// `[rows, parts, padded]`.
    out: Parts<f32>,
    /// Parts that are not done yet, for each group of rows.
    pub left: &'a [AtomicUsize],
    width: usize,
    parts: usize,
    padded: usize,
}

impl Partial<'_> {
    /// Keeps the result of one part.
    pub fn put(&self, row: usize, part: usize, max: f32, sum: f32, out: &[f32]) {
        // SAFETY: one task has this row and part.
        unsafe {
            self.max.part(row * self.width + part, 1)[0] = max;
            self.sum.part(row * self.width + part, 1)[0] = sum;
            self.out
                .part((row * self.parts + part) * self.padded, self.padded)
                .copy_from_slice(out);
        }
    }

    /// Largest score `[width]`, sum `[width]` and weighted values `[parts, padded]` of a row.
    ///
    /// # Safety
    /// Nobody else uses the row.
    // As `Parts::part`.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn row(&self, row: usize) -> (&mut [f32], &[f32], &[f32]) {
        let size = self.parts * self.padded;
        (
            self.max.part(row * self.width, self.width),
            self.sum.part(row * self.width, self.width),
            self.out.part(row * size, size),
        )
    }
}

/// The scratch of tasks that are not running.
#[derive(Default)]
pub(super) struct Stack(Mutex<Vec<Scratch>>);

impl Stack {
    pub fn take(&self) -> Scratch {
        let mut stack = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stack.pop().unwrap_or_default()
    }

    pub fn give(&self, scratch: Scratch) {
        let mut stack = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stack.push(scratch);
    }
}

/// The memory of one running task.
#[derive(Default)]
pub(super) struct Scratch(Vec<Line>);

/// [`Scratch`] cut into what a block of rows needs.
pub(super) struct Buffers<'a> {
    /// `[rows, SCORES]`, for one tile at a time.
    pub scores: &'a mut [f32],
    /// `[tiles, 16]`.
    pub max: &'a mut [f32],
    /// `[tiles, rows, 16]`.
    pub sum: &'a mut [f32],
    /// `[tiles, rows, padded]`.
    pub out: &'a mut [f32],
    /// `[tiles, head_dim, rows]`.
    pub queries: &'a mut [f32],
}

impl Scratch {
    /// What it held before is anywhere in the buffers.
    pub fn prepare(&mut self, tiles: usize, rows: usize, dim: usize, padded: usize) -> Buffers<'_> {
        let queries = tiles * rows * dim;
        let sizes = [
            rows * SCORES,
            tiles * LANES,
            tiles * rows * LANES,
            tiles * rows * padded,
            queries.next_multiple_of(LANES),
        ];
        let total: usize = sizes.iter().sum();
        if self.0.len() < total / LANES {
            self.0.resize(total / LANES, Line::ZERO);
        }
        // SAFETY: lines are numbers without gaps.
        let all = unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), total) };
        let (scores, all) = all.split_at_mut(sizes[0]);
        let (max, all) = all.split_at_mut(sizes[1]);
        let (sum, all) = all.split_at_mut(sizes[2]);
        let (out, all) = all.split_at_mut(sizes[3]);
        Buffers {
            scores,
            max,
            sum,
            out,
            queries: &mut all[..queries],
        }
    }
}
