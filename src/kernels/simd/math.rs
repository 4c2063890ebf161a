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

/// `sin²(x)`, within 2e-7 for |x| up to 8,000: the period is π, so a polynomial of the sine on ±π/2 (its Taylor series to
/// x¹³) does without a case for the sign.
#[inline(always)]
pub(crate) unsafe fn sin_squared<L: Lanes>(x: L::F) -> L::F {
    let n = L::to_float(L::round(L::mul(x, L::splat(std::f32::consts::FRAC_1_PI))));
    // π in three parts, the first two exact in few bits (Cody and Waite, 1980).
    let r = L::fma(n, L::splat(-3.140_625), x);
    let r = L::fma(n, L::splat(-9.670_257_6e-4), r);
    let r = L::fma(n, L::splat(-6.277_114e-7), r);
    let square = L::mul(r, r);
    let mut p = L::splat(1.605_904_4e-10);
    for c in [
        -2.505_210_8e-8,
        2.755_731_9e-6,
        -1.984_127e-4,
        8.333_333e-3,
        -0.166_666_67,
    ] {
        p = L::fma(p, square, L::splat(c));
    }
    let sine = L::fma(L::mul(p, square), r, r);
    L::mul(sine, sine)
}

/// `x · Φ(x)`, the exact GELU (Hendrycks and Gimpel, 2016, arXiv:1606.08415), with erf by Abramowitz and Stegun's
/// formula 7.1.26: within 1.5e-7 of `x`.
#[inline(always)]
pub(crate) unsafe fn gelu<L: Lanes>(x: L::F) -> L::F {
    let z = L::mul(L::abs(x), L::splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = L::div(
        L::splat(1.0),
        L::fma(z, L::splat(0.327_591_1), L::splat(1.0)),
    );
    let mut p = L::splat(1.061_405_4);
    for c in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = L::fma(p, t, L::splat(c));
    }
    let negative = L::sub(L::splat(0.0), L::mul(z, z));
    // 1 − erf(|x|/√2), half of which is what is missing of x on one side and all there is on the other.
    let tail = L::mul(L::mul(p, t), exp::<L>(negative));
    let half = L::mul(L::mul(L::abs(x), L::splat(0.5)), tail);
    let positive = L::max(L::splat(0.0), x);
    L::sub(positive, half)
}
