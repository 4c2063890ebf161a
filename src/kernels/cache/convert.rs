//! A token's key and value into the cache.

use super::element::{scale, Element, SCALE_GROUP};
use super::layout::{Head, Shape, CHUNK};
use crate::kernels::simd::{Kernel, Lanes, LANES};

/// Stores one token of one kv head.
pub(super) struct Convert<'a, E> {
    pub shape: &'a Shape,
    /// To be written: nobody else uses `slot`'s block meanwhile.
    pub head: Head<'a, E>,
    /// The token's place in its chunk.
    pub slot: usize,
    /// `[head_dim]`.
    pub k: &'a [f32],
    /// `[head_dim]`.
    pub v: &'a [f32],
}

impl<E: Element> Kernel for Convert<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let (shape, slot) = (self.shape, self.slot);
        assert!(slot < CHUNK && self.k.len() == shape.head_dim && self.v.len() == shape.head_dim);
        let (block, lane) = (slot / LANES, slot % LANES);
        for group in 0..shape.groups {
            let start = group * SCALE_GROUP;
            let end = shape.head_dim.min(start + SCALE_GROUP);

            let (step, inverse) = scale_of::<L, E>(&self.k[start..end]);
            if E::SCALED {
                let at = (block * shape.groups + group) * LANES + lane;
                *self.head.key_scales.add(at) = step;
            }
            for d in (start..end).step_by(LANES) {
                let mut stored = [E::default(); LANES];
                let count = LANES.min(end - d);
                E::store::<L>(
                    stored.as_mut_ptr(),
                    load::<L>(&self.k[d..d + count]),
                    inverse,
                );
                let column = self
                    .head
                    .keys
                    .add((block * shape.head_dim + d) * LANES + lane);
                for (i, &x) in stored[..count].iter().enumerate() {
                    *column.add(i * LANES) = x;
                }
            }

            let (step, inverse) = scale_of::<L, E>(&self.v[start..end]);
            if E::SCALED {
                *self.head.value_scales.add(group * CHUNK + slot) = step;
            }
            for d in (start..end).step_by(LANES) {
                let x = load::<L>(&self.v[d..end.min(d + LANES)]);
                let row = self.head.values.add((d / LANES * CHUNK + slot) * LANES);
                E::store::<L>(row, x, inverse);
            }
        }
    }
}

/// `x`, at most sixteen numbers, then zeros.
#[inline(always)]
unsafe fn load<L: Lanes>(x: &[f32]) -> L::F {
    if x.len() == LANES {
        return L::load(x.as_ptr());
    }
    let mut padded = [0.0; LANES];
    padded[..x.len()].copy_from_slice(x);
    L::load(padded.as_ptr())
}

/// See [`scale`]; not used where there are no scales.
#[inline(always)]
unsafe fn scale_of<L: Lanes, E: Element>(x: &[f32]) -> (f32, f32) {
    if !E::SCALED {
        return (1.0, 1.0);
    }
    let (mut largest, mut taint) = (L::splat(0.0), L::splat(0.0));
    for piece in x.chunks(LANES) {
        let x = load::<L>(piece);
        largest = L::max(largest, L::abs(x));
        // 0 · x is not a number where x is none or infinite.
        taint = L::fma(x, L::splat(0.0), taint);
    }
    scale(L::largest(largest), L::sum(taint))
}
