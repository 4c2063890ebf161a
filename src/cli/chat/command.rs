//! The commands of a chat: lines that begin with a slash.

use std::borrow::Cow;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Help,
    System,
    Set,
    Show,
    Model,
    Clear,
    Undo,
    Regen,
    Retry,
    Edit,
    Save,
    Load,
    Sessions,
    Export,
    Read,
    Image,
    Tokens,
    Stats,
    Multi,
    Bye,
}

/// What the words behind a command are completed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completes {
    Nothing,
    Files,
    Models,
    Sessions,
    Knobs,
    /// One of these words; a file behind it.
    Formats,
    Switch,
}

/// A command as `/help` shows it.
#[derive(Debug)]
pub struct Row {
    pub name: Name,
    pub word: &'static str,
    pub arguments: &'static str,
    pub help: &'static str,
    pub completes: Completes,
}

const fn row(
    name: Name,
    word: &'static str,
    arguments: &'static str,
    help: &'static str,
    completes: Completes,
) -> Row {
    Row {
        name,
        word,
        arguments,
        help,
        completes,
    }
}

/// All commands, in the order of `/help`.
pub static COMMANDS: &[Row] = &[
    row(Name::Help, "help", "", "this list", Completes::Nothing),
    row(
        Name::System,
        "system",
        "TEXT",
        "set the system message ('-' removes it; without TEXT: show it)",
        Completes::Nothing,
    ),
    row(
        Name::Set,
        "set",
        "NAME VALUE",
        "change a setting, as 'temp 0.7' ('default': as it was at the start)",
        Completes::Knobs,
    ),
    row(
        Name::Show,
        "show",
        "",
        "model, settings and system message",
        Completes::Nothing,
    ),
    row(
        Name::Model,
        "model",
        "NAME",
        "go on with another model",
        Completes::Models,
    ),
    row(
        Name::Clear,
        "clear",
        "",
        "forget the conversation, keep the system message",
        Completes::Nothing,
    ),
    row(
        Name::Undo,
        "undo",
        "",
        "take back the last question and its reply",
        Completes::Nothing,
    ),
    row(
        Name::Regen,
        "regen",
        "SEED",
        "another reply to the last question",
        Completes::Nothing,
    ),
    row(
        Name::Retry,
        "retry",
        "",
        "ask the last question again, with the same seed",
        Completes::Nothing,
    ),
    row(
        Name::Edit,
        "edit",
        "",
        "edit the last question in $EDITOR and ask it anew (Ctrl-G: the line being typed)",
        Completes::Nothing,
    ),
    row(
        Name::Save,
        "save",
        "NAME",
        "keep this conversation, from now on after every reply",
        Completes::Sessions,
    ),
    row(
        Name::Load,
        "load",
        "NAME",
        "go on with a conversation that was kept",
        Completes::Sessions,
    ),
    row(
        Name::Sessions,
        "sessions",
        "",
        "list the conversations that were kept",
        Completes::Nothing,
    ),
    row(
        Name::Export,
        "export",
        "md|json FILE",
        "write the conversation to a file",
        Completes::Formats,
    ),
    row(
        Name::Read,
        "read",
        "FILE",
        "put a text file before the next message",
        Completes::Files,
    ),
    row(
        Name::Image,
        "image",
        "FILE",
        "show an image with the next message (vision models)",
        Completes::Files,
    ),
    row(
        Name::Tokens,
        "tokens",
        "",
        "how full the context is",
        Completes::Nothing,
    ),
    row(
        Name::Stats,
        "stats",
        "on|off",
        "times and speeds of the last reply (on: of every one)",
        Completes::Switch,
    ),
    row(
        Name::Multi,
        "multi",
        "",
        "switch: Enter begins a new line, a line with '.' alone sends",
        Completes::Nothing,
    ),
    row(
        Name::Bye,
        "bye",
        "",
        "leave (also Ctrl-D)",
        Completes::Nothing,
    ),
];

/// Other words for some.
const ALIASES: &[(&str, Name)] = &[
    ("?", Name::Help),
    ("exit", Name::Bye),
    ("quit", Name::Bye),
    ("q", Name::Bye),
];

/// A line as typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed<'a> {
    /// To be said; of two slashes at its start one is left.
    Text(Cow<'a, str>),
    /// With what stands behind the command.
    Command(Name, &'a str),
    /// A slash and no command: `/word`.
    Unknown(&'a str),
}

/// Tells commands from text. What has several lines is said, but for a system message: it was pasted, or begun by quotes.
pub fn parse(line: &str) -> Typed<'_> {
    let trimmed = line.trim();
    if trimmed.contains('\n') && !trimmed.starts_with("/system ") {
        return Typed::Text(Cow::Borrowed(line));
    }
    if trimmed.starts_with("//") {
        return Typed::Text(Cow::Owned(line.replacen("//", "/", 1)));
    }
    let Some(command) = trimmed.strip_prefix('/') else {
        return Typed::Text(Cow::Borrowed(line));
    };
    let (word, rest) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    let row = COMMANDS.iter().find(|row| row.word == word);
    let alias = ALIASES.iter().find(|(alias, _)| *alias == word);
    match row.map(|row| row.name).or(alias.map(|(_, name)| *name)) {
        Some(name) => Typed::Command(name, rest.trim()),
        None => Typed::Unknown(&trimmed[..word.len() + 1]),
    }
}

/// Whether a command has something to do with words behind it.
pub fn takes_words(name: Name) -> bool {
    let mut rows = COMMANDS.iter();
    rows.any(|row| row.name == name && !row.arguments.is_empty())
}

/// The commands that `word` (with its slash) may be meant for.
pub fn similar(word: &str) -> Option<&'static str> {
    let word = word.trim_start_matches('/');
    let near = |row: &&Row| {
        let (a, b) = (word.as_bytes(), row.word.as_bytes());
        row.word.starts_with(word) && !word.is_empty()
            || a.len().abs_diff(b.len()) <= 1 && sorted(a) == sorted(b)
            || distance(a, b) == 1
    };
    COMMANDS.iter().find(near).map(|row| row.word)
}

fn sorted(word: &[u8]) -> Vec<u8> {
    let mut word = word.to_vec();
    word.sort_unstable();
    word
}

/// Letters to change, add or leave out (Levenshtein, 1965).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// `/help`.
pub fn help() -> String {
    let width = COMMANDS
        .iter()
        .map(|row| row.word.len() + row.arguments.len())
        .max()
        .unwrap_or(0)
        + 4;
    let mut text = String::new();
    for row in COMMANDS {
        let usage = format!("/{} {}", row.word, row.arguments);
        text.push_str(&format!("{usage:width$}{}\n", row.help));
    }
    text.push_str(
        "//text says '/text'. Several lines: \"\"\" before and after them, Alt-Enter, or paste.\n\
         Ctrl-C stops a reply; on an empty line, twice, it leaves. Ctrl-R searches what was typed before.",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_text() {
        let text = |text: &'static str| Typed::Text(text.into());
        assert_eq!(parse("hello"), text("hello"));
        assert_eq!(parse("1/2"), text("1/2"));
        assert_eq!(parse("//etc is a folder"), text("/etc is a folder"));
        assert_eq!(parse(" //x"), text(" /x"));
        assert_eq!(parse("/help"), Typed::Command(Name::Help, ""));
        assert_eq!(
            parse(" /system  be brief "),
            Typed::Command(Name::System, "be brief")
        );
        assert_eq!(
            parse("/export md a b.md"),
            Typed::Command(Name::Export, "md a b.md")
        );
        assert_eq!(parse("/quit"), Typed::Command(Name::Bye, ""));
        assert_eq!(parse("/claer now"), Typed::Unknown("/claer"));
        assert_eq!(parse("/"), Typed::Unknown("/"));
        for several in [
            "/clear\nthe table",
            "/bye\n",
            "// a\nint x;",
            "/* c */\ncode",
        ] {
            let said = several.trim().contains('\n');
            assert_eq!(parse(several) == text(several), said, "{several}");
        }
        assert_eq!(
            parse("/system be\nbrief"),
            Typed::Command(Name::System, "be\nbrief")
        );
    }

    #[test]
    fn a_slip_is_recognised() {
        assert_eq!(similar("/claer"), Some("clear"));
        assert_eq!(similar("/sesions"), Some("sessions"));
        assert_eq!(similar("/reg"), Some("regen"));
        assert_eq!(similar("/etc"), None);
        assert_eq!(similar("/"), None);
    }

    #[test]
    fn help_names_every_command_in_few_columns() {
        let help = help();
        for row in COMMANDS {
            assert!(help.contains(&format!("/{}", row.word)));
        }
    }
}
