//! `crane list`: the models in the cache, or the catalogue.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::hub::store::{self, StoredModel};
use crate::hub::{catalogue, human_bytes};
use crate::weights::{Checkpoint, Header};

use super::settings::Settings;
use super::terminal::plain;

/// What `crane list` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// List the models that have a short name instead, fetched or not
    #[arg(long)]
    pub catalogue: bool,
}

/// Lists the models in the cache, or the catalogue.
///
/// # Errors
/// A [`HubError`] if the cache cannot be read, or `out` cannot be written.
pub fn run(args: ListArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    if args.catalogue {
        return list_catalogue(settings, out);
    }
    let models = store::list(&settings.hub.cache_dir)?;
    if settings.json {
        let objects: Vec<_> = models.iter().map(as_json).collect::<Result<_, _>>()?;
        writeln!(out, "{}", serde_json::to_string(&objects)?)?;
        return Ok(());
    }
    if models.is_empty() {
        settings.note(&format!(
            "no models in {}; `crane pull smollm2-135m` fetches a small one, `crane list --catalogue` \
             shows more",
            settings.hub.cache_dir.display()
        ));
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
            plain(m.label()),
            match m.missing.is_empty() {
                true => human_bytes(m.bytes),
                false => format!("{} (incomplete)", human_bytes(m.bytes)),
            },
            facts.architecture.map_or("?".into(), |name| plain(&name)),
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

fn list_catalogue(settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    if settings.json {
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
                    "cached": store::is_cached(r.alias, &settings.hub),
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
            match store::is_cached(r.alias, &settings.hub) {
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
}
