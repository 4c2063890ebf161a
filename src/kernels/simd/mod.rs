//! Which instruction sets this CPU has, and one vector type over all of them.
//!
//! A kernel is a struct with [`Kernel::eval`], generic over [`Lanes`]; [`Simd::run`] compiles it once an instruction
//! set and picks at run time. Every set shows vectors of sixteen lanes, whatever its registers hold: layouts in memory
//! are the same everywhere, and only the compiler knows how many registers a vector takes.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod math;
mod portable;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::OnceLock;

use half::{bf16, f16};

pub(crate) use math::{gelu, silu, sin_squared};

/// Lanes of every vector.
pub(crate) const LANES: usize = 16;

/// The instruction sets that crane's kernels are compiled for, the slowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Simd {
    /// What the compiler makes of plain loops: SSE2 on x86-64, NEON on 64-bit ARM.
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ, VL and VNNI.
    Avx512,
    /// The same with products of bf16 pairs.
    Avx512Bf16,
    /// The same with AMX: tiles of bf16. Intel's CPUs have both or neither.
    Amx,
}

/// No limit was set.
const UNLIMITED: u8 = u8::MAX;
static LIMIT: AtomicU8 = AtomicU8::new(UNLIMITED);

impl Simd {
    /// All of them, the slowest first.
    pub const ALL: [Self; 5] = [
        Self::Portable,
        Self::Avx2,
        Self::Avx512,
        Self::Avx512Bf16,
        Self::Amx,
    ];

    /// The best of this CPU, or the limit set by [`Simd::limit`].
    pub fn detect() -> Self {
        let best = Self::best();
        match Self::ALL.get(usize::from(LIMIT.load(Ordering::Relaxed))) {
            Some(limit) => best.min(*limit),
            None => best,
        }
    }

    /// Makes [`Simd::detect`] answer with `most` at best, in the whole process; for comparisons and tests. Models
    /// that are loaded already keep what they were loaded with.
    pub fn limit(most: Option<Self>) {
        LIMIT.store(most.map_or(UNLIMITED, |simd| simd as u8), Ordering::Relaxed);
    }

    /// Those that this CPU has, the slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        let best = Self::best();
        Self::ALL.into_iter().filter(move |simd| *simd <= best)
    }

    /// As `--simd` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
            Self::Amx => "amx",
        }
    }

    fn best() -> Self {
        static BEST: OnceLock<Simd> = OnceLock::new();
        *BEST.get_or_init(Self::best_of_cpu)
    }

    #[cfg(target_arch = "x86_64")]
    fn best_of_cpu() -> Self {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        let bf16 = is_x86_feature_detected!("avx512bf16");
        if avx2 && avx512 && bf16 && amx::is_there() {
            return Self::Amx;
        }
        // Measured on an Emerald Rapids: its pairs take 1.4 times as long as widening them and f32's fma.
        match (avx2, avx512, bf16 && !amx::is_intel()) {
            (true, true, true) => Self::Avx512Bf16,
            (true, true, false) => Self::Avx512,
            (true, false, _) => Self::Avx2,
            (false, _, _) => Self::Portable,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn best_of_cpu() -> Self {
        Self::Portable
    }

    /// Runs `kernel` compiled for this instruction set, which must be one that this CPU has.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        debug_assert!(self <= Self::best(), "{self:?} on a CPU without it");
        match self {
            // SAFETY: the portable lanes need nothing of the CPU.
            Self::Portable => unsafe { kernel.eval::<portable::Portable>() },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the caller's instruction set comes from `detect` or `available`.
            Self::Avx2 => unsafe { avx2::run(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx512 | Self::Avx512Bf16 | Self::Amx => unsafe { avx512::run(kernel) },
            #[cfg(not(target_arch = "x86_64"))]
            // SAFETY: as for `Portable`; the others are never detected here.
            _ => unsafe { kernel.eval::<portable::Portable>() },
        }
    }
}

/// An operation with its parameters.
pub(crate) trait Kernel {
    type Output;

    /// Computes it; must be `#[inline(always)]`, or it is not compiled for the instruction set.
    ///
    /// # Safety
    /// The CPU has the instruction set of `L`.
    unsafe fn eval<L: Lanes>(self) -> Self::Output;
}

/// Vectors of sixteen numbers in one instruction set.
///
/// # Safety
/// Every function needs the instruction set; those that take a pointer read or write sixteen numbers there (64 for
/// bytes), at any alignment.
pub(crate) trait Lanes: Copy + 'static {
    /// Sixteen f32.
    type F: Copy;
    /// Sixteen i32.
    type I: Copy;
    /// Sixteen groups of four bytes.
    type B: Copy;

    /// Vectors of f32 that fit the registers as accumulators beside the operands.
    const ACCUMULATORS: usize;
    /// [`Lanes::dot8`] takes `u` as `u − 128`, a signed byte.
    const CENTRED: bool;

    /// Asks for the line at `p`, any address, into the second level of the cache (the first has too few requests under
    /// way to keep up with memory); does nothing where there is no such instruction.
    unsafe fn prefetch(p: *const u8);
    unsafe fn splat(x: f32) -> Self::F;
    unsafe fn load(p: *const f32) -> Self::F;
    unsafe fn load_f16(p: *const f16) -> Self::F;
    unsafe fn load_bf16(p: *const bf16) -> Self::F;
    unsafe fn store(p: *mut f32, x: Self::F);
    /// Rounded to the nearest, ties to even.
    unsafe fn store_f16(p: *mut f16, x: Self::F);
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The larger; `b` where one is not a number.
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    /// The smaller; `b` where one is not a number.
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn abs(a: Self::F) -> Self::F;
    /// `y`, or 0 where `x < limit`.
    unsafe fn zero_below(x: Self::F, limit: Self::F, y: Self::F) -> Self::F;
    unsafe fn sum(x: Self::F) -> f32;
    /// The largest lane (of numbers).
    unsafe fn largest(x: Self::F) -> f32;
    /// Sixteen rows of sixteen numbers, `from_stride` apart, to sixteen columns, `to_stride` apart; bits are kept.
    unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize);

    /// To the nearest integer, ties to even.
    unsafe fn round(x: Self::F) -> Self::I;
    unsafe fn to_float(x: Self::I) -> Self::F;
    /// `2^(x − 1)` for `x` of −125..=128; 0 for −126.
    unsafe fn exp2_less_one(x: Self::I) -> Self::F;
    unsafe fn splat_i(x: i32) -> Self::I;
    unsafe fn sum_i(x: Self::I) -> i32;
    unsafe fn add_i(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn or_i(a: Self::I, b: Self::I) -> Self::I;
    /// The bits of `mask` in every lane.
    unsafe fn and_i(a: Self::I, mask: i32) -> Self::I;
    /// Shifts every lane, zeros coming in.
    unsafe fn shr_i(a: Self::I, bits: usize) -> Self::I;
    unsafe fn shl_i(a: Self::I, bits: usize) -> Self::I;
    /// The low byte of each lane, which holds −128..=127.
    unsafe fn store_i8(p: *mut i8, x: Self::I);

    /// Sixteen unsigned bytes as integers.
    unsafe fn load_u8(p: *const u8) -> Self::I;
    /// Sixteen signed bytes as integers.
    unsafe fn load_i8(p: *const i8) -> Self::I;

    unsafe fn load_bytes(p: *const u8) -> Self::B;
    unsafe fn store_bytes(p: *mut u8, x: Self::B);
    /// Four bytes in every group.
    unsafe fn splat_bytes(p: *const i8) -> Self::B;
    /// One byte everywhere.
    unsafe fn splat_byte(x: u8) -> Self::B;
    unsafe fn and(a: Self::B, b: Self::B) -> Self::B;
    unsafe fn or(a: Self::B, b: Self::B) -> Self::B;
    /// Shifts pairs of bytes; what crosses from one byte into the other is for the caller to mask.
    unsafe fn shr(a: Self::B, bits: usize) -> Self::B;
    /// As [`Lanes::shr`].
    unsafe fn shl(a: Self::B, bits: usize) -> Self::B;
    /// `acc + Σ u·q` over each group of four: unsigned bytes `u` below 64, signed ones `q` (not −128).
    unsafe fn dot(acc: Self::I, u: Self::B, q: Self::B) -> Self::I;
    /// The same for `u` of all eight bits; see [`Lanes::CENTRED`].
    unsafe fn dot8(acc: Self::I, u: Self::B, q: Self::B) -> Self::I;
}

#[cfg(test)]
mod tests;
