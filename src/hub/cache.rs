//! The cache on disk, in Hugging Face's own layout:
//!
//! ```text
//! models--org--name/refs/main                     the commit that a branch stood at
//! models--org--name/snapshots/<commit>/<file>     a link to the blob
//! models--org--name/blobs/<etag>                  the bytes; sha256 or git hash is the name
//! models--org--name/blobs/<etag>.incomplete       what has arrived of them
//! .locks/models--org--name/<etag>.lock            held while a blob is fetched
//! ```
//!
//! crane adds `models--org--name/.crane/` with the hub's listings and the time of last use. Python's
//! huggingface_hub reads and writes the same files and passes over that folder.

use std::fs;
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use hf_hub::{Cache, Repo, RepoType};

use super::listing::{is_hex, is_safe_name, Listing};
use super::{HubError, StoredFile};

/// One repository's folder in the cache.
#[derive(Debug)]
pub struct RepoCache {
    cache: Cache,
    root: PathBuf,
    repo: String,
}

impl RepoCache {
    /// The folder of `org/repo`, whether it exists or not.
    pub fn new(cache_dir: &Path, repo: &str) -> Self {
        Self {
            cache: Cache::new(cache_dir.to_path_buf()),
            root: cache_dir.join(Repo::model(repo.to_string()).folder_name()),
            repo: repo.to_string(),
        }
    }

    /// Every repository of models in the cache, by name.
    pub fn all(cache_dir: &Path) -> Result<Vec<Self>, HubError> {
        let entries = match fs::read_dir(cache_dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(HubError::io("read", cache_dir, e)),
        };
        let mut repos: Vec<String> = entries
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .filter_map(|n| n.strip_prefix("models--").map(|r| r.replacen("--", "/", 1)))
            .collect();
        repos.sort();
        Ok(repos.iter().map(|r| Self::new(cache_dir, r)).collect())
    }

    /// `org/repo`.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// `models--org--name`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of all models.
    pub fn cache_dir(&self) -> &Path {
        self.cache.path()
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.cache
            .repo(Repo::new(self.repo.clone(), RepoType::Model))
            .pointer_path(commit)
    }

    /// Where the bytes of an ETag lie.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// Where the locks of this repository's blobs lie.
    pub fn lock_folder(&self) -> PathBuf {
        let folder = self.root.file_name().unwrap_or_default();
        self.cache_dir().join(".locks").join(folder)
    }

    /// The lock file that huggingface_hub takes for the same blob.
    pub fn lock_file(&self, etag: &str) -> PathBuf {
        self.lock_folder().join(format!("{etag}.lock"))
    }

    /// The commit that `revision` stands for in the cache.
    pub fn commit(&self, revision: &str) -> Option<String> {
        if is_hex(revision, 40) {
            return self
                .snapshot(revision)
                .is_dir()
                .then(|| revision.to_string());
        }
        let text = fs::read_to_string(self.root.join("refs").join(revision)).ok()?;
        let commit = text.trim();
        (is_safe_name(commit) && !commit.contains('/')).then(|| commit.to_string())
    }

    /// Every branch or tag with its commit.
    pub fn refs(&self) -> Vec<(String, String)> {
        let mut names = Vec::new();
        walk(&self.root.join("refs"), "", 0, &mut names);
        names
            .into_iter()
            .filter_map(|n| Some((n.clone(), self.commit(&n)?)))
            .collect()
    }

    /// Every commit with a snapshot.
    pub fn commits(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join("snapshots")) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|e| e.path().is_dir())
            .filter_map(|e| e.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// The names of a snapshot's files, dangling links included.
    pub fn names(&self, commit: &str) -> Vec<String> {
        let mut names = Vec::new();
        walk(&self.snapshot(commit), "", 0, &mut names);
        names.sort();
        names
    }

    /// A file of a snapshot, if its bytes are there (and as many as `bytes`, if given).
    pub fn stored(&self, commit: &str, name: &str, bytes: Option<u64>) -> Option<StoredFile> {
        let path = self.snapshot(commit).join(name);
        let meta = fs::metadata(&path).ok()?;
        if !meta.is_file() || bytes.is_some_and(|b| b != meta.len()) {
            return None;
        }
        Some(StoredFile {
            name: name.to_string(),
            bytes: meta.len(),
            sha256: self.etag_of(commit, name).filter(|e| is_hex(e, 64)),
            path,
        })
    }

    /// The blob that a snapshot's file points to: by its link, else by the listing.
    pub fn etag_of(&self, commit: &str, name: &str) -> Option<String> {
        if let Ok(target) = fs::read_link(self.snapshot(commit).join(name)) {
            return Some(target.file_name()?.to_str()?.to_string());
        }
        self.listing(commit)?.file(name)?.etag.clone()
    }

    /// Puts `name` of `commit` in place: a link to the blob, or a copy where links are not allowed.
    pub fn link(&self, commit: &str, name: &str, etag: &str) -> Result<(), HubError> {
        let pointer = self.snapshot(commit).join(name);
        let depth = Path::new(name)
            .components()
            .filter(|c| matches!(c, Component::Normal(_)))
            .count();
        let mut target = PathBuf::new();
        for _ in 0..=depth {
            target.push("..");
        }
        target.push("blobs");
        target.push(etag);
        if fs::read_link(&pointer).is_ok_and(|t| t == target) {
            return Ok(());
        }
        if let Some(folder) = pointer.parent() {
            make_dir(folder)?;
        }
        match fs::remove_file(&pointer) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(HubError::io("replace", &pointer, e))
            }
            _ => {}
        }
        symlink_or_copy(&target, &self.blob(etag), &pointer)
            .map_err(|e| HubError::io("link", &pointer, e))
    }

    /// Writes which commit a branch stands at. A commit itself needs no reference.
    pub fn set_ref(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if revision == commit || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        write_atomically(&self.root.join("refs").join(revision), commit.as_bytes())
    }

    /// The hub's listing of a commit, if crane has seen it.
    pub fn listing(&self, commit: &str) -> Option<Listing> {
        let text = fs::read(self.listing_file(commit)).ok()?;
        let listing: Listing = serde_json::from_slice(&text).ok()?;
        let safe = listing.commit == commit && listing.files.iter().all(|f| is_safe_name(&f.name));
        safe.then_some(listing)
    }

    /// Keeps the hub's listing.
    pub fn keep_listing(&self, listing: &Listing) -> Result<(), HubError> {
        let text = serde_json::to_vec(listing).unwrap_or_default();
        write_atomically(&self.listing_file(&listing.commit), &text)
    }

    /// Where the listing of a commit is kept.
    pub fn listing_file(&self, commit: &str) -> PathBuf {
        self.root
            .join(".crane")
            .join(format!("listing-{commit}.json"))
    }

    fn last_used_file(&self) -> PathBuf {
        self.root.join(".crane").join("last-used")
    }

    /// Notes that the model was used now. A cache that cannot be written is no reason to complain.
    pub fn touch(&self) {
        let file = self.last_used_file();
        let written = fs::create_dir_all(self.root.join(".crane"))
            .and_then(|()| fs::OpenOptions::new().create(true).append(true).open(&file))
            .and_then(|f| f.set_modified(SystemTime::now()));
        drop(written);
    }

    /// When the model was last used by crane.
    pub fn last_used(&self) -> Option<SystemTime> {
        fs::metadata(self.last_used_file()).ok()?.modified().ok()
    }
}

/// Creates a folder of the cache.
pub fn make_dir(folder: &Path) -> Result<(), HubError> {
    fs::create_dir_all(folder).map_err(|e| HubError::io("create the folder", folder, e))
}

/// Fails if no file can be created in `folder`.
pub fn check_writable(folder: &Path) -> Result<(), HubError> {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    match fs::File::create(&probe) {
        Ok(_) => {
            let _ = fs::remove_file(&probe);
            Ok(())
        }
        Err(e) => Err(HubError::io("write", folder, e)),
    }
}

/// Writes a small file so that a reader sees the old or the new content and nothing between.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), HubError> {
    if let Some(folder) = path.parent() {
        make_dir(folder)?;
    }
    // Threads of one process may write the same file at the same time.
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let n = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("tmp{}-{n}", std::process::id()));
    let done = fs::File::create(&temporary)
        .and_then(|mut f| f.write_all(content).and_then(|()| f.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    done.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        HubError::io("write", path, e)
    })
}

/// Relative names of all files below `folder`, at most eight folders deep.
fn walk(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let name = format!("{prefix}{name}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth < 8 => {
                walk(&entry.path(), &format!("{name}/"), depth + 1, names)
            }
            Ok(kind) if !kind.is_dir() => names.push(name),
            _ => {}
        }
    }
}

#[cfg(unix)]
fn symlink_or_copy(target: &Path, blob: &Path, pointer: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind;
    match std::os::unix::fs::symlink(target, pointer) {
        // Another process put it there.
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        // exFAT and some network file systems know no links.
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::PermissionDenied | ErrorKind::Unsupported
            ) =>
        {
            fs::copy(blob, pointer).map(drop)
        }
        other => other,
    }
}

#[cfg(not(unix))]
fn symlink_or_copy(_target: &Path, blob: &Path, pointer: &Path) -> std::io::Result<()> {
    // Links need a privilege on Windows; a hard link does not.
    fs::hard_link(blob, pointer).or_else(|_| fs::copy(blob, pointer).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, RepoCache) {
        let dir = tempfile::tempdir().expect("temporary folder");
        let cache = RepoCache::new(dir.path(), "org/name");
        (dir, cache)
    }

    #[test]
    fn the_layout_is_hugging_faces() {
        let (dir, cache) = cache();
        let root = dir.path().join("models--org--name");
        assert_eq!(cache.snapshot("c0"), root.join("snapshots").join("c0"));
        make_dir(&root.join("blobs")).expect("folder");
        fs::write(cache.blob("e1"), b"bytes").expect("blob");
        cache.link("c0", "sub/file.txt", "e1").expect("link");
        cache.set_ref("refs/pr/1", "c0").expect("ref");
        assert_eq!(
            fs::read(root.join("snapshots/c0/sub/file.txt")).expect("follows"),
            b"bytes"
        );
        #[cfg(unix)]
        assert_eq!(
            fs::read_link(root.join("snapshots/c0/sub/file.txt")).expect("link"),
            Path::new("../../../blobs/e1")
        );
        assert_eq!(cache.commit("refs/pr/1").as_deref(), Some("c0"));
        assert_eq!(cache.names("c0"), ["sub/file.txt"]);
        assert_eq!(cache.refs(), [("refs/pr/1".to_string(), "c0".to_string())]);
        assert_eq!(RepoCache::all(dir.path()).expect("lists").len(), 1);
    }

    #[test]
    fn a_file_counts_only_when_its_bytes_are_there() {
        let (_dir, cache) = cache();
        make_dir(&cache.root().join("blobs")).expect("folder");
        fs::write(cache.blob("e1"), b"bytes").expect("blob");
        cache.link("c0", "f", "e1").expect("link");
        assert_eq!(cache.stored("c0", "f", Some(5)).map(|s| s.bytes), Some(5));
        assert!(cache.stored("c0", "f", Some(6)).is_none());
        fs::remove_file(cache.blob("e1")).expect("remove");
        assert!(cache.stored("c0", "f", None).is_none());
        assert_eq!(cache.names("c0"), ["f"], "a dangling link is still seen");
    }

    #[test]
    fn a_reference_cannot_point_elsewhere() {
        let (_dir, cache) = cache();
        write_atomically(&cache.root().join("refs/main"), b"../../../etc").expect("write");
        assert_eq!(cache.commit("main"), None);
    }

    #[test]
    fn use_is_noted() {
        let (_dir, cache) = cache();
        assert!(cache.last_used().is_none());
        cache.touch();
        assert!(cache.last_used().is_some());
    }
}
