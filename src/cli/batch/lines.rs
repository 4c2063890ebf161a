//! The lines of the input as they come, read beside the work.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::Duration;

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::cli::exit::CliError;
use crate::cli::interrupt;

/// Lines read ahead.
const AHEAD: usize = 64;
/// The longest line; no context holds more text.
const MAX_LINE: usize = 64 << 20;
/// How often a wait looks for Ctrl-C.
const POLL: Duration = Duration::from_millis(50);

/// A line that is not blank.
#[derive(Debug)]
pub struct Line {
    /// Counted from 0, blank lines left out.
    pub index: usize,
    /// What tells it from another line: the beginning of its SHA-256.
    pub print: String,
    /// Its text, or what is wrong with it.
    pub text: Result<String, CliError>,
}

/// What there is to do.
#[derive(Debug)]
pub enum Next {
    Line(Line),
    /// None has come yet.
    Later,
    End,
    Interrupted,
}

/// Where lines come from.
pub struct Lines {
    from: Receiver<io::Result<Line>>,
    name: String,
}

impl Lines {
    /// Begins to read `path`, `-` for stdin.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = match path == Path::new("-") {
            true => "stdin".to_string(),
            false => path.display().to_string(),
        };
        let (to, from) = sync_channel(AHEAD);
        // Nobody waits for the thread: a read of stdin may never end.
        match path == Path::new("-") {
            true => drop(std::thread::spawn(move || send(io::stdin().lock(), &to))),
            false => {
                let file = File::open(path).with_context(|| format!("opening {name}"))?;
                std::thread::spawn(move || send(BufReader::new(file), &to));
            }
        }
        Ok(Self { from, name })
    }

    /// The next line; with `wait` it is waited for until there is one, the input ends or Ctrl-C is pressed.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn next(&self, wait: bool) -> anyhow::Result<Next> {
        let received = loop {
            if interrupt::pressed() {
                return Ok(Next::Interrupted);
            }
            match wait {
                true => match self.from.recv_timeout(POLL) {
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => break None,
                    Ok(line) => break Some(line),
                },
                false => match self.from.try_recv() {
                    Err(TryRecvError::Empty) => return Ok(Next::Later),
                    Err(TryRecvError::Disconnected) => break None,
                    Ok(line) => break Some(line),
                },
            }
        };
        match received {
            None => Ok(Next::End),
            Some(line) => line
                .map(Next::Line)
                .with_context(|| format!("reading {}", self.name)),
        }
    }
}

/// Sends all lines of `source` that are not blank; ends where nobody takes them any more.
fn send(mut source: impl BufRead, to: &SyncSender<io::Result<Line>>) {
    let mut index = 0;
    loop {
        let sent = match read(&mut source) {
            Ok(None) => return,
            Ok(Some(raw)) if raw.is_blank() => continue,
            Ok(Some(raw)) => to.send(Ok(raw.line(index))),
            Err(error) => {
                drop(to.send(Err(error)));
                return;
            }
        };
        if sent.is_err() {
            return;
        }
        index += 1;
    }
}

/// The bytes of a line without its end, as many as are kept, and the hash of all.
struct Raw {
    bytes: Vec<u8>,
    len: usize,
    hash: Sha256,
}

/// None at the end.
fn read(source: &mut impl BufRead) -> io::Result<Option<Raw>> {
    let mut raw = Raw {
        bytes: Vec::new(),
        len: 0,
        hash: Sha256::new(),
    };
    let mut begun = false;
    loop {
        let buffer = match source.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            buffer => buffer?,
        };
        if buffer.is_empty() {
            return Ok(begun.then_some(raw));
        }
        begun = true;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        raw.hash.update(part);
        raw.len += part.len();
        if raw.len <= MAX_LINE {
            raw.bytes.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        source.consume(used);
        if end.is_some() {
            return Ok(Some(raw));
        }
    }
}

impl Raw {
    fn is_blank(&self) -> bool {
        self.len <= MAX_LINE && self.bytes.trim_ascii().is_empty()
    }

    fn line(self, index: usize) -> Line {
        let sum = self.hash.finalize();
        let hex: String = sum
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let text = match self.len > MAX_LINE {
            true => Err(CliError::TooLarge(format!(
                "the line has {} bytes, more than {} MiB; no context holds so much",
                self.len,
                MAX_LINE >> 20
            ))),
            false => String::from_utf8(self.bytes).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                CliError::Usage(format!("the line is not UTF-8 text from byte {at} on"))
            }),
        };
        Line {
            index,
            print: format!("sha256:{hex}"),
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<Line> {
        let (to, from) = sync_channel(100);
        send(input, &to);
        drop(to);
        from.iter().map(Result::unwrap).collect()
    }

    #[test]
    fn blank_lines_do_not_count() {
        let lines = all(b"\n{\"a\":1}\r\n  \n\nx\n\xff\xfe\nlast");
        let texts: Vec<_> = lines.iter().map(|l| l.text.as_deref().ok()).collect();
        assert_eq!(texts, [Some("{\"a\":1}\r"), Some("x"), None, Some("last")]);
        let indices: Vec<_> = lines.iter().map(|l| l.index).collect();
        assert_eq!(indices, [0, 1, 2, 3]);
        // SHA-256 of "x".
        assert_eq!(lines[1].print, "sha256:2d711642b726b044");
        assert!(all(b"").is_empty() && all(b"\n\n").is_empty());
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let long = vec![b'x'; MAX_LINE + 1];
        let lines = all(&[&long[..], b"\nshort"].concat());
        assert!(matches!(lines[0].text, Err(CliError::TooLarge(_))));
        assert_eq!(lines[1].text.as_deref().ok(), Some("short"));
    }
}
