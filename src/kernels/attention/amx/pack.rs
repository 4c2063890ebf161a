//! Keys, values and queries as the tiles read them: rounded to bf16, in pairs.

use std::arch::x86_64::*;

use crate::kernels::attention::Call;
use crate::kernels::cache::{Element, KvCache, CHUNK};
use crate::kernels::float::arithmetic::Line;
use crate::kernels::float::pairs_of;
use crate::kernels::simd::avx512::Avx512;
use crate::kernels::simd::{Lanes, LANES};

/// Keys of a packed block: sixteen pairs of values.
pub(super) const BLOCK: usize = 2 * LANES;

/// How one call is laid out.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub dim: usize,
    /// Lines of a row of [`Layout::dim`] numbers.
    pub lines: usize,
    /// `dim` in whole panels of 32.
    pub wide: usize,
}

impl Layout {
    pub fn new(dim: usize) -> Self {
        Self {
            dim,
            lines: dim.div_ceil(2 * LANES),
            wide: dim.next_multiple_of(2 * LANES),
        }
    }

    /// Lines of the keys of a block: `[32, lines]`.
    pub fn keys(&self) -> usize {
        BLOCK * self.lines
    }

    /// Lines of a block: behind the keys the values `[wide]`, a line of 32 keys for each dimension.
    pub fn block(&self) -> usize {
        self.keys() + self.wide
    }

    /// Lines of two tiles of queries, `[2, lines · 16]`.
    pub fn queries(&self) -> usize {
        2 * self.lines * LANES
    }
}

/// Keys and values of one block of a head.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c")]
pub(super) unsafe fn pack<E: Element>(
    layout: Layout,
    cache: &KvCache,
    kv_head: usize,
    block: usize,
    lines: &mut [Line],
) {
    type L = Avx512;
    let dim = layout.dim;
    let zero = L::splat(0.0);
    let head = cache.head::<E>(block * BLOCK / CHUNK, kv_head);
    let first = block * BLOCK % CHUNK;
    let (keys, values) = lines.split_at_mut(layout.keys());
    let mut rows = [Line::ZERO; LANES];
    let mut turned = [[Line::ZERO; LANES]; 2];
    for half in 0..2 {
        let of_keys = head.keys.add((first / LANES + half) * dim * LANES);
        for at in 0..layout.lines {
            for (i, turned) in turned.iter_mut().enumerate() {
                for (j, row) in rows.iter_mut().enumerate() {
                    let d = (2 * at + i) * LANES + j;
                    let x = match d < dim {
                        true => E::load::<L>(of_keys.add(d * LANES), zero),
                        false => zero,
                    };
                    L::store(row.0.as_mut_ptr(), x);
                }
                turn(&rows, turned);
            }
            let [low, high] = &turned;
            for (key, numbers) in low.iter().zip(high).enumerate() {
                let row = half * LANES + key;
                store(&mut keys[row * layout.lines + at], both(numbers));
            }
        }
    }
    // What is behind the last key may be anything, and times 0 it has to be 0.
    let there = cache.len().saturating_sub(block * BLOCK);
    for at in 0..layout.wide / LANES {
        for (half, turned) in turned.iter_mut().enumerate() {
            for (j, row) in rows.iter_mut().enumerate() {
                let key = half * LANES + j;
                let x = match key < there && at * LANES < dim {
                    true => {
                        let at = at * CHUNK + first + key;
                        E::load::<L>(head.values.add(at * LANES), zero)
                    }
                    false => zero,
                };
                L::store(row.0.as_mut_ptr(), x);
            }
            turn(&rows, turned);
        }
        let [low, high] = &turned;
        for (line, numbers) in values[at * LANES..].iter_mut().zip(low.iter().zip(high)) {
            store(line, both(numbers));
        }
    }
}

/// Rows of queries times their factor, as tile `tile` of two.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c")]
pub(super) unsafe fn pack_queries<E: Element>(
    call: &Call<E>,
    layout: Layout,
    kv_head: usize,
    first: usize,
    count: usize,
    tile: usize,
    to: &mut [Line],
) {
    let dim = layout.dim;
    // Scores in base 2.
    let factor = _mm512_set1_ps(call.attention.scale * std::f32::consts::LOG2_E);
    for at in 0..layout.lines {
        let mut rows = [Line::ZERO; LANES];
        for (i, row) in rows.iter_mut().enumerate().take(count) {
            let (token, head) = call.place(kv_head, first + i);
            let q = &call.q[token * call.stride + head * dim..][..dim];
            let mut numbers = [0f32; 2 * LANES];
            let start = 2 * at * LANES;
            let len = (dim - start).min(2 * LANES);
            numbers[..len].copy_from_slice(&q[start..start + len]);
            let halves = [0, LANES].map(|half| {
                let x = _mm512_loadu_ps(numbers.as_ptr().add(half));
                _mm512_mul_ps(x, factor)
            });
            store(row, pairs_of(halves));
        }
        if let Some(to) = to[(tile * layout.lines + at) * LANES..].first_chunk_mut() {
            turn(&rows, to);
        }
    }
}

#[inline(always)]
pub(super) unsafe fn turn(from: &[Line; LANES], to: &mut [Line; LANES]) {
    // SAFETY: both are sixteen rows of sixteen.
    Avx512::transpose(from.as_ptr().cast(), LANES, to.as_mut_ptr().cast(), LANES);
}

/// Two lines as pairs of bf16.
#[inline(always)]
pub(super) unsafe fn both((low, high): (&Line, &Line)) -> __m512i {
    pairs_of([low, high].map(|line| _mm512_load_ps(line.0.as_ptr())))
}

#[inline(always)]
pub(super) unsafe fn store(line: &mut Line, pairs: __m512i) {
    _mm512_store_si512(line.0.as_mut_ptr().cast(), pairs);
}
