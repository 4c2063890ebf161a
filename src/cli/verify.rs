//! `crane verify`: are the files in the cache what the hub stated?

use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::hub::store;
use crate::hub::verify::{self, Checked, State};
use crate::hub::{human_bytes, HubError, Reference};
use crate::weights::Checkpoint;

use super::interrupt;
use super::progress::{Mode, Reporter};
use super::settings::Settings;
use super::terminal::plain;

/// What `crane verify` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyArgs {
    /// Models to check: names, folders or .gguf files [default: all in the cache]
    #[arg(value_name = "MODEL")]
    pub models: Vec<String>,
    /// Fetch damaged files again
    #[arg(long)]
    pub repair: bool,
    /// How to show progress on stderr
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto")]
    pub progress: Mode,
}

/// Compares every byte with the checksums that the hub stated. Of a folder or file outside the cache, for
/// which none is known, the headers are read, so that a damaged or cut file is found.
///
/// # Errors
/// [`HubError::Corrupt`] if a file is damaged or missing and was not repaired.
pub fn run(args: VerifyArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let _polled = interrupt::Deferred::new();
    let cache_dir = &settings.hub.cache_dir;
    let mut models = Vec::new();
    if args.models.is_empty() {
        models = store::list(cache_dir)?;
    }
    for name in &args.models {
        match Reference::parse(name, None, None) {
            Ok(Reference::Local(path)) => local(&args, name, &path, settings, out)?,
            _ => models.extend(store::find(cache_dir, name)?),
        }
    }
    let reporter = || Reporter::new(args.progress, settings);
    let mut damaged = Vec::new();
    for model in &models {
        let mut checked = verify::verify(cache_dir, model, &reporter())?;
        let bad = checked.iter().any(|c| !c.is_good());
        let mut repaired = false;
        if bad && args.repair {
            verify::repair(model, &checked, &settings.hub, &reporter())?;
            checked = verify::verify(cache_dir, model, &reporter())?;
            repaired = checked.iter().all(|c| c.is_good());
        }
        if bad && !repaired {
            damaged.push(model.label());
        }
        show(&model.name, &checked, repaired, settings, out)?;
    }
    if damaged.is_empty() {
        return Ok(());
    }
    Err(HubError::Corrupt(format!(
        "damaged or incomplete: {}; `crane verify --repair {}` fetches the files again",
        damaged.join(", "),
        damaged.join(" ")
    ))
    .into())
}

fn local(
    args: &VerifyArgs,
    typed: &str,
    path: &Path,
    settings: &Settings,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if args.repair {
        return Err(HubError::BadReference(format!(
            "{typed} is a path, and only models of the cache can be fetched again; leave out --repair"
        ))
        .into());
    }
    let checked = verify::verify_local(typed, path, &Reporter::new(args.progress, settings))?;
    Checkpoint::open(path)?;
    show(typed, &checked, false, settings, out)?;
    match checked.iter().find(|c| !c.is_good()) {
        None => Ok(()),
        Some(file) => Err(HubError::Corrupt(format!(
            "{} is damaged: fetch or copy it again",
            file.path.display()
        ))
        .into()),
    }
}

fn show(
    name: &str,
    checked: &[Checked],
    repaired: bool,
    settings: &Settings,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if settings.json {
        let ok = checked.iter().all(Checked::is_good);
        let object = json!({"model": name, "ok": ok, "repaired": repaired, "files": checked});
        writeln!(out, "{object}")?;
        return Ok(());
    }
    for file in checked {
        let file_name = plain(&file.name);
        let state = match &file.state {
            State::Ok if repaired => "repaired".to_string(),
            State::Ok => "ok".into(),
            State::Unhashed => format!("{}, no checksum known", human_bytes(file.bytes)),
            State::Missing => "MISSING".into(),
            State::Damaged(why) => format!("DAMAGED: {why}"),
        };
        // A single file is its own name.
        match name.ends_with(&file.name) {
            true => writeln!(out, "{}: {state}", plain(name))?,
            false => writeln!(out, "{}/{file_name}: {state}", plain(name))?,
        }
    }
    Ok(())
}
