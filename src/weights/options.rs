//! How the user wants weights to be held and computed with.

use std::fmt;
#[cfg(feature = "cuda")]
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device};

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
    Q6K,
}

impl Quant {
    /// The block type for a matrix of `width` columns, or None if no block fits and it stays float.
    ///
    /// A k-quant block spans 256 columns, the others 32: `q4k` falls back to Q4_0 and `q6k` to Q8_0.
    /// `vocabulary` marks the embedding and the output head, which suffer most and get eight bits
    /// (six for `q6k`).
    pub fn block_type(self, width: usize, vocabulary: bool) -> Option<GgmlDType> {
        let preferred = match self {
            Self::Q6K => [GgmlDType::Q6K, GgmlDType::Q8_0],
            _ if vocabulary => [GgmlDType::Q8_0, GgmlDType::Q8_0],
            Self::Q8_0 => [GgmlDType::Q8_0, GgmlDType::Q8_0],
            Self::Q4_0 => [GgmlDType::Q4_0, GgmlDType::Q4_0],
            Self::Q4K => [GgmlDType::Q4K, GgmlDType::Q4_0],
        };
        preferred
            .into_iter()
            .find(|t| width > 0 && width.is_multiple_of(t.block_size()))
    }
}

impl fmt::Display for Quant {
    /// As `--quant` spells it.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
            Self::Q4K => "q4k",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_respects_widths_and_spares_the_vocabulary() {
        use GgmlDType as G;
        let cases = [
            (Quant::Q4K, 1536, false, Some(G::Q4K)),
            (Quant::Q4K, 896, false, Some(G::Q4_0)),
            (Quant::Q4K, 100, false, None),
            (Quant::Q6K, 896, false, Some(G::Q8_0)),
            (Quant::Q6K, 1536, true, Some(G::Q6K)),
            (Quant::Q6K, 896, true, Some(G::Q8_0)),
            (Quant::Q4_0, 1536, true, Some(G::Q8_0)),
            (Quant::Q4K, 1536, true, Some(G::Q8_0)),
            (Quant::Q8_0, 33, true, None),
            (Quant::Q8_0, 0, false, None),
        ];
        for (quant, width, vocabulary, expected) in cases {
            assert_eq!(
                quant.block_type(width, vocabulary),
                expected,
                "{quant} {width} {vocabulary}"
            );
        }
    }
}
