//! Attention with grouped queries (Ainslie et al., 2023, arXiv:2305.13245) over a [`KvCache`].
//!
//! The query heads that share a key head are rows of one matrix, so that keys and values are read once for all of
//! them. Rows are taken in blocks, and where the blocks are few (decoding) the keys are cut into parts whose results
//! are merged afterwards, in order. How the work is cut depends on the shapes alone, never on the threads.

#[cfg(target_arch = "x86_64")]
mod amx;
mod each;
mod merge;
mod scratch;
#[cfg(test)]
mod tests;
mod tile;

use std::ops::Range;
use std::sync::atomic::Ordering;

use half::f16;

pub use self::each::Alone;
use self::merge::{Finish, Merge};
pub use self::scratch::Workspace;
use self::scratch::{Partial, Partials, Scratch};
use self::tile::{MostRows, State, Tile, SCORES, TILE_ROWS};
use super::cache::{CacheType, Element, KvCache, CHUNK};
use super::pool::{self, Parts};
use super::simd::{Simd, LANES};

/// Tiles of rows that a task takes: more would read the keys less often, and share less evenly.
const TILES: usize = 4;
/// Tasks wanted: enough for the threads of a large machine, few enough to merge.
const TASKS: usize = 32;
/// The fewest keys of a part.
const PART: usize = 128;
/// Keys that tiles of few rows take in at a time.
const PIECE: usize = 128;
/// Parts begin at a multiple of this.
const STEP: usize = 64;
/// Tokens from which on the numbers of each do not depend on how many are computed together: keys are taken in at
/// places that are the same for all of them, and in one part.
pub(crate) const SETTLED_TOKENS: usize = 16;

/// The attention of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    /// Query heads, a multiple of `kv_heads`: head `h` reads key head `h / (heads / kv_heads)`.
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// `Some(w)`: a token sees itself and the `w − 1` before it.
    pub window: Option<usize>,
    /// Factor of the scores, as a rule `head_dim^-½`.
    pub scale: f32,
    /// Whether a token sees none that come after it; else all see all of the cache, whatever `window` says.
    pub causal: bool,
    /// Whether queries, keys, values and weights may be rounded to bf16, where that is faster. What is not a number may
    /// then show in tokens near it that do not see it.
    pub rounded: bool,
}

/// How the work is cut.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Rows of a key head: its query heads, for each token.
    rows: usize,
    /// Rows of a block.
    block: usize,
    blocks: usize,
    /// The first key that is looked at.
    first: usize,
    /// Keys of a part.
    part: usize,
    parts: usize,
    /// Keys that a tile takes in at a time; None: as suits its rows.
    step: Option<usize>,
}

impl Attention {
    /// `q` is `[tokens, heads · head_dim]` with rows `stride` numbers apart; they are the last `tokens` tokens of the
    /// cache, and see it up to themselves. `out` is `[tokens, heads · head_dim]`.
    ///
    /// # Panics
    /// Shapes that do not fit each other, or fewer tokens in the cache than `tokens`.
    #[allow(clippy::too_many_arguments)] // Three tensors with their shapes.
    pub fn forward(
        &self,
        simd: Simd,
        q: &[f32],
        stride: usize,
        cache: &KvCache,
        tokens: usize,
        workspace: &mut Workspace,
        out: &mut [f32],
    ) {
        if tokens == 0 {
            return;
        }
        let width = self.heads * self.head_dim;
        let shape = cache.shape();
        assert!(self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads));
        assert!(shape.kv_heads == self.kv_heads && shape.head_dim == self.head_dim);
        assert!(width <= stride && q.len() >= (tokens - 1) * stride + width);
        assert!(out.len() == tokens * width && tokens <= cache.len());
        match cache.kind() {
            CacheType::F32 => self.run::<f32>(simd, q, stride, cache, tokens, workspace, out),
            CacheType::F16 => self.run::<f16>(simd, q, stride, cache, tokens, workspace, out),
            CacheType::Q8_0 => self.run::<i8>(simd, q, stride, cache, tokens, workspace, out),
        }
    }

    fn plan(&self, most_rows: usize, tokens: usize, len: usize) -> Plan {
        let rows = tokens * (self.heads / self.kv_heads);
        let first = self.seen(len - tokens, len).start / STEP * STEP;
        let keys = len - first;
        if tokens >= SETTLED_TOKENS {
            // Too few tasks become more by smaller blocks.
            let enough = |tiles: &usize| self.kv_heads * rows.div_ceil(tiles * most_rows) >= TASKS;
            let tiles = (1..=TILES).rev().find(enough).unwrap_or(1);
            let block = rows.min(tiles * most_rows);
            return Plan {
                rows,
                block,
                blocks: rows.div_ceil(block),
                first,
                part: keys,
                parts: 1,
                step: Some(CHUNK),
            };
        }
        let block = rows.min(TILES * most_rows);
        let blocks = rows.div_ceil(block);
        let wanted = TASKS / (self.kv_heads * blocks);
        let wanted = wanted.clamp(1, keys.div_ceil(PART));
        let part = keys.div_ceil(wanted).next_multiple_of(STEP);
        Plan {
            rows,
            block,
            blocks,
            first,
            part,
            parts: keys.div_ceil(part),
            step: None,
        }
    }

    /// The keys that the token at `position` sees of `len`.
    fn seen(&self, position: usize, len: usize) -> Range<usize> {
        if !self.causal {
            return 0..len;
        }
        let first = self
            .window
            .map_or(0, |window| (position + 1).saturating_sub(window.max(1)));
        first..position + 1
    }

    #[allow(clippy::too_many_arguments)] // As `forward`.
    fn run<E: Element>(
        &self,
        simd: Simd,
        q: &[f32],
        stride: usize,
        cache: &KvCache,
        tokens: usize,
        workspace: &mut Workspace,
        out: &mut [f32],
    ) {
        let call = Call::<E>::new(
            self,
            simd,
            (q, stride),
            cache,
            tokens,
            &mut workspace.partials,
            out,
        );
        let (scratch, tiles) = (&workspace.stack, &mut workspace.tiles);
        #[cfg(target_arch = "x86_64")]
        if simd == Simd::Amx && self.rounded && !E::SCALED && call.plan.rows >= amx::LEAST_ROWS {
            return amx::forward(&call, tiles);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = tiles;
        pool::run(call.tasks(), |task| {
            let mut own = scratch.take();
            call.task(task, &mut own);
            scratch.give(own);
        });
    }
}

/// What the tasks of one call share.
struct Call<'a, E> {
    attention: &'a Attention,
    plan: Plan,
    simd: Simd,
    q: &'a [f32],
    stride: usize,
    cache: &'a KvCache,
    /// Tokens of the cache before the first row's.
    past: usize,
    most_rows: usize,
    partial: Partial<'a>,
    out: Parts<f32>,
    element: std::marker::PhantomData<E>,
}

impl<'a, E: Element> Call<'a, E> {
    fn new(
        attention: &'a Attention,
        simd: Simd,
        (q, stride): (&'a [f32], usize),
        cache: &'a KvCache,
        tokens: usize,
        partials: &'a mut Partials,
        out: &mut [f32],
    ) -> Self {
        let most_rows = simd.run(MostRows);
        let plan = attention.plan(most_rows, tokens, cache.len());
        let partial = partials.prepare(
            attention.kv_heads * plan.rows,
            attention.kv_heads * plan.blocks,
            plan.parts,
            cache.shape().padded,
        );
        Self {
            attention,
            plan,
            simd,
            q,
            stride,
            cache,
            past: cache.len() - tokens,
            most_rows,
            partial,
            out: Parts::new(out),
            element: std::marker::PhantomData,
        }
    }

    fn tasks(&self) -> usize {
        self.attention.kv_heads * self.plan.blocks * self.plan.parts
    }

    fn task(&self, task: usize, scratch: &mut Scratch) {
        let plan = &self.plan;
        let (part, task) = (task % plan.parts, task / plan.parts);
        let (kv_head, block) = (
            task % self.attention.kv_heads,
            task / self.attention.kv_heads,
        );
        // Later tokens see more keys: the longest tasks first.
        let block = plan.blocks - 1 - block;
        let rows = block * plan.block..plan.rows.min((block + 1) * plan.block);
        let tiles = rows.len().div_ceil(self.most_rows);
        let wanted = rows.len().div_ceil(tiles);
        let first = plan.first + part * plan.part;
        let keys = first..self.cache.len().min(first + plan.part);
        let work = Work {
            kv_head,
            block,
            part,
            rows,
            tiles,
            keys,
        };
        match TILE_ROWS.into_iter().find(|&rows| wanted <= rows) {
            Some(1) => self.block::<1>(&work, scratch),
            Some(2) => self.block::<2>(&work, scratch),
            Some(3) => self.block::<3>(&work, scratch),
            Some(4) => self.block::<4>(&work, scratch),
            Some(5) => self.block::<5>(&work, scratch),
            Some(6) => self.block::<6>(&work, scratch),
            Some(7) => self.block::<7>(&work, scratch),
            Some(8) => self.block::<8>(&work, scratch),
            _ => self.block::<12>(&work, scratch),
        }
    }

    /// The query row's place: its token and its head.
    fn place(&self, kv_head: usize, row: usize) -> (usize, usize) {
        let group = self.attention.heads / self.attention.kv_heads;
        (row / group, kv_head * group + row % group)
    }

    fn block<const R: usize>(&self, work: &Work, scratch: &mut Scratch) {
        let shape = self.cache.shape();
        let (dim, padded) = (shape.head_dim, shape.padded);
        let buffers = scratch.prepare(work.tiles, R, dim, padded);
        buffers.max.fill(f32::MIN);
        buffers.sum.fill(0.0);
        buffers.out.fill(0.0);
        // Scores in base 2.
        let factor = self.attention.scale * std::f32::consts::LOG2_E;
        for (tile, queries) in buffers.queries.chunks_exact_mut(R * dim).enumerate() {
            for r in 0..R {
                let row = work.rows.start + tile * R + r;
                if row < work.rows.end {
                    let (token, head) = self.place(work.kv_head, row);
                    let q = &self.q[token * self.stride + head * dim..][..dim];
                    for (to, q) in queries[r..].iter_mut().step_by(R).zip(q) {
                        *to = q * factor;
                    }
                } else {
                    queries[r..].iter_mut().step_by(R).for_each(|to| *to = 0.0);
                }
            }
        }
        let mut keys = work.keys.clone();
        let (last_token, _) = self.place(work.kv_head, work.rows.end - 1);
        let len = self.cache.len();
        keys.end = keys
            .end
            .min(self.attention.seen(self.past + last_token, len).end);
        let (first_token, _) = self.place(work.kv_head, work.rows.start);
        keys.start = keys
            .start
            .max(self.attention.seen(self.past + first_token, len).start);
        if keys.start < keys.end {
            // Few rows take in few keys at a time: the next ones are fetched meanwhile.
            let few = if R <= 8 { PIECE } else { CHUNK };
            let step = self.plan.step.unwrap_or(few);
            for piece in keys.start / step..keys.end.div_ceil(step) {
                let from = (piece * step).max(keys.start);
                let to = ((piece + 1) * step).min(keys.end);
                let head = self.cache.head::<E>(from / CHUNK, work.kv_head);
                let next = match to < keys.end {
                    true => self
                        .cache
                        .head::<E>(to / CHUNK, work.kv_head)
                        .keys
                        .wrapping_add(to % CHUNK * dim),
                    false => head.keys,
                };
                let start = from / CHUNK * CHUNK;
                for tile in 0..work.tiles {
                    let mut seen = [(0, 0); R];
                    for (r, seen) in seen.iter_mut().enumerate() {
                        // Rows that are not there see what the last one sees.
                        let row = (work.rows.start + tile * R + r).min(work.rows.end - 1);
                        let (token, _) = self.place(work.kv_head, row);
                        let all = self.attention.seen(self.past + token, len);
                        let slot = |key: usize| key.saturating_sub(start).min(CHUNK);
                        *seen = (slot(all.start.max(from)), slot(all.end.min(to)));
                    }
                    self.simd.run(Tile::<E, R> {
                        shape,
                        head,
                        next,
                        queries: &buffers.queries[tile * R * dim..(tile + 1) * R * dim],
                        seen: &seen,
                        state: State {
                            max: &mut buffers.max[tile * LANES..(tile + 1) * LANES],
                            sum: &mut buffers.sum[tile * R * LANES..(tile + 1) * R * LANES],
                            out: &mut buffers.out[tile * R * padded..(tile + 1) * R * padded],
                        },
                        scores: &mut buffers.scores[..R * SCORES],
                    });
                }
            }
        }
        for (i, row) in work.rows.clone().enumerate() {
            let max = buffers.max[i / R * LANES + i % R];
            let sum = &buffers.sum[i * LANES..(i + 1) * LANES];
            let out = &buffers.out[i * padded..(i + 1) * padded];
            if self.plan.parts == 1 {
                // SAFETY: with a single part, this task has the row alone.
                let result = unsafe { self.result(work.kv_head, row) };
                self.simd.run(Finish { sum, out, result });
            } else {
                let row = work.kv_head * self.plan.rows + row;
                self.partial.put(row, work.part, max, sum.iter().sum(), out);
            }
        }
        let group = work.kv_head * self.plan.blocks + work.block;
        // Whoever is last merges: what the others wrote is seen through the counter.
        if self.plan.parts > 1 && self.partial.left[group].fetch_sub(1, Ordering::AcqRel) == 1 {
            for row in work.rows.clone() {
                // SAFETY: only the last task comes here.
                let result = unsafe { self.result(work.kv_head, row) };
                let row = work.kv_head * self.plan.rows + row;
                // SAFETY: all parts of this row are written, and nobody else merges it.
                let (max, sum, out) = unsafe { self.partial.row(row) };
                self.simd.run(Merge {
                    max,
                    sum,
                    out,
                    padded,
                    result,
                });
            }
        }
    }

    /// Where a row's result goes.
    ///
    /// # Safety
    /// One task finishes the row, once.
    // As `Parts::part`.
    #[allow(clippy::mut_from_ref)]
    unsafe fn result(&self, kv_head: usize, row: usize) -> &mut [f32] {
        let (token, head) = self.place(kv_head, row);
        let dim = self.attention.head_dim;
        self.out
            .part((token * self.attention.heads + head) * dim, dim)
    }
}

/// A task: rows of one key head against a part of the keys.
struct Work {
    kv_head: usize,
    block: usize,
    part: usize,
    rows: Range<usize>,
    tiles: usize,
    keys: Range<usize>,
}
