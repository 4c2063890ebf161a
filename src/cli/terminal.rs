//! What each of the three standard streams is, and whether colours may go there.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use super::global::ColorChoice;

#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Whether the stream is a terminal.
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub stdout_color: bool,
    pub stderr_color: bool,
}

impl Terminal {
    pub fn detect(choice: ColorChoice, get: &dyn Fn(&str) -> Option<String>) -> Self {
        let (stdout, stderr) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            stdin: io::stdin().is_terminal(),
            stdout,
            stderr,
            stdout_color: colored(choice, stdout, get),
            stderr_color: colored(choice, stderr, get),
        }
    }

    /// One line on stderr. That nobody can read it is no reason to stop.
    pub fn note(&self, message: &str) {
        let message = plain(message);
        let _ = match self.stderr_color {
            true => writeln!(io::stderr(), "\x1b[2m{message}\x1b[0m"),
            false => writeln!(io::stderr(), "{message}"),
        };
    }
}

/// Text of a file that anyone may have written, without the control characters that steer a terminal.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

fn colored(choice: ColorChoice, is_terminal: bool, get: &dyn Fn(&str) -> Option<String>) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            let refused = get("NO_COLOR").is_some_and(|value| !value.is_empty())
                || get("TERM").is_some_and(|value| value == "dumb");
            is_terminal && !refused
        }
    }
}

/// clap prints its answers before `--color` is parsed, so the raw arguments are looked at.
pub fn clap_color(typed: &[OsString]) -> clap::ColorChoice {
    let wanted = |value: &str| match value {
        "always" => Some(clap::ColorChoice::Always),
        "never" => Some(clap::ColorChoice::Never),
        _ => None,
    };
    let arguments: Vec<&str> = typed.iter().filter_map(|arg| arg.to_str()).collect();
    let joined = arguments
        .iter()
        .find_map(|arg| arg.strip_prefix("--color="));
    let apart = arguments
        .windows(2)
        .find_map(|pair| (pair[0] == "--color").then_some(pair[1]));
    joined
        .or(apart)
        .and_then(wanted)
        .unwrap_or(clap::ColorChoice::Auto)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_of_others_are_not_obeyed() {
        assert_eq!(plain("a\u{1b}[2Jb\tc\r"), "a\u{fffd}[2Jb c\u{fffd}");
    }

    #[test]
    fn colours_go_to_terminals_that_want_them() {
        let none = |_: &str| None;
        assert!(colored(ColorChoice::Auto, true, &none));
        assert!(!colored(ColorChoice::Auto, false, &none));
        assert!(colored(ColorChoice::Always, false, &none));
        assert!(!colored(ColorChoice::Never, true, &none));
        let no_color = |name: &str| (name == "NO_COLOR").then(|| "1".to_string());
        assert!(!colored(ColorChoice::Auto, true, &no_color));
        let empty = |name: &str| (name == "NO_COLOR").then(String::new);
        assert!(colored(ColorChoice::Auto, true, &empty));
        let dumb = |name: &str| (name == "TERM").then(|| "dumb".to_string());
        assert!(!colored(ColorChoice::Auto, true, &dumb));
    }

    #[test]
    fn the_flag_is_found_before_parsing() {
        let typed = |args: &[&str]| args.iter().map(OsString::from).collect::<Vec<_>>();
        let never = clap_color(&typed(&["crane", "--color", "never", "x"]));
        assert_eq!(never, clap::ColorChoice::Never);
        let always = clap_color(&typed(&["crane", "--color=always"]));
        assert_eq!(always, clap::ColorChoice::Always);
        assert_eq!(clap_color(&typed(&["crane"])), clap::ColorChoice::Auto);
    }
}
