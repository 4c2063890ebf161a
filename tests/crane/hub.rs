//! Fetching models from a hub that fails in every way.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crane::hub::cache::RepoCache;
use crane::hub::{locate, plan, pull, store, verify};
use crane::hub::{HubError, HubSettings, Located, Progress, PullOptions};

use crate::hub_server::{Fault, HubServer, COMMIT};

mod answers;
mod cached;
mod transfer;

const REPO: &str = "org/model-GGUF";
const FILE: &str = "model-q4_k_m.gguf";

/// Listens to what a user would see.
#[derive(Default)]
struct Ears {
    notices: Mutex<Vec<String>>,
    finished: Mutex<Vec<String>>,
    received: AtomicU64,
    /// Presses Ctrl-C once so many bytes have come.
    interrupt_after: Option<u64>,
    pressed: AtomicBool,
}

impl Progress for Ears {
    fn file_advanced(&self, _file: &str, bytes: u64) {
        let all = self.received.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if self.interrupt_after.is_some_and(|limit| all >= limit) {
            self.pressed.store(true, Ordering::SeqCst);
        }
    }
    fn file_finished(&self, file: &str) {
        self.finished.lock().unwrap().push(file.to_string());
    }
    fn notice(&self, message: &str) {
        self.notices.lock().unwrap().push(message.to_string());
    }
    fn interrupted(&self) -> bool {
        self.pressed.load(Ordering::SeqCst)
    }
}

impl Ears {
    fn heard(&self, text: &str) -> bool {
        self.notices
            .lock()
            .unwrap()
            .iter()
            .any(|n| n.contains(text))
    }
}

/// Bytes that differ everywhere, so that a wrong join shows.
fn weights(n: usize) -> Vec<u8> {
    let mut x = 12345u32;
    (0..n)
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        })
        .collect()
}

struct Desk {
    dir: tempfile::TempDir,
    hub: HubServer,
    settings: HubSettings,
    ears: Ears,
}

impl Desk {
    fn new(repo: &str, files: &[(&str, Vec<u8>)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hub = HubServer::start(repo, files);
        let mut settings = HubSettings::new(dir.path(), hub.endpoint());
        settings.allow_pip = false;
        settings.limits.connect = Duration::from_secs(2);
        settings.limits.response = Duration::from_millis(600);
        settings.limits.idle = Duration::from_millis(400);
        settings.limits.slow = Duration::from_millis(500);
        settings.limits.pause = Duration::from_millis(2);
        settings.limits.longest_pause = Duration::from_secs(2);
        Self {
            dir,
            hub,
            settings,
            ears: Ears::default(),
        }
    }

    /// One large file in a repository of GGUF files.
    fn gguf() -> Self {
        Self::new(
            REPO,
            &[(FILE, weights(300_000)), ("README.md", b"hi".to_vec())],
        )
    }

    fn pull(&self) -> Result<Located, HubError> {
        pull(REPO, &PullOptions::default(), &self.settings, &self.ears)
    }

    fn cache(&self) -> RepoCache {
        RepoCache::new(self.dir.path(), REPO)
    }

    fn blob(&self) -> PathBuf {
        self.cache().blob(&self.hub.etag(FILE))
    }

    fn incomplete(&self) -> PathBuf {
        PathBuf::from(format!("{}.incomplete", self.blob().display()))
    }

    fn assert_whole(&self, located: &Located) {
        assert_eq!(fs::read(&located.path).unwrap(), weights(300_000));
        assert!(!self.incomplete().exists(), "the partial file is gone");
        let left: Vec<_> = fs::read_dir(self.blob().parent().unwrap())
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .filter(|n| n.to_string_lossy().contains("incomplete"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn the_cache_is_laid_out_as_python_does_and_used_without_a_connection() {
    let desk = Desk::gguf();
    let located = desk.pull().unwrap();
    desk.assert_whole(&located);
    let root = desk.dir.path().join("models--org--model-GGUF");
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
    assert_eq!(located.path, root.join("snapshots").join(COMMIT).join(FILE));
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(&located.path).unwrap(),
        Path::new("../../blobs").join(desk.hub.etag(FILE))
    );
    assert_eq!(
        located.files[0].sha256.as_deref(),
        Some(desk.hub.etag(FILE).as_str())
    );
    assert_eq!(*desk.ears.finished.lock().unwrap(), [FILE]);
    let before = desk.hub.log().len();
    let again = locate(REPO, &desk.settings, &desk.ears).unwrap();
    assert_eq!(again.path, located.path);
    assert_eq!(desk.hub.log().len(), before, "no request");
    let offline = HubSettings {
        offline: true,
        ..desk.settings.clone()
    };
    assert!(locate(REPO, &offline, &desk.ears).is_ok());
    assert!(pull(REPO, &PullOptions::default(), &offline, &desk.ears).is_ok());
    assert_eq!(desk.hub.log().len(), before, "no request");
}

#[test]
fn a_safetensors_folder_comes_with_what_belongs_to_it() {
    let files = [
        ("config.json", b"{}".to_vec()),
        ("tokenizer.json", b"{\"a\":1}".to_vec()),
        ("model-00001-of-00002.safetensors", weights(5000)),
        ("model-00002-of-00002.safetensors", weights(7000)),
        ("model.safetensors.index.json", b"{}".to_vec()),
        ("empty.json", Vec::new()),
        ("README.md", b"# no".to_vec()),
    ];
    let desk = Desk::new("org/float", &files);
    let located = pull(
        "org/float",
        &PullOptions::default(),
        &desk.settings,
        &desk.ears,
    )
    .unwrap();
    assert_eq!(located.files.len(), 5);
    assert!(located.path.ends_with(COMMIT));
    assert_eq!(
        fs::read(located.path.join("tokenizer.json")).unwrap(),
        b"{\"a\":1}"
    );
    assert!(!located.path.join("README.md").exists());
    let error = locate("org/float:q8_0", &desk.settings, &desk.ears).unwrap_err();
    assert!(
        matches!(&error, HubError::BadReference(t) if t.contains("--quant q8_0")),
        "{error}"
    );
    let options = PullOptions {
        include: vec!["*.json".into()],
        exclude: vec!["tok*".into()],
        ..PullOptions::default()
    };
    let some = pull("org/float", &options, &desk.settings, &desk.ears).unwrap();
    assert_eq!(some.files.len(), 3, "config, index and the empty file");
}
