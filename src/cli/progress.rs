//! Downloads as the user sees them.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::hub::Progress;

pub struct Plain {
    pub quiet: bool,
    pub interrupted: &'static AtomicBool,
}

impl Progress for Plain {
    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }
}
