//! What a person sees while a long prompt is read.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::terminal::Terminal;

/// Shorter waits need no words.
const PATIENCE: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(100);

/// A line on stderr that goes when this does.
pub struct Waiting {
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Says `what` after half a second, to a person alone.
    pub fn start(terminal: &Terminal, what: String) -> Self {
        let mut waiting = Self {
            done: None,
            thread: None,
        };
        // A terminal without colours may have no cursor to move either.
        if terminal.stdout && terminal.stderr && terminal.stderr_color {
            let (done, waits) = mpsc::channel();
            waiting.done = Some(done);
            waiting.thread = Some(std::thread::spawn(move || {
                if waits.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                let line = ProgressBar::new_spinner().with_message(what);
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                    line.set_style(style);
                }
                while waits.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    line.tick();
                }
                line.finish_and_clear();
            }));
        }
        waiting
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(thread) = self.thread.take() {
            // A panic there is no reason to stop here.
            let _ = thread.join();
        }
    }
}
