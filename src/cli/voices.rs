//! `crane voices`: voices that were kept, one small file each.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::{Args, Subcommand};
use directories::ProjectDirs;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::speech::VoiceTokens;

use super::exit::CliError;
use super::output::Sink;
use super::settings::Settings;

#[derive(Debug, Clone, Args)]
pub struct VoicesArgs {
    #[command(subcommand)]
    pub command: VoicesCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum VoicesCommand {
    /// List the voices
    #[command(visible_alias = "ls")]
    List,
    /// Show a voice: its tokens, its words, where it came from
    Show {
        /// As --save-voice named it
        name: String,
    },
    /// Remove a voice
    Rm {
        /// As --save-voice named it
        name: String,
    },
}

/// A voice's file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    name: String,
    /// Where it came from, for people.
    #[serde(default)]
    from: String,
    /// Seconds since 1970.
    #[serde(default)]
    created: u64,
    #[serde(flatten)]
    tokens: VoiceTokens,
}

/// The largest file that can be a voice: minutes of tokens.
const MOST_BYTES: u64 = 16 << 20;

pub fn run(args: &VoicesArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    match &args.command {
        VoicesCommand::List => list(settings, out),
        VoicesCommand::Show { name } => show(name, settings, out),
        VoicesCommand::Rm { name } => {
            let file = existing(name)?;
            fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
            settings.note(&format!("voice '{name}' is removed"));
            Ok(())
        }
    }
}

/// Keeps `voice` as `name`, in place of what had that name.
pub fn save(
    name: &str,
    voice: &VoiceTokens,
    from: &str,
    settings: &Settings,
) -> anyhow::Result<()> {
    let file = file_of(name)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let kept = Kept {
        name: name.to_string(),
        from: from.to_string(),
        created: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs()),
        tokens: voice.clone(),
    };
    let mut nowhere = io::sink();
    let mut sink = Sink::open(Some(&file), &mut nowhere)?;
    writeln!(sink, "{}", serde_json::to_string(&kept)?)?;
    sink.finish()?;
    settings.note(&format!(
        "the voice is kept as '{name}' (crane tts --voice {name})"
    ));
    Ok(())
}

/// The voice `name`.
pub fn load(name: &str, settings: &Settings) -> anyhow::Result<VoiceTokens> {
    let kept = read(&existing(name)?)?;
    settings.detail(&format!("voice '{name}' is from {}", kept.from));
    Ok(kept.tokens)
}

fn list(settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let folder = folder()?;
    let mut all = Vec::new();
    match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
        Ok(entries) => {
            for entry in entries.flatten() {
                let path = entry.path();
                if path.extension().is_some_and(|e| e == "json") {
                    match read(&path) {
                        Ok(kept) => all.push(kept),
                        Err(error) => settings.note(&error.to_string()),
                    }
                }
            }
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if settings.json {
        let rows: Vec<_> = all.iter().map(brief).collect();
        return Ok(writeln!(out, "{}", serde_json::to_string(&rows)?)?);
    }
    if all.is_empty() {
        settings.note("no voice is kept yet; 'crane tts --save-voice NAME' keeps one");
    }
    let width = all.iter().map(|kept| kept.name.chars().count()).max();
    for kept in &all {
        let name = format!("{:width$}", kept.name, width = width.unwrap_or(0));
        writeln!(out, "{name}  {}{}", kept.from, length(kept))?;
    }
    Ok(())
}

/// What a list says of a voice.
fn brief(kept: &Kept) -> serde_json::Value {
    json!({
        "name": kept.name,
        "from": kept.from,
        "created": kept.created,
        "text": kept.tokens.text,
        "semantic_tokens": kept.tokens.semantic.as_ref().map_or(0, Vec::len),
    })
}

fn length(kept: &Kept) -> String {
    match &kept.tokens.semantic {
        Some(tokens) => format!(
            ", {:.1} s{}",
            tokens.len() as f64 / crate::models::spark::TOKENS_A_SECOND as f64,
            if kept.tokens.text.is_some() {
                " with its words"
            } else {
                ""
            }
        ),
        None => String::new(),
    }
}

fn show(name: &str, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let kept = read(&existing(name)?)?;
    if settings.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&kept)?)?);
    }
    writeln!(out, "name      {}", kept.name)?;
    writeln!(out, "from      {}{}", kept.from, length(&kept))?;
    if let Some(text) = &kept.tokens.text {
        writeln!(out, "words     {text}")?;
    }
    let numbers = |tokens: &[u32]| -> String {
        let words: Vec<String> = tokens.iter().map(u32::to_string).collect();
        words.join(" ")
    };
    writeln!(out, "global    {}", numbers(&kept.tokens.global))?;
    if let Some(semantic) = &kept.tokens.semantic {
        writeln!(out, "semantic  {}", numbers(semantic))?;
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Kept> {
    let size = fs::metadata(file).map(|m| m.len()).unwrap_or(0);
    let damaged = |why: String| {
        CliError::Corrupt(format!(
            "{} is no voice: {why}; remove it and make it again with 'crane tts --save-voice'",
            file.display()
        ))
    };
    if size > MOST_BYTES {
        return Err(damaged(format!("{size} bytes")).into());
    }
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?)
}

/// The file of a voice that is there.
fn existing(name: &str) -> anyhow::Result<PathBuf> {
    let file = file_of(name)?;
    match file.is_file() {
        true => Ok(file),
        false => Err(CliError::Missing(format!(
            "there is no voice '{name}'; 'crane voices list' names those that there are"
        ))
        .into()),
    }
}

fn file_of(name: &str) -> anyhow::Result<PathBuf> {
    let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let sound =
        !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.chars().all(good);
    match sound {
        true => Ok(folder()?.join(format!("{name}.json"))),
        false => Err(CliError::Usage(format!(
            "'{name}' is no name for a voice; letters, digits, '-', '_' and '.' are"
        ))
        .into()),
    }
}

/// Where voices are kept: the XDG data directory, or what the system has for it.
fn folder() -> anyhow::Result<PathBuf> {
    let dirs = ProjectDirs::from("", "", "crane")
        .context("there is no home directory to keep voices in; set HOME")?;
    Ok(dirs.data_dir().join("voices"))
}
