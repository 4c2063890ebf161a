//! Several files at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;

use super::{HubError, Progress};

/// Passes everything on, and asks the others to stop when one has failed.
pub struct StopTogether<'a> {
    inner: &'a dyn Progress,
    stop: AtomicBool,
}

impl<'a> StopTogether<'a> {
    /// Wraps what the command line shows.
    pub fn new(inner: &'a dyn Progress) -> Self {
        Self {
            inner,
            stop: AtomicBool::new(false),
        }
    }
}

impl Progress for StopTogether<'_> {
    fn file_started(&self, file: &str, bytes: Option<u64>, resumed_from: u64) {
        self.inner.file_started(file, bytes, resumed_from);
    }
    fn file_advanced(&self, file: &str, bytes: u64) {
        self.inner.file_advanced(file, bytes);
    }
    fn file_finished(&self, file: &str) {
        self.inner.file_finished(file);
    }
    fn notice(&self, message: &str) {
        self.inner.notice(message);
    }
    fn detail(&self, message: &str) {
        self.inner.detail(message);
    }
    fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.inner.interrupted()
    }
}

/// Does `work` for each of `items` on up to `parallel` threads. The first error stops the rest, which
/// keep what they have, and is returned.
pub fn in_parallel<T: Sync>(
    items: &[T],
    parallel: usize,
    progress: &StopTogether,
    work: impl Fn(&T) -> Result<(), HubError> + Sync,
) -> Result<(), HubError> {
    let next = AtomicUsize::new(0);
    let first_error: Mutex<Option<HubError>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..parallel.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while !progress.interrupted() {
                    let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        return;
                    };
                    let Err(error) = work(item) else { continue };
                    progress.stop.store(true, Ordering::Relaxed);
                    if let Ok(mut first) = first_error.lock() {
                        // An interruption may be the echo of another file's error.
                        if first
                            .as_ref()
                            .is_none_or(|f| matches!(f, HubError::Interrupted))
                        {
                            *first = Some(error);
                        }
                    }
                    return;
                }
            });
        }
    });
    if progress.inner.interrupted() {
        return Err(HubError::Interrupted);
    }
    match first_error.into_inner() {
        Ok(Some(error)) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Silent;

    #[test]
    fn everything_is_done_once_and_the_first_error_wins() {
        let seen = Mutex::new(Vec::new());
        let items: Vec<usize> = (0..20).collect();
        in_parallel(&items, 4, &StopTogether::new(&Silent), |i| {
            seen.lock().expect("lock").push(*i);
            Ok(())
        })
        .expect("no error");
        let mut seen = seen.into_inner().expect("lock");
        seen.sort();
        assert_eq!(seen, items);

        let error = in_parallel(&items, 1, &StopTogether::new(&Silent), |i| match i {
            3 => Err(HubError::NotFound("three".into())),
            4.. => panic!("went on after an error"),
            _ => Ok(()),
        })
        .expect_err("fails");
        assert_eq!(error.to_string(), "three");
    }
}
