//! Ctrl-C: at once where nothing is at stake, by a flag where work must be brought to an end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::exit;

static PRESSED: AtomicBool = AtomicBool::new(false);
static POLLED: AtomicUsize = AtomicUsize::new(0);

/// Installs the handler. While no [`Deferred`] lives, the first Ctrl-C exits with 130; while one does, the
/// first sets the flag and the second exits.
pub fn install() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        let again = PRESSED.swap(true, Ordering::SeqCst);
        if again || POLLED.load(Ordering::SeqCst) == 0 {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    })
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
