//! Which instruction sets this CPU has.

/// The instruction sets crane's own kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simd {
    /// None: callers use candle's kernels.
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// The same with 8-bit dot products (AVX-512 VNNI and VL).
    Avx512Vnni,
}

impl Simd {
    /// The best of this CPU.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let vnni =
                is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl");
            if avx2 && vnni {
                return Self::Avx512Vnni;
            }
            if avx2 {
                return Self::Avx2;
            }
        }
        Self::Portable
    }
}
