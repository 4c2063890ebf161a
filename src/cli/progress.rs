//! Downloads as the user sees them, all on stderr: bars on a terminal, a line a file elsewhere, or
//! JSON objects for programs.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use crate::hub::{human_bytes, Progress};

use super::interrupt;
use super::settings::Settings;
use super::terminal::plain;

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Mode {
    /// Bars on a terminal, else plain lines.
    #[default]
    Auto,
    /// One line when a file starts and one when it is there.
    Plain,
    /// One JSON object a line on stderr.
    Json,
    /// Nothing but notices.
    None,
}

/// Shows a download.
pub struct Reporter {
    style: Style,
    verbose: bool,
    notices: bool,
    files: Mutex<HashMap<String, Running>>,
}

enum Style {
    Bars(MultiProgress),
    Plain,
    Json,
    Nothing,
}

impl Style {
    fn of(mode: Mode, quiet: bool, is_terminal: bool) -> Self {
        match mode {
            Mode::Json => Self::Json,
            _ if quiet => Self::Nothing,
            Mode::None => Self::Nothing,
            Mode::Auto if is_terminal => Self::Bars(MultiProgress::new()),
            Mode::Auto | Mode::Plain => Self::Plain,
        }
    }
}

/// A file on its way.
struct Running {
    bytes: Option<u64>,
    done: u64,
    resumed_from: u64,
    since: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

/// How often a JSON consumer hears of a file.
const EVERY: Duration = Duration::from_millis(250);

impl Reporter {
    /// Chooses how to show a download; `-q` and whether stderr is a terminal have their say.
    pub fn new(mode: Mode, settings: &Settings) -> Self {
        Self {
            style: Style::of(mode, settings.quiet, settings.terminal.stderr),
            verbose: settings.verbose,
            notices: !settings.quiet,
            files: Mutex::default(),
        }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        // A thread that panicked while it held the lock has left nothing half done here.
        self.files.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// One line on stderr, above the bars. That nobody can read it is no reason to stop.
    fn line(&self, text: &str) {
        let text = plain(text);
        let write = || drop(writeln!(std::io::stderr(), "{text}"));
        match &self.style {
            Style::Bars(bars) => bars.suspend(write),
            _ => write(),
        }
    }

    fn bar(bars: &MultiProgress, file: &str, bytes: Option<u64>) -> ProgressBar {
        let (bar, template) = match bytes {
            Some(bytes) => (
                ProgressBar::new(bytes),
                "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            ),
            None => (
                ProgressBar::no_length(),
                "{msg} {spinner} {bytes} {bytes_per_sec}",
            ),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_message(plain(&short(file)));
        bars.add(bar)
    }
}

/// The last part of a name, cut to what a bar has room for.
fn short(file: &str) -> String {
    const ROOM: usize = 36;
    let base = file.rsplit('/').next().unwrap_or(file);
    match base.chars().count() > ROOM {
        false => format!("{base:<ROOM$}"),
        true => {
            let tail: String = base
                .chars()
                .skip(base.chars().count() - (ROOM - 1))
                .collect();
            format!("…{tail}")
        }
    }
}

fn rate(bytes: u64, since: Instant) -> String {
    let seconds = since.elapsed().as_secs_f64().max(1e-3);
    format!(
        "{} in {seconds:.1} s, {}/s",
        human_bytes(bytes),
        human_bytes((bytes as f64 / seconds) as u64)
    )
}

impl Progress for Reporter {
    fn file_started(&self, file: &str, bytes: Option<u64>, resumed_from: u64) {
        let now = Instant::now();
        let mut files = self.files();
        if let Some(running) = files.get_mut(file) {
            // Another attempt at the same file.
            running.done = resumed_from;
            if let Some(bar) = &running.bar {
                bar.set_position(resumed_from);
            }
            return;
        }
        let bar = match &self.style {
            Style::Bars(bars) => {
                let bar = Self::bar(bars, file, bytes);
                bar.set_position(resumed_from);
                bar.reset_eta();
                Some(bar)
            }
            _ => None,
        };
        files.insert(
            file.to_string(),
            Running {
                bytes,
                done: resumed_from,
                resumed_from,
                since: now,
                told: now,
                bar,
            },
        );
        drop(files);
        match self.style {
            Style::Plain => {
                let size = bytes.map_or(String::new(), |b| format!(" ({})", human_bytes(b)));
                match resumed_from {
                    0 => self.line(&format!("{file}{size}: begins")),
                    from => self.line(&format!("{file}{size}: goes on at {}", human_bytes(from))),
                }
            }
            Style::Json => self.line(
                &json!({"event": "started", "file": file, "bytes": bytes, "resumed_from": resumed_from})
                    .to_string(),
            ),
            _ => {}
        }
    }

    fn file_advanced(&self, file: &str, bytes: u64) {
        let mut files = self.files();
        let Some(running) = files.get_mut(file) else {
            return;
        };
        running.done += bytes;
        if let Some(bar) = &running.bar {
            bar.set_position(running.done);
        }
        if matches!(self.style, Style::Json) && running.told.elapsed() >= EVERY {
            running.told = Instant::now();
            let event = json!({"event": "advanced", "file": file, "done": running.done, "bytes": running.bytes});
            drop(files);
            self.line(&event.to_string());
        }
    }

    fn file_finished(&self, file: &str) {
        let Some(running) = self.files().remove(file) else {
            return;
        };
        if let Some(bar) = &running.bar {
            bar.finish();
        }
        let done = running.bytes.unwrap_or(running.done);
        match self.style {
            Style::Plain => self.line(&format!(
                "{file}: done, {}",
                rate(done.saturating_sub(running.resumed_from), running.since)
            )),
            Style::Json => {
                self.line(&json!({"event": "finished", "file": file, "bytes": done}).to_string())
            }
            _ => {}
        }
    }

    fn notice(&self, message: &str) {
        match (&self.style, self.notices) {
            (Style::Json, _) => {
                self.line(&json!({"event": "notice", "message": message}).to_string())
            }
            (_, true) => self.line(message),
            (_, false) => {}
        }
    }

    fn detail(&self, message: &str) {
        if self.verbose {
            self.notice(message);
        }
    }

    fn interrupted(&self) -> bool {
        interrupt::pressed()
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        // Bars of files that did not arrive stay as they stand, and the cursor is below them.
        for running in self.files().values() {
            if let Some(bar) = &running.bar {
                bar.abandon();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_end_and_all_bars_align() {
        assert_eq!(short("a/b.gguf").chars().count(), 36);
        let long = short(&"x".repeat(50).replace('x', "é"));
        assert_eq!(long.chars().count(), 36);
        assert!(long.starts_with('…'));
    }

    #[test]
    fn a_restart_moves_the_file_back() {
        let reporter = Reporter {
            style: Style::Nothing,
            verbose: false,
            notices: true,
            files: Mutex::default(),
        };
        reporter.file_started("f", Some(10), 0);
        reporter.file_advanced("f", 7);
        reporter.file_started("f", Some(10), 2);
        reporter.file_advanced("f", 1);
        assert_eq!(reporter.files().get("f").map(|r| r.done), Some(3));
        reporter.file_finished("f");
        assert!(reporter.files().is_empty());
        reporter.file_advanced("unknown", 1);
    }

    #[test]
    fn bars_are_for_terminals() {
        let of = Style::of;
        assert!(matches!(of(Mode::Auto, false, true), Style::Bars(_)));
        assert!(matches!(of(Mode::Auto, false, false), Style::Plain));
        assert!(matches!(of(Mode::Plain, false, true), Style::Plain));
        assert!(matches!(of(Mode::Auto, true, true), Style::Nothing));
        assert!(matches!(of(Mode::Json, true, true), Style::Json));
    }
}
