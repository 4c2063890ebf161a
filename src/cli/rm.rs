//! `crane rm`: removes models from the cache.

use std::io::{IsTerminal, Write};

use anyhow::Context;
use serde_json::json;

use crate::hub::store::{self, StoredModel};
use crate::hub::{human_bytes, removal, HubError};

use super::settings::Settings;

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

/// Removes models from the cache, after asking.
///
/// # Errors
/// A [`HubError`], or `out` cannot be written.
pub fn run(args: RmArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let cache_dir = &settings.hub.cache_dir;
    let mut models: Vec<StoredModel> = Vec::new();
    for name in &args.models {
        for found in store::find(cache_dir, name)? {
            if !models.iter().any(|m| m.name == found.name) {
                models.push(found);
            }
        }
    }
    let removal = removal::plan(cache_dir, &models);
    let names: Vec<&str> = models.iter().map(StoredModel::label).collect();
    let what = format!(
        "{} ({} on disk)",
        names.join(", "),
        human_bytes(removal.bytes)
    );
    if !args.dry_run {
        if !args.yes && !confirmed(&what)? {
            anyhow::bail!("nothing was removed");
        }
        removal::remove(cache_dir, &removal)?;
    }
    if settings.json {
        let mut object = serde_json::to_value(&removal)?;
        if let Some(map) = object.as_object_mut() {
            map.insert("dry_run".into(), json!(args.dry_run));
        }
        writeln!(out, "{object}")?;
    } else if args.dry_run {
        writeln!(out, "would remove {what}")?;
    } else {
        settings.note(&format!("removed {what}"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn nothing_is_removed_unasked() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let cli = crate::cli::Cli::try_parse_from(["crane", "-q", "devices"]).expect("parses");
        let mut settings = Settings::resolve(&cli.global, &|_| None).expect("resolves");
        settings.hub.cache_dir = dir.path().to_path_buf();
        let folder = dir.path().join("models--org--m/snapshots/c0");
        std::fs::create_dir_all(&folder).expect("folder");
        let file = folder.join("m-q8_0.gguf");
        std::fs::write(&file, "x").expect("write");
        let rm = |dry_run, yes| {
            let mut out = Vec::new();
            let args = RmArgs {
                models: vec!["org/m@c0:q8_0".into()],
                yes,
                dry_run,
            };
            let done = run(args, &settings, &mut out);
            (done.is_ok(), String::from_utf8(out).expect("utf-8"))
        };
        let (ok, text) = rm(true, false);
        assert!(ok && text.starts_with("would remove org/m@c0:q8_0") && file.exists());
        assert!(rm(false, true).0 && !file.exists());
    }
}
