//! What the hub has for a name: which files, how large, which of them are missing.

use super::cache::RepoCache;
use super::client::Client;
use super::files::{self, Selection, Unselectable};
use super::listing::{Listing, RemoteFile};
use super::plan::{cached_bytes, make_plan, partial_bytes, Plan, PlannedFile};
use super::pull::PullOptions;
use super::reference::{HubReference, Want};
use super::source::{self, SourceError};
use super::HubError;

/// What the hub has for a reference.
pub struct Resolved {
    pub repo: String,
    pub listing: Listing,
    pub selection: Selection,
    /// The selected files, with size and hash.
    pub files: Vec<RemoteFile>,
}

/// Asks the hub, and chooses.
pub fn resolve(
    client: &Client,
    reference: &HubReference,
    options: &PullOptions,
) -> Result<Resolved, SourceError> {
    let repo = &reference.repo;
    let mut listing = source::describe(client, reference)?;
    let selection = choose(&listing, reference, options)?;
    if let Some(quant) = &selection.instead {
        client.progress.notice(&format!(
            "{repo} has no {}; taking {quant} (others are named {repo}:QUANT)",
            super::gguf_name::USUAL
        ));
    }
    let mut chosen = Vec::new();
    for name in &selection.files {
        let Some(stated) = listing.file(name) else {
            continue;
        };
        chosen.push(source::complete(client, repo, &listing.commit, stated)?);
    }
    for file in &mut listing.files {
        if let Some(complete) = chosen.iter().find(|c| c.name == file.name) {
            *file = complete.clone();
        }
    }
    client.progress.detail(&format!(
        "{repo}@{} is {}",
        reference.revision, listing.commit
    ));
    Ok(Resolved {
        repo: repo.clone(),
        listing,
        selection,
        files: chosen,
    })
}

fn choose(
    listing: &Listing,
    reference: &HubReference,
    options: &PullOptions,
) -> Result<Selection, HubError> {
    let names = listing.names();
    let mut selection = if options.include.is_empty() {
        files::select(&names, &reference.want).map_err(|why| cannot_select(reference, why))?
    } else {
        Selection {
            files: names
                .iter()
                .filter(|n| options.include.iter().any(|p| files::glob(p, n)))
                .map(|n| n.to_string())
                .collect(),
            entry: None,
            quant: None,
            instead: None,
        }
    };
    selection
        .files
        .retain(|n| !options.exclude.iter().any(|p| files::glob(p, n)));
    if selection.files.is_empty() {
        return Err(HubError::NotFound(format!(
            "no file of {} passes --include and --exclude; it has: {}",
            reference.repo,
            names
                .iter()
                .take(20)
                .copied()
                .collect::<Vec<_>>()
                .join(", ")
        )));
    }
    if let [only] = selection.files.as_slice() {
        if super::gguf_name::is_model(only) {
            selection.entry = Some(only.clone());
        }
    }
    Ok(selection)
}

/// Why nothing could be chosen, with what could.
fn cannot_select(reference: &HubReference, why: Unselectable) -> HubError {
    let repo = &reference.repo;
    let typed = reference.row.map_or(repo.as_str(), |r| r.alias);
    match (why, &reference.want) {
        (Unselectable::NoSuchQuant(there), Want::Gguf(quant)) => HubError::NotFound(format!(
            "{repo} has no {quant} file; it has {}: type for instance {typed}:{}",
            there.join(", "),
            there.first().map_or("QUANT", String::as_str)
        )),
        (Unselectable::OnlySafetensors, Want::Gguf(quant)) => HubError::BadReference(format!(
            "{repo} has no GGUF files, so there is no ':{quant}'; crane quantises at load instead: \
             `crane run {repo} --quant q8_0`"
        )),
        (Unselectable::OnlyGguf(there), _) => HubError::NotFound(format!(
            "{repo} has GGUF files only ({}): type {typed}:{}",
            there.join(", "),
            there.first().map_or("QUANT", String::as_str)
        )),
        (Unselectable::NoWeights { pickles: true }, _) => HubError::NotFound(format!(
            "{repo} has PyTorch pickles only, and crane reads safetensors and GGUF; look for a conversion \
             of it on the hub"
        )),
        _ => HubError::NotFound(format!("{repo} has no model weights that crane reads (safetensors or GGUF)")),
    }
}

impl Resolved {
    /// The files that the cache has not.
    pub fn missing<'a>(
        &'a self,
        cache: &'a RepoCache,
        options: &'a PullOptions,
    ) -> impl Iterator<Item = &'a RemoteFile> {
        self.files.iter().filter(move |f| {
            options.force || cached_bytes(cache, f) != f.bytes || f.bytes.is_none()
        })
    }

    /// Bytes that have to come over the network.
    fn missing_bytes(&self, cache: &RepoCache, options: &PullOptions) -> u64 {
        self.missing(cache, options)
            .map(|f| match options.force {
                true => f.bytes.unwrap_or(0),
                false => f.bytes.unwrap_or(0).saturating_sub(partial_bytes(cache, f)),
            })
            .fold(0, u64::saturating_add)
    }

    /// What fetching it would mean.
    pub fn plan(&self, name: &str, cache: &RepoCache, options: &PullOptions) -> Plan {
        let files: Vec<PlannedFile> = self
            .files
            .iter()
            .map(|f| PlannedFile {
                name: f.name.clone(),
                bytes: f.bytes,
                sha256: f.sha256().map(str::to_string),
                cached_bytes: cached_bytes(cache, f).unwrap_or_else(|| partial_bytes(cache, f)),
            })
            .collect();
        make_plan(
            name,
            format!("{}@{}", self.repo, self.listing.commit),
            files,
            self.missing_bytes(cache, options),
            cache.cache_dir(),
        )
    }
}
