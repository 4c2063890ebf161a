//! What the line editor knows of a chat: when a message is complete, and how commands go on.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::command::{Completes, COMMANDS};
use super::store;

/// Around a message of several lines.
pub const QUOTES: &str = "\"\"\"";

/// Names that commands are completed from.
#[derive(Debug, Clone, Default)]
pub struct Names {
    pub models: Vec<String>,
    pub knobs: Vec<String>,
}

pub struct ChatHelper {
    names: Names,
    files: FilenameCompleter,
    /// Whether Enter begins a new line.
    pub multi: Arc<AtomicBool>,
    color: bool,
}

impl ChatHelper {
    pub fn new(names: Names, color: bool) -> Self {
        Self {
            names,
            files: FilenameCompleter::new(),
            multi: Arc::default(),
            color,
        }
    }

    /// What may stand in place of the last word of `line`, and where that begins.
    fn candidates(&self, line: &str) -> (usize, Vec<String>) {
        let Some(command) = line.strip_prefix('/') else {
            return (line.len(), Vec::new());
        };
        let Some((word, rest)) = command.split_once(' ') else {
            let names = COMMANDS.iter().map(|row| format!("/{} ", row.word));
            return (0, beginning(names, line));
        };
        let Some(row) = COMMANDS.iter().find(|row| row.word == word) else {
            return (line.len(), Vec::new());
        };
        let start = line.len() - rest.len();
        let words = |names: &[String]| (start, beginning(names.iter().cloned(), rest));
        let fixed = |names: &[&str]| {
            let names = names.iter().map(|name| name.to_string());
            (start, beginning(names, rest))
        };
        match row.completes {
            Completes::Nothing | Completes::Files => (line.len(), Vec::new()),
            Completes::Models => words(&self.names.models),
            Completes::Knobs => words(&self.names.knobs),
            Completes::Formats => fixed(&["md ", "json "]),
            Completes::Switch => fixed(&["on", "off"]),
            Completes::Sessions => {
                let sessions = store::list().unwrap_or_default();
                let names = sessions.into_iter().map(|entry| entry.name);
                (start, beginning(names, rest))
            }
        }
    }

    /// Whether the last word of `line` is the name of a file.
    fn wants_file(line: &str) -> bool {
        let Some((word, rest)) = line.strip_prefix('/').and_then(|l| l.split_once(' ')) else {
            return false;
        };
        let row = COMMANDS.iter().find(|row| row.word == word);
        row.is_some_and(|row| match row.completes {
            Completes::Files => true,
            Completes::Formats => rest.contains(' '),
            _ => false,
        })
    }
}

fn beginning(names: impl Iterator<Item = String>, start: &str) -> Vec<String> {
    names.filter(|name| name.starts_with(start)).collect()
}

/// Whether Enter sends `text`.
pub fn is_complete(text: &str, multi: bool) -> bool {
    if let Some(rest) = text.trim_start().strip_prefix(QUOTES) {
        return rest.trim_end().ends_with(QUOTES);
    }
    !multi || (text.starts_with('/') && !text.contains('\n')) || ends_with_dot(text)
}

fn ends_with_dot(text: &str) -> bool {
    text == "." || text.ends_with("\n.")
}

/// The message in what was typed, without the marks of its end.
pub fn message(text: &str, multi: bool) -> String {
    let trimmed = text.trim();
    if let Some(rest) = trimmed.strip_prefix(QUOTES) {
        let rest = rest.strip_suffix(QUOTES).unwrap_or(rest);
        let said = rest.trim_matches('\n');
        // In quotes a slash begins no command.
        return match said.starts_with('/') && !said.contains('\n') {
            true => format!("/{said}"),
            false => said.to_string(),
        };
    }
    match multi && ends_with_dot(text) {
        true => text[..text.len() - 1].trim_end_matches('\n').to_string(),
        false => text.to_string(),
    }
}

impl Helper for ChatHelper {}

impl Completer for ChatHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..pos).unwrap_or(line);
        if Self::wants_file(before) {
            return self.files.complete_path(before, before.len());
        }
        let (start, names) = self.candidates(before);
        let pairs = names.into_iter().map(|name| Pair {
            display: name.trim_end().to_string(),
            replacement: name,
        });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for ChatHelper {
    type Hint = String;

    /// What a command takes, once it is typed.
    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<String> {
        let word = line.strip_prefix('/').filter(|_| pos == line.len())?;
        let row = COMMANDS
            .iter()
            .find(|row| row.word == word.trim_end() && !row.arguments.is_empty())?;
        let gap = if word.ends_with(' ') { "" } else { " " };
        Some(format!("{gap}{}", row.arguments))
    }
}

impl Highlighter for ChatHelper {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        match self.color {
            true => Cow::Owned(format!("\x1b[2m{hint}\x1b[0m")),
            false => Cow::Borrowed(hint),
        }
    }
}

impl Validator for ChatHelper {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        let multi = self.multi.load(Ordering::Relaxed);
        Ok(match is_complete(context.input(), multi) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper() -> ChatHelper {
        let names = Names {
            models: vec!["qwen2.5-0.5b".into(), "smollm2-135m".into()],
            knobs: vec!["temp".into(), "top_k".into()],
        };
        ChatHelper::new(names, false)
    }

    #[test]
    fn commands_and_their_words_are_completed() {
        let found = |line: &str| helper().candidates(line);
        assert_eq!(found("/cl"), (0, vec!["/clear ".into()]));
        assert_eq!(found("/s").1.len(), 6);
        assert_eq!(found("/model qw"), (7, vec!["qwen2.5-0.5b".into()]));
        assert_eq!(found("/set t").1, ["temp", "top_k"]);
        assert_eq!(found("/export m").1, ["md "]);
        assert_eq!(found("/stats o").1, ["on", "off"]);
        assert!(found("hello /cl").1.is_empty());
        assert!(ChatHelper::wants_file("/read no"));
        assert!(ChatHelper::wants_file("/export md no"));
        assert!(!ChatHelper::wants_file("/export md"));
        assert!(!ChatHelper::wants_file("see /etc/ho"));
    }

    #[test]
    fn messages_of_several_lines_have_an_end() {
        assert!(is_complete("hello", false));
        assert!(!is_complete("\"\"\"a\nb", false));
        assert!(is_complete("\"\"\"a\nb\n\"\"\" ", false));
        assert!(is_complete("\"\"\"\"\"\"", false));
        assert!(!is_complete("a", true));
        assert!(is_complete("a\n.", true));
        assert!(is_complete("/multi", true));
        assert!(!is_complete("a\nb.", true));
        assert_eq!(message("\"\"\"\na\n b\n\"\"\"", false), "a\n b");
        assert_eq!(message("\"\"\"a\"\"\"", true), "a");
        assert_eq!(message("\"\"\"/undo\"\"\"", false), "//undo");
        assert_eq!(message("\"\"\"/a\n/b\"\"\"", false), "/a\n/b");
        assert_eq!(message("a\n\nb\n.", true), "a\n\nb");
        assert_eq!(message("a\n.", false), "a\n.");
    }
}
