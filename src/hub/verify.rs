//! Whether what lies in the cache is what the hub stated, and fetching it again if not.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::cache::RepoCache;
use super::catalogue;
use super::partial::Hash;
use super::pull::{pull, PullOptions};
use super::store::StoredModel;
use super::{pip, HubError, HubSettings, Progress};

/// How a file of the cache stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The hash is the one that the blob's name states.
    Ok,
    /// Its length is right; the hub states no hash that could be checked.
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
pub fn verify(
    cache_dir: &Path,
    model: &StoredModel,
    progress: &dyn Progress,
) -> Result<Vec<Checked>, HubError> {
    let cache = RepoCache::new(cache_dir, &model.repo);
    let listing = cache.listing(&model.commit);
    let names = model.files.iter().map(|f| &f.name).chain(&model.missing);
    let mut checked = Vec::new();
    for name in names {
        let path = cache.snapshot(&model.commit).join(name);
        let etag = cache.etag_of(&model.commit, name);
        let stated = listing
            .as_ref()
            .and_then(|l| l.file(name))
            .and_then(|f| f.bytes);
        let bytes = fs::metadata(&path).map(|m| m.len()).ok();
        let state = match bytes {
            None => State::Missing,
            Some(bytes) if stated.is_some_and(|s| s != bytes) => State::Damaged(format!(
                "it has {bytes} bytes and should have {}",
                stated.unwrap_or_default()
            )),
            Some(bytes) => match etag.as_deref().map(|e| (e, Hash::of(e, Some(bytes)))) {
                None | Some((_, Hash::None)) => State::Unhashed,
                Some((etag, hash)) => {
                    match hashed(&path, name, bytes, hash, progress)?.mismatch(etag) {
                        Some(reason) => State::Damaged(reason),
                        None => State::Ok,
                    }
                }
            },
        };
        checked.push(Checked {
            name: name.clone(),
            blob: etag.map(|e| cache.blob(&e)),
            bytes: bytes.unwrap_or(0),
            path,
            state,
        });
    }
    Ok(checked)
}

fn hashed(
    path: &Path,
    name: &str,
    bytes: u64,
    mut hash: Hash,
    progress: &dyn Progress,
) -> Result<Hash, HubError> {
    let mut file = File::open(path).map_err(|e| HubError::io("read", path, e))?;
    let mut buffer = vec![0; 1 << 20];
    progress.file_started(name, Some(bytes), 0);
    loop {
        if progress.interrupted() {
            return Err(HubError::Interrupted);
        }
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hash.update(buffer.get(..n).unwrap_or_default());
                progress.file_advanced(name, n as u64);
            }
            Err(e) => return Err(HubError::io("read", path, e)),
        }
    }
    progress.file_finished(name);
    Ok(hash)
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
    // A stand-in for a commit means nothing to the hub; its alias does.
    let alias = model.alias.as_deref().filter(|_| is_stand_in(model));
    let name = match (alias, &model.quant) {
        (Some(alias), _) => alias.to_string(),
        (None, Some(quant)) => format!("{}@{}:{quant}", model.repo, model.commit),
        (None, None) => format!("{}@{}:safetensors", model.repo, model.commit),
    };
    pull(&name, &PullOptions::default(), settings, progress).map(drop)
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
