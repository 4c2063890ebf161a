//! What lies in the cache, by the names that can be typed for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::cache::RepoCache;
use super::catalogue::{self, Row, Task};
use super::files;
use super::gguf_name;
use super::reference::{HubReference, Reference, Want, DEFAULT_REVISION};
use super::{cached, pip, HubError, HubSettings, StoredFile};

/// A model in the cache.
#[derive(Debug, Clone, Serialize)]
pub struct StoredModel {
    /// What can be typed for it.
    pub name: String,
    /// The short name, if the catalogue has one.
    pub alias: Option<String>,
    pub repo: String,
    pub commit: String,
    /// The branches and tags that stand at the commit.
    pub revisions: Vec<String>,
    /// GGUF quantisation; none for safetensors.
    pub quant: Option<String>,
    pub task: Option<Task>,
    /// In millions, from the catalogue.
    pub parameters_m: Option<u32>,
    pub licence: Option<&'static str>,
    /// What `weights::Checkpoint::open` takes.
    pub path: PathBuf,
    pub bytes: u64,
    pub files: Vec<StoredFile>,
    /// Names of files that are not whole.
    pub missing: Vec<String>,
    /// Seconds since 1970.
    pub last_used: Option<u64>,
}

impl StoredModel {
    /// The shortest name that can be typed.
    pub fn label(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }
}

/// Every model in the cache that crane can use, by name.
pub fn list(cache_dir: &Path) -> Result<Vec<StoredModel>, HubError> {
    let mut models = Vec::new();
    for cache in RepoCache::all(cache_dir)? {
        let of_repo = models.len();
        for commit in commits_named_first(&cache) {
            for model in at_commit(&cache, &commit) {
                // The stand-in for a commit is of no interest once the branch has the same file.
                let known = models.iter().skip(of_repo).any(|m: &StoredModel| {
                    m.name == model.name
                        || (model.revisions.is_empty() && same_blobs(&cache, m, &model))
                });
                if !known {
                    models.push(model);
                }
            }
        }
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(models)
}

fn same_blobs(cache: &RepoCache, a: &StoredModel, b: &StoredModel) -> bool {
    let key = |m: &StoredModel| -> Vec<_> {
        let etag = |f: &StoredFile| (f.name.clone(), cache.etag_of(&m.commit, &f.name));
        m.files.iter().map(etag).collect()
    };
    key(a) == key(b)
}

/// Commits no branch stands at any more that have all files of `model`: they are not listed beside it.
pub(super) fn hidden_behind(cache: &RepoCache, model: &StoredModel) -> Vec<String> {
    let named: BTreeSet<String> = cache.refs().into_iter().map(|(_, c)| c).collect();
    let same = |commit: &String| {
        let etag = |commit: &str, f: &StoredFile| cache.etag_of(commit, &f.name);
        let mut files = model.files.iter();
        files.all(|f| etag(commit, f).is_some() && etag(commit, f) == etag(&model.commit, f))
    };
    let mut commits = cache.commits();
    commits.retain(|c| *c != model.commit && !named.contains(c) && same(c));
    commits
}

/// Commits that a branch stands at come first.
fn commits_named_first(cache: &RepoCache) -> Vec<String> {
    let named: BTreeSet<String> = cache.refs().into_iter().map(|(_, c)| c).collect();
    let mut commits = cache.commits();
    commits.sort_by_key(|c| (!named.contains(c), c.clone()));
    commits
}

fn at_commit(cache: &RepoCache, commit: &str) -> Vec<StoredModel> {
    let names = cache.names(commit);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    if names.iter().any(|n| n.ends_with(".safetensors")) {
        if let Ok(selection) = files::select(&names, &Want::Safetensors) {
            found.push(describe(cache, commit, None, selection.files, None));
        }
    }
    let quants = gguf_name::quants(&names);
    // A file whose name tells no quantisation.
    if found.is_empty() && quants.is_empty() {
        if let Ok(selection) = files::select(&names, &Want::Any) {
            let files = selection.files;
            found.push(describe(cache, commit, None, files, selection.entry));
        }
    }
    for quant in quants {
        if let Ok(selection) = files::select(&names, &Want::Gguf(quant.clone())) {
            found.push(describe(
                cache,
                commit,
                Some(quant),
                selection.files,
                selection.entry,
            ));
        }
    }
    found
}

fn describe(
    cache: &RepoCache,
    commit: &str,
    quant: Option<String>,
    names: Vec<String>,
    entry: Option<String>,
) -> StoredModel {
    let listing = cache.listing(commit);
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        let bytes = listing
            .as_ref()
            .and_then(|l| l.file(&name))
            .and_then(|f| f.bytes);
        match cache.stored(commit, &name, bytes) {
            Some(file) => files.push(file),
            None => missing.push(name),
        }
    }
    let revisions: Vec<String> = cache
        .refs()
        .into_iter()
        .filter(|(_, c)| c == commit)
        .map(|(r, _)| r)
        .collect();
    let row = catalogue::by_repo(cache.repo());
    let folder = cache.snapshot(commit);
    StoredModel {
        name: name_of(cache.repo(), commit, &revisions, quant.as_deref(), row),
        alias: row
            .filter(|r| stands_for_main(commit, &revisions, Some(r)))
            .and_then(|r| alias_of(r, cache.repo(), quant.as_deref())),
        repo: cache.repo().to_string(),
        commit: commit.to_string(),
        revisions,
        quant,
        task: row.map(|r| r.task),
        parameters_m: row.map(|r| r.parameters_m),
        licence: row.map(|r| r.licence),
        path: entry.map_or_else(|| folder.clone(), |e| folder.join(e)),
        bytes: files.iter().map(|f| f.bytes).sum(),
        files,
        missing,
        last_used: cache
            .last_used()
            .and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok())
            .map(|d| d.as_secs()),
    }
}

/// Whether a name without a revision means this commit.
fn stands_for_main(commit: &str, revisions: &[String], row: Option<&Row>) -> bool {
    revisions.iter().any(|r| r == DEFAULT_REVISION)
        || row
            .and_then(|r| r.python.as_ref())
            .is_some_and(|p| pip::commit(p) == commit)
}

fn name_of(
    repo: &str,
    commit: &str,
    revisions: &[String],
    quant: Option<&str>,
    row: Option<&Row>,
) -> String {
    let revision = match (stands_for_main(commit, revisions, row), revisions.first()) {
        (true, _) => String::new(),
        (false, Some(r)) => format!("@{r}"),
        (false, None) => format!("@{commit}"),
    };
    let quant = quant.map(|q| format!(":{q}")).unwrap_or_default();
    format!("{repo}{revision}{quant}")
}

fn alias_of(row: &Row, repo: &str, quant: Option<&str>) -> Option<String> {
    let variant = match quant {
        Some(q) if row.gguf == Some(repo) => q,
        None if row.safetensors == repo => "bf16",
        _ => return None,
    };
    Some(match variant == row.default {
        true => row.alias.to_string(),
        false => format!("{}:{variant}", row.alias),
    })
}

/// The models in the cache that `typed` means: one, or for a bare `org/repo` all its variants.
pub fn find(cache_dir: &Path, typed: &str) -> Result<Vec<StoredModel>, HubError> {
    let models = list(cache_dir)?;
    let exact: Vec<StoredModel> = models
        .iter()
        .filter(|m| m.name == typed || m.alias.as_deref() == Some(typed))
        .cloned()
        .collect();
    if !exact.is_empty() {
        return Ok(exact);
    }
    let reference = match Reference::parse(typed, None, None)? {
        Reference::Hub(reference) => reference,
        Reference::Local(path) => {
            return Err(HubError::BadReference(format!(
                "{} is a path; only models of the cache are listed, removed and verified",
                path.display()
            )))
        }
    };
    let found: Vec<StoredModel> = models
        .into_iter()
        .filter(|m| is_meant(m, &reference))
        .collect();
    if found.is_empty() {
        return Err(HubError::NotFound(format!(
            "{typed} is not in the cache {}; `crane list` shows what is",
            cache_dir.display()
        )));
    }
    Ok(found)
}

fn is_meant(model: &StoredModel, reference: &HubReference) -> bool {
    let revision = match reference.revision == DEFAULT_REVISION {
        true => stands_for_main(
            &model.commit,
            &model.revisions,
            catalogue::by_repo(&model.repo),
        ),
        false => {
            model.commit == reference.revision || model.revisions.contains(&reference.revision)
        }
    };
    let variant = match (&reference.want, &model.quant) {
        (Want::Any, _) | (Want::Safetensors, None) => true,
        (Want::Gguf(_), Some(_)) => {
            let names: Vec<&str> = model.files.iter().map(|f| f.name.as_str()).collect();
            let names = if names.is_empty() {
                model.missing.iter().map(String::as_str).collect()
            } else {
                names
            };
            files::select(&names, &reference.want).is_ok()
        }
        _ => false,
    };
    model.repo == reference.repo && revision && variant
}

/// Whether `locate` would use the cache for `name` without a connection.
pub fn is_cached(name: &str, settings: &HubSettings) -> bool {
    match Reference::parse(name, None, None) {
        Ok(Reference::Hub(reference)) => {
            let cache = RepoCache::new(&settings.cache_dir, &reference.repo);
            cached::find(&cache, &reference, name, settings.offline).is_some()
        }
        Ok(Reference::Local(path)) => path.exists(),
        Err(_) => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;

    use crate::hub::partial::hex;
    use sha2::{Digest, Sha256};

    /// Puts a file into the cache as a download would.
    fn put(cache: &RepoCache, commit: &str, name: &str, content: &[u8]) -> String {
        let etag = hex(&Sha256::digest(content));
        crate::hub::cache::make_dir(&cache.root().join("blobs")).expect("folder");
        fs::write(cache.blob(&etag), content).expect("blob");
        cache.link(commit, name, &etag).expect("link");
        etag
    }

    pub fn example() -> (tempfile::TempDir, RepoCache) {
        let dir = tempfile::tempdir().expect("temporary folder");
        let cache = RepoCache::new(dir.path(), "Qwen/Qwen2.5-0.5B-Instruct-GGUF");
        put(&cache, "c1", "m-q4_k_m.gguf", b"four");
        put(&cache, "c1", "m-q8_0.gguf", b"eight");
        cache.set_ref("main", "c1").expect("ref");
        put(&cache, "c0", "m-q8_0.gguf", b"eight");
        let float = RepoCache::new(dir.path(), "org/float");
        put(&float, "f0", "config.json", b"{}");
        put(&float, "f0", "model.safetensors", b"weights");
        (dir, cache)
    }

    #[test]
    fn variants_are_listed_by_the_name_that_finds_them() {
        let (dir, _cache) = example();
        let models = list(dir.path()).expect("lists");
        let names: Vec<_> = models.iter().map(|m| (m.name.as_str(), m.bytes)).collect();
        assert_eq!(
            names,
            [
                ("Qwen/Qwen2.5-0.5B-Instruct-GGUF:q4_k_m", 4),
                ("Qwen/Qwen2.5-0.5B-Instruct-GGUF:q8_0", 5),
                ("org/float@f0", 9)
            ]
        );
        let aliases: Vec<_> = models.iter().map(|m| m.alias.as_deref()).collect();
        assert_eq!(
            aliases,
            [Some("qwen2.5-0.5b"), Some("qwen2.5-0.5b:q8_0"), None]
        );
        let found = find(dir.path(), "qwen2.5-0.5b:Q8_0").expect("by alias");
        assert_eq!(found.len(), 1);
        let all = find(dir.path(), "Qwen/Qwen2.5-0.5B-Instruct-GGUF").expect("by repository");
        assert_eq!(all.len(), 2);
        assert!(matches!(
            find(dir.path(), "qwen2.5-7b"),
            Err(HubError::NotFound(_))
        ));
        assert!(matches!(
            find(dir.path(), "./x"),
            Err(HubError::BadReference(_))
        ));
    }
}
