//! What the loops over a float matrix are made of: units of 32 bits, sixteen to a vector. A unit is one number, widened
//! to f32, or (see [`super::pairs`]) a pair of bf16.

use std::marker::PhantomData;

use half::{bf16, f16};

use crate::kernels::simd::{Lanes, LANES};

/// Sixteen units, aligned like a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::kernels) struct Line(pub [f32; LANES]);

impl Line {
    pub const ZERO: Self = Self([0.0; LANES]);
}

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// Asks for the line at `p`, which need not exist, in the second cache: asked for in the first, it holds up the loads
/// behind it (on a Zen 4: half the speed).
#[inline(always)]
pub(in crate::kernels) fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction, and no address is wrong for it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// Asks for `numbers` weights at `p`, which need not exist.
#[inline(always)]
pub(super) fn prefetch_many<T>(p: *const T, numbers: usize) {
    for line in 0..(numbers * size_of::<T>()).div_ceil(LINE_BYTES) {
        prefetch(p.cast::<u8>().wrapping_add(line * LINE_BYTES));
    }
}

/// A number of a weight that is widened to f32.
pub(in crate::kernels) trait Float: Copy + Default {
    /// Sixteen of them.
    ///
    /// # Safety
    /// They are there, at any alignment, and the CPU has `L`.
    unsafe fn load<L: Lanes>(p: *const Self) -> L::F;
}

impl Float for f32 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(p: *const f32) -> L::F {
        L::load(p)
    }
}
impl Float for f16 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(p: *const f16) -> L::F {
        L::load_f16(p)
    }
}
impl Float for bf16 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(p: *const bf16) -> L::F {
        L::load_bf16(p)
    }
}

/// How units are loaded, multiplied and summed.
///
/// # Safety
/// Every function needs the instruction set; pointers are to sixteen units or [`Arithmetic::PER_VECTOR`] numbers, at any
/// alignment.
pub(in crate::kernels) trait Arithmetic {
    /// A number of the weight, in memory.
    type Weight: Copy + Default;
    /// Sixteen units.
    type Units: Copy;
    /// Sixteen sums of f32.
    type Sums: Copy;

    /// Numbers of sixteen units.
    const PER_VECTOR: usize;
    /// Vectors of sums that fit the registers beside the operands.
    const ACCUMULATORS: usize;

    unsafe fn weights(p: *const Self::Weight) -> Self::Units;
    /// From activations.
    unsafe fn activations(p: *const f32) -> Self::Units;
    unsafe fn load(p: *const f32) -> Self::Units;
    unsafe fn store(p: *mut f32, units: Self::Units);
    /// One unit everywhere.
    unsafe fn splat(p: *const f32) -> Self::Units;
    unsafe fn zero_units() -> Self::Units;
    unsafe fn zero() -> Self::Sums;
    unsafe fn load_sums(p: *const f32) -> Self::Sums;
    unsafe fn store_sums(p: *mut f32, sums: Self::Sums);
    /// `sums + a · b`.
    unsafe fn add_product(sums: Self::Sums, a: Self::Units, b: Self::Units) -> Self::Sums;
    unsafe fn add(a: Self::Sums, b: Self::Sums) -> Self::Sums;
    unsafe fn total(sums: Self::Sums) -> f32;
}

/// Numbers `W`, each widened to f32.
pub(in crate::kernels) struct Widened<L, W>(PhantomData<(L, W)>);

impl<L: Lanes, W: Float> Arithmetic for Widened<L, W> {
    type Weight = W;
    type Units = L::F;
    type Sums = L::F;

    const PER_VECTOR: usize = LANES;
    const ACCUMULATORS: usize = L::ACCUMULATORS;

    #[inline(always)]
    unsafe fn weights(p: *const W) -> L::F {
        W::load::<L>(p)
    }
    #[inline(always)]
    unsafe fn activations(p: *const f32) -> L::F {
        L::load(p)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> L::F {
        L::load(p)
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, units: L::F) {
        L::store(p, units);
    }
    #[inline(always)]
    unsafe fn splat(p: *const f32) -> L::F {
        L::splat(*p)
    }
    #[inline(always)]
    unsafe fn zero_units() -> L::F {
        L::splat(0.0)
    }
    #[inline(always)]
    unsafe fn zero() -> L::F {
        L::splat(0.0)
    }
    #[inline(always)]
    unsafe fn load_sums(p: *const f32) -> L::F {
        L::load(p)
    }
    #[inline(always)]
    unsafe fn store_sums(p: *mut f32, sums: L::F) {
        L::store(p, sums);
    }
    #[inline(always)]
    unsafe fn add_product(sums: L::F, a: L::F, b: L::F) -> L::F {
        L::fma(a, b, sums)
    }
    #[inline(always)]
    unsafe fn add(a: L::F, b: L::F) -> L::F {
        L::add(a, b)
    }
    #[inline(always)]
    unsafe fn total(sums: L::F) -> f32 {
        L::sum(sums)
    }
}

/// What is left at the end of a row, with zeros to the full vector.
#[inline(always)]
pub(super) unsafe fn padded<T: Copy + Default>(p: *const T, len: usize) -> [T; 2 * LANES] {
    let mut full = [T::default(); 2 * LANES];
    std::ptr::copy_nonoverlapping(p, full.as_mut_ptr(), len.min(2 * LANES));
    full
}
