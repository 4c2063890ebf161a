//! Work on a large stack, whatever thread asks for it.

use std::panic::resume_unwind;
use std::{io, thread};

/// What a thread has by itself.
const USUAL: usize = 8 << 20;

/// Does `work` on a stack of `bytes`, or of a fourth of that and so on where the system gives no such one; only what is
/// used of it costs memory.
///
/// # Errors
/// Where the system does not even give the usual one.
pub(crate) fn large<T: Send>(mut bytes: usize, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let mut work = Some(work);
    loop {
        let waiting = &mut work;
        let done = thread::scope(|scope| {
            let thread = thread::Builder::new()
                .stack_size(bytes)
                .spawn_scoped(scope, || waiting.take().map(|work| work()))?;
            Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        match done {
            Ok(Some(result)) => return Ok(result),
            Ok(None) => return Err(io::Error::other("the work is done already")),
            Err(_) if bytes / 4 >= USUAL => bytes /= 4,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(levels: usize) -> usize {
        let room = std::hint::black_box([levels; 128]);
        match levels {
            0 => 0,
            _ => 1 + deep(levels - 1) + room[1] - levels,
        }
    }

    #[test]
    fn the_stack_is_as_large_as_it_can_be() {
        // A hundred megabytes of it.
        assert_eq!(large(256 << 20, || deep(100_000)).unwrap(), 100_000);
        // More than there are addresses.
        assert_eq!(large(1 << 60, || deep(1000)).unwrap(), 1000);
    }
}
