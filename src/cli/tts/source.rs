//! The text, piece by piece: whole from the arguments or a file, or from a pipe while it is being written.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::cli::exit::CliError;
use crate::cli::input;
use crate::cli::interrupt;
use crate::cli::settings::Settings;
use crate::text::sentences::{clean, speakable, Limit, Piece, Splitter};

use super::args::{Split, TtsArgs};

/// How often Ctrl-C is looked for while a pipe is silent.
const POLL: Duration = Duration::from_millis(100);

/// Where pieces come from.
pub enum Source {
    /// There is no text, and stdin was not asked for it.
    Nothing,
    Whole(VecDeque<Piece>),
    Pipe(Pipe),
}

/// Text that is still being written.
pub struct Pipe {
    fragments: Receiver<io::Result<String>>,
    /// None once the text is at its end.
    splitter: Option<Splitter>,
    ready: VecDeque<Piece>,
}

impl Source {
    /// What the arguments name.
    pub fn open(args: &TtsArgs, settings: &Settings) -> anyhow::Result<Self> {
        let dash = Path::new("-");
        let stdin = match (&args.file, args.words.as_slice()) {
            (Some(file), _) => file == dash,
            (None, []) => !settings.terminal.stdin && !args.only_keeps_a_voice(),
            (None, words) => words.len() == 1 && words[0] == "-",
        };
        let text = match &args.file {
            _ if stdin && args.split == Split::Sentences => return Ok(Self::Pipe(Pipe::open())),
            _ if stdin => input::read_named(dash, settings)?,
            Some(file) => input::read_named(file, settings)?,
            None if args.words.is_empty() => return Ok(Self::Nothing),
            None => args.words.join(" "),
        };
        let pieces = match args.split {
            Split::Sentences => {
                let mut splitter = Splitter::new(Limit::default());
                let mut pieces = splitter.push(&text);
                pieces.extend(splitter.finish());
                pieces
            }
            Split::Lines => text.lines().map(whole).collect(),
            Split::None => vec![whole(&text)],
        };
        let mut pieces: VecDeque<Piece> =
            pieces.into_iter().filter(|p| speakable(&p.text)).collect();
        if let Some(last) = pieces.back_mut() {
            last.paragraph = false;
        }
        match pieces.is_empty() {
            true => Err(unspeakable(&text).into()),
            false => Ok(Self::Whole(pieces)),
        }
    }

    /// The next piece, which is waited for; None at the end and once Ctrl-C is pressed.
    pub fn next(&mut self, settings: &Settings) -> anyhow::Result<Option<Piece>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Whole(pieces) => Ok(pieces.pop_front()),
            Self::Pipe(pipe) => pipe.next(settings),
        }
    }
}

fn whole(text: &str) -> Piece {
    Piece {
        text: clean(text),
        paragraph: false,
    }
}

impl Pipe {
    fn open() -> Self {
        let (sender, fragments) = mpsc::channel();
        // It ends with stdin or with the program; nobody waits for it.
        std::thread::spawn(move || {
            let (mut stdin, mut held) = (io::stdin().lock(), Vec::new());
            let mut buffer = [0u8; 4096];
            loop {
                let fragment = match stdin.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => {
                        held.extend_from_slice(&buffer[..n]);
                        take_text(&mut held)
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) => Err(e),
                };
                let failed = fragment.is_err();
                if sender.send(fragment).is_err() || failed {
                    return;
                }
            }
            if !held.is_empty() {
                // Nobody may be left to hear it.
                let _ = sender.send(Err(not_text()));
            }
        });
        Self {
            fragments,
            splitter: Some(Splitter::new(Limit::default())),
            ready: VecDeque::new(),
        }
    }

    fn next(&mut self, settings: &Settings) -> anyhow::Result<Option<Piece>> {
        let mut silent = Duration::ZERO;
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            let Some(splitter) = &mut self.splitter else {
                return Ok(None);
            };
            match self.fragments.recv_timeout(POLL) {
                Ok(text) => {
                    let text = text.map_err(|e| match e.kind() {
                        io::ErrorKind::InvalidData => CliError::Usage(e.to_string()).into(),
                        _ => anyhow::Error::new(e).context("reading stdin"),
                    })?;
                    self.ready.extend(splitter.push(&text));
                }
                Err(RecvTimeoutError::Timeout) => {
                    silent += POLL;
                    if silent == Duration::from_secs(2) {
                        settings.detail("waiting for text on stdin (Ctrl-D ends it)");
                    }
                    if interrupt::pressed() {
                        return Ok(None);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    if let Some(splitter) = self.splitter.take() {
                        self.ready.extend(splitter.finish());
                    }
                }
            }
        }
    }
}

/// The whole characters at the start of `held`, which keeps the rest.
fn take_text(held: &mut Vec<u8>) -> io::Result<String> {
    let valid = match std::str::from_utf8(held) {
        Ok(text) => text.len(),
        Err(e) if e.error_len().is_some() => return Err(not_text()),
        Err(e) => e.valid_up_to(),
    };
    let rest = held.split_off(valid);
    let text = std::mem::replace(held, rest);
    String::from_utf8(text).map_err(|_| not_text())
}

fn not_text() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "stdin is not UTF-8 text; convert it, for example with 'iconv -f latin1 -t utf-8'",
    )
}

/// There is no text at all.
pub fn no_text(settings: &Settings) -> CliError {
    CliError::Usage(match settings.terminal.stdin {
        true => {
            "there is no text; type it after 'crane tts', name a file with -f, or pipe it in".into()
        }
        false => "the text is empty; type it after 'crane tts', name a file with -f, or pipe it in"
            .into(),
    })
}

fn unspeakable(text: &str) -> CliError {
    CliError::Usage(match text.trim().is_empty() {
        true => "the text is empty; type it after 'crane tts', name a file with -f, or pipe it in"
            .into(),
        false => format!(
            "the text holds nothing that could be spoken, no letter and no digit: \"{}\"",
            start_of(text)
        ),
    })
}

/// The first words of `text`, for a message.
pub fn start_of(text: &str) -> String {
    let text = clean(text);
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_whole() {
        let mut held = "aé".as_bytes().to_vec();
        let last = held.pop();
        assert_eq!(take_text(&mut held).unwrap(), "a");
        held.extend(last);
        assert_eq!(take_text(&mut held).unwrap(), "é");
        held.push(0xff);
        assert!(take_text(&mut held).is_err());
    }
}
