//! The kernels: sixteen rows at a time with one token, and 32 rows with a tile of tokens.
//!
//! No closures: what a closure calls is not always compiled for the instruction set of its surroundings.

use std::marker::PhantomData;

use super::activations::{Tile, BLOCK, SUMS};
use super::format::{Format, GROUP, QUADS};
use crate::kernels::simd::{Kernel, Lanes};

/// Groups of a panel.
pub(super) const PAIR: usize = 2;
/// Bytes that 32 columns of a panel unpack to.
pub(super) const UNPACKED: usize = PAIR * QUADS * 64;
/// Bytes asked for ahead of their use: what a core reads during one access to memory, and some more.
const AHEAD: usize = 4096;
const LINE: usize = 64;

/// Groups of packed rows, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Groups {
    pub quants: *const u8,
    pub heads: *const u8,
    /// Bytes from one group to the next.
    pub stride: usize,
    /// Blocks of 32 columns.
    pub blocks: usize,
}

/// `groups.len` groups with one token: `out` is `[groups, 16]`.
pub(super) struct Dot<'a, F> {
    pub groups: Groups,
    pub tile: Tile,
    pub out: &'a mut [[f32; GROUP]],
    pub format: PhantomData<F>,
}

impl<F: Format> Kernel for Dot<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let Self { groups, tile, .. } = self;
        for (group, out) in self.out.iter_mut().enumerate() {
            let mut quants = groups.quants.add(group * groups.stride);
            let mut head = groups.heads.add(group * groups.stride);
            let mut total = L::splat(0.0);
            let mut block = 0;
            for _ in 0..groups.blocks / F::SUBS {
                prefetch::<L>(head.wrapping_add(groups.stride), F::HEAD);
                for sub in 0..F::SUBS {
                    prefetch::<L>(quants.wrapping_add(AHEAD), F::QUANTS);
                    let u = F::unpack::<L>(quants);
                    let q = tile.q.add(block * BLOCK);
                    let scale = L::splat(*tile.scales.add(block));
                    let sums = tile.sums.add(block * SUMS);
                    let scaled_sums = tile.scaled_sums.add(block * SUMS);
                    if F::HALVES {
                        for half in 0..2 {
                            let mut acc = start::<F, L>(*sums.add(half));
                            for (j, u) in
                                u.iter().enumerate().skip(half * QUADS / 2).take(QUADS / 2)
                            {
                                acc = dot::<F, L>(acc, *u, L::splat_bytes(q.add(4 * j)));
                            }
                            let weight = L::mul(F::scale::<L>(head, sub, half), scale);
                            total = L::fma(L::to_float(acc), weight, total);
                            if F::MIN {
                                let sum = L::splat(*scaled_sums.add(half));
                                total = L::fma(F::min::<L>(head, sub, half), sum, total);
                            }
                        }
                    } else {
                        // Two chains of sums hide the latency of one.
                        let mut acc = [start::<F, L>(*sums.add(2)), L::splat_i(0)];
                        for (j, u) in u.into_iter().enumerate() {
                            let x = L::splat_bytes(q.add(4 * j));
                            acc[j % 2] = dot::<F, L>(acc[j % 2], u, x);
                        }
                        let acc = L::to_float(L::add_i(acc[0], acc[1]));
                        let weight = L::mul(F::scale::<L>(head, sub, 0), scale);
                        total = L::fma(acc, weight, total);
                        if F::MIN {
                            let sum = L::splat(*scaled_sums.add(2));
                            total = L::fma(F::min::<L>(head, sub, 0), sum, total);
                        }
                    }
                    quants = quants.add(F::QUANTS);
                    block += 1;
                }
                head = head.add(F::HEAD);
            }
            L::store(out.as_mut_ptr(), total);
        }
    }
}

/// Asks for `bytes` at `p`, into the second cache: the first is too small for what is under way.
#[inline(always)]
unsafe fn prefetch<L: Lanes>(p: *const u8, bytes: usize) {
    for line in 0..bytes.div_ceil(LINE) {
        L::prefetch(p.wrapping_add(line * LINE));
    }
}

/// What the sum of a block begins with: `−2^shift · Σ q`, given `−Σ q`.
#[inline(always)]
unsafe fn start<F: Format, L: Lanes>(negative_sum: i32) -> L::I {
    match F::MIN || (F::EIGHT && L::CENTRED) {
        true => L::splat_i(0),
        false => L::splat_i(negative_sum << F::SHIFT),
    }
}

#[inline(always)]
unsafe fn dot<F: Format, L: Lanes>(acc: L::I, u: L::B, q: L::B) -> L::I {
    match F::EIGHT {
        true => L::dot8(acc, u, q),
        false => L::dot(acc, u, q),
    }
}

/// A panel: two groups unpacked, so that the tiles of tokens share the work.
pub(super) struct Panel {
    /// `[blocks, 8, groups, 64]`.
    pub u: Vec<u8>,
    /// `[blocks, scales a block, groups, 16]`.
    pub scales: Vec<f32>,
    /// The same, where the format has minima.
    pub mins: Vec<f32>,
}

/// Unpacks up to two groups.
pub(super) struct Unpack<'a, F> {
    pub groups: Groups,
    /// 1 or 2.
    pub count: usize,
    pub panel: &'a mut Panel,
    pub format: PhantomData<F>,
}

impl<F: Format> Kernel for Unpack<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let Self { groups, panel, .. } = self;
        let halves = 1 + usize::from(F::HALVES);
        panel.u.resize(groups.blocks * UNPACKED, 0);
        let scales = groups.blocks * halves * PAIR * GROUP;
        panel.scales.resize(scales, 0.0);
        if F::MIN {
            panel.mins.resize(scales, 0.0);
        }
        for group in 0..self.count {
            let mut quants = groups.quants.add(group * groups.stride);
            let mut head = groups.heads.add(group * groups.stride);
            let mut block = 0;
            for _ in 0..groups.blocks / F::SUBS {
                for sub in 0..F::SUBS {
                    let u = F::unpack::<L>(quants);
                    let to = panel.u.as_mut_ptr().add(block * UNPACKED + group * 64);
                    for (j, u) in u.into_iter().enumerate() {
                        L::store_bytes(to.add(j * PAIR * 64), u);
                    }
                    for half in 0..halves {
                        let at = ((block * halves + half) * PAIR + group) * GROUP;
                        let scale = F::scale::<L>(head, sub, half);
                        L::store(panel.scales.as_mut_ptr().add(at), scale);
                        if F::MIN {
                            let min = F::min::<L>(head, sub, half);
                            L::store(panel.mins.as_mut_ptr().add(at), min);
                        }
                    }
                    quants = quants.add(F::QUANTS);
                    block += 1;
                }
                head = head.add(F::HEAD);
            }
        }
    }
}

/// A panel with one tile of `T` tokens; `out` is `[T, 32]`.
pub(super) struct TileProduct<'a, F, const T: usize> {
    pub panel: &'a Panel,
    pub blocks: usize,
    pub tile: Tile,
    /// Packed weights that will be wanted soon: asked for meanwhile, some bytes with each block.
    pub ahead: *const u8,
    pub ahead_bytes: usize,
    pub out: &'a mut [f32],
    pub format: PhantomData<F>,
}

impl<F: Format, const T: usize> Kernel for TileProduct<'_, F, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(mut self) {
        debug_assert!(self.out.len() >= T * PAIR * GROUP);
        if L::ACCUMULATORS >= 2 * PAIR * T {
            self.part::<L, PAIR, T>(0, 0);
        } else {
            for group in 0..PAIR {
                for token in (0..T).step_by(2) {
                    self.part::<L, 1, 2>(group, token);
                    self.ahead_bytes = 0;
                }
            }
        }
    }
}

impl<F: Format, const T: usize> TileProduct<'_, F, T> {
    /// `R` groups from `group` on with `S` tokens from `token` on.
    #[inline(always)]
    unsafe fn part<L: Lanes, const R: usize, const S: usize>(
        &mut self,
        group: usize,
        token: usize,
    ) {
        let halves = 1 + usize::from(F::HALVES);
        let mut u = self.panel.u.as_ptr().add(group * 64);
        let mut weight_scales = self.panel.scales.as_ptr().add(group * GROUP);
        let mut mins = self.panel.mins.as_ptr().add(group * GROUP);
        let mut q = self.tile.q.add(token * BLOCK);
        let mut scales = self.tile.scales.add(token);
        let mut sums = self.tile.sums.add(token);
        let mut scaled_sums = self.tile.scaled_sums.add(token);
        let mut totals = [[L::splat(0.0); R]; S];
        // A count that the compiler does not know: unrolled, the loop over it would need more registers than there are.
        let quads = std::hint::black_box(QUADS / halves);
        for _ in 0..self.blocks {
            prefetch::<L>(self.ahead, self.ahead_bytes);
            self.ahead = self.ahead.wrapping_add(self.ahead_bytes);
            for half in 0..halves {
                let which = if F::HALVES { half } else { 2 };
                let mut acc = [[L::splat_i(0); R]; S];
                for (t, acc) in acc.iter_mut().enumerate() {
                    *acc = [start::<F, L>(*sums.add(which * T + t)); R];
                }
                for j in half * (QUADS / 2)..half * (QUADS / 2) + quads {
                    let mut weights = [L::splat_byte(0); R];
                    for (r, weights) in weights.iter_mut().enumerate() {
                        *weights = L::load_bytes(u.add((j * PAIR + r) * 64));
                    }
                    for (t, acc) in acc.iter_mut().enumerate() {
                        let x = L::splat_bytes(q.add(t * BLOCK + 4 * j));
                        for (acc, weights) in acc.iter_mut().zip(weights) {
                            *acc = dot::<F, L>(*acc, weights, x);
                        }
                    }
                }
                for (t, (totals, acc)) in totals.iter_mut().zip(acc).enumerate() {
                    let scale = L::splat(*scales.add(t));
                    for (r, (total, acc)) in totals.iter_mut().zip(acc).enumerate() {
                        let weight = L::load(weight_scales.add(r * GROUP));
                        *total = L::fma(L::to_float(acc), L::mul(weight, scale), *total);
                        if F::MIN {
                            let min = L::load(mins.add(r * GROUP));
                            let sum = L::splat(*scaled_sums.add(which * T + t));
                            *total = L::fma(min, sum, *total);
                        }
                    }
                }
                weight_scales = weight_scales.add(PAIR * GROUP);
                mins = mins.wrapping_add(PAIR * GROUP);
            }
            u = u.add(UNPACKED);
            q = q.add(T * BLOCK);
            scales = scales.add(T);
            sums = sums.add(SUMS * T);
            scaled_sums = scaled_sums.add(SUMS * T);
        }
        for (t, totals) in totals.iter().enumerate() {
            for (r, total) in totals.iter().enumerate() {
                let at = (token + t) * PAIR * GROUP + (group + r) * GROUP;
                L::store(self.out.as_mut_ptr().add(at), *total);
            }
        }
    }
}
