//! Models whose weights lie in folders of their own (Spark-TTS): each part is shown as far as it goes.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{json, Value};

use crate::cli::terminal::plain;
use crate::hub::catalogue::{Row, Task};
use crate::hub::{human_bytes, Located};
use crate::models::spark::SparkFolder;
use crate::weights::Checkpoint;

use super::facts::{readme_license, Facts};
use super::{as_json, as_text, ShowArgs};

/// A folder of the model: its name and the bytes in it.
pub(super) type Part = (String, u64);

/// The folders of a model that have weights in them; none for a model of one part.
pub(super) fn of(located: &Located) -> Vec<Part> {
    let mut parts: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
    for file in &located.files {
        if file.name == "config.json" {
            return Vec::new();
        }
        if let Some((folder, base)) = file.name.split_once('/') {
            let (bytes, weights) = parts.entry(folder).or_default();
            *bytes += file.bytes;
            *weights |= base.ends_with(".safetensors") || base.ends_with(".bin");
        }
    }
    parts
        .into_iter()
        .filter(|(_, (_, weights))| *weights)
        .map(|(folder, (bytes, _))| (folder.to_string(), bytes))
        .collect()
}

/// What all parts have in common, then each part that has a configuration.
pub(super) fn show(
    args: &ShowArgs,
    located: &Located,
    row: Option<&Row>,
    parts: &[Part],
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let bytes: u64 = located.files.iter().map(|f| f.bytes).sum();
    let license = readme_license(&located.path).or(row.map(|r| r.licence.to_string()));
    let speaks = SparkFolder::open(&located.path).is_ok();
    let task = match speaks {
        true => Some(Task::Speech.name()),
        false => row.map(|r| r.task.name()),
    };
    let opened: Vec<_> = parts
        .iter()
        .map(|(name, bytes)| (name, bytes, Checkpoint::open(&located.path.join(name)).ok()))
        .collect();
    if json {
        let parts: Vec<Value> = opened
            .iter()
            .map(|(name, bytes, checkpoint)| match checkpoint {
                Some(c) => as_json(args, name, c, &Facts::read(c, None)),
                None => json!({"model": name, "path": located.path.join(name), "bytes": bytes}),
            })
            .collect();
        let files: Vec<Value> = located
            .files
            .iter()
            .map(|f| json!({"path": f.path, "bytes": f.bytes}))
            .collect();
        let object = json!({
            "model": located.typed,
            "path": located.path,
            "task": task,
            "bytes": bytes,
            "license": license,
            "parts": parts,
            "files": files,
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    let unknown = || "not stated".to_string();
    let task = match task {
        Some(task) if speaks => format!("{task}; 'crane tts -m {}' speaks with it", located.typed),
        Some(task) => format!("{task}; this version of crane cannot run it"),
        None => "this version of crane cannot run it".into(),
    };
    for (key, value) in [
        ("model", located.typed.clone()),
        ("path", located.path.display().to_string()),
        ("task", task),
        ("size", human_bytes(bytes)),
        ("licence", license.unwrap_or_else(unknown)),
    ] {
        writeln!(out, "{key:<15} {}", plain(&value))?;
    }
    for (name, bytes, checkpoint) in &opened {
        writeln!(out)?;
        match checkpoint {
            Some(c) => as_text(args, name, c, &Facts::read(c, None), out)?,
            None => {
                writeln!(out, "{:<15} {}", "model", plain(name))?;
                writeln!(out, "{:<15} {}", "size", human_bytes(**bytes))?;
            }
        }
    }
    Ok(())
}
