//! The machine's limits, measured on the spot: neighbours on the machine move them from minute to minute.

use std::collections::HashMap;
use std::hint::black_box;
#[cfg(feature = "cuda")]
use std::sync::Arc;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rayon::ThreadPool;

#[cfg(feature = "cuda")]
use crate::kernels::cuda::{self, Gpu, GpuError, Kind};
use crate::kernels::limits::{compute, read, Arithmetic};

use super::{memory, threads, BenchError};

/// What a number of threads reach together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Bytes a second read from memory.
    pub bandwidth: f64,
    /// Operations a second, a multiplication and an addition being one each.
    pub f32: f64,
    pub bf16: f64,
    pub int8: f64,
}

/// The least that is read in a pass: no cache holds it.
const LEAST_BYTES: usize = 512 << 20;
const PASSES: usize = 12;
/// About a tenth of a millisecond of arithmetic.
const ROUNDS: u64 = 1 << 15;
/// A pass of arithmetic: long enough that the start of the threads does not count, short enough that some pass meets no
/// other process.
const ARITHMETIC: Duration = Duration::from_millis(5);

impl Limits {
    /// Measures with `threads` threads, the best of several passes.
    ///
    /// # Errors
    /// The system does not give the memory or the threads.
    pub fn measure(threads: usize) -> Result<Self, BenchError> {
        let pool = threads::pool(threads)?;
        Ok(Self {
            bandwidth: bandwidth(&pool)?,
            f32: peak(&pool, Arithmetic::F32),
            bf16: peak(&pool, Arithmetic::Bf16),
            int8: peak(&pool, Arithmetic::Int8),
        })
    }

    /// Of a GPU: bytes a second while memory is copied, and operations a second of its products. Quantised matrices meet
    /// many tokens in bf16 there; with `halves` matrices of f16 are measured, which tensor cores multiply too.
    ///
    /// # Errors
    /// Out of memory, no cuBLASLt.
    #[cfg(feature = "cuda")]
    pub fn of_gpu(gpu: &Arc<Gpu>, halves: bool) -> Result<Self, GpuError> {
        let bf16 = cuda::limits::product_rate(gpu, Kind::BF16)?;
        let plain = if halves { Kind::F16 } else { Kind::F32 };
        Ok(Self {
            bandwidth: cuda::limits::copy_bandwidth(gpu)?,
            f32: cuda::limits::product_rate(gpu, plain)?,
            bf16,
            int8: bf16,
        })
    }

    /// The better of two measurements: what the machine has shown that it can do.
    pub fn best(self, other: Self) -> Self {
        Self {
            bandwidth: self.bandwidth.max(other.bandwidth),
            f32: self.f32.max(other.f32),
            bf16: self.bf16.max(other.bf16),
            int8: self.int8.max(other.int8),
        }
    }

    /// Operations a second for operands of `kind`.
    pub fn peak(&self, kind: Arithmetic) -> f64 {
        match kind {
            Arithmetic::F32 => self.f32,
            Arithmetic::Bf16 => self.bf16,
            Arithmetic::Int8 => self.int8,
        }
    }
}

/// The last measurement for each number of threads: what was measured after one configuration is what was measured
/// before the next.
#[derive(Debug, Default)]
pub struct Book(HashMap<usize, Limits>);

impl Book {
    /// What was measured last, measured now if nothing was.
    pub fn before(&mut self, threads: usize) -> Result<Limits, BenchError> {
        match self.0.get(&threads) {
            Some(limits) => Ok(*limits),
            None => self.after(threads),
        }
    }

    /// Measures anew.
    pub fn after(&mut self, threads: usize) -> Result<Limits, BenchError> {
        let limits = Limits::measure(threads)?;
        self.0.insert(threads, limits);
        Ok(limits)
    }
}

fn bandwidth(pool: &ThreadPool) -> Result<f64, BenchError> {
    let failed = |source| BenchError::Buffer { source };
    let room = memory::available().map_or(usize::MAX, |bytes| bytes as usize / 4);
    let cache = memory::last_level_cache().unwrap_or(0);
    let bytes = LEAST_BYTES.max(4 * cache).min(room).max(1 << 20);
    let mut buffer = memmap2::MmapMut::map_anon(bytes).map_err(failed)?;
    #[cfg(target_os = "linux")]
    {
        // Only a hint: with small pages the buffer is as good, if a little slower to read.
        drop(buffer.advise(memmap2::Advice::HugePage));
    }
    pool.install(|| {
        buffer
            .par_chunks_mut(1 << 20)
            .for_each(|part| part.iter_mut().step_by(4096).for_each(|byte| *byte = 1));
    });
    // In turn through halves, each of which pushes the other out of the cache.
    let half = bytes / 2;
    let part = half
        .div_ceil(pool.current_num_threads())
        .next_multiple_of(4096);
    let pass = |number: usize| {
        let bytes = &buffer[number % 2 * half..][..half];
        let time = together(pool, |thread| {
            let start = (thread * part).min(half);
            let end = (start + part).min(half);
            black_box(read(bytes.get(start..end).unwrap_or(&[])));
        });
        half as f64 / time.as_secs_f64()
    };
    Ok((0..PASSES).map(pass).fold(0.0, f64::max))
}

fn peak(pool: &ThreadPool, kind: Arithmetic) -> f64 {
    let operations = compute(kind, ROUNDS);
    let started = Instant::now();
    compute(kind, ROUNDS);
    let batch = started.elapsed().max(Duration::from_nanos(100));
    let batches = (ARITHMETIC.as_nanos() / batch.as_nanos()).clamp(1, 100_000) as u64;
    let pass = || {
        let time = together(pool, |_| {
            for _ in 0..batches {
                black_box(compute(kind, ROUNDS));
            }
        });
        let all = operations as f64 * batches as f64 * pool.current_num_threads() as f64;
        all / time.as_secs_f64()
    };
    (0..PASSES).map(|_| pass()).fold(0.0, f64::max)
}

/// Runs `work` on every thread of `pool`, all starting at the same time and each told its number; from the first one's
/// start to the last one's end.
fn together(pool: &ThreadPool, work: impl Fn(usize) + Sync) -> Duration {
    let start = Barrier::new(pool.current_num_threads());
    let spans = pool.broadcast(|thread| {
        start.wait();
        let began = Instant::now();
        work(thread.index());
        (began, Instant::now())
    });
    let began = spans.iter().map(|(began, _)| *began).min();
    let ended = spans.iter().map(|(_, ended)| *ended).max();
    let time = began.zip(ended).map(|(began, ended)| ended - began);
    time.unwrap_or_default().max(Duration::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_measurement_wins_figure_by_figure() {
        let of = |bandwidth, f32| Limits {
            bandwidth,
            f32,
            bf16: 1.0,
            int8: 1.0,
        };
        assert_eq!(of(1.0, 4.0).best(of(2.0, 3.0)), of(2.0, 4.0));
        assert_eq!(of(1.0, 4.0).peak(Arithmetic::F32), 4.0);
    }

    #[test]
    fn every_thread_has_its_turn() {
        let seen = std::sync::Mutex::new(Vec::new());
        let pool = threads::pool(3).unwrap();
        together(&pool, |thread| seen.lock().unwrap().push(thread));
        let mut seen = seen.into_inner().unwrap();
        seen.sort();
        assert_eq!(seen, [0, 1, 2]);
    }
}
