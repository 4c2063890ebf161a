//! Whether the cache holds a model whole.

use std::path::Path;

use super::cache::RepoCache;
use super::files::{self, Selection};
use super::gguf_name;
use super::listing::Listing;
use super::pip;
use super::reference::{HubReference, Want, DEFAULT_REVISION};
use super::Located;

/// The model in the cache, if all its files are there. With `lenient` (offline), another
/// quantisation than the usual one will do where none was named.
pub fn find(
    cache: &RepoCache,
    reference: &HubReference,
    typed: &str,
    lenient: bool,
) -> Option<Located> {
    let commit = cache.commit(&reference.revision);
    // A file that came from a Python package stays usable when the hub has moved the branch on.
    let stand_in = reference
        .row
        .and_then(|r| r.python.as_ref())
        .filter(|_| reference.revision == DEFAULT_REVISION)
        .map(|s| pip::commit(s).to_string());
    commit
        .into_iter()
        .chain(stand_in)
        .find_map(|c| at_commit(cache, reference, typed, &c, lenient))
}

/// The same at one commit.
pub fn at_commit(
    cache: &RepoCache,
    reference: &HubReference,
    typed: &str,
    commit: &str,
    lenient: bool,
) -> Option<Located> {
    let listing = cache.listing(commit);
    if let Some(listing) = &listing {
        let wanted = files::select(&listing.names(), &reference.want).ok();
        let located = wanted.and_then(|s| assemble(cache, typed, commit, &s, Some(listing)));
        if located.is_some() || !lenient {
            return located;
        }
    }
    // Without a listing (Python has filled the cache) what is there has to speak for itself.
    let names = cache.names(commit);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let selection = files::select(&names, &reference.want).ok()?;
    let complete = match selection.entry.as_deref() {
        Some(entry) => {
            let parts = gguf_name::split_part(entry).map_or(1, |(_, of)| of);
            let usual = selection.instead.is_none() && selection.quant.is_some();
            usize::try_from(parts).is_ok_and(|p| p == selection.files.len())
                && (lenient || usual || reference.want != Want::Any)
        }
        None => is_whole_folder(&cache.snapshot(commit), &names),
    };
    complete
        .then(|| assemble(cache, typed, commit, &selection, None))
        .flatten()
}

/// A folder with a configuration, a tokenizer and all shards that the index names.
fn is_whole_folder(folder: &Path, names: &[&str]) -> bool {
    let has = |name: &str| folder.join(name).exists();
    let tokenizer = has("tokenizer.json") || (has("vocab.json") && has("merges.txt"));
    if !has("config.json") || !tokenizer {
        return false;
    }
    let index = folder.join("model.safetensors.index.json");
    if let Ok(text) = std::fs::read(&index) {
        let Ok(index) = serde_json::from_slice::<serde_json::Value>(&text) else {
            return false;
        };
        return index
            .get("weight_map")
            .and_then(|m| m.as_object())
            .is_some_and(|m| m.values().all(|f| f.as_str().is_some_and(has)));
    }
    // Shards without their index are a download that was cut short.
    has("model.safetensors")
        || names
            .iter()
            .any(|n| n.ends_with(".safetensors") && !n.contains("-of-"))
}

/// The located model, if every selected file is there with its stated size.
pub fn assemble(
    cache: &RepoCache,
    typed: &str,
    commit: &str,
    selection: &Selection,
    listing: Option<&Listing>,
) -> Option<Located> {
    let files = selection
        .files
        .iter()
        .map(|name| {
            let bytes = listing.and_then(|l| l.file(name)).and_then(|f| f.bytes);
            cache.stored(commit, name, bytes)
        })
        .collect::<Option<Vec<_>>>()?;
    let folder = cache.snapshot(commit);
    let (path, resolved) = match &selection.entry {
        Some(entry) => (
            folder.join(entry),
            format!("{}@{commit}/{entry}", cache.repo()),
        ),
        None => (folder, format!("{}@{commit}", cache.repo())),
    };
    Some(Located {
        typed: typed.to_string(),
        resolved,
        path,
        files,
    })
}
