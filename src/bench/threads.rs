//! How many threads a forward pass runs on, while a benchmark goes through several counts.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::kernels;

use super::BenchError;

/// Runs `work`, whose forward passes take `threads` threads. It runs on the caller's thread, which keeps its buffers.
pub fn use_threads<T>(threads: usize, work: impl FnOnce() -> T) -> T {
    kernels::pool::set_threads(threads);
    work()
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
    fn what_is_measured_beside_the_model_has_threads_of_its_own() {
        for threads in [1, 3] {
            let seen = pool(threads).unwrap().install(rayon::current_num_threads);
            assert_eq!(seen, threads);
        }
    }
}
