//! The flags that every subcommand takes, as typed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::kernels::{CacheType, Simd};
use crate::weights::{DTypeChoice, Quant};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit
    #[arg(long, global = true)]
    pub require_device: bool,
    /// Number type to compute in; auto keeps what the file stores where the device is fast at it
    #[arg(long, global = true, value_name = "TYPE", default_value = "auto")]
    pub dtype: DTypeArg,
    /// Threads [default: the physical cores this process may use]
    #[arg(short, long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]
    #[arg(long, global = true, value_name = "TYPE")]
    pub cache_type: Option<CacheType>,
    /// The best instruction set that is used, for comparisons [default: the best of this CPU]
    #[arg(long, global = true, value_name = "NAME")]
    pub simd: Option<SimdArg>,
    /// Use only what is on this machine (also HF_HUB_OFFLINE=1)
    #[arg(long, global = true)]
    pub offline: bool,
    /// Where models are kept [default: the Hugging Face cache]
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub cache_dir: Option<PathBuf>,
    /// Only errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more on stderr: what a name resolved to, which device was taken
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Print JSON on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

/// `--simd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SimdArg {
    Portable,
    Avx2,
    Avx512,
    Avx512bf16,
    Amx,
}

impl From<SimdArg> for Simd {
    fn from(typed: SimdArg) -> Self {
        match typed {
            SimdArg::Portable => Self::Portable,
            SimdArg::Avx2 => Self::Avx2,
            SimdArg::Avx512 => Self::Avx512,
            SimdArg::Avx512bf16 => Self::Avx512Bf16,
            SimdArg::Amx => Self::Amx,
        }
    }
}

/// `--quant`, for the subcommands that load a model.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct QuantArgs {
    /// Quantise at load, tensor by tensor, where the width allows it; q4_k_m is the mix of llama.cpp's files of that name
    #[arg(long, value_name = "FORMAT", default_value = "none")]
    pub quant: QuantArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DTypeArg {
    #[default]
    Auto,
    F32,
    F16,
    Bf16,
}

impl From<DTypeArg> for DTypeChoice {
    fn from(typed: DTypeArg) -> Self {
        match typed {
            DTypeArg::Auto => Self::Auto,
            DTypeArg::F32 => Self::F32,
            DTypeArg::F16 => Self::F16,
            DTypeArg::Bf16 => Self::BF16,
        }
    }
}

impl From<DTypeChoice> for DTypeArg {
    fn from(choice: DTypeChoice) -> Self {
        match choice {
            DTypeChoice::Auto => Self::Auto,
            DTypeChoice::F32 => Self::F32,
            DTypeChoice::F16 => Self::F16,
            DTypeChoice::BF16 => Self::Bf16,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum QuantArg {
    #[default]
    None,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "q4k", alias = "q4_k")]
    Q4K,
    #[value(name = "q4_k_m")]
    Q4KM,
    #[value(name = "q6k", alias = "q6_k")]
    Q6K,
}

impl QuantArg {
    pub fn choice(self) -> Option<Quant> {
        match self {
            Self::None => None,
            Self::Q8_0 => Some(Quant::Q8_0),
            Self::Q4_0 => Some(Quant::Q4_0),
            Self::Q4K => Some(Quant::Q4K),
            Self::Q4KM => Some(Quant::Q4KM),
            Self::Q6K => Some(Quant::Q6K),
        }
    }
}

/// `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    Auto,
    Cpu,
    /// The ordinal of the GPU.
    Cuda(usize),
    Metal,
}

impl fmt::Display for DeviceChoice {
    /// As `--device` spells it.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        match typed {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            other => other
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "one of auto, cpu, cuda, cuda:N, metal is meant".to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        assert_eq!("metal".parse(), Ok(DeviceChoice::Metal));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CUDA"] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }
}
