//! What can be wrong with a checkpoint, said in one line.

use std::path::{Path, PathBuf};

/// What to do about a file that is not as it was published.
pub(crate) const REMEDY: &str =
    "fetch it again with 'crane pull --force MODEL' or 'crane verify --repair MODEL'";

/// Why a checkpoint could not be read. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file contradicts itself, its format or its length.
    #[error("{file}: {reason}")]
    Corrupt { file: PathBuf, reason: String },
    /// A file or tensor that should be there is not.
    #[error("{file}: {reason}")]
    Missing { file: PathBuf, reason: String },
    /// The file may be sound, but crane does not read this kind.
    #[error("{file}: {reason}")]
    Unsupported { file: PathBuf, reason: String },
    /// The operating system refused.
    #[error("{file}: {source}")]
    Io {
        file: PathBuf,
        source: std::io::Error,
    },
    /// A GPU has no room for it, or failed.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Gpu(#[from] crate::kernels::cuda::GpuError),
    /// candle failed to convert or to place a tensor.
    #[error("arithmetic failed: {0}")]
    Compute(#[from] candle_core::Error),
}

impl WeightsError {
    pub(crate) fn corrupt(file: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt {
            file: file.to_path_buf(),
            reason: reason.into(),
        }
    }

    pub(crate) fn missing(file: &Path, reason: impl Into<String>) -> Self {
        Self::Missing {
            file: file.to_path_buf(),
            reason: reason.into(),
        }
    }

    pub(crate) fn unsupported(file: &Path, reason: impl Into<String>) -> Self {
        Self::Unsupported {
            file: file.to_path_buf(),
            reason: reason.into(),
        }
    }

    pub(crate) fn io(file: &Path, source: std::io::Error) -> Self {
        Self::Io {
            file: file.to_path_buf(),
            source,
        }
    }

    /// The error of a file that ends too early: `what` needs the bytes up to `needed`.
    pub(crate) fn cut_short(file: &Path, what: &str, have: usize, needed: u128) -> Self {
        Self::corrupt(
            file,
            format!("the file is cut short: {have} of {needed} bytes ({what}); {REMEDY}"),
        )
    }
}
