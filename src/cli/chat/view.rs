//! A reply while it is written: the answer on stdout, the thinking on stderr.

use std::io::{self, Write};

use super::markdown::Markdown;
use crate::cli::terminal::Terminal;
use crate::cli::thinking::Aside;
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
    aside: Aside,
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
            aside: Aside::new(look.show_thinking, look.terminal),
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
        self.aside.end();
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
                self.aside.push(&text);
                Ok(())
            }
            Piece::Answer(text) => {
                self.aside.end();
                self.open_line = !text.ends_with('\n');
                match &mut self.markdown {
                    Some(markdown) => self.out.write_all(markdown.push(&text).as_bytes())?,
                    None => self.out.write_all(text.as_bytes())?,
                }
                self.out.flush()
            }
        }
    }
}
