//! The prompt as the user hands it over: stdin, files, arguments.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;

use super::exit::CliError;
use super::settings::Settings;
use crate::text::Message;

/// No context holds more text than this, and a stream without end must not fill the memory.
pub(super) const MAX_BYTES: u64 = 256 << 20;

/// A path as a shell would have it, where none has seen it: `~/…` begins in the home folder.
pub fn at_home(path: &str) -> String {
    match (path.strip_prefix("~/"), directories::BaseDirs::new()) {
        (Some(rest), Some(dirs)) => dirs.home_dir().join(rest).display().to_string(),
        _ => path.to_string(),
    }
}

/// The positional prompt, `-p` and `-f` as typed.
#[derive(Debug, Default, Clone, clap::Args)]
pub struct InputArgs {
    /// The prompt; several words are joined by spaces, '-' stands for stdin
    #[arg(value_name = "PROMPT", conflicts_with_all = ["prompt", "messages"])]
    pub words: Vec<String>,
    /// The prompt, as one argument
    #[arg(
        short,
        long,
        value_name = "TEXT",
        conflicts_with = "messages",
        allow_hyphen_values = true
    )]
    pub prompt: Option<String>,
    /// Read a file into the prompt (repeatable; '-' is stdin)
    #[arg(short, long, value_name = "FILE", conflicts_with = "messages", value_hint = clap::ValueHint::FilePath)]
    pub file: Vec<PathBuf>,
    /// A conversation instead of a prompt: a JSON list of {"role": …, "content": …} ('-' is stdin)
    #[arg(long, value_name = "FILE.json", value_hint = clap::ValueHint::FilePath)]
    pub messages: Option<PathBuf>,
}

/// What is to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Prompt(String),
    Messages(Vec<Message>),
}

impl Input {
    /// Whether images are to be looked at.
    pub fn has_images(&self) -> bool {
        match self {
            Self::Prompt(_) => false,
            Self::Messages(all) => all.iter().any(|m| m.content.images().next().is_some()),
        }
    }
}

/// Reads all that the user named. Order: stdin, files, arguments, a blank line between them. With `raw` the last
/// newline of stdin and files is kept.
pub fn gather(args: &InputArgs, raw: bool, settings: &Settings) -> anyhow::Result<Input> {
    let is_stdin = |path: &Path| path == Path::new("-");
    if let Some(path) = &args.messages {
        return Ok(Input::Messages(messages(path, settings)?));
    }
    let named = args.words.iter().any(|word| word == "-") || args.file.iter().any(|f| is_stdin(f));
    let stdin = match named || !settings.terminal.stdin {
        true => read_stdin(settings)?,
        false => String::new(),
    };
    let unframe = |text: String| match raw {
        true => text,
        false => without_last_newline(text),
    };
    let mut parts = vec![unframe(stdin)];
    for path in args.file.iter().filter(|path| !is_stdin(path)) {
        parts.push(unframe(read_file(path)?));
    }
    let words: Vec<&str> = args
        .words
        .iter()
        .map(String::as_str)
        .filter(|word| *word != "-")
        .collect();
    parts.push(args.prompt.clone().unwrap_or_else(|| words.join(" ")));
    match assemble(&parts, raw) {
        Some(prompt) => Ok(Input::Prompt(prompt)),
        None if settings.terminal.stdin => Err(CliError::Usage(
            "there is no prompt; type one after the model, pipe one in, or hold a conversation with \
             'crane chat MODEL'"
                .into(),
        )
        .into()),
        None => Err(CliError::Usage(
            "the prompt is empty: stdin held nothing and no prompt was given; type one after the model".into(),
        )
        .into()),
    }
}

/// Joins what is not blank; with `raw`, where spaces are text, what is not empty.
fn assemble(parts: &[String], raw: bool) -> Option<String> {
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| match raw {
            true => !part.is_empty(),
            false => !part.trim().is_empty(),
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

/// One newline at the end of a stream is the shell's or the editor's and not the user's.
fn without_last_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// The conversation in a JSON file, or in stdin for `-`.
pub fn messages(path: &Path, settings: &Settings) -> anyhow::Result<Vec<Message>> {
    let text = read_named(path, settings)?;
    Ok(parse_messages(&text, &path.display().to_string())?)
}

/// The whole of a text file, or of stdin for `-`.
pub fn read_named(path: &Path, settings: &Settings) -> anyhow::Result<String> {
    match path == Path::new("-") {
        true => read_stdin(settings),
        false => read_file(path),
    }
}

/// The whole of a text file.
pub(super) fn read_file(path: &Path) -> anyhow::Result<String> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("opening {name}"))?;
    text(
        bounded(file).with_context(|| format!("reading {name}"))?,
        &name,
    )
}

/// Reads stdin to its end. After two seconds of silence the user is told what crane waits for.
pub(super) fn read_stdin(settings: &Settings) -> anyhow::Result<String> {
    let (done, waiting) = mpsc::channel::<()>();
    let bytes = std::thread::scope(|scope| {
        scope.spawn(move || {
            let silent = waiting.recv_timeout(Duration::from_secs(2));
            if matches!(silent, Err(mpsc::RecvTimeoutError::Timeout)) {
                settings.note("reading stdin until it ends (Ctrl-D; '< /dev/null' gives none)");
            }
        });
        let bytes = bounded(io::stdin().lock());
        drop(done);
        bytes
    });
    text(bytes.context("reading stdin")?, "stdin")
}

fn bounded(source: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_BYTES {
        true => Err(CliError::TooLarge(format!(
            "it holds more than {} MiB of text; no context does",
            MAX_BYTES >> 20
        ))
        .into()),
        false => Ok(bytes),
    }
}

fn text(bytes: Vec<u8>, name: &str) -> anyhow::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let byte = error.as_bytes().get(at).copied().unwrap_or_default();
        CliError::Usage(format!(
            "{name} is not UTF-8 text: byte {at} (counted from 0) is 0x{byte:02x}; convert it, for example with \
             'iconv -f latin1 -t utf-8'"
        ))
        .into()
    })
}

/// JSON without the byte order mark that some editors begin a file with.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn parse_messages(text: &str, name: &str) -> Result<Vec<Message>, CliError> {
    let messages: Vec<Message> = serde_json::from_str(without_mark(text)).map_err(|error| {
        CliError::Usage(format!(
            "{name} is not a list of messages: {error}; expected [{{\"role\": \"user\", \"content\": \"…\"}}]"
        ))
    })?;
    match messages.is_empty() {
        true => Err(CliError::Usage(format!("{name} holds no message"))),
        false => Ok(messages),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(parts: &[&str]) -> Option<String> {
        assemble(
            &parts
                .iter()
                .map(|part| part.to_string())
                .collect::<Vec<_>>(),
            false,
        )
    }

    #[test]
    fn a_blank_line_stands_between_the_parts() {
        assert_eq!(
            joined(&["a diff", "", "Review it."]),
            Some("a diff\n\nReview it.".into())
        );
        assert_eq!(joined(&["", "  kept\n"]), Some("  kept\n".into()));
    }

    #[test]
    fn one_newline_belongs_to_the_shell() {
        for (text, expected) in [("hi\r\n", "hi"), ("two\n\n", "two\n"), ("x", "x"), ("", "")] {
            assert_eq!(without_last_newline(text.into()), expected);
        }
    }

    #[test]
    fn blank_parts_are_no_prompt() {
        assert_eq!(joined(&["", ""]), None);
        assert_eq!(joined(&["\n", " \t\n"]), None);
        assert_eq!(assemble(&["\n".into()], true), Some("\n".into()));
        assert_eq!(assemble(&["".into()], true), None);
    }

    #[test]
    fn a_wrong_byte_is_named() {
        let error = text(b"ab\xffc".to_vec(), "stdin").unwrap_err();
        assert_eq!(super::super::exit::code(&error), 2);
        let message = error.to_string();
        assert!(
            message.contains("byte 2") && message.contains("0xff"),
            "{message}"
        );
    }

    #[test]
    fn messages_are_a_list_of_roles_and_contents() {
        let good = r#"[{"role":"system","content":"s"},{"role":"user","content":"u"}]"#;
        assert_eq!(parse_messages(good, "m").unwrap().len(), 2);
        for wrong in [
            "",
            "[]",
            "{}",
            r#"[{"role":"user"}]"#,
            r#"[{"role":1,"content":"x"}]"#,
        ] {
            assert!(parse_messages(wrong, "m").is_err(), "{wrong}");
        }
    }
}
