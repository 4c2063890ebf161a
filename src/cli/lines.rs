//! Where a chat's lines come from: an editor on a terminal, or plain stdin.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use directories::ProjectDirs;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};

use super::exit::CliError;
use super::input::MAX_BYTES;
use super::settings::Settings;

const MAX_HISTORY: usize = 10_000;

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Text(String),
    /// Ctrl-C on the prompt.
    Interrupted,
    /// Ctrl-D, or the end of the file.
    End,
}

pub enum Lines {
    Editor {
        editor: Box<Editor<(), FileHistory>>,
        /// None: it could not be opened, and nothing is kept.
        history: Option<PathBuf>,
    },
    /// Each line is a turn.
    Plain { number: usize },
}

impl Lines {
    /// An editor when a person sits at both ends. A history that cannot be kept is a note and not an error.
    pub fn open(settings: &Settings) -> Self {
        if !(settings.terminal.stdin && settings.terminal.stdout) {
            return Self::Plain { number: 0 };
        }
        let Ok(mut editor) = editor() else {
            return Self::Plain { number: 0 };
        };
        let history = history_file().and_then(|path| {
            private_file(&path).with_context(|| format!("opening {}", path.display()))?;
            editor
                .load_history(&path)
                .with_context(|| format!("reading {}", path.display()))?;
            Ok(path)
        });
        let history = history
            .map_err(|error| settings.note(&format!("no history is kept: {error:#}")))
            .ok();
        Self::Editor {
            editor: Box::new(editor),
            history,
        }
    }

    pub fn interactive(&self) -> bool {
        matches!(self, Self::Editor { .. })
    }

    /// Waits for the next line.
    pub fn read(&mut self) -> anyhow::Result<Line> {
        match self {
            Self::Editor { editor, history } => match editor.readline(">>> ") {
                Ok(line) => {
                    remember(editor, history.as_deref(), &line);
                    Ok(Line::Text(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(error).context("reading the terminal"),
            },
            Self::Plain { number } => {
                *number += 1;
                plain_line(&mut io::stdin().lock(), *number)
            }
        }
    }
}

fn editor() -> rustyline::Result<Editor<(), FileHistory>> {
    let config = Config::builder()
        .max_history_size(MAX_HISTORY)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .build();
    Editor::with_config(config)
}

/// Written after every line, so that a killed terminal loses none. A full disk must not end the conversation.
fn remember(editor: &mut Editor<(), FileHistory>, history: Option<&Path>, line: &str) {
    let added = editor.add_history_entry(line).unwrap_or(false);
    if let (true, Some(path)) = (added, history) {
        let _ = editor.append_history(path);
    }
}

/// Where lines are remembered.
fn history_file() -> anyhow::Result<PathBuf> {
    Ok(state_folder()?.join("history"))
}

/// `crane` in the XDG state folder, or where the system keeps such files.
pub(super) fn state_folder() -> anyhow::Result<PathBuf> {
    let folders = ProjectDirs::from("", "", "crane").context("there is no home folder")?;
    let folder = folders
        .state_dir()
        .unwrap_or_else(|| folders.data_local_dir());
    Ok(folder.to_path_buf())
}

/// Makes the file, and its folder, readable by its owner alone: people type secrets.
fn private_file(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = options.mode(0o600).open(path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    #[cfg(not(unix))]
    options.open(path)?;
    Ok(())
}

fn plain_line(source: &mut impl BufRead, number: usize) -> anyhow::Result<Line> {
    let mut bytes = Vec::new();
    let mut bounded = source.take(MAX_BYTES + 1);
    let read = bounded
        .read_until(b'\n', &mut bytes)
        .context("reading stdin")?;
    if read == 0 {
        return Ok(Line::End);
    }
    if read as u64 > MAX_BYTES {
        return Err(CliError::TooLarge(format!(
            "line {number} of stdin has more than {} MiB; no context holds it",
            MAX_BYTES >> 20
        ))
        .into());
    }
    while bytes
        .last()
        .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
    {
        bytes.pop();
    }
    String::from_utf8(bytes).map(Line::Text).map_err(|error| {
        CliError::Usage(format!(
            "stdin is not UTF-8 text: line {number}, byte {} (counted from 0)",
            error.utf8_error().valid_up_to()
        ))
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_they_end() {
        let mut source = io::Cursor::new(b"one\r\n\ntwo".to_vec());
        let mut next = || plain_line(&mut source, 1).unwrap();
        assert_eq!(next(), Line::Text("one".into()));
        assert_eq!(next(), Line::Text(String::new()));
        assert_eq!(next(), Line::Text("two".into()));
        assert_eq!(next(), Line::End);
    }

    #[test]
    fn a_wrong_byte_is_named() {
        let error = plain_line(&mut io::Cursor::new(b"a\xff\n".to_vec()), 3).unwrap_err();
        assert!(error.to_string().contains("line 3, byte 1"));
    }

    #[test]
    #[cfg(unix)]
    fn the_history_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/history");
        private_file(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        private_file(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
