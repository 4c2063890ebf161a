//! `crane list`, `crane rm` and `crane verify`: what lies in the cache.

use std::io::{IsTerminal, Write};
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde_json::json;

use crate::hub::store::{self, StoredModel};
use crate::hub::verify::{self, State};
use crate::hub::{catalogue, human_bytes, HubError, HubSettings};
use crate::weights::{Checkpoint, Header};

use super::progress::{Mode, Reporter};

/// What `crane list` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// List the models that have a short name instead, fetched or not
    #[arg(long)]
    pub catalogue: bool,
}

/// What `crane rm` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct RmArgs {
    /// Models to remove
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Say what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

/// What `crane verify` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyArgs {
    /// Models to check [default: all]
    #[arg(value_name = "MODEL")]
    pub models: Vec<String>,
    /// Fetch damaged files again
    #[arg(long)]
    pub repair: bool,
    /// How to show progress on stderr
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto")]
    pub progress: Mode,
}

/// Lists the models in the cache, or the catalogue.
///
/// # Errors
/// A [`HubError`] if the cache cannot be read, or `out` cannot be written.
#[allow(clippy::too_many_arguments)] // the signature that all commands of the store share
pub fn list(
    args: ListArgs,
    settings: &HubSettings,
    json: bool,
    quiet: bool,
    _verbose: bool,
    out: &mut dyn Write,
    _err_is_terminal: bool,
    _interrupted: &'static AtomicBool,
) -> anyhow::Result<()> {
    if args.catalogue {
        return list_catalogue(settings, json, out);
    }
    let models = store::list(&settings.cache_dir)?;
    if json {
        let objects: Vec<_> = models.iter().map(as_json).collect::<Result<_, _>>()?;
        writeln!(out, "{}", serde_json::to_string(&objects)?)?;
        return Ok(());
    }
    if models.is_empty() {
        if !quiet {
            let _ = writeln!(
                std::io::stderr(),
                "no models in {}; `crane pull smollm2-135m` fetches a small one, `crane list --catalogue` \
                 shows more",
                settings.cache_dir.display()
            );
        }
        return Ok(());
    }
    let mut rows = vec![[
        "NAME",
        "SIZE",
        "ARCHITECTURE",
        "PARAMETERS",
        "QUANTISATION",
        "USED",
    ]
    .map(String::from)];
    rows.extend(models.iter().map(|m| {
        let facts = Facts::read(m);
        [
            m.alias.clone().unwrap_or_else(|| m.name.clone()),
            match m.missing.is_empty() {
                true => human_bytes(m.bytes),
                false => format!("{} (incomplete)", human_bytes(m.bytes)),
            },
            facts.architecture.unwrap_or_else(|| "?".into()),
            facts.parameters_m.map_or("?".into(), parameters),
            facts.quant.unwrap_or_else(|| "?".into()),
            m.last_used.map_or("never".into(), ago),
        ]
    }));
    table(&rows, out)?;
    Ok(())
}

fn as_json(model: &StoredModel) -> serde_json::Result<serde_json::Value> {
    let mut object = serde_json::to_value(model)?;
    if let Some(map) = object.as_object_mut() {
        let facts = Facts::read(model);
        map.insert("architecture".into(), json!(facts.architecture));
        map.insert("parameters_m".into(), json!(facts.parameters_m));
        map.insert("quant".into(), json!(facts.quant));
    }
    Ok(object)
}

/// What the catalogue and the model's own headers say; files that cannot be opened say nothing.
struct Facts {
    architecture: Option<String>,
    parameters_m: Option<u32>,
    quant: Option<String>,
}

impl Facts {
    fn read(model: &StoredModel) -> Self {
        let mut facts = Self {
            architecture: None,
            parameters_m: model.parameters_m,
            quant: model.quant.clone(),
        };
        let complete = model.missing.is_empty();
        let Some(checkpoint) = complete
            .then(|| Checkpoint::open(&model.path).ok())
            .flatten()
        else {
            return facts;
        };
        facts.architecture = match checkpoint.header() {
            Header::Gguf(metadata) => metadata.str("general.architecture"),
            Header::HuggingFace(config) => config.get("model_type").and_then(|t| t.as_str()),
        }
        .map(String::from);
        let millions = checkpoint.parameters().div_ceil(1_000_000);
        facts.parameters_m = facts.parameters_m.or(u32::try_from(millions).ok());
        facts.quant = facts
            .quant
            .or_else(|| checkpoint.quantization().map(String::from));
        facts
    }
}

fn list_catalogue(settings: &HubSettings, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if json {
        let rows: Vec<_> = catalogue::ROWS
            .iter()
            .map(|r| {
                json!({
                    "alias": r.alias,
                    "task": r.task,
                    "parameters_m": r.parameters_m,
                    "default": r.default,
                    "gguf": r.gguf,
                    "safetensors": r.safetensors,
                    "licence": r.licence,
                    "cached": store::is_cached(r.alias, settings),
                })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string(&rows)?)?;
        return Ok(());
    }
    let mut rows =
        vec![["NAME", "TASK", "PARAMETERS", "DEFAULT", "LICENCE", "HERE"].map(String::from)];
    rows.extend(catalogue::ROWS.iter().map(|r| {
        [
            r.alias.to_string(),
            r.task.name().to_string(),
            parameters(r.parameters_m),
            r.default.to_string(),
            r.licence.to_string(),
            match store::is_cached(r.alias, settings) {
                true => "yes".into(),
                false => "-".into(),
            },
        ]
    }));
    table(&rows, out)?;
    Ok(())
}

/// Columns two spaces apart; numbers would align right, but a name column leads.
fn table<const N: usize>(rows: &[[String; N]], out: &mut dyn Write) -> std::io::Result<()> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

/// `135M`, `1.7B`.
fn parameters(millions: u32) -> String {
    match millions {
        0..=999 => format!("{millions}M"),
        m => format!("{:.1}B", f64::from(m) / 1000.0),
    }
}

fn ago(seconds: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    match now.saturating_sub(seconds) {
        0..=59 => "just now".into(),
        s @ 60..=3599 => format!("{} min ago", s / 60),
        s @ 3600..=86_399 => format!("{} h ago", s / 3600),
        s => format!("{} d ago", s / 86_400),
    }
}

/// Removes models from the cache, after asking.
///
/// # Errors
/// A [`HubError`], or `out` cannot be written.
#[allow(clippy::too_many_arguments)] // the signature that all commands of the store share
pub fn rm(
    args: RmArgs,
    settings: &HubSettings,
    json: bool,
    quiet: bool,
    _verbose: bool,
    out: &mut dyn Write,
    _err_is_terminal: bool,
    _interrupted: &'static AtomicBool,
) -> anyhow::Result<()> {
    let mut models: Vec<StoredModel> = Vec::new();
    for name in &args.models {
        for found in store::find(&settings.cache_dir, name)? {
            if !models.iter().any(|m| m.name == found.name) {
                models.push(found);
            }
        }
    }
    let removal = store::plan_removal(&settings.cache_dir, &models);
    let what = format!(
        "{} ({} on disk)",
        removal.models.join(", "),
        human_bytes(removal.bytes)
    );
    if !args.dry_run {
        if !args.yes && !confirmed(&what)? {
            anyhow::bail!("nothing was removed");
        }
        store::remove(&settings.cache_dir, &removal)?;
    }
    if json {
        let mut object = serde_json::to_value(&removal)?;
        if let Some(map) = object.as_object_mut() {
            map.insert("dry_run".into(), json!(args.dry_run));
        }
        writeln!(out, "{object}")?;
    } else if args.dry_run {
        writeln!(out, "would remove {what}")?;
    } else if !quiet {
        let _ = writeln!(std::io::stderr(), "removed {what}");
    }
    Ok(())
}

fn confirmed(what: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(HubError::BadReference(format!(
            "will not remove {what} without asking, and stdin is not a terminal: add -y"
        ))
        .into());
    }
    let mut err = std::io::stderr();
    write!(err, "remove {what}? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("reading the answer")?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// Compares every byte with the checksums that the hub stated.
///
/// # Errors
/// [`HubError::Corrupt`] if a file is damaged or missing and was not repaired.
#[allow(clippy::too_many_arguments)] // the signature that all commands of the store share
pub fn verify(
    args: VerifyArgs,
    settings: &HubSettings,
    json: bool,
    quiet: bool,
    verbose: bool,
    out: &mut dyn Write,
    err_is_terminal: bool,
    interrupted: &'static AtomicBool,
) -> anyhow::Result<()> {
    let mut models = Vec::new();
    if args.models.is_empty() {
        models = store::list(&settings.cache_dir)?;
    }
    for name in &args.models {
        models.extend(store::find(&settings.cache_dir, name)?);
    }
    let mut damaged = Vec::new();
    for model in &models {
        let reporter =
            || Reporter::new(args.progress, quiet, verbose, err_is_terminal, interrupted);
        let mut checked = verify::verify(&settings.cache_dir, model, &reporter())?;
        let bad = checked.iter().filter(|c| !c.is_good()).count();
        let mut repaired = false;
        if bad > 0 && args.repair {
            verify::repair(model, &checked, settings, &reporter())?;
            checked = verify::verify(&settings.cache_dir, model, &reporter())?;
            repaired = checked.iter().all(|c| c.is_good());
        }
        if bad > 0 && !repaired {
            damaged.push(model.alias.clone().unwrap_or_else(|| model.name.clone()));
        }
        if json {
            let object = json!({"model": model.name, "ok": bad == 0 || repaired, "repaired": repaired, "files": checked});
            writeln!(out, "{object}")?;
            continue;
        }
        for file in &checked {
            let state = match &file.state {
                State::Ok if repaired => "repaired".to_string(),
                State::Ok => "ok".into(),
                State::Unhashed => "length ok, no hash known".into(),
                State::Missing => "MISSING".into(),
                State::Damaged(why) => format!("DAMAGED: {why}"),
            };
            writeln!(out, "{}/{}: {state}", model.name, file.name)?;
        }
    }
    if damaged.is_empty() {
        return Ok(());
    }
    let names = damaged.join(" ");
    Err(HubError::Corrupt(format!(
        "damaged or incomplete: {}; `crane verify --repair {names}` fetches the files again",
        damaged.join(", ")
    ))
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let mut out = Vec::new();
        let rows = [["a", "bb"], ["ccc", "d"]].map(|r| r.map(String::from));
        table(&rows, &mut out).expect("writes");
        assert_eq!(String::from_utf8(out).expect("utf-8"), "a    bb\nccc  d\n");
    }

    #[test]
    fn parameters_are_counted_in_millions_and_billions() {
        assert_eq!(parameters(135), "135M");
        assert_eq!(parameters(1711), "1.7B");
    }

    #[test]
    fn nothing_is_removed_unasked() {
        static NEVER: AtomicBool = AtomicBool::new(false);
        let dir = tempfile::tempdir().expect("temporary folder");
        let settings = HubSettings::new(dir.path(), "http://unused.invalid");
        let folder = dir.path().join("models--org--m/snapshots/c0");
        std::fs::create_dir_all(&folder).expect("folder");
        let file = folder.join("m-q8_0.gguf");
        std::fs::write(&file, "x").expect("write");
        let run = |dry_run, yes| {
            let mut out = Vec::new();
            let args = RmArgs {
                models: vec!["org/m@c0:q8_0".into()],
                yes,
                dry_run,
            };
            let done = rm(args, &settings, false, true, false, &mut out, false, &NEVER);
            (done.is_ok(), String::from_utf8(out).expect("utf-8"))
        };
        let (ok, text) = run(true, false);
        assert!(ok && text.starts_with("would remove org/m@c0:q8_0") && file.exists());
        assert!(run(false, true).0 && !file.exists());
    }
}
