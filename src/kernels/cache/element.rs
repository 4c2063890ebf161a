//! How a number of the cache is stored.

use half::f16;

use crate::kernels::simd::Lanes;

/// Numbers that share a scale, where the type has scales.
pub(crate) const SCALE_GROUP: usize = 32;

/// A stored number: widened to f32 in registers, narrowed when a token is appended.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// Whether each group of [`SCALE_GROUP`] numbers has an f32 scale beside it.
    const SCALED: bool;

    /// Sixteen numbers; `scale` counts only where there are scales.
    ///
    /// # Safety
    /// The CPU has the instruction set, and sixteen numbers lie at `p`.
    unsafe fn load<L: Lanes>(p: *const Self, scale: L::F) -> L::F;

    /// Stores sixteen numbers, multiplied by `inverse` where there are scales.
    ///
    /// # Safety
    /// As [`Element::load`].
    unsafe fn store<L: Lanes>(p: *mut Self, x: L::F, inverse: f32);
}

impl Element for f32 {
    const SCALED: bool = false;

    #[inline(always)]
    unsafe fn load<L: Lanes>(p: *const Self, _: L::F) -> L::F {
        L::load(p)
    }
    #[inline(always)]
    unsafe fn store<L: Lanes>(p: *mut Self, x: L::F, _: f32) {
        L::store(p, x);
    }
}

impl Element for f16 {
    const SCALED: bool = false;

    #[inline(always)]
    unsafe fn load<L: Lanes>(p: *const Self, _: L::F) -> L::F {
        L::load_f16(p)
    }
    #[inline(always)]
    unsafe fn store<L: Lanes>(p: *mut Self, x: L::F, _: f32) {
        L::store_f16(p, x);
    }
}

impl Element for i8 {
    const SCALED: bool = true;

    #[inline(always)]
    unsafe fn load<L: Lanes>(p: *const Self, scale: L::F) -> L::F {
        L::mul(L::to_float(L::load_i8(p)), scale)
    }
    #[inline(always)]
    unsafe fn store<L: Lanes>(p: *mut Self, x: L::F, inverse: f32) {
        L::store_i8(p, L::round(L::mul(x, L::splat(inverse))));
    }
}

/// The scale of numbers whose largest magnitude is `largest`, and what to multiply them with. `taint` is 0, or not a
/// number where one of them is not finite: then the scale shows it.
pub(super) fn scale(largest: f32, taint: f32) -> (f32, f32) {
    /// Below this the inverse is no longer finite; such numbers count as 0.
    const TINY: f32 = 1e-30;
    if largest < TINY {
        (taint, 0.0)
    } else {
        (largest / 127.0 + taint, 127.0 / largest)
    }
}
