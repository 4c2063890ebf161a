//! How a benchmark gets on, on stderr: a line that changes on a terminal, a plain line a phase elsewhere.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;

use crate::bench::Watch;
use crate::cli::interrupt;
use crate::cli::settings::Settings;

pub struct Progress<'a> {
    settings: &'a Settings,
    /// On a terminal.
    bar: Option<ProgressBar>,
    /// The model and its format, and what is done with it.
    now: Mutex<(String, String)>,
}

impl<'a> Progress<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        let bar = (settings.terminal.stderr && !settings.quiet).then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Self {
            settings,
            bar,
            now: Mutex::default(),
        }
    }

    /// What is measured from here on.
    pub fn title(&self, title: &str) {
        self.now().0 = title.to_string();
    }

    /// Takes the line off the terminal.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn now(&self) -> MutexGuard<'_, (String, String)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Progress<'_> {
    fn phase(&self, what: &str) {
        let mut now = self.now();
        now.1 = what.to_string();
        let line = format!("{}: {what}", now.0);
        match &self.bar {
            Some(bar) => bar.set_message(line),
            None => self.settings.note(&line),
        }
    }

    fn step(&self, done: usize, of: usize) {
        if let Some(bar) = &self.bar {
            let now = self.now();
            bar.set_message(format!("{}: {} ({done} of {of})", now.0, now.1));
        }
    }

    fn note(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.settings.note(message)),
            None => self.settings.note(message),
        }
    }

    fn interrupted(&self) -> bool {
        interrupt::pressed()
    }
}
