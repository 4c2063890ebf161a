//! What can be wrong with a sound file, said in one line.

use std::path::{Path, PathBuf};

/// Why a sound file could not be used. Every message names the file and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// There is no such file.
    #[error("{path}: there is no such file")]
    Missing { path: PathBuf },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    /// Sound, but of a kind that crane does not read.
    #[error("{path} is {what}; crane reads WAV: convert it with 'ffmpeg -i {} -ac 1 out.wav'", argument(.path))]
    Unsupported { path: PathBuf, what: String },
    /// A WAV file, but slower than a telephone or faster than a sound card.
    #[error("{path} has {rate} samples a second, and crane reads 1000 to 384000: convert it with 'ffmpeg -i {} -ar 16000 -ac 1 out.wav'", argument(.path))]
    Rate { path: PathBuf, rate: u32 },
    /// Not sound, or a file that contradicts itself or its length.
    #[error("{path}: {reason}")]
    Corrupt { path: PathBuf, reason: String },
    /// Too little to hear a voice in.
    #[error("{path} lasts {seconds:.2} s; a reference clip needs 3 to 30 s of speech, and no less than {min} s", min = super::MIN_SECONDS)]
    TooShort { path: PathBuf, seconds: f64 },
    /// More than a model should be given.
    #[error("{path} lasts {}, and crane takes up to {max} s; a reference clip needs 3 to 30 s of speech: cut it with 'ffmpeg -i {} -t 20 -ac 1 out.wav'", lasts(.seconds), argument(.path), max = super::MAX_SECONDS)]
    TooLong {
        path: PathBuf,
        /// `None` where the file does not say how long it is.
        seconds: Option<f64>,
    },
    /// Nothing in it is louder than −60 dB of full scale.
    #[error("{path} is silent; a reference clip needs 3 to 30 s of speech")]
    Silent { path: PathBuf },
}

fn lasts(seconds: &Option<f64>) -> String {
    match seconds {
        Some(s) => format!("{s:.0} s"),
        None => format!("more than {} s", super::MAX_SECONDS),
    }
}

/// A path as a shell takes it for one word.
fn argument(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("\"{text}\"")
    }
}

impl AudioError {
    pub(super) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }

    pub(super) fn unsupported(path: &Path, what: impl Into<String>) -> Self {
        Self::Unsupported {
            path: path.to_path_buf(),
            what: what.into(),
        }
    }

    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            std::io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Io { path, source },
        }
    }
}
