//! What a pull would fetch, and whether it fits.

use std::path::Path;

use super::cache::RepoCache;
use super::catalogue::PythonSource;
use super::download::is_whole;
use super::listing::RemoteFile;
use super::partial::with_suffix;
use super::{pip, space};

/// What a pull would do.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Plan {
    #[serde(rename = "model")]
    pub typed: String,
    /// `org/repo@commit`, or the Python packages.
    pub resolved: String,
    pub files: Vec<PlannedFile>,
    pub bytes: u64,
    /// Not in the cache yet.
    pub missing_bytes: u64,
    /// On the cache's disk.
    pub free_disk_bytes: Option<u64>,
    /// An estimate for running the model as stored.
    pub memory_needed_bytes: u64,
    pub memory_bytes: Option<u64>,
    pub fits: bool,
}

/// A file of a [`Plan`].
#[derive(Debug, Clone, serde::Serialize)]
pub struct PlannedFile {
    pub name: String,
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
    /// Bytes of it that are in the cache.
    pub cached_bytes: u64,
}

/// The size of a file's blob, if it is whole.
pub fn cached_bytes(cache: &RepoCache, file: &RemoteFile) -> Option<u64> {
    let blob = cache.blob(file.etag.as_deref()?);
    let bytes = std::fs::metadata(&blob).ok()?.len();
    is_whole(&blob, file.bytes).then_some(bytes)
}

/// What an earlier attempt has left.
pub fn partial_bytes(cache: &RepoCache, file: &RemoteFile) -> u64 {
    file.etag
        .as_deref()
        .and_then(|e| std::fs::metadata(with_suffix(&cache.blob(e), ".incomplete")).ok())
        .map_or(0, |m| m.len())
}

/// Adds up and compares with the machine; `folder` is on the disk that the files go to.
pub fn make_plan(
    name: &str,
    resolved: String,
    files: Vec<PlannedFile>,
    missing_bytes: u64,
    folder: &Path,
) -> Plan {
    let sizes = files.iter().filter_map(|f| f.bytes);
    // The hub says them.
    let bytes = sizes.fold(0, u64::saturating_add);
    let free_disk_bytes = space::free_disk(folder);
    let memory_bytes = space::total_memory();
    let memory_needed_bytes = space::memory_needed(bytes);
    Plan {
        typed: name.to_string(),
        resolved,
        files,
        bytes,
        missing_bytes,
        fits: free_disk_bytes.is_none_or(|f| f >= missing_bytes)
            && memory_bytes.is_none_or(|m| m >= memory_needed_bytes),
        free_disk_bytes,
        memory_needed_bytes,
        memory_bytes,
    }
}

/// The same for Python packages.
pub fn plan_python(name: &str, source: &PythonSource, cache: &RepoCache) -> Plan {
    let file = RemoteFile {
        name: source.file.to_string(),
        bytes: Some(source.bytes),
        etag: Some(source.sha256.to_string()),
    };
    let cached = cached_bytes(cache, &file).unwrap_or_else(|| partial_bytes(cache, &file));
    let planned = PlannedFile {
        name: file.name,
        bytes: file.bytes,
        sha256: Some(source.sha256.to_string()),
        cached_bytes: cached,
    };
    let resolved = format!("PyPI {} {}", pip::first_name(source), source.version);
    make_plan(
        name,
        resolved,
        vec![planned],
        source.bytes.saturating_sub(cached),
        cache.cache_dir(),
    )
}
