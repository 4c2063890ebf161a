//! Light Markdown on a terminal: words are coloured as they stream, and no character is added, changed or taken away,
//! so that what is copied from the terminal is what the model wrote.

use crate::cli::thinking::picture;

/// Turns text into the same text with colours between its characters. Control characters, which could move the cursor
/// or retitle the window, are shown as their pictures.
#[derive(Debug)]
pub struct Markdown {
    /// Whether Markdown is looked at; else only control characters are.
    styled: bool,
    /// Inside a ``` block.
    block: bool,
    /// Inside a `code` span, opened by so many backticks.
    span: usize,
    bold: bool,
    heading: bool,
    /// Characters of the line so far, as far as they can be marks at its start.
    line: String,
    at_start: bool,
    /// Marks whose meaning depends on what follows: a run of `*` or of backticks.
    held: String,
    /// The character before the held ones.
    last: char,
    style: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Style {
    bold: bool,
    code: bool,
    mark: bool,
}

impl Style {
    fn codes(self) -> String {
        let mut codes = String::from("\x1b[0");
        for (on, code) in [(self.bold, ";1"), (self.code, ";36"), (self.mark, ";33")] {
            if on {
                codes.push_str(code);
            }
        }
        codes + "m"
    }
}

impl Markdown {
    pub fn new(styled: bool) -> Self {
        Self {
            styled,
            block: false,
            span: 0,
            bold: false,
            heading: false,
            line: String::new(),
            at_start: true,
            held: String::new(),
            last: '\n',
            style: Style::default(),
        }
    }

    /// Takes more text; returns what can be shown.
    pub fn push(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match self.styled {
                true => self.take(c, &mut out),
                false => put(c, &mut out),
            }
        }
        out
    }

    /// What was held back, and the end of all colours.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        if self.styled {
            self.resolve(None, &mut out);
            self.show_line(&mut out);
            self.paint(Style::default(), &mut out);
        }
        *self = Self::new(self.styled);
        out
    }

    fn take(&mut self, c: char, out: &mut String) {
        if self.at_start {
            return self.begin(c, out);
        }
        let run = self.held.chars().next();
        if run.is_some_and(|mark| mark != c) {
            self.resolve(Some(c), out);
        }
        match c {
            '\n' => self.end_line(out),
            '`' => self.held.push(c),
            '*' if self.span == 0 && !self.block => self.held.push(c),
            _ => self.show(c, out),
        }
    }

    /// The start of a line, where marks of headings, lists and code blocks stand.
    fn begin(&mut self, c: char, out: &mut String) {
        self.line.push(c);
        let text = self.line.trim_start();
        let indented = self.line.len() - text.len();
        if c == '\n' {
            return self.resolve_start(out);
        }
        let rest = text.trim_start_matches(['#', '-', '+', '*', '`', '>']);
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let numbered = digits > 0 && matches!(&text[digits..], "" | "." | ")");
        if (rest.is_empty() || numbered) && text.len() < 8 && indented < 16 {
            return;
        }
        self.resolve_start(out);
    }

    /// The beginning of the line is known: it is shown in its style, and what is no mark is looked at as text.
    fn resolve_start(&mut self, out: &mut String) {
        self.at_start = false;
        let line = std::mem::take(&mut self.line);
        let text = line.trim_start_matches([' ', '\t']);
        let indent = &line[..line.len() - text.len()];
        indent.chars().for_each(|c| self.show(c, out));
        if text.starts_with("```") {
            self.span = 0;
            self.bold = false;
            self.block = !self.block;
            // The fence itself is code on both sides.
            self.paint(
                Style {
                    code: true,
                    ..Style::default()
                },
                out,
            );
            let (fence, rest) = text.split_at(3);
            fence.chars().for_each(|c| put(c, out));
            self.last = '`';
            rest.chars().for_each(|c| self.take(c, out));
            return;
        }
        let mark = match self.block {
            true => 0,
            false => list_mark(text),
        };
        let hashes = text.bytes().take_while(|b| *b == b'#').count();
        self.heading = !self.block && (1..=6).contains(&hashes) && text[hashes..].starts_with(' ');
        if mark > 0 {
            self.paint(
                Style {
                    mark: true,
                    ..self.wanted()
                },
                out,
            );
            text[..mark].chars().for_each(|c| put(c, out));
            self.paint(self.wanted(), out);
            self.last = ' ';
        }
        text[mark..].chars().for_each(|c| self.take(c, out));
    }

    /// Held marks get their meaning from `next`, the character behind them.
    fn resolve(&mut self, next: Option<char>, out: &mut String) {
        let held = std::mem::take(&mut self.held);
        let n = held.len();
        let Some(mark) = held.chars().next() else {
            return;
        };
        if mark == '`' && !self.block {
            let opens = self.span == 0;
            if opens {
                self.span = n;
            }
            self.paint(self.wanted(), out);
            out.push_str(&held);
            if !opens && self.span == n {
                self.span = 0;
            }
        } else if mark == '*' && n >= 2 {
            let opens = !self.bold && next.is_some_and(|c| !c.is_whitespace());
            let closes = self.bold && !self.last.is_whitespace();
            self.bold |= opens;
            self.paint(self.wanted(), out);
            out.push_str(&held);
            self.bold &= !closes;
        } else {
            self.paint(self.wanted(), out);
            out.push_str(&held);
        }
        self.last = mark;
    }

    fn show(&mut self, c: char, out: &mut String) {
        self.paint(self.wanted(), out);
        put(c, out);
        self.last = c;
    }

    fn end_line(&mut self, out: &mut String) {
        self.heading = false;
        if !self.block {
            // A mark that was never closed must not colour the rest of the reply.
            self.span = 0;
            self.bold = false;
        }
        self.paint(self.wanted(), out);
        out.push('\n');
        self.last = '\n';
        self.at_start = true;
    }

    /// The start of a line that never went on.
    fn show_line(&mut self, out: &mut String) {
        let line = std::mem::take(&mut self.line);
        line.chars().for_each(|c| self.show(c, out));
    }

    fn wanted(&self) -> Style {
        Style {
            bold: self.bold || self.heading,
            code: self.block || self.span > 0,
            mark: false,
        }
    }

    fn paint(&mut self, style: Style, out: &mut String) {
        if style != self.style {
            out.push_str(&style.codes());
            self.style = style;
        }
    }
}

/// Bytes of a list's mark and the space behind it at the start of `text`; 0 for none.
fn list_mark(text: &str) -> usize {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let mark = match (digits, text.as_bytes().get(digits)) {
        (0, Some(b'-' | b'+' | b'*')) => 1,
        (1..=4, Some(b'.' | b')')) => digits + 1,
        _ => return 0,
    };
    match text.as_bytes().get(mark) {
        Some(b' ') => mark + 1,
        _ => 0,
    }
}

fn put(c: char, out: &mut String) {
    out.push(picture(c));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> String {
        let mut markdown = Markdown::new(true);
        markdown.push(text) + &markdown.finish()
    }

    fn plain(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("\x1b[") {
            out.push_str(&rest[..at]);
            let end = rest[at..].find('m').unwrap();
            rest = &rest[at + end + 1..];
        }
        out + rest
    }

    #[test]
    fn words_are_coloured() {
        assert_eq!(all("a **b** c"), "a \x1b[0;1m**b**\x1b[0m c");
        assert_eq!(all("a `b*` c"), "a \x1b[0;36m`b*`\x1b[0m c");
        assert_eq!(all("# T\nx"), "\x1b[0;1m# T\x1b[0m\nx");
        assert_eq!(all("- a\n"), "\x1b[0;33m- \x1b[0ma\n");
        assert_eq!(all("10. a"), "\x1b[0;33m10. \x1b[0ma");
        assert_eq!(
            all("```rust\n# *a*\n```\nb"),
            "\x1b[0;36m```rust\n# *a*\n```\x1b[0m\nb"
        );
    }

    #[test]
    fn what_is_no_mark_stays_text() {
        for text in [
            "2 * 3 ** 4",
            "-1",
            "#tag",
            "a*b*c",
            "1.5",
            "***",
            "",
            "\n\n",
            "   ",
        ] {
            assert_eq!(plain(&all(text)), text);
        }
        assert_eq!(all("2 ** 3 ** 4"), "2 ** 3 ** 4");
        assert_eq!(all("#tag"), "#tag");
    }

    #[test]
    fn an_unclosed_mark_ends_with_its_line() {
        assert_eq!(all("**a\nb"), "\x1b[0;1m**a\x1b[0m\nb");
    }

    #[test]
    fn control_characters_become_pictures() {
        let mut none = Markdown::new(false);
        assert_eq!(none.push("a\x1b[31m\tb\x07\n**c**"), "a␛[31m\tb␇\n**c**");
        assert_eq!(plain(&all("\x1b]0;x\x07")), "␛]0;x␇");
    }

    proptest! {
        #[test]
        fn no_character_is_lost_however_it_is_split(text in "[-a#*` \n1.)>é👩‍🚀]{0,40}", size in 1usize..5) {
            let mut markdown = Markdown::new(true);
            let chars: Vec<char> = text.chars().collect();
            let mut out: String = chars
                .chunks(size)
                .map(|piece| markdown.push(&piece.iter().collect::<String>()))
                .collect();
            out += &markdown.finish();
            prop_assert_eq!(plain(&out), text.clone());
            prop_assert_eq!(out, all(&text));
        }
    }
}
