//! A model's name → files on disk: catalogue, reference, sources, download, cache.

use std::path::PathBuf;

/// Why a model's files could not be had.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Exit 2: the name cannot be read.
    #[error("{0}")]
    BadReference(String),
    /// Exit 3: no such model or file (also an offline miss).
    #[error("{0}")]
    NotFound(String),
    /// Exit 4: network or authorisation.
    #[error("{0}")]
    Network(String),
    /// Exit 5: not enough disk or memory.
    #[error("{0}")]
    NoSpace(String),
    /// Exit 6: wrong checksum, wrong length.
    #[error("{0}")]
    Corrupt(String),
    /// Exit 130: Ctrl-C; the partial file is kept.
    #[error("interrupted; run the same command again to resume")]
    Interrupted,
    /// Exit 1.
    #[error("{context}: {source}")]
    Io {
        context: String,
        source: std::io::Error,
    },
}

/// All that the environment and the command line say of the hub, read once by `cli`.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// Folder of `models--org--name` folders.
    pub cache_dir: PathBuf,
    /// `https://huggingface.co` or a mirror.
    pub endpoint: String,
    pub token: Option<String>,
    pub offline: bool,
    /// `user agent`, proxies and time limits are read here too, by the code that makes this struct.
    pub proxy: Option<String>,
    pub no_proxy: Option<String>,
    /// Whether `pip download` may be used as a source.
    pub allow_pip: bool,
}

/// What happens during a download; implemented by the command line. Called from several threads.
pub trait Progress: Sync {
    fn file_started(&self, _file: &str, _bytes: Option<u64>, _resumed_from: u64) {}
    fn file_advanced(&self, _file: &str, _bytes: u64) {}
    fn file_finished(&self, _file: &str) {}
    /// One line for the user: a source given up, a retry, a fall-back.
    fn notice(&self, _message: &str) {}
    /// True once the user pressed Ctrl-C.
    fn interrupted(&self) -> bool {
        false
    }
}

/// A file of a located model.
#[derive(Debug, Clone, serde::Serialize)]
pub struct StoredFile {
    /// Name within the repository.
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
    /// Known for files that the hub stores by sha256 (the blob's name).
    pub sha256: Option<String>,
}

/// A model on disk.
#[derive(Debug, Clone)]
pub struct Located {
    /// What the user typed.
    pub typed: String,
    /// What it resolved to, e.g. `Qwen/Qwen2.5-0.5B-Instruct@<commit>`.
    pub resolved: String,
    /// What `weights::Checkpoint::open` takes: a `.gguf` file or a folder.
    pub path: PathBuf,
    pub files: Vec<StoredFile>,
}

/// Finds the files of `name` on disk, fetching what is missing.
pub fn locate(
    _name: &str,
    _settings: &HubSettings,
    _progress: &dyn Progress,
) -> Result<Located, HubError> {
    unimplemented!()
}
