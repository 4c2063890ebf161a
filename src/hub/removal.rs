//! What lies in the cache, removed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::cache::RepoCache;
use super::store::{self, StoredModel};
use super::{lock, HubError};

/// What removing models deletes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Removal {
    pub models: Vec<String>,
    /// Links in snapshots.
    pub links: Vec<PathBuf>,
    /// Blobs that nothing else in the cache points to.
    pub blobs: Vec<PathBuf>,
    /// Bytes that become free.
    pub bytes: u64,
    #[serde(skip)]
    repos: BTreeSet<String>,
}

/// Works out what removing `models` deletes: nothing that a snapshot still points to that is listed beside them.
pub fn plan(cache_dir: &Path, models: &[StoredModel]) -> Removal {
    let mut removal = Removal::default();
    for model in models {
        let cache = RepoCache::new(cache_dir, &model.repo);
        let hidden = store::hidden_behind(&cache, model);
        for commit in hidden.iter().chain([&model.commit]) {
            let folder = cache.snapshot(commit);
            let names = model.files.iter().map(|f| &f.name).chain(&model.missing);
            removal.links.extend(names.map(|n| folder.join(n)));
        }
        removal.models.push(model.name.clone());
        removal.repos.insert(model.repo.clone());
    }
    removal.links.sort();
    removal.links.dedup();
    for repo in &removal.repos {
        let cache = RepoCache::new(cache_dir, repo);
        let (mut kept, mut dropped) = (BTreeSet::new(), BTreeSet::new());
        for commit in cache.commits() {
            let folder = cache.snapshot(&commit);
            for name in cache.names(&commit) {
                let Some(etag) = cache.etag_of(&commit, &name) else {
                    continue;
                };
                match removal.links.binary_search(&folder.join(&name)) {
                    Ok(_) => dropped.insert(etag),
                    Err(_) => kept.insert(etag),
                };
            }
        }
        for etag in dropped.difference(&kept) {
            let blob = cache.blob(etag);
            if let Ok(meta) = fs::metadata(&blob) {
                removal.bytes += meta.len();
                removal.blobs.push(blob);
            }
        }
    }
    removal
}

/// Deletes what [`plan`] named, and folders and references that are empty afterwards.
pub fn remove(cache_dir: &Path, removal: &Removal) -> Result<(), HubError> {
    for path in removal.links.iter().chain(&removal.blobs) {
        match fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(HubError::io("remove", path, e))
            }
            _ => {}
        }
    }
    for repo in &removal.repos {
        tidy(&RepoCache::new(cache_dir, repo))?;
    }
    Ok(())
}

fn tidy(cache: &RepoCache) -> Result<(), HubError> {
    let remove_tree = |path: &Path| match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(HubError::io("remove", path, e)),
        _ => Ok(()),
    };
    for commit in cache.commits() {
        if !cache.names(&commit).is_empty() {
            continue;
        }
        for (revision, _) in cache.refs().iter().filter(|(_, c)| *c == commit) {
            let _ = fs::remove_file(cache.root().join("refs").join(revision));
        }
        let _ = fs::remove_file(cache.listing_file(&commit));
        remove_tree(&cache.snapshot(&commit))?;
    }
    let locks = cache.lock_folder();
    // What another process is fetching into the same folder stays.
    if cache.commits().is_empty() && !lock::any_held(&locks) {
        remove_tree(cache.root())?;
        remove_tree(&locks)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::store::tests::example;
    use crate::hub::store::{find, list};

    #[test]
    fn a_blob_that_another_snapshot_needs_survives() {
        let (dir, cache) = example();
        cache.set_ref("tagged", "c0").expect("ref");
        let model = find(dir.path(), "qwen2.5-0.5b:q8_0").expect("there");
        let removal = plan(dir.path(), &model);
        assert_eq!(
            (removal.links.len(), removal.blobs.len(), removal.bytes),
            (1, 0, 0)
        );
        let both = find(dir.path(), "Qwen/Qwen2.5-0.5B-Instruct-GGUF").expect("there");
        let removal = plan(dir.path(), &both);
        assert_eq!((removal.links.len(), removal.bytes), (2, 4));
        remove(dir.path(), &removal).expect("removes");
        assert_eq!(cache.names("c0"), ["m-q8_0.gguf"]);
        assert!(cache.stored("c0", "m-q8_0.gguf", Some(5)).is_some());
        assert_eq!(
            cache.commit("main"),
            None,
            "the empty snapshot's branch is gone"
        );
    }

    #[test]
    fn what_a_branch_has_left_behind_goes_along() {
        let (dir, cache) = example();
        let model = find(dir.path(), "qwen2.5-0.5b:q8_0").expect("there");
        let removal = plan(dir.path(), &model);
        assert_eq!((removal.links.len(), removal.bytes), (2, 5));
        remove(dir.path(), &removal).expect("removes");
        assert_eq!(cache.commits(), ["c1"]);
        assert!(find(dir.path(), "Qwen/Qwen2.5-0.5B-Instruct-GGUF@c0").is_err());
    }

    #[test]
    fn what_another_process_is_fetching_survives() {
        let (dir, _cache) = example();
        let cache = RepoCache::new(dir.path(), "org/float");
        let partial = cache.blob("e9.incomplete");
        fs::write(&partial, b"half").expect("write");
        let held = lock::Lock::take(&cache.lock_file("e9"), "f", &crate::hub::Silent);
        let held = held.expect("lock");
        let model = find(dir.path(), "org/float@f0").expect("there");
        remove(dir.path(), &plan(dir.path(), &model)).expect("removes");
        assert!(partial.exists() && cache.lock_file("e9").exists());
        drop(held);
        assert!(find(dir.path(), "org/float@f0").is_err());
    }

    #[test]
    fn the_last_model_takes_its_folder_along() {
        let (dir, _cache) = example();
        let model = find(dir.path(), "org/float@f0").expect("there");
        remove(dir.path(), &plan(dir.path(), &model)).expect("removes");
        assert!(!dir.path().join("models--org--float").exists());
        assert_eq!(list(dir.path()).expect("lists").len(), 2);
    }
}
