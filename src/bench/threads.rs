//! How many threads a forward pass runs on, while a benchmark goes through several counts.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::kernels;

use super::BenchError;

/// Runs `work`, whose forward passes and loads take `threads` threads.
///
/// # Errors
/// The system does not give as many threads.
pub fn use_threads<T: Send>(
    threads: usize,
    work: impl FnOnce() -> T + Send,
) -> Result<T, BenchError> {
    kernels::pool::set_threads(threads);
    Ok(pool(threads)?.install(work))
}

/// A pool of its own, for what is measured beside the model.
pub(super) fn pool(threads: usize) -> Result<ThreadPool, BenchError> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| BenchError::Threads {
            threads,
            reason: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_what_was_asked_for() {
        for threads in [1, 3] {
            let seen = use_threads(threads, rayon::current_num_threads).unwrap();
            assert_eq!(seen, threads);
        }
    }
}
