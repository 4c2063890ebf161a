//! Work on a stack of a known size, whatever thread asks for it.

use std::panic::resume_unwind;
use std::{io, thread};

/// Does `work` on a stack of `bytes`; only what is used of it costs memory.
///
/// # Errors
/// Where the system gives no such stack.
pub(crate) fn large<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .stack_size(bytes)
            .spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
