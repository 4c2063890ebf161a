//! A reply while it is written: the answer on stdout, the thinking on stderr.

use std::io::{self, Write};

use super::markdown::Markdown;
use crate::cli::terminal::Terminal;
use crate::text::thinking::{Piece, Thinking};

/// How a reply is shown.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Nothing is written while the reply comes in.
    pub silent: bool,
    pub markdown: bool,
    pub show_thinking: bool,
    pub terminal: Terminal,
}

/// Where the pieces of a reply go.
pub struct View<'a> {
    out: &'a mut dyn Write,
    look: Look,
    thinking: Thinking,
    /// On a terminal alone: what is read by a program is left as it is.
    markdown: Option<Markdown>,
    /// Stderr is in the middle of the thinking.
    dimmed: bool,
    /// The answer so far does not end a line.
    open_line: bool,
}

impl<'a> View<'a> {
    pub fn new(out: &'a mut dyn Write, look: Look, thinking: Thinking) -> Self {
        let styled = look.markdown && look.terminal.stdout_color;
        Self {
            out,
            look,
            thinking,
            markdown: look.terminal.stdout.then(|| Markdown::new(styled)),
            dimmed: false,
            open_line: false,
        }
    }

    /// More of the reply.
    pub fn push(&mut self, text: &str) -> io::Result<()> {
        for piece in self.thinking.push(text) {
            self.show(piece)?;
        }
        Ok(())
    }

    /// The reply has ended, or broke off: what was begun is brought to an end, the last line too.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Some(piece) = self.thinking.finish() {
            self.show(piece)?;
        }
        self.end_thinking();
        if self.look.silent {
            return Ok(());
        }
        if let Some(markdown) = &mut self.markdown {
            self.out.write_all(markdown.finish().as_bytes())?;
        }
        if self.open_line {
            self.out.write_all(b"\n")?;
            self.open_line = false;
        }
        self.out.flush()
    }

    fn show(&mut self, piece: Piece) -> io::Result<()> {
        match piece {
            _ if self.look.silent => Ok(()),
            Piece::Thinking(text) => {
                if self.look.show_thinking {
                    self.show_thinking(&text);
                }
                Ok(())
            }
            Piece::Answer(text) => {
                self.end_thinking();
                self.open_line = !text.ends_with('\n');
                match &mut self.markdown {
                    Some(markdown) => self.out.write_all(markdown.push(&text).as_bytes())?,
                    None => self.out.write_all(text.as_bytes())?,
                }
                self.out.flush()
            }
        }
    }

    /// That nobody can read stderr is no reason to stop.
    fn show_thinking(&mut self, text: &str) {
        let mut text = text;
        if !self.dimmed {
            text = text.trim_start();
            if text.is_empty() {
                return;
            }
            self.dimmed = true;
            let _ = self.stderr(if self.look.terminal.stderr_color {
                "\x1b[2m"
            } else {
                ""
            });
        }
        let shown = match self.look.terminal.stderr {
            true => Markdown::new(false).push(text),
            false => text.to_string(),
        };
        let _ = self.stderr(&shown);
    }

    fn end_thinking(&mut self) {
        if std::mem::take(&mut self.dimmed) {
            let _ = self.stderr(if self.look.terminal.stderr_color {
                "\x1b[0m\n\n"
            } else {
                "\n\n"
            });
        }
    }

    fn stderr(&self, text: &str) -> io::Result<()> {
        let mut stderr = io::stderr().lock();
        stderr.write_all(text.as_bytes())?;
        stderr.flush()
    }
}
