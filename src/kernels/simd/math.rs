//! Functions of a vector, the same for every instruction set.

use super::Lanes;

/// `e^x` within two units in the last place: 2^n times a polynomial on ±ln(2)/2 (coefficients: Cephes' `expf`).
/// 0 below −86.6 (also for −∞), not a number stays so, and what is too large ends at 3.3e38.
#[inline(always)]
pub(crate) unsafe fn exp<L: Lanes>(x: L::F) -> L::F {
    const LOWEST: f32 = -86.6;
    // The operand that is not a number wins when it comes second.
    let clamped = L::min(L::splat(88.7), L::max(L::splat(LOWEST), x));
    let n = L::round(L::mul(clamped, L::splat(std::f32::consts::LOG2_E)));
    let whole = L::to_float(n);
    // ln 2 in two parts, the first exact in few bits.
    let r = L::fma(whole, L::splat(-0.693_359_4), clamped);
    let r = L::fma(whole, L::splat(2.121_944_4e-4), r);
    let mut p = L::splat(1.987_569_1e-4);
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        0.166_666_65,
        0.5,
    ] {
        p = L::fma(p, r, L::splat(c));
    }
    let y = L::add(L::fma(L::mul(p, r), r, r), L::splat(1.0));
    // 2^128 is no f32: half of the exponent's last step is multiplied separately.
    let y = L::mul(L::mul(y, L::splat(2.0)), L::exp2_less_one(n));
    L::zero_below(x, L::splat(LOWEST), y)
}

/// `x · sigmoid(x)`.
#[inline(always)]
pub(crate) unsafe fn silu<L: Lanes>(x: L::F) -> L::F {
    let negative = L::sub(L::splat(0.0), x);
    L::div(x, L::add(L::splat(1.0), exp::<L>(negative)))
}
