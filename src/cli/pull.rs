//! `crane pull`: brings the newest files of models into the Hugging Face cache.
//!
//! stdout gets the path of each model, one a line, or with `--json` one object a model.

use std::io::Write;

use serde_json::json;

use crate::hub::{self, human_bytes, Plan, PullOptions};

use super::interrupt;
use super::progress::{Mode, Reporter};
use super::session;
use super::settings::Settings;
use super::terminal::plain;

/// What `crane pull` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct PullArgs {
    /// Models to fetch: aliases or org/repo, with :QUANT
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<String>,
    /// The quantisation to fetch, as MODEL:QUANT says it (q4_k_m, q8_0, bf16)
    #[arg(long, value_name = "QUANT")]
    pub quant: Option<String>,
    /// The branch, tag or commit to fetch [default: main]
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<String>,
    /// Fetch the files that match instead of the ones the model needs (repeatable; * and ?)
    #[arg(long, value_name = "PATTERN")]
    pub include: Vec<String>,
    /// Leave out the files that match (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Say what would be fetched, and whether disk and memory suffice
    #[arg(long)]
    pub dry_run: bool,
    /// The hub or mirror to fetch from [default: HF_ENDPOINT or https://huggingface.co]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Fetch files again that are there
    #[arg(long)]
    pub force: bool,
    /// Do not check the sha256 of what arrives
    #[arg(long)]
    pub no_verify: bool,
    /// How to show progress on stderr
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto")]
    pub progress: Mode,
}

/// Fetches, or with `--dry-run` says what would be fetched.
///
/// # Errors
/// A [`hub::HubError`], or `out` cannot be written.
pub fn run(args: PullArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let _polled = interrupt::Deferred::new();
    let mut hub_settings = settings.hub.clone();
    if let Some(endpoint) = &args.endpoint {
        hub_settings.endpoint = endpoint.trim_end_matches('/').to_string();
    }
    let options = PullOptions {
        quant: args.quant,
        revision: args.revision,
        include: args.include,
        exclude: args.exclude,
        force: args.force,
        verify: !args.no_verify,
    };
    for name in &args.models {
        if let Some(note) = session::row(name)?.and_then(session::licence_note) {
            settings.note(&note);
        }
        let reporter = Reporter::new(args.progress, settings);
        if args.dry_run {
            let plan = hub::plan(name, &options, &hub_settings, &reporter)?;
            match settings.json {
                true => writeln!(out, "{}", serde_json::to_string(&plan)?)?,
                false => show_plan(&plan, out)?,
            }
        } else {
            let located = hub::pull(name, &options, &hub_settings, &reporter)?;
            match settings.json {
                true => writeln!(
                    out,
                    "{}",
                    json!({
                        "model": located.typed,
                        "resolved": located.resolved,
                        "path": located.path,
                        "files": located.files,
                    })
                )?,
                false => writeln!(out, "{}", located.path.display())?,
            }
        }
        out.flush()?;
    }
    Ok(())
}

fn show_plan(plan: &Plan, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{} is {}", plan.typed, plan.resolved)?;
    for file in &plan.files {
        let size = file.bytes.map_or("? B".into(), human_bytes);
        let state = match file.cached_bytes {
            0 => String::new(),
            n if Some(n) == file.bytes => "  (in the cache)".into(),
            n => format!("  ({} in the cache)", human_bytes(n)),
        };
        writeln!(out, "  {size:>10}  {}{state}", plain(&file.name))?;
    }
    let known = |bytes: Option<u64>| bytes.map_or("an unknown amount".into(), human_bytes);
    writeln!(
        out,
        "to fetch {} of {}; the disk has {} free",
        human_bytes(plan.missing_bytes),
        human_bytes(plan.bytes),
        known(plan.free_disk_bytes)
    )?;
    writeln!(
        out,
        "to run it takes about {} of memory; this machine has {}",
        human_bytes(plan.memory_needed_bytes),
        known(plan.memory_bytes)
    )?;
    match plan.fits {
        true => writeln!(out, "it fits"),
        false => writeln!(out, "it does NOT fit"),
    }
}
