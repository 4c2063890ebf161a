//! What a batch says on stderr: a line that changes on a terminal, and the statistics.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::answers::Answers;
use crate::cli::devices;
use crate::cli::session::Session;
use crate::cli::settings::Settings;
use crate::generate::{Batch, Totals};

pub struct Told<'a> {
    settings: &'a Settings,
    /// On a terminal.
    bar: Option<ProgressBar>,
    started: Instant,
    /// Lines that an earlier run has answered.
    before: usize,
    parallel: usize,
}

impl<'a> Told<'a> {
    pub fn new(settings: &'a Settings, answers: &Answers, parallel: usize) -> Self {
        // Answers on the same terminal show by themselves how it gets on.
        let terminal = settings.terminal;
        let shown = terminal.stderr && (answers.is_file() || !terminal.stdout);
        let bar = (shown && !settings.quiet).then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Self {
            settings,
            bar,
            started: Instant::now(),
            before: answers.before(),
            parallel,
        }
    }

    /// One line, above the one that changes.
    pub fn note(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.settings.note(message)),
            None => self.settings.note(message),
        }
    }

    /// After a step.
    pub fn step(&self, answers: &Answers, batch: &Batch) {
        if let Some(bar) = &self.bar {
            let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
            bar.set_message(format!(
                "{} lines answered, {} under way, {:.0} tokens/s",
                answers.written(),
                batch.live(),
                batch.totals().tokens as f64 / seconds
            ));
        }
    }

    /// Takes the line off the terminal.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// One line a fact.
    pub fn stats(&self, session: &Session, totals: Totals, failed: usize) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let memory = match devices::peak_memory_bytes() {
            Some(bytes) => format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)),
            None => "not known on this system".into(),
        };
        let before = match self.before {
            0 => String::new(),
            n => format!(", {n} more by an earlier run"),
        };
        format!(
            "load           {:.0} ms\n\
             prompts        {} ({failed} failed{before}), {} at the same time\n\
             prefill        {} tokens computed, {} shared with other prompts\n\
             answers        {} tokens in {seconds:.1} s, prompts included: {:.1} tokens/s\n\
             peak memory    {memory}\n\
             computed on    {} ({})",
            session.load_ms,
            totals.prompts,
            self.parallel,
            totals.prefill_tokens,
            totals.reused_tokens,
            totals.tokens,
            totals.tokens as f64 / seconds.max(1e-9),
            session.device(),
            session.dtype,
        )
    }
}
