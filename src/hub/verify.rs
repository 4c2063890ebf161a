//! Whether what lies in the cache is what the hub stated, and fetching it again if not.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::cache::RepoCache;
use super::catalogue;
use super::partial::{hex, read_chunks, Hash};
use super::pull::{pull, PullOptions};
use super::reference::Reference;
use super::store::StoredModel;
use super::{local, pip, HubError, HubSettings, Progress};

/// How a file of the cache stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The hash is the one that the blob's name states.
    Ok,
    /// It is there, with the stated length if one is stated; no hash is known that could be checked.
    Unhashed,
    /// What is wrong.
    Damaged(String),
    /// The link leads nowhere or there is none.
    Missing,
}

/// A verified file.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
    pub state: State,
    #[serde(skip)]
    blob: Option<PathBuf>,
}

impl Checked {
    /// Whether the file can be used.
    pub fn is_good(&self) -> bool {
        matches!(self.state, State::Ok | State::Unhashed)
    }
}

/// Reads every byte of a model and compares it with what the hub stated.
///
/// # Errors
/// A file cannot be read, or Ctrl-C. What is wrong with a file is no error but its [`State`].
pub fn verify(
    cache_dir: &Path,
    model: &StoredModel,
    progress: &dyn Progress,
) -> Result<Vec<Checked>, HubError> {
    let cache = RepoCache::new(cache_dir, &model.repo);
    let listing = cache.listing(&model.commit);
    let names = model.files.iter().map(|f| &f.name).chain(&model.missing);
    names
        .map(|name| {
            let path = cache.snapshot(&model.commit).join(name);
            let etag = cache.etag_of(&model.commit, name);
            let stated = listing.as_ref().and_then(|l| l.file(name)?.bytes);
            check(name, path, etag.as_deref(), stated, progress).map(|checked| Checked {
                blob: etag.map(|e| cache.blob(&e)),
                ..checked
            })
        })
        .collect()
}

/// The same for a folder or a file that the user named. A link into a cache tells the hash by the name of
/// the blob that it leads to; of other files none is known.
///
/// # Errors
/// As [`verify`]; [`HubError::NotFound`] if there is no model at `path`.
pub fn verify_local(
    typed: &str,
    path: &Path,
    progress: &dyn Progress,
) -> Result<Vec<Checked>, HubError> {
    let files = local::locate(typed, path)?.files;
    files
        .into_iter()
        .map(|file| {
            let blob = fs::canonicalize(&file.path).ok();
            let etag = blob.as_ref().and_then(|b| b.file_name()?.to_str());
            check(&file.name, file.path, etag, None, progress)
        })
        .collect()
}

/// One file, which should have the hash `etag` and the length `stated`.
fn check(
    name: &str,
    path: PathBuf,
    etag: Option<&str>,
    stated: Option<u64>,
    progress: &dyn Progress,
) -> Result<Checked, HubError> {
    let bytes = fs::metadata(&path).map(|m| m.len()).ok();
    let state = match (bytes, stated) {
        (None, _) => State::Missing,
        (Some(bytes), Some(stated)) if stated != bytes => {
            State::Damaged(format!("it has {bytes} bytes and should have {stated}"))
        }
        (Some(bytes), _) => match etag.map(|e| (e, Hash::of(e, Some(bytes)))) {
            None | Some((_, Hash::None)) => State::Unhashed,
            Some((etag, hash)) => {
                match hashed(&path, name, bytes, hash, progress)?.mismatch(etag) {
                    Some(reason) => State::Damaged(reason),
                    None => State::Ok,
                }
            }
        },
    };
    Ok(Checked {
        name: name.to_string(),
        bytes: bytes.unwrap_or(0),
        path,
        state,
        blob: None,
    })
}

fn hashed(
    path: &Path,
    name: &str,
    bytes: u64,
    mut hash: Hash,
    progress: &dyn Progress,
) -> Result<Hash, HubError> {
    progress.file_started(name, Some(bytes), 0);
    read(path, |bytes| {
        if progress.interrupted() {
            return Err(HubError::Interrupted);
        }
        hash.update(bytes);
        progress.file_advanced(name, bytes.len() as u64);
        Ok(())
    })?;
    progress.file_finished(name);
    Ok(hash)
}

/// Hands the content of a file to `each`.
fn read(path: &Path, each: impl FnMut(&[u8]) -> Result<(), HubError>) -> Result<(), HubError> {
    let mut file = File::open(path).map_err(|e| HubError::io("read", path, e))?;
    read_chunks(&mut file, path, each)
}

/// The sha256 of a file, in lower-case hexadecimal digits.
///
/// # Errors
/// The file cannot be read.
pub fn sha256(path: &Path) -> Result<String, HubError> {
    let mut hash = Sha256::new();
    read(path, |bytes| {
        hash.update(bytes);
        Ok(())
    })?;
    Ok(hex(&hash.finalize()))
}

/// Deletes the damaged files of a model and fetches them again, at the same commit.
pub fn repair(
    model: &StoredModel,
    checked: &[Checked],
    settings: &HubSettings,
    progress: &dyn Progress,
) -> Result<(), HubError> {
    if settings.offline {
        return Err(HubError::NotFound(format!(
            "{} cannot be repaired offline; run the command without --offline and HF_HUB_OFFLINE",
            model.name
        )));
    }
    let name = name_at_commit(model);
    Reference::parse(&name, None, None)?;
    for file in checked.iter().filter(|c| !c.is_good()) {
        for path in file.blob.iter().chain([&file.path]) {
            match fs::remove_file(path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(HubError::io("remove", path, e))
                }
                _ => {}
            }
        }
    }
    pull(&name, &PullOptions::default(), settings, progress).map(drop)
}

/// What names exactly this model's files.
fn name_at_commit(model: &StoredModel) -> String {
    // A stand-in for a commit means nothing to the hub; its alias does.
    let alias = model.alias.as_deref().filter(|_| is_stand_in(model));
    match (alias, &model.quant) {
        (Some(alias), _) => alias.to_string(),
        (None, Some(quant)) => format!("{}@{}:{quant}", model.repo, model.commit),
        (None, None) => format!("{}@{}:safetensors", model.repo, model.commit),
    }
}

fn is_stand_in(model: &StoredModel) -> bool {
    catalogue::by_repo(&model.repo)
        .and_then(|r| r.python.as_ref())
        .is_some_and(|p| pip::commit(p) == model.commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::store::find;
    use crate::hub::store::tests::example;
    use crate::hub::Silent;

    #[test]
    fn verification_finds_changed_and_missing_bytes() {
        let (dir, cache) = example();
        let model = find(dir.path(), "qwen2.5-0.5b").expect("there").remove(0);
        let good = verify(dir.path(), &model, &Silent).expect("verifies");
        assert_eq!(
            good.iter().map(|c| &c.state).collect::<Vec<_>>(),
            [&State::Ok]
        );
        let etag = cache.etag_of("c1", "m-q4_k_m.gguf").expect("linked");
        fs::write(cache.blob(&etag), b"fOur").expect("damage");
        let bad = verify(dir.path(), &model, &Silent).expect("verifies");
        assert!(matches!(&bad[0].state, State::Damaged(why) if why.contains(&etag)));
        fs::remove_file(cache.blob(&etag)).expect("remove");
        let gone = verify(dir.path(), &model, &Silent).expect("verifies");
        assert_eq!(gone[0].state, State::Missing);
    }
}
