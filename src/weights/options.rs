//! How the user wants weights to be held and computed with.

use std::fmt;
#[cfg(feature = "cuda")]
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device};

use super::mix::Part;
#[cfg(feature = "cuda")]
use crate::kernels::cuda::Gpu;
use crate::kernels::CacheType;

/// `--dtype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DTypeChoice {
    /// As stored.
    #[default]
    Auto,
    F32,
    F16,
    BF16,
}

impl DTypeChoice {
    /// The type named, or None for `auto`.
    pub fn explicit(self) -> Option<DType> {
        match self {
            Self::Auto => None,
            Self::F32 => Some(DType::F32),
            Self::F16 => Some(DType::F16),
            Self::BF16 => Some(DType::BF16),
        }
    }
}

/// `--quant`: quantise at load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quant {
    Q8_0,
    Q4_0,
    Q4K,
    /// The mix of llama.cpp's file type `Q4_K_M`.
    Q4KM,
    Q6K,
}

impl Quant {
    /// The block types for a matrix, the first of which that fits its width is taken.
    ///
    /// A k-quant block spans 256 columns, the others 32: `q4k` falls back to Q4_0 and `q6k` to Q8_0. The embedding and the
    /// output head suffer most and get eight bits (six for `q6k`).
    ///
    /// `q4_k_m` has the types that llama.cpp writes for a dense decoder (`src/llama-quant.cpp`,
    /// `llama_tensor_get_type_impl` and `tensor_type_fallback`): Q4_K, and Q6_K for the head and for sensitive matrices;
    /// where 256 columns do not fit, Q5_0 and Q8_0.
    pub(super) fn block_types(self, part: Part) -> [GgmlDType; 2] {
        use GgmlDType as G;
        match (self, part) {
            (Self::Q4KM, Part::Head | Part::Sensitive) => [G::Q6K, G::Q8_0],
            (Self::Q4KM, Part::Embedding | Part::Other) => [G::Q4K, G::Q5_0],
            (Self::Q6K, _) => [G::Q6K, G::Q8_0],
            (_, Part::Head | Part::Embedding) | (Self::Q8_0, _) => [G::Q8_0, G::Q8_0],
            (Self::Q4_0, _) => [G::Q4_0, G::Q4_0],
            (Self::Q4K, _) => [G::Q4K, G::Q4_0],
        }
    }
}

impl fmt::Display for Quant {
    /// As `--quant` spells it.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
            Self::Q4K => "q4k",
            Self::Q4KM => "q4_k_m",
            Self::Q6K => "q6k",
        })
    }
}

/// How tensors are put on a device.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    pub device: Device,
    /// The NVIDIA GPU that crane's own kernels compute on, in place of `device`.
    #[cfg(feature = "cuda")]
    pub gpu: Option<Arc<Gpu>>,
    pub dtype: DTypeChoice,
    pub quant: Option<Quant>,
    /// How keys and values are kept; None: f32 beside matrices of f32, f16 beside all others.
    pub cache: Option<CacheType>,
    /// Compute with candle's tensors on a CPU too, as other devices do.
    pub tensors: bool,
}

impl LoadOptions {
    /// Whether this machine's CPU computes.
    pub fn on_cpu(&self) -> bool {
        #[cfg(feature = "cuda")]
        return self.device.is_cpu() && self.gpu.is_none();
        #[cfg(not(feature = "cuda"))]
        return self.device.is_cpu();
    }
}

impl Default for LoadOptions {
    /// On the CPU, as stored.
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            #[cfg(feature = "cuda")]
            gpu: None,
            dtype: DTypeChoice::Auto,
            quant: None,
            cache: None,
            tensors: false,
        }
    }
}

impl LoadOptions {
    /// The same place for a part that crane's own kernels alone compute: its GPU, else this machine's CPU.
    pub fn own_kernels(&self) -> Self {
        Self {
            #[cfg(feature = "cuda")]
            gpu: self.gpu.clone(),
            dtype: self.dtype,
            ..Self::default()
        }
    }
}
