//! Text → pieces that a speech model can say in one go.
//!
//! A piece is a sentence, or several short ones, or a part of one that is too long. The text may arrive bit by bit:
//! every character is looked at in the same way, so that the pieces do not depend on the bits. Knows English and
//! Chinese well, other scripts by their punctuation.

mod abbreviations;
mod boundary;
mod characters;
mod cut;

use boundary::{Verdict, View};
pub use characters::{clean, estimated_seconds, speakable};
use characters::{is_removed, is_wide, milliseconds, Mark};

/// How long pieces are, in seconds as [`estimated_seconds`] counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// No piece is longer. Less than a second is taken for a second.
    pub longest: f64,
    /// A sentence that is shorter takes the next one in, within the paragraph.
    pub shortest: f64,
    /// The same for the first piece, which somebody waits for.
    pub first: f64,
}

impl Default for Limit {
    /// 13 s at most, about 190 Latin letters or 58 Han characters; 2 s at least, 1.5 s for the first.
    fn default() -> Self {
        Self {
            longest: 13.0,
            shortest: 2.0,
            first: 1.5,
        }
    }
}

/// What is said in one go. It has something to say ([`speakable`]) and no white space at its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    /// Whether a paragraph ends with it.
    pub paragraph: bool,
}

/// White space that has been read and not yet been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    None,
    Blank,
    /// With the end of a line.
    Line,
    /// With an empty line.
    Break,
}

/// Splits a text that arrives bit by bit. It holds no more of it than a piece and some seconds.
#[derive(Debug, Clone)]
pub struct Splitter {
    /// Milliseconds.
    longest: u32,
    shortest: u32,
    /// What the next piece must last: less for the first.
    enough: u32,
    /// What is not yet said: single spaces, `\n` where a line ended, none at the ends.
    text: Vec<char>,
    /// How long `text` lasts, in milliseconds.
    lasts: u32,
    /// Before it, every mark of `text` has been judged.
    judged: usize,
    /// Where the last sentence of `text` begins, if short ones precede it.
    joined: Option<usize>,
    /// Whether a `"` is open where `text` begins.
    quoted: bool,
    gap: Gap,
    after_return: bool,
    pieces: Vec<Piece>,
}

/// How much may follow a mark before it is known what the mark is, in milliseconds.
const FORESIGHT: u32 = 3_000;

impl Splitter {
    /// An empty text.
    pub fn new(limit: Limit) -> Self {
        // `as` saturates, and takes NaN for 0.
        let milliseconds = |seconds: f64| (seconds * 1000.0).round().min(1e9) as u32;
        Self {
            longest: milliseconds(limit.longest).max(1000),
            shortest: milliseconds(limit.shortest),
            enough: milliseconds(limit.first),
            text: Vec::new(),
            lasts: 0,
            judged: 0,
            joined: None,
            quoted: false,
            gap: Gap::None,
            after_return: false,
            pieces: Vec::new(),
        }
    }

    /// Takes the next bit of the text; gives the pieces that are complete whatever follows.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        let mut out = Vec::new();
        for c in text.chars() {
            self.read(c);
            out.append(&mut self.pieces);
        }
        out
    }

    /// The pieces that are left at the end of the text.
    pub fn finish(mut self) -> Vec<Piece> {
        self.close(false);
        self.pieces
    }

    fn read(&mut self, c: char) {
        let after_return = std::mem::replace(&mut self.after_return, c == '\r');
        match c {
            '\n' if after_return => {}
            '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' => match self.gap {
                Gap::None | Gap::Blank => self.gap = Gap::Line,
                Gap::Line => self.close(true),
                Gap::Break => {}
            },
            '\u{2029}' if self.gap != Gap::Break => self.close(true),
            // A line that is set in begins a Chinese paragraph.
            '\u{3000}' if self.gap == Gap::Line => self.close(true),
            c if c.is_whitespace() => {
                if self.gap == Gap::None {
                    self.gap = Gap::Blank;
                }
            }
            c if is_removed(c) => {}
            c => {
                let gap = std::mem::replace(&mut self.gap, Gap::None);
                if !self.text.is_empty() {
                    match gap {
                        Gap::Blank => self.append(' '),
                        Gap::Line => self.append('\n'),
                        Gap::None | Gap::Break => {}
                    }
                }
                self.append(c);
                self.advance(false);
            }
        }
    }

    fn append(&mut self, c: char) {
        self.text.push(c);
        self.lasts += milliseconds(c);
    }

    /// Judges the marks that have not been, and says what is complete.
    fn advance(&mut self, closed: bool) {
        loop {
            let is_mark = |c: &char| *c == '\n' || Mark::of(*c).is_some();
            let rest = self.text.get(self.judged..).unwrap_or_default();
            let Some(distance) = rest.iter().position(is_mark) else {
                self.judged = self.text.len();
                break;
            };
            self.judged += distance;
            let view = View {
                text: &self.text,
                start: self.joined.unwrap_or(0),
                quoted: self.quoted,
                closed,
            };
            match view.judge(self.judged) {
                Verdict::Wait => break,
                Verdict::Within(at) => self.judged = at,
                // The rest of a paragraph is said by whoever closes it.
                Verdict::End(at) if at == self.text.len() => break,
                Verdict::End(at) => self.end(at),
            }
        }
        let waits = self.judged < self.text.len();
        let allowed = self.longest + if waits && !closed { FORESIGHT } else { 0 };
        if self.lasts > allowed {
            self.shorten();
        }
    }

    /// A sentence ends before `at`, and more follows.
    fn end(&mut self, at: usize) {
        let done = self.text.get(..at).unwrap_or_default();
        let lasts: u32 = done.iter().copied().map(milliseconds).sum();
        if lasts > self.longest {
            self.shorten();
        } else if lasts >= self.enough && done.iter().any(|c| c.is_alphanumeric()) {
            self.say(at, false);
        } else {
            let blank = matches!(self.text.get(at), Some(' ' | '\n'));
            self.joined = Some(at + usize::from(blank));
            self.judged = at + usize::from(blank);
        }
    }

    /// Says a part of what is too long, until it is not.
    fn shorten(&mut self) {
        while self.lasts > self.longest {
            let at = cut::cut(&self.text, self.longest, self.joined);
            self.say(at, false);
        }
    }

    /// The paragraph ends here.
    fn close(&mut self, paragraph: bool) {
        self.advance(true);
        self.shorten();
        self.say(self.text.len(), paragraph);
        self.quoted = false;
        self.gap = Gap::Break;
    }

    /// Makes a piece of the first `length` characters, if there is something to say.
    fn say(&mut self, length: usize, paragraph: bool) {
        let length = length.min(self.text.len());
        let blank = matches!(self.text.get(length), Some(' ' | '\n'));
        let gone = length + usize::from(blank);
        let mut said: Vec<char> = self.text.drain(..gone).collect();
        said.truncate(length);
        if said.iter().filter(|c| **c == '"').count() % 2 == 1 {
            self.quoted = !self.quoted;
        }
        self.lasts = self.text.iter().copied().map(milliseconds).sum();
        self.judged = self.judged.saturating_sub(gone);
        self.joined = self
            .joined
            .and_then(|at| at.checked_sub(gone))
            .filter(|at| *at > 0);
        let text = written(&said);
        if speakable(&text) {
            self.enough = self.shortest;
            self.pieces.push(Piece { text, paragraph });
        }
    }
}

/// The text as it is read: a line's end is a space, and nothing between Chinese characters.
fn written(text: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    let neighbour = |at: Option<usize>| at.and_then(|at| text.get(at)).copied();
    for (i, c) in text.iter().copied().enumerate() {
        if c != '\n' {
            out.push(c);
            continue;
        }
        let (before, after) = (neighbour(i.checked_sub(1)), neighbour(Some(i + 1)));
        if !(before.is_some_and(is_wide) && after.is_some_and(is_wide)) {
            out.push(' ');
        }
    }
    out.trim().to_string()
}

#[cfg(test)]
mod tests;
