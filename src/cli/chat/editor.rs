//! A text in the user's own editor.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::cli::exit::CliError;
use crate::cli::{interrupt, state};

/// Removes the file when it is done with.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Opens `text` in `$VISUAL`, `$EDITOR` or vi and returns what was saved. Where no person types, one of the variables
/// names the editor, which gets neither stdin nor stdout.
///
/// # Errors
/// An editor that cannot be started or fails.
pub fn edit(text: &str, interactive: bool) -> anyhow::Result<String> {
    let chosen = ["VISUAL", "EDITOR"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.trim().is_empty());
    let editor = match chosen {
        Some(editor) => editor,
        None if !interactive => {
            return Err(CliError::Usage(
                "/edit needs EDITOR where no person types; /undo takes the last question back"
                    .into(),
            )
            .into())
        }
        None if cfg!(windows) => "notepad".into(),
        None => "vi".into(),
    };
    let scratch = Scratch(std::env::temp_dir().join(format!(
        "crane-{}-{:08x}.md",
        std::process::id(),
        rand::random::<u32>()
    )));
    let mut file = state::private()
        .write(true)
        .create_new(true)
        .open(&scratch.0)
        .with_context(|| format!("writing {}", scratch.0.display()))?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("writing {}", scratch.0.display()))?;
    drop(file);
    // Ctrl-C is the editor's.
    let polled = interrupt::Deferred::new();
    let mut command = command(&editor, &scratch.0);
    if !interactive {
        command.stdin(Stdio::null()).stdout(io::stderr());
    }
    let status = command.status();
    drop(polled);
    interrupt::take();
    let status = status.with_context(|| format!("starting '{editor}' (set EDITOR)"))?;
    if !status.success() {
        return Err(CliError::Failed(format!(
            "the editor '{editor}' ended with {status}; nothing is sent"
        ))
        .into());
    }
    let edited = fs::read_to_string(&scratch.0).context("reading what was edited")?;
    Ok(edited.trim_end_matches(['\n', '\r']).to_string())
}

/// The variable may hold arguments, as `code --wait`: a shell takes them apart.
#[cfg(unix)]
fn command(editor: &str, file: &std::path::Path) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(file);
    command
}

#[cfg(not(unix))]
fn command(editor: &str, file: &std::path::Path) -> Command {
    let mut words = editor.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("notepad"));
    command.args(words).arg(file);
    command
}
