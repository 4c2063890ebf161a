//! A model's thinking: whether it is asked for, and where it is shown.

use std::io::{self, Write};

use clap::{Args, ValueEnum};

use super::terminal::Terminal;

#[derive(Debug, Clone, Copy, Default, Args)]
pub struct ThinkingArgs {
    /// Whether a model that can think does so before it answers [default: as its template says; off where the answer has
    /// a structure]
    #[arg(long, value_name = "on|off")]
    pub think: Option<Switch>,
    /// Show the thinking, on stderr, also where stdout or stderr is not a terminal
    #[arg(long)]
    pub show_thinking: bool,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Switch {
    #[default]
    On,
    Off,
}

impl ThinkingArgs {
    /// What the template is told.
    pub fn asked(&self) -> Option<bool> {
        self.think.map(|think| think == Switch::On)
    }

    /// Whether it is shown: to a person always, in a pipe when asked for.
    pub fn shown(&self, terminal: &Terminal) -> bool {
        self.show_thinking || (terminal.stdout && terminal.stderr)
    }
}

/// Thinking as it comes, on stderr, dimmed on a terminal.
pub struct Aside {
    pub terminal: Terminal,
    shown: bool,
    begun: bool,
}

impl Aside {
    pub fn new(shown: bool, terminal: Terminal) -> Self {
        Self {
            terminal,
            shown,
            begun: false,
        }
    }

    /// More of it. That nobody can read stderr is no reason to stop.
    pub fn push(&mut self, text: &str) {
        if !self.shown {
            return;
        }
        let terminal = self.terminal;
        let mut text = text;
        if !self.begun {
            text = text.trim_start();
            if text.is_empty() {
                return;
            }
            self.begun = true;
            let _ = say(if terminal.stderr_color { "\x1b[2m" } else { "" });
        }
        let _ = match terminal.stderr {
            true => say(&visible(text)),
            false => say(text),
        };
    }

    /// The answer begins.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.begun) {
            let _ = say(if self.terminal.stderr_color {
                "\x1b[0m\n\n"
            } else {
                "\n\n"
            });
        }
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes())?;
    stderr.flush()
}

/// `text` for a terminal: control characters, which could move the cursor or retitle the window, as their pictures.
pub fn visible(text: &str) -> String {
    text.chars().map(picture).collect()
}

/// A character that a terminal shows and does not obey.
pub fn picture(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        // Unicode has a picture for each of the first 32, and for delete.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(c),
        '\x7f' => '␡',
        '\u{80}'..='\u{9f}' => char::REPLACEMENT_CHARACTER,
        _ => c,
    }
}
