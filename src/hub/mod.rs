//! A model's name → files on disk: catalogue, reference, sources, download, cache.
//!
//! [`locate`] is what `run` needs: it uses what the cache holds and fetches only what is missing.
//! [`pull`] asks the hub for the newest commit, as `crane pull` does. [`store`] lists what lies in the
//! cache, [`removal`] removes and [`verify`] checks it.
//!
//! The cache is Hugging Face's own layout in its own place, so Python tools see the same files.
//! `hf-hub` names its folders ([`cache`]); the bytes are transferred with `ureq`, because `hf-hub` 0.5
//! neither checks the sha256 that the hub states nor guards a resumed download with an ETag.

mod agents;
pub mod cache;
mod cached;
pub mod catalogue;
mod client;
mod download;
mod fetch;
mod files;
mod gguf_name;
mod listing;
mod local;
mod lock;
mod partial;
mod pip;
mod plan;
mod proxy;
mod pull;
pub mod reference;
pub mod removal;
mod resolve;
mod source;
mod space;
pub mod store;
mod stream;
pub mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use gguf_name::projector;
pub use plan::{Plan, PlannedFile};
pub use pull::{locate, plan, pull, PullOptions};
pub use reference::Reference;
pub use space::{human_bytes, total_memory};

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

impl HubError {
    /// Wraps what the file system said about `path`, with the remedy where one is known:
    /// a full disk is [`HubError::NoSpace`], a read-only cache says which variable moves it.
    pub(crate) fn io(action: &str, path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let shown = path.display();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => HubError::NoSpace(format!(
                "cannot {action} {shown}: the disk is full. What has arrived is kept: free some space \
                 (`crane list` shows what models take, `crane rm NAME` removes one) and run the same \
                 command again, or set HF_HUB_CACHE to a folder on a larger disk"
            )),
            ErrorKind::PermissionDenied if action.starts_with("read") => HubError::Io {
                context: format!("cannot {action} {shown}; let your user read it (`ls -l` shows whose it is)"),
                source,
            },
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => HubError::Io {
                context: format!(
                    "cannot {action} {shown}: the model cache is not writable. Set HF_HUB_CACHE (or give \
                     --cache-dir) to a folder that you can write to"
                ),
                source,
            },
            _ => HubError::Io {
                context: format!("cannot {action} {shown}"),
                source,
            },
        }
    }
}

/// Time limits of a transfer.
#[derive(Debug, Clone)]
pub struct TimeLimits {
    /// Name resolution and connection, each.
    pub connect: Duration,
    /// From the request to the end of the response's headers.
    pub response: Duration,
    /// Without a single byte of the body.
    pub idle: Duration,
    /// A body that brings fewer than [`TimeLimits::SLOW_BYTES`] in this time is given up.
    pub slow: Duration,
    /// The unit of the pauses between attempts; they double. Tests set it near zero.
    pub pause: Duration,
    /// The longest `Retry-After` that is waited for.
    pub longest_pause: Duration,
}

impl TimeLimits {
    /// See [`TimeLimits::slow`].
    pub const SLOW_BYTES: u64 = 4096;
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            response: Duration::from_secs(15),
            idle: Duration::from_secs(20),
            slow: Duration::from_secs(60),
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// All that the environment and the command line say of the hub, read once by `cli`.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// Folder of `models--org--name` folders.
    pub cache_dir: PathBuf,
    /// `https://huggingface.co` or a mirror, without a slash at the end.
    pub endpoint: String,
    /// Sent to the endpoint's own host and to no other.
    pub token: Option<String>,
    /// No connection at all, and no `pip`.
    pub offline: bool,
    /// Proxy for `https://` addresses, as a URL.
    pub proxy: Option<String>,
    /// Proxy for `http://` addresses, as a URL.
    pub http_proxy: Option<String>,
    /// Hosts that are reached without a proxy, in curl's comma-separated form.
    pub no_proxy: Option<String>,
    /// PEM file of the certificate authorities to trust instead of the built-in ones.
    pub ca_bundle: Option<PathBuf>,
    pub user_agent: String,
    pub limits: TimeLimits,
    /// Files fetched at the same time.
    pub parallel: usize,
    /// Whether `pip download` may be used as a source.
    pub allow_pip: bool,
}

impl HubSettings {
    /// Settings for a cache folder and a hub, everything else as on a bare machine.
    pub fn new(cache_dir: impl Into<PathBuf>, endpoint: &str) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            endpoint: endpoint.trim_end_matches('/').to_string(),
            token: None,
            offline: false,
            proxy: None,
            http_proxy: None,
            no_proxy: None,
            ca_bundle: None,
            user_agent: concat!("crane/", env!("CARGO_PKG_VERSION")).to_string(),
            limits: TimeLimits::default(),
            parallel: 4,
            allow_pip: true,
        }
    }
}

/// What happens during a download; implemented by the command line. Called from several threads.
pub trait Progress: Sync {
    /// A file begins, or begins again; `resumed_from` bytes of `bytes` are there already.
    fn file_started(&self, _file: &str, _bytes: Option<u64>, _resumed_from: u64) {}
    /// `bytes` more have arrived.
    fn file_advanced(&self, _file: &str, _bytes: u64) {}
    /// The file is complete, verified and in place.
    fn file_finished(&self, _file: &str) {}
    /// One line for the user: a source given up, a retry, a fall-back.
    fn notice(&self, _message: &str) {}
    /// One line that only `-v` shows: what a name resolved to.
    fn detail(&self, _message: &str) {}
    /// True once the user pressed Ctrl-C.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Says nothing and is never interrupted.
pub struct Silent;

impl Progress for Silent {}

/// A file of a located model.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
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
