//! Many rows on the tiles of AMX: sixteen keys with sixteen query rows at a time, whose
//! scores lie with a row to a lane, so that the softmax needs no sums across lanes.
//!
//! Keys, values, queries and weights are rounded to bf16.

mod pack;
mod tiles;

use std::arch::x86_64::*;
use std::cell::RefCell;

use self::pack::{pack, pack_queries, store, turn, Layout, BLOCK};
use self::tiles::{accumulate, Offsets, Side};

use super::merge::put;
use super::tile::exp2;
use super::Call;
use crate::kernels::cache::{Element, CHUNK};
use crate::kernels::float::arithmetic::Line;
use crate::kernels::float::pairs_of;
use crate::kernels::pool::{self, Parts};
use crate::kernels::simd::amx::Configured;
use crate::kernels::simd::avx512::Avx512;
use crate::kernels::simd::LANES;

/// The fewest query rows of a key head that are worth packing its keys.
pub(super) const LEAST_ROWS: usize = 32;
/// Blocks whose scores are computed before their softmax.
const BLOCKS: usize = 4;
/// Query rows of two tiles.
const PAIR: usize = 2 * LANES;
/// Pairs of tiles that a task takes: keys are read once for all of them.
const PAIRS: usize = 4;
/// Bytes of keys and values that are packed at a time, at most, if one head has no more.
const PACKED: usize = 32 << 20;

/// The memory of a running task.
#[derive(Default)]
struct Scratch {
    queries: Vec<Line>,
    /// `[2, keys, 16]`.
    scores: Vec<Line>,
    /// `[blocks, 2, 16]`.
    weights: Vec<Line>,
    /// `[pairs, 2, wide, 16]`.
    out: Vec<Line>,
    rows: Vec<Rows>,
}

/// Sixteen query rows.
#[derive(Clone, Copy)]
struct Rows {
    max: __m512,
    sum: __m512,
    /// The keys that each sees.
    from: __m512i,
    to: __m512i,
    /// From and to for all of them, and the part that none sees only partly.
    seen: [usize; 2],
    whole: [usize; 2],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Computes the whole of `call` into its result; `packed` is a buffer that is used again.
pub(super) fn forward<E: Element>(call: &Call<E>, packed: &mut Vec<Line>) {
    let layout = Layout::new(call.attention.head_dim);
    let (plan, len) = (&call.plan, call.cache.len());
    let first = plan.first / BLOCK;
    let blocks = len.div_ceil(BLOCK) - first;
    let head = blocks * layout.block();
    let kv_heads = call.attention.kv_heads;
    let together = (PACKED / (head * size_of::<Line>())).clamp(1, kv_heads);
    if packed.len() < together * head {
        packed.resize(together * head, Line::ZERO);
    }
    let tasks = plan.rows.div_ceil(PAIRS * PAIR);
    for start in (0..kv_heads).step_by(together) {
        let heads = together.min(kv_heads - start);
        let shares = Parts::new(&mut packed[..heads * head]);
        // A task is a chunk of the cache at most.
        let share = CHUNK / BLOCK;
        let shared = blocks.div_ceil(share);
        pool::run(heads * shared, |task| {
            let (own, share_of) = (task / shared, task % shared);
            for block in share_of * share..blocks.min((share_of + 1) * share) {
                let at = own * head + block * layout.block();
                // SAFETY: each block is one task's, and the CPU has what `Amx` names.
                unsafe {
                    let lines = shares.part(at, layout.block());
                    pack::<E>(layout, call.cache, start + own, first + block, lines);
                }
            }
        });
        let packed = &packed[..heads * head];
        pool::run(heads * tasks, |task| {
            // Later rows see more keys: the longest tasks first.
            let (own, block) = (task % heads, tasks - 1 - task / heads);
            let packed = &packed[own * head..(own + 1) * head];
            SCRATCH.with_borrow_mut(|scratch| {
                // SAFETY: the CPU has what `Amx` names.
                unsafe { block_of_rows(call, layout, start + own, block, packed, scratch) }
            });
        });
    }
}

/// Some rows of a head against all keys that they see.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c")]
unsafe fn block_of_rows<E: Element>(
    call: &Call<E>,
    layout: Layout,
    kv_head: usize,
    block: usize,
    packed: &[Line],
    scratch: &mut Scratch,
) {
    let first_row = block * PAIRS * PAIR;
    let rows = (call.plan.rows - first_row).min(PAIRS * PAIR);
    let pairs = rows.div_ceil(PAIR);
    scratch.grow(layout, pairs);
    let Scratch {
        queries,
        scores,
        weights,
        out,
        rows: state,
    } = scratch;
    out[..pairs * 2 * layout.wide].fill(Line::ZERO);
    for tile in 0..2 * pairs {
        let first = first_row + tile * LANES;
        let count = (first_row + rows).saturating_sub(first).min(LANES);
        state[tile] = call.rows(kv_head, first, count);
        let to = &mut queries[tile / 2 * layout.queries()..][..layout.queries()];
        pack_queries(call, layout, kv_head, first, count, tile % 2, to);
    }
    let line = size_of::<Line>();
    let of_scores: Vec<Offsets> = (0..layout.lines)
        .map(|at| [at * line, at * LANES * line])
        .collect();
    let of_values: Vec<Offsets> = (0..BLOCKS)
        .map(|at| {
            let a = at * layout.block() + layout.keys();
            [a * line, at * 2 * LANES * line]
        })
        .collect();
    let seen = state[..2 * pairs]
        .iter()
        .filter(|rows| rows.seen[0] < rows.seen[1]);
    let (from, to) = seen.fold((usize::MAX, 0), |(from, to), rows| {
        (from.min(rows.seen[0]), to.max(rows.seen[1]))
    });
    let origin = call.plan.first / BLOCK;
    let step = BLOCKS * BLOCK;
    let _tiles = Configured::new();
    for piece in from.min(to) / step..to.div_ceil(step) {
        // Blocks of this piece that are packed.
        let first = (piece * BLOCKS).max(origin);
        let last = ((piece + 1) * BLOCKS).min(to.div_ceil(BLOCK));
        let count = last - first;
        let keys = [first * BLOCK, last * BLOCK];
        let base = &packed[(first - origin) * layout.block()..][..count * layout.block()];
        for pair in 0..pairs {
            let state = &mut state[2 * pair..2 * pair + 2];
            if state
                .iter()
                .all(|rows| rows.seen[1] <= keys[0] || rows.seen[0] >= keys[1])
            {
                continue;
            }
            let queries = queries[pair * layout.queries()..].as_ptr();
            for at in 0..count {
                accumulate(
                    &of_scores,
                    Side {
                        start: base[at * layout.block()..].as_ptr(),
                        other: layout.lines * LANES,
                    },
                    layout.lines,
                    Side {
                        start: queries,
                        other: layout.lines * LANES,
                    },
                    scores.as_mut_ptr().add(at * BLOCK),
                    step,
                    false,
                );
            }
            let out = &mut out[pair * 2 * layout.wide..][..2 * layout.wide];
            for (tile, rows) in state.iter_mut().enumerate() {
                let shrink = softmax(
                    &mut scores[tile * step..][..count * BLOCK],
                    keys,
                    rows,
                    tile,
                    weights,
                );
                if let Some(shrink) = shrink {
                    for line in &mut out[tile * layout.wide..][..layout.wide] {
                        let x = _mm512_load_ps(line.0.as_ptr());
                        _mm512_store_ps(line.0.as_mut_ptr(), _mm512_mul_ps(x, shrink));
                    }
                }
            }
            for d in (0..layout.wide).step_by(2 * LANES) {
                accumulate(
                    &of_values[..count],
                    Side {
                        start: base.as_ptr().add(d),
                        other: LANES,
                    },
                    1,
                    Side {
                        start: weights.as_ptr(),
                        other: LANES,
                    },
                    out.as_mut_ptr().add(d),
                    layout.wide,
                    true,
                );
            }
        }
    }
    for tile in 0..2 * pairs {
        let first = first_row + tile * LANES;
        let count = (first_row + rows).saturating_sub(first).min(LANES);
        let out = &out[tile * layout.wide..][..layout.wide];
        finish(call, layout, kv_head, first, count, &state[tile], out);
    }
}

impl Scratch {
    fn grow(&mut self, layout: Layout, pairs: usize) {
        for (lines, len) in [
            (&mut self.queries, pairs * layout.queries()),
            (&mut self.scores, 2 * BLOCKS * BLOCK),
            (&mut self.weights, BLOCKS * 2 * LANES),
            (&mut self.out, pairs * 2 * layout.wide),
        ] {
            if lines.len() < len {
                lines.resize(len, Line::ZERO);
            }
        }
        if self.rows.len() < 2 * pairs {
            self.rows.resize(2 * pairs, Rows::none());
        }
    }
}

impl Rows {
    /// Rows that see nothing.
    fn none() -> Self {
        // SAFETY: 512 bits of plain numbers.
        unsafe { std::mem::zeroed() }
    }
}

impl<E: Element> Call<'_, E> {
    /// The rows `first..first + count` of a head, and none behind them.
    #[target_feature(enable = "avx512f")]
    unsafe fn rows(&self, kv_head: usize, first: usize, count: usize) -> Rows {
        let (mut from, mut to) = ([0i32; LANES], [0i32; LANES]);
        let mut seen = [usize::MAX, 0];
        let mut whole = [0, usize::MAX];
        for i in 0..count {
            let (token, _) = self.place(kv_head, first + i);
            let own = self.attention.seen(self.past + token, self.cache.len());
            (from[i], to[i]) = (own.start as i32, own.end as i32);
            seen = [seen[0].min(own.start), seen[1].max(own.end)];
            whole = [whole[0].max(own.start), whole[1].min(own.end)];
        }
        if count < LANES {
            // Rows that are not there see no key.
            whole = [0, 0];
        }
        Rows {
            max: _mm512_set1_ps(f32::MIN),
            sum: _mm512_setzero_ps(),
            from: _mm512_loadu_si512(from.as_ptr().cast()),
            to: _mm512_loadu_si512(to.as_ptr().cast()),
            seen,
            whole,
        }
    }
}

/// Scores of sixteen rows with the keys from `keys[0]` to `keys[1]` to weights, in pairs of keys; what the rows' results
/// so far shrink by, if they do.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c")]
unsafe fn softmax(
    scores: &mut [Line],
    keys: [usize; 2],
    rows: &mut Rows,
    tile: usize,
    weights: &mut [Line],
) -> Option<__m512> {
    type L = Avx512;
    if keys[0] < rows.whole[0] || keys[1] > rows.whole[1] {
        let hidden = _mm512_set1_ps(f32::NEG_INFINITY);
        for (key, line) in (keys[0]..).zip(scores.iter_mut()) {
            let key = _mm512_set1_epi32(key as i32);
            let seen =
                _mm512_cmple_epi32_mask(rows.from, key) & _mm512_cmplt_epi32_mask(key, rows.to);
            let x = _mm512_load_ps(line.0.as_ptr());
            _mm512_store_ps(line.0.as_mut_ptr(), _mm512_mask_blend_ps(seen, hidden, x));
        }
    }
    let mut largest = [rows.max; 4];
    for lines in scores.chunks_exact(4) {
        for (largest, line) in largest.iter_mut().zip(lines) {
            // The operand that is not a number loses when it comes first.
            *largest = _mm512_max_ps(_mm512_load_ps(line.0.as_ptr()), *largest);
        }
    }
    let [a, b, c, d] = largest;
    let max = _mm512_max_ps(_mm512_max_ps(a, b), _mm512_max_ps(c, d));
    let shrinks = _mm512_cmpneq_ps_mask(max, rows.max) != 0;
    let shrink = exp2::<L>(_mm512_sub_ps(rows.max, max));
    let mut sums = [_mm512_mul_ps(rows.sum, shrink), _mm512_setzero_ps()];
    // From sixteen numbers of one key and sixteen of the next to pairs of both.
    let mut order = [0u16; 2 * LANES];
    for (i, at) in order.iter_mut().enumerate() {
        *at = (i / 2 + i % 2 * LANES) as u16;
    }
    let order = _mm512_loadu_si512(order.as_ptr().cast());
    for (i, lines) in scores.chunks_exact(2).enumerate() {
        let p = [&lines[0], &lines[1]]
            .map(|line| exp2::<L>(_mm512_sub_ps(_mm512_load_ps(line.0.as_ptr()), max)));
        sums = [_mm512_add_ps(sums[0], p[0]), _mm512_add_ps(sums[1], p[1])];
        let at = (i / LANES * 2 + tile) * LANES + i % LANES;
        let pairs = _mm512_permutexvar_epi16(order, pairs_of(p));
        store(&mut weights[at], pairs);
    }
    rows.max = max;
    rows.sum = _mm512_add_ps(sums[0], sums[1]);
    shrinks.then_some(shrink)
}

/// Sixteen rows' results, `[wide, 16]`, to where they belong.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c")]
unsafe fn finish<E: Element>(
    call: &Call<E>,
    layout: Layout,
    kv_head: usize,
    first: usize,
    count: usize,
    rows: &Rows,
    out: &[Line],
) {
    let mut turned = [Line::ZERO; LANES];
    for (i, lines) in out.as_chunks::<LANES>().0.iter().enumerate() {
        let at = i * LANES;
        if at >= layout.dim {
            break;
        }
        let mut lines = *lines;
        for line in &mut lines {
            let x = _mm512_div_ps(_mm512_load_ps(line.0.as_ptr()), rows.sum);
            _mm512_store_ps(line.0.as_mut_ptr(), x);
        }
        turn(&lines, &mut turned);
        for (row, line) in turned.iter().enumerate().take(count) {
            let result = call.result(kv_head, first + row);
            let end = layout.dim.min(at + LANES);
            put::<Avx512>(_mm512_load_ps(line.0.as_ptr()), &mut result[at..end]);
        }
    }
}
