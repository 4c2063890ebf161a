//! Why a GPU cannot be used, or failed.

use cudarc::driver::sys::{self, CUresult};

/// What went wrong on a GPU; each message says what helps.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GpuError {
    #[error("no NVIDIA driver was found (libcuda); install the driver of your card")]
    NoDriver,
    #[error("no GPU {ordinal}: the driver shows {count}; 'nvidia-smi -L' lists them, CUDA_VISIBLE_DEVICES hides some")]
    NoDevice { ordinal: usize, count: usize },
    #[error("{name} has compute capability {}.{}, crane's kernels need 8.0 (Ampere) or newer", capability.0, capability.1)]
    TooOld {
        name: String,
        capability: (i32, i32),
    },
    #[error("the NVIDIA driver runs CUDA {}, crane needs 12.0 or newer; install a newer driver", version(*driver))]
    OldDriver { driver: i32 },
    #[error("the GPU's kernels cannot be built: {0}")]
    Kernels(String),
    #[error("{}; a smaller --ctx-size, for images a smaller --max-pixels, --quant or another --device takes less", self.plain())]
    OutOfMemory { asked: u64, free: u64, total: u64 },
    /// The driver itself found no room.
    #[error(
        "{}; a smaller --ctx-size, --quant or another --device takes less",
        self.plain()
    )]
    NoMemory { call: &'static str },
    #[error("{0}")]
    Unsupported(String),
    #[error("the GPU failed: {call}: {reason}")]
    Failed { call: &'static str, reason: String },
}

impl GpuError {
    /// A layer that is not on the GPU met activations that are.
    pub fn elsewhere() -> Self {
        Self::Unsupported("a layer of another device meets activations of a GPU".into())
    }

    /// Whether a smaller model or context would do.
    pub fn is_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory { .. } | Self::NoMemory { .. })
    }

    /// The same without what would take less memory: that depends on what was to be computed.
    pub fn plain(&self) -> String {
        match self {
            Self::OutOfMemory { asked, free, total } => format!(
                "out of GPU memory: {asked} MiB more are needed, {free} of {total} MiB are free"
            ),
            Self::NoMemory { call } => format!("out of GPU memory in {call}"),
            other => other.to_string(),
        }
    }

    /// What it means for prompts where cuBLASLt cannot be had.
    pub fn slow_prompts(&self) -> String {
        format!("prompts are read a token at a time: {self}")
    }
}

/// The result of a call of the driver.
pub(super) fn check(call: &'static str, result: CUresult) -> Result<(), GpuError> {
    match result {
        CUresult::CUDA_SUCCESS => Ok(()),
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => Err(GpuError::NoMemory { call }),
        result => Err(GpuError::Failed {
            call,
            reason: describe(result),
        }),
    }
}

/// As NVIDIA writes it: 13.0 for 13000.
pub(super) fn version(driver: i32) -> String {
    format!("{}.{}", driver / 1000, driver % 1000 / 10)
}

/// The driver's words, and what helps where that is known.
fn describe(result: CUresult) -> String {
    let mut text = std::ptr::null();
    // SAFETY: `text` is written before it is read; the driver's strings live as long as the process.
    let words = unsafe {
        match sys::cuGetErrorString(result, &mut text) {
            CUresult::CUDA_SUCCESS if !text.is_null() => std::ffi::CStr::from_ptr(text)
                .to_string_lossy()
                .into_owned(),
            // A newer driver may know more errors than there are names for here.
            _ => format!("error {}", result as u32),
        }
    };
    let help = match result {
        CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE => {
            "; another process has the card for itself (compute mode), 'nvidia-smi' shows which"
        }
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
            "; the driver's library and its kernel module differ, a restart helps"
        }
        CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION | CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU => {
            "; the driver is older than the toolkit that crane was built with, a newer driver helps"
        }
        _ => "",
    };
    words + help
}
