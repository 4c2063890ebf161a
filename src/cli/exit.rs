//! Exit codes: what a script may rely on.

mod codes;

use std::io::{self, Write};

use crate::speech::SpeechError;

/// All went well.
pub const OK: u8 = 0;
/// Failed while running.
pub const FAILED: u8 = 1;
/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// A model or file is not there.
pub const MISSING: u8 = 3;
/// Network or authorisation.
pub const NETWORK: u8 = 4;
/// Does not fit the context, the memory or the disk; or a GPU that has to be taken.
pub const TOO_LARGE: u8 = 5;
/// A damaged file.
pub const CORRUPT: u8 = 6;
/// A condition that was asked for was not met.
pub const CONDITION: u8 = 7;
/// 128 + SIGINT, as a shell reports it.
pub const INTERRUPTED: u8 = 130;
/// 128 + SIGPIPE.
pub const CLOSED_PIPE: u8 = 141;

/// What the command line itself finds wrong.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Missing(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    Corrupt(String),
    #[error("{0}")]
    Condition(String),
    #[error("{0}")]
    Device(String),
    /// A GPU that has to be taken cannot be.
    #[error("{0}")]
    Required(String),
    /// It was tried.
    #[error("{0}")]
    Failed(String),
    /// Ctrl-C, and all that was there has been written.
    #[error("interrupted")]
    Interrupted,
}

/// The exit code of an error: the outermost cause that has one decides.
pub fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(codes::of).unwrap_or(FAILED)
}

/// The error and its causes on one line. A cause that the text above it already quotes is left out.
pub fn message(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = one_line(&cause.to_string());
        if line.is_empty() || text.contains(&line) {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
}

/// candle appends a backtrace to its errors when RUST_BACKTRACE is set; it begins at frame 0.
fn one_line(text: &str) -> String {
    let text = text.split("\n   0: ").next().unwrap_or(text);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // Names and texts of files that anyone may have written do not steer a terminal.
    line.replace(char::is_control, "\u{fffd}")
}

/// Says on stderr what went wrong and gives the exit code. A closed pipe and Ctrl-C need no words.
pub fn report(error: &anyhow::Error, color: bool) -> u8 {
    let code = code(error);
    let silent = code == CLOSED_PIPE
        || error
            .chain()
            .any(|cause| matches!(cause.downcast_ref(), Some(CliError::Interrupted)))
        || matches!(error.downcast_ref(), Some(SpeechError::Interrupted));
    if !silent {
        let label = match color {
            true => "\x1b[1;31merror:\x1b[0m",
            false => "error:",
        };
        let _ = writeln!(io::stderr(), "{label} {}", message(error));
    }
    code
}

/// What clap answers instead of a parsed command line: help and version (0, stdout) or an error (2, stderr),
/// which is one line as all errors are.
pub fn usage(answer: &clap::Error) -> u8 {
    let missing = clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    let printed = match answer.use_stderr() && answer.kind() != missing {
        true => writeln!(io::stderr(), "{}", usage_line(&answer.to_string())),
        false => answer.print().and_then(|()| io::stdout().flush()),
    };
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => CLOSED_PIPE,
        // Nobody is left to be told of a stderr that is gone.
        Err(error) if !answer.use_stderr() => report(
            &anyhow::Error::from(error).context("writing to stdout"),
            false,
        ),
        _ => u8::try_from(answer.exit_code()).unwrap_or(USAGE),
    }
}

/// clap's message without its usage paragraph.
fn usage_line(text: &str) -> String {
    format!("{}; --help lists what is possible", usage_part(text))
}

/// What clap finds wrong, on one line.
pub fn usage_text(error: &clap::Error) -> String {
    let text = usage_part(&error.to_string());
    text.strip_prefix("error: ").unwrap_or(&text).to_string()
}

fn usage_part(text: &str) -> String {
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    said.join(" ")
}

thread_local! {
    static EXPECTED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `probe`, whose panic is an answer and not a bug (a GPU library that cannot be loaded).
pub fn catch<T>(probe: impl FnOnce() -> T) -> Result<T, String> {
    EXPECTED.set(true);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(probe));
    EXPECTED.set(false);
    result.map_err(|payload| panic_text(payload.as_ref()))
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    one_line(text)
}

/// A panic is a bug of crane: one line that says so, instead of a backtrace.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        if EXPECTED.get() {
            return;
        }
        let place = info
            .location()
            .map(|at| format!(" ({}:{})", at.file(), at.line()))
            .unwrap_or_default();
        let text = panic_text(info.payload());
        let _ = writeln!(
            io::stderr(),
            "error: crane hit a bug: {text}{place}; please report it with the command you typed"
        );
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    use crate::hub::HubError;

    fn io_error(kind: io::ErrorKind) -> io::Error {
        io::Error::new(kind, "text")
    }

    #[test]
    fn a_usage_error_is_one_line() {
        let text = "error: invalid value 'x' for '--format <F>'\n  [possible values: a, b]\n\nUsage: crane\n\nFor more information, try '--help'.\n";
        assert_eq!(
            usage_line(text),
            "error: invalid value 'x' for '--format <F>' [possible values: a, b]; --help lists what is possible"
        );
    }

    #[test]
    fn causes_are_joined_on_one_line_and_not_repeated() {
        let error = HubError::Io {
            context: "reading a".into(),
            source: io_error(io::ErrorKind::Other),
        };
        assert_eq!(message(&error.into()), "reading a: text");
        let error = Err::<(), _>(io_error(io::ErrorKind::Other))
            .context("two\nlines")
            .unwrap_err();
        assert_eq!(message(&error), "two lines: text");
    }

    #[test]
    fn an_expected_panic_becomes_text() {
        let answer = catch(|| -> u8 { panic!("no library") });
        assert_eq!(answer, Err("no library".to_string()));
    }
}
