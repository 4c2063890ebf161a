//! Where a chat's lines come from: an editor on a terminal, or plain stdin.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use anyhow::Context;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{
    Behavior, Cmd, ColorMode, CompletionType, ConditionalEventHandler, Config, Editor, Event,
    EventContext, EventHandler, KeyCode, KeyEvent, Modifiers, RepeatCount,
};

use super::helper::{self, ChatHelper, Names};
use crate::cli::exit::CliError;
use crate::cli::input::MAX_BYTES;
use crate::cli::settings::Settings;
use crate::cli::state;

const MAX_HISTORY: usize = 10_000;

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Text(String),
    /// Ctrl-G: this is to be edited elsewhere.
    Edit(String),
    /// Ctrl-C on the prompt.
    Interrupted {
        empty: bool,
    },
    /// Something that is no text, and why.
    Unreadable(String),
    /// Ctrl-D, or the end of the file.
    End,
}

pub enum Lines {
    Editor(Box<LineEditor>),
    /// Each line is a turn.
    Plain {
        number: usize,
    },
    /// There is no more to be read.
    Nothing,
}

pub struct LineEditor {
    editor: Editor<ChatHelper, FileHistory>,
    /// None: it could not be opened or is not wanted, and nothing is kept.
    history: Option<PathBuf>,
    multi: Arc<AtomicBool>,
    /// Ctrl-G was pressed.
    elsewhere: Arc<AtomicBool>,
    /// There was text when Ctrl-C was pressed.
    text: Arc<AtomicBool>,
}

/// How a chat is entered.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Stdin was read for the first turn; the terminal is what controls the process.
    pub stdin_spent: bool,
    pub keep_history: bool,
    /// Objects are read and written; no person is there.
    pub scripted: bool,
}

impl Lines {
    /// An editor when a person sits at both ends. A history that cannot be kept is a note and not an error.
    pub fn open(settings: &Settings, entry: Entry, names: Names) -> Self {
        let person = (settings.terminal.stdin || entry.stdin_spent)
            && settings.terminal.stdout
            && !entry.scripted;
        if person {
            if let Ok(editor) = LineEditor::open(settings, entry, names) {
                return Self::Editor(Box::new(editor));
            }
        }
        match entry.stdin_spent {
            true => Self::Nothing,
            false => Self::Plain { number: 0 },
        }
    }

    pub fn interactive(&self) -> bool {
        matches!(self, Self::Editor(_))
    }

    /// Waits for the next line. `full` is how much of the context is taken, from 0 to 1.
    pub fn read(&mut self, full: f64) -> anyhow::Result<Line> {
        match self {
            Self::Editor(editor) => editor.read(full),
            Self::Plain { number } => {
                *number += 1;
                plain_line(&mut io::stdin().lock(), *number)
            }
            Self::Nothing => Ok(Line::End),
        }
    }

    /// Switches what Enter does; None where no person types.
    pub fn toggle_multi(&mut self) -> Option<bool> {
        match self {
            Self::Editor(editor) => Some(!editor.multi.fetch_xor(true, Ordering::Relaxed)),
            Self::Plain { .. } | Self::Nothing => None,
        }
    }
}

impl LineEditor {
    fn open(settings: &Settings, entry: Entry, names: Names) -> anyhow::Result<Self> {
        let color = settings.terminal.stdout_color;
        let config = Config::builder()
            .max_history_size(MAX_HISTORY)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .behavior(match entry.stdin_spent {
                true => Behavior::PreferTerm,
                false => Behavior::Stdio,
            })
            .color_mode(match color {
                true => ColorMode::Enabled,
                false => ColorMode::Disabled,
            })
            .build();
        let mut editor: Editor<ChatHelper, FileHistory> = Editor::with_config(config)?;
        let chat = ChatHelper::new(names, color);
        let multi = Arc::clone(&chat.multi);
        editor.set_helper(Some(chat));
        let (elsewhere, text) = (Arc::default(), Arc::default());
        bind(&mut editor, &multi, &elsewhere, &text);
        let history = entry.keep_history.then(|| {
            let path = state::folder()?.join("history");
            state::private_file(&path).with_context(|| format!("opening {}", path.display()))?;
            editor
                .load_history(&path)
                .with_context(|| format!("reading {}", path.display()))?;
            anyhow::Ok(path)
        });
        let history = history.and_then(|opened| {
            opened
                .map_err(|error| settings.note(&format!("no history is kept: {error:#}")))
                .ok()
        });
        Ok(Self {
            editor,
            history,
            multi,
            elsewhere,
            text,
        })
    }

    fn read(&mut self, full: f64) -> anyhow::Result<Line> {
        self.elsewhere.store(false, Ordering::Relaxed);
        let (plain, styled) = prompt(full);
        match self.editor.readline(&(plain, styled)) {
            Ok(line) if self.elsewhere.load(Ordering::Relaxed) => Ok(Line::Edit(line)),
            Ok(line) => {
                remember(&mut self.editor, self.history.as_deref(), &line);
                let multi = self.multi.load(Ordering::Relaxed);
                Ok(Line::Text(helper::message(&line, multi)))
            }
            Err(ReadlineError::Interrupted) => Ok(Line::Interrupted {
                empty: !self.text.load(Ordering::Relaxed),
            }),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => Ok(
                Line::Unreadable("what was typed is not UTF-8 text; it is left out".into()),
            ),
            Err(error) => Err(error).context("reading the terminal"),
        }
    }
}

/// What stands before the line: how full the context is, from one percent on.
fn prompt(full: f64) -> (String, String) {
    let percent = (full * 100.0).round();
    match percent >= 1.0 {
        true => (
            format!("{percent:.0}% >>> "),
            format!("\x1b[2m{percent:.0}%\x1b[0m >>> "),
        ),
        false => (">>> ".into(), ">>> ".into()),
    }
}

fn bind(
    editor: &mut Editor<ChatHelper, FileHistory>,
    multi: &Arc<AtomicBool>,
    elsewhere: &Arc<AtomicBool>,
    text: &Arc<AtomicBool>,
) {
    let key = |key: KeyEvent| Event::KeySeq(vec![key]);
    let on = |answer: ByLine| EventHandler::Conditional(Box::new(On(answer)));
    let multi = Arc::clone(multi);
    editor.bind_sequence(
        key(KeyEvent(KeyCode::Enter, Modifiers::ALT)),
        on(Box::new(move |_| {
            Some(match multi.load(Ordering::Relaxed) {
                true => Cmd::AcceptLine,
                false => Cmd::Newline,
            })
        })),
    );
    let elsewhere = Arc::clone(elsewhere);
    editor.bind_sequence(
        key(KeyEvent::ctrl('G')),
        on(Box::new(move |_| {
            elsewhere.store(true, Ordering::Relaxed);
            Some(Cmd::AcceptLine)
        })),
    );
    let text = Arc::clone(text);
    editor.bind_sequence(
        key(KeyEvent::ctrl('C')),
        on(Box::new(move |line| {
            text.store(!line.is_empty(), Ordering::Relaxed);
            None
        })),
    );
}

/// What a key does, by the line so far; None: what it always does.
type ByLine = Box<dyn Fn(&str) -> Option<Cmd> + Send + Sync>;

struct On(ByLine);

impl ConditionalEventHandler for On {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext) -> Option<Cmd> {
        self.0(context.line())
    }
}

/// Written after every line, so that a killed terminal loses none. A full disk must not end the conversation.
fn remember(editor: &mut Editor<ChatHelper, FileHistory>, history: Option<&Path>, line: &str) {
    let added = editor.add_history_entry(line).unwrap_or(false);
    if let (true, Some(path)) = (added, history) {
        let _ = editor.append_history(path);
    }
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
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Line::Text(text),
        Err(error) => Line::Unreadable(format!(
            "stdin is not UTF-8 text: line {number}, byte {} (counted from 0)",
            error.utf8_error().valid_up_to()
        )),
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
        let mut source = io::Cursor::new(b"a\xff\nb".to_vec());
        let Line::Unreadable(why) = plain_line(&mut source, 3).unwrap() else {
            panic!("a line");
        };
        assert!(why.contains("line 3, byte 1"), "{why}");
        assert_eq!(plain_line(&mut source, 4).unwrap(), Line::Text("b".into()));
    }

    #[test]
    fn the_prompt_says_how_full_the_context_is() {
        assert_eq!(prompt(0.004).0, ">>> ");
        assert_eq!(prompt(0.126).0, "13% >>> ");
        assert_eq!(prompt(1.0).0, "100% >>> ");
    }
}
