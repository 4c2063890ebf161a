//! Ctrl-C: at once where nothing is at stake, by a flag where work must be brought to an end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;

use super::exit;

static PRESSED: AtomicBool = AtomicBool::new(false);
static POLLED: AtomicUsize = AtomicUsize::new(0);
/// Half-written files, which an exit from the handler must not leave behind.
static HALF_FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Installs the handler. While no [`Deferred`] lives, the first Ctrl-C exits with 130; while one does, the
/// first sets the flag and the second exits.
pub fn install() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        let again = PRESSED.swap(true, Ordering::SeqCst);
        if again || POLLED.load(Ordering::SeqCst) == 0 {
            if let Ok(files) = HALF_FILES.lock() {
                for file in files.iter() {
                    let _ = std::fs::remove_file(file);
                }
            }
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    })
}

/// An exit on Ctrl-C removes `file`.
pub fn guard(file: PathBuf) {
    if let Ok(mut files) = HALF_FILES.lock() {
        files.push(file);
    }
}

/// `file` is complete or gone.
pub fn release(file: &std::path::Path) {
    if let Ok(mut files) = HALF_FILES.lock() {
        files.retain(|guarded| guarded != file);
    }
}

/// True once Ctrl-C was pressed.
pub fn pressed() -> bool {
    PRESSED.load(Ordering::SeqCst)
}

/// The same, and forgets it: a chat goes on after a stopped reply.
pub fn take() -> bool {
    PRESSED.swap(false, Ordering::SeqCst)
}

/// While this lives, somebody polls the flag.
pub struct Deferred(());

impl Deferred {
    #[allow(clippy::new_without_default)] // a guard that nobody holds would do nothing
    pub fn new() -> Self {
        POLLED.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        POLLED.fetch_sub(1, Ordering::SeqCst);
    }
}
