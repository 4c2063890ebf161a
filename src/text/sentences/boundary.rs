//! Where a sentence ends.

use super::abbreviations::{is_starter, Word};
use super::characters::{closes, is_clause_mark, is_emoji, is_wide, opens_wide, Mark};

/// What a mark, or the end of a line, turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What follows decides, and has not come yet.
    Wait,
    /// No end; look on from here.
    Within(usize),
    /// The sentence ends before this character.
    End(usize),
}

/// The text at hand: single spaces, `\n` for a line's end, no blank at either end.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub text: &'a [char],
    /// Where the present sentence begins.
    pub start: usize,
    /// Whether a `"` is open where the text begins.
    pub quoted: bool,
    /// Whether the paragraph ends with the text.
    pub closed: bool,
}

impl View<'_> {
    /// What the mark or line's end at `at` is.
    pub fn judge(&self, at: usize) -> Verdict {
        match self.text.get(at) {
            Some('\n') => self.judge_line(at),
            Some(_) => self.judge_mark(at),
            None => Verdict::Wait,
        }
    }

    /// A line's end is a space, unless the next line begins like an item of a list.
    fn judge_line(&self, at: usize) -> Verdict {
        let next = self.text.get(at + 1..).unwrap_or_default();
        match begins_item(next) {
            Some(true) => Verdict::End(at),
            None if !self.closed => Verdict::Wait,
            _ => Verdict::Within(at + 1),
        }
    }

    fn judge_mark(&self, at: usize) -> Verdict {
        let all = self.text.len();
        let cluster = self.cluster(at);
        // A letter must have come: until then, all may belong to this sentence.
        let tail = self.text.get(cluster.end..).unwrap_or_default();
        if !tail.iter().any(|c| c.is_alphanumeric()) {
            return if self.closed {
                Verdict::End(all)
            } else {
                Verdict::Wait
            };
        }
        // Pictures go with the sentence before them.
        let mut end = cluster.end;
        let mut next = end;
        let mut spaced = false;
        while let Some(c) = self.text.get(next) {
            match c {
                ' ' | '\n' => spaced = true,
                c if is_emoji(*c) => end = next + 1,
                _ => break,
            }
            next += 1;
        }
        let Some(first) = self.text.get(next).copied() else {
            return if self.closed {
                Verdict::End(all)
            } else {
                Verdict::Wait
            };
        };
        let ends = match cluster.mark {
            Mark::Wide if spaced => true,
            Mark::Wide if cluster.dotted && first.is_numeric() => false,
            Mark::Wide => !is_clause_mark(first),
            Mark::Bang | Mark::Ellipsis if !spaced => begins_wide(first),
            Mark::Bang => !(first.is_lowercase() && cluster.closed),
            Mark::Ellipsis => !first.is_lowercase(),
            Mark::Dot => match self.judge_dot(&cluster, next, first, spaced) {
                Some(ends) => ends,
                None => return Verdict::Wait,
            },
        };
        if ends {
            Verdict::End(end)
        } else {
            Verdict::Within(cluster.end)
        }
    }

    /// Whether a single dot ends the sentence; `None` where that cannot be known yet.
    fn judge_dot(&self, cluster: &Cluster, next: usize, first: char, spaced: bool) -> Option<bool> {
        let word = self.word_before(cluster.last);
        let begins = cluster.last - word.chars().count();
        let opens = begins <= self.start || self.text.get(begins - 1) == Some(&'\n');
        let number = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
        if number && word.len() <= 3 && opens {
            // The number of an item.
            return Some(false);
        }
        let kind = match word.as_str() {
            "I" if !opens => Word::Plain,
            word => Word::of(word),
        };
        if !spaced {
            return Some(begins_wide(first) && kind != Word::Leads);
        }
        Some(match kind {
            Word::Leads => false,
            Word::LeadsNumber if first.is_numeric() => false,
            Word::Either if first.is_uppercase() => {
                let rest = self.text.get(next..).unwrap_or_default();
                let word: String = rest.iter().take_while(|c| c.is_alphanumeric()).collect();
                let whole = self.closed || word.chars().count() < rest.len();
                if !whole {
                    return None;
                }
                is_starter(&word)
            }
            Word::Either => first != '(' && (is_wide(first) || !first.is_alphanumeric()),
            _ if first.is_lowercase() => {
                // An abbreviation that is not known, or somebody who writes no capitals.
                let written = word.chars().count() >= 4 && word.chars().all(char::is_lowercase);
                written && !cluster.closed
            }
            _ => true,
        })
    }

    /// The marks from `at` on, with what closes behind them.
    fn cluster(&self, at: usize) -> Cluster {
        let mut cluster = Cluster {
            end: at,
            last: at,
            mark: Mark::Dot,
            closed: false,
            dotted: false,
        };
        let mut dots = 0;
        while let Some(c) = self.text.get(cluster.end).copied() {
            if let Some(mark) = Mark::of(c) {
                if cluster.closed || dots == 0 {
                    cluster.last = cluster.end;
                    dots = 0;
                }
                dots += 1;
                let mark = if dots > 1 {
                    mark.max(Mark::Ellipsis)
                } else {
                    mark
                };
                cluster.mark = cluster.mark.max(mark);
                cluster.dotted = c == '．';
            } else if cluster.end > at && (closes(c) || self.straight_quote_closes(c, cluster.end))
            {
                cluster.closed = true;
                dots = 0;
            } else {
                break;
            }
            cluster.end += 1;
        }
        cluster
    }

    /// `"` and `'` close at a word's end, and where one is open.
    fn straight_quote_closes(&self, c: char, at: usize) -> bool {
        if c != '"' && c != '\'' {
            return false;
        }
        match self.text.get(at + 1) {
            Some(next) if next.is_alphanumeric() => {
                let before = self.text.get(..at).unwrap_or_default();
                let open = (before.iter().filter(|c| **c == '"').count() % 2 == 1) != self.quoted;
                c == '"' && open
            }
            _ => true,
        }
    }

    /// The word that ends before `end`: letters, digits, and dots among them.
    fn word_before(&self, end: usize) -> String {
        let before = self.text.get(..end).unwrap_or_default();
        let part = |c: &char| (c.is_alphanumeric() && !is_wide(*c)) || *c == '.';
        let length = before.iter().rev().take_while(|c| part(c)).count();
        let word: String = before.iter().skip(end - length).collect();
        word.trim_start_matches('.').to_string()
    }
}

/// Marks in a row.
struct Cluster {
    /// Behind the last mark and what closes.
    end: usize,
    /// Where the last run of marks begins.
    last: usize,
    /// The strongest.
    mark: Mark,
    /// Whether a quotation or bracket closes with it.
    closed: bool,
    /// Whether it ends in a wide dot, as in ３．１４.
    dotted: bool,
}

/// Chinese or Japanese, which puts no space between sentences.
fn begins_wide(c: char) -> bool {
    opens_wide(c) || (is_wide(c) && !is_clause_mark(c) && !closes(c))
}

/// Whether a line begins with a bullet or a number; `None` where there is too little of it.
fn begins_item(line: &[char]) -> Option<bool> {
    let digits = line.iter().take_while(|c| c.is_ascii_digit()).count();
    let mark = line.get(digits)?;
    Some(match mark {
        '-' | '*' | '•' | '‣' | '◦' | '▪' | '·' | '–' if digits == 0 => {
            *line.get(1)? == ' '
        }
        '、' | ')' | '）' => (1..=3).contains(&digits),
        '.' | '．' if (1..=3).contains(&digits) => {
            let next = *line.get(digits + 1)?;
            next == ' ' || is_wide(next)
        }
        _ => false,
    })
}
