//! `crane show MODEL`: what a model says of itself, from its headers alone. Tensor data is never read.

mod facts;
mod parts;

use std::io::Write;

use serde_json::{json, Value};

use crate::hub::{self, human_bytes, HubError, Located, Reference};
use crate::weights::{histogram, Checkpoint};

use super::exit::CliError;
use super::session;
use super::settings::Settings;
use super::terminal::plain;
use facts::Facts;

/// The model's files; a question about a model does not fetch gigabytes of it.
fn on_this_machine(model: &str, settings: &Settings) -> anyhow::Result<Located> {
    let mut offline = settings.hub.clone();
    offline.offline = true;
    let of_the_hub = matches!(Reference::parse(model, None, None)?, Reference::Hub(_));
    hub::locate(model, &offline, &hub::Silent).map_err(|error| match error {
        HubError::NotFound(_) if of_the_hub && !settings.hub.offline => {
            CliError::Missing(format!(
                "{model} is not on this machine; 'crane pull {model}' fetches it, and with --dry-run says how much \
                 that is"
            ))
            .into()
        }
        other => other.into(),
    })
}

/// Lines of the chat template that are shown without `--template`.
const TEMPLATE_LINES: usize = 5;

/// What `crane show` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct ShowArgs {
    /// The model: an alias, org/repo, a folder or a .gguf file
    pub model: String,
    /// List every tensor: name, shape, type, bytes
    #[arg(long)]
    pub tensors: bool,
    /// Print the whole chat template
    #[arg(long)]
    pub template: bool,
}

/// Shows a model on `out`: for people, or as one JSON object.
///
/// # Errors
/// The model is not there, its headers are damaged (a [`crate::weights::WeightsError`]), or `out` cannot be
/// written.
pub fn run(args: &ShowArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let located = on_this_machine(&args.model, settings)?;
    let row = session::row(&args.model)?;
    let typed = &located.typed;
    match Checkpoint::open(&located.path) {
        Ok(checkpoint) => {
            let facts = Facts::read(&checkpoint, row);
            match settings.json {
                true => writeln!(out, "{}", as_json(args, typed, &checkpoint, &facts))?,
                false => as_text(args, typed, &checkpoint, &facts, out)?,
            }
        }
        Err(error) => match parts::of(&located) {
            parts if parts.is_empty() => return Err(error.into()),
            parts => parts::show(args, &located, row, &parts, settings.json, out)?,
        },
    }
    Ok(())
}

/// How many tensors have each type.
fn types(checkpoint: &Checkpoint) -> String {
    histogram(checkpoint.tensors().map(|t| t.format.name()))
}

fn as_json(args: &ShowArgs, typed: &str, checkpoint: &Checkpoint, facts: &Facts) -> Value {
    let mut types = serde_json::Map::new();
    for tensor in checkpoint.tensors() {
        let n = types.entry(tensor.format.name()).or_insert(json!(0));
        *n = json!(n.as_u64().unwrap_or(0) + 1);
    }
    let files: Vec<Value> = facts
        .files
        .iter()
        .map(|(path, bytes)| json!({"path": path, "bytes": bytes}))
        .collect();
    let mut object = json!({
        "model": typed,
        "path": checkpoint.path(),
        "format": facts.format,
        "name": facts.name,
        "architecture": facts.architecture,
        "task": facts.task,
        "parameters": checkpoint.parameters(),
        "bytes": facts.files.iter().map(|(_, b)| b).sum::<u64>(),
        "quantization": checkpoint.quantization(),
        "tensor_types": types,
        "context_length": facts.context_length,
        "hidden_size": facts.hidden_size,
        "layers": facts.layers,
        "heads": facts.heads,
        "kv_heads": facts.kv_heads,
        "head_dim": facts.head_dim,
        "vocab_size": facts.vocab_size,
        "rope_theta": facts.rope_theta,
        "rope_scaling": facts.rope_scaling,
        "sliding_window": facts.sliding_window,
        "tokenizer": facts.tokenizer,
        "chat_template": facts.chat_template,
        "license": facts.license,
        "files": files,
    });
    if args.tensors {
        object["tensors"] = checkpoint
            .tensors()
            .map(|t| {
                json!({
                    "name": t.name, "shape": t.shape, "type": t.format.name(), "bytes": t.bytes,
                })
            })
            .collect();
    }
    object
}

fn as_text(
    args: &ShowArgs,
    typed: &str,
    checkpoint: &Checkpoint,
    facts: &Facts,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let number = |n: Option<usize>| n.map(|n| n.to_string());
    let heads = facts.heads.map(|heads| match facts.kv_heads {
        Some(kv) if kv != heads => format!("{heads} (key/value {kv})"),
        _ => heads.to_string(),
    });
    let rope = facts.rope_theta.map(|theta| match &facts.rope_scaling {
        Some(scaling) => format!("theta {theta}, {scaling}"),
        None => format!("theta {theta}"),
    });
    let bytes: u64 = facts.files.iter().map(|(_, b)| b).sum();
    let rows = [
        ("model", Some(typed.to_string())),
        ("name", facts.name.clone()),
        ("path", Some(checkpoint.path().display().to_string())),
        ("format", Some(facts.format.to_string())),
        ("architecture", facts.architecture.clone()),
        (
            "task",
            Some(match (facts.task, facts.runs) {
                (Some(task), true) => task.to_string(),
                (Some(task), false) => format!("{task}; this version of crane cannot run it"),
                (None, _) => "this version of crane cannot run it".to_string(),
            }),
        ),
        ("parameters", Some(count(checkpoint.parameters()))),
        (
            "quantisation",
            checkpoint.quantization().map(str::to_string),
        ),
        ("tensor types", Some(types(checkpoint))),
        ("size", Some(human_bytes(bytes))),
        ("context length", number(facts.context_length)),
        ("hidden size", number(facts.hidden_size)),
        ("layers", number(facts.layers)),
        ("heads", heads),
        ("head size", number(facts.head_dim)),
        ("vocabulary", number(facts.vocab_size)),
        ("rope", rope),
        ("sliding window", number(facts.sliding_window)),
        ("tokenizer", facts.tokenizer.clone()),
        ("licence", facts.license.clone()),
    ];
    for (key, value) in rows {
        let value = value.unwrap_or_else(|| "not stated".to_string());
        writeln!(out, "{key:<15} {}", plain(&value))?;
    }
    template(args.template, facts.chat_template.as_deref(), out)?;
    writeln!(out, "files")?;
    for (path, bytes) in &facts.files {
        let name = path.file_name().unwrap_or(path.as_os_str());
        writeln!(
            out,
            "  {:>9}  {}",
            human_bytes(*bytes),
            plain(&name.to_string_lossy())
        )?;
    }
    if args.tensors {
        writeln!(out, "tensors")?;
        for t in checkpoint.tensors() {
            let shape = t
                .shape
                .iter()
                .map(usize::to_string)
                .collect::<Vec<_>>()
                .join(" x ");
            writeln!(
                out,
                "  {:<48} {shape:<16} {:<5} {:>12}",
                plain(&t.name),
                t.format.name(),
                t.bytes
            )?;
        }
    }
    Ok(())
}

fn template(whole: bool, template: Option<&str>, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(template) = template else {
        writeln!(out, "{:<15} none", "chat template")?;
        return Ok(());
    };
    let lines: Vec<&str> = template.lines().collect();
    let shown = if whole { lines.len() } else { TEMPLATE_LINES };
    writeln!(out, "chat template")?;
    for line in lines.iter().take(shown) {
        // A template may well be one line of several thousand characters.
        let cut: String = match line.char_indices().nth(120) {
            Some((at, _)) if !whole => format!("{} …", &line[..at]),
            _ => (*line).to_string(),
        };
        writeln!(out, "  {}", plain(&cut))?;
    }
    if shown < lines.len() {
        let more = lines.len() - shown;
        let lines = if more == 1 { "line" } else { "lines" };
        writeln!(out, "  … {more} more {lines} (--template shows all)")?;
    }
    Ok(())
}

/// `134.5 M (134,515,008)`.
fn count(n: u64) -> String {
    let short = match n {
        0..=999_999 => return grouped(n),
        1_000_000..=999_999_999 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.2} B", n as f64 / 1e9),
    };
    format!("{short} ({})", grouped(n))
}

/// `134,515,008`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_rounded_for_reading() {
        assert_eq!(count(576), "576");
        assert_eq!(count(134_515_008), "134.5 M (134,515,008)");
        assert_eq!(count(1_543_714_304), "1.54 B (1,543,714,304)");
    }

    #[test]
    fn a_long_template_is_cut_unless_asked_for() {
        let source = (0..9).map(|i| format!("line {i}\n")).collect::<String>();
        let mut short = Vec::new();
        template(false, Some(&source), &mut short).unwrap();
        let short = String::from_utf8(short).unwrap();
        assert!(
            short.contains("line 4") && !short.contains("line 5"),
            "{short}"
        );
        assert!(short.contains("4 more lines"), "{short}");
        let mut whole = Vec::new();
        template(true, Some(&source), &mut whole).unwrap();
        assert!(String::from_utf8(whole).unwrap().contains("line 8"));
    }
}
