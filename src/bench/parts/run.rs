//! Loads the parts and takes their times, in turn.

use std::fmt::Display;
use std::time::Duration;

use super::{Outcome, Part, Request, Row, Subject};
use crate::bench::limits::{Book, Limits};
use crate::bench::statistics::{median, Summary};
use crate::bench::threads::use_threads;
use crate::bench::{memory, BenchError, Watch};
use crate::kernels::limits::Arithmetic;
use crate::text::clock;

/// Loaded parts that a test can be asked of.
pub trait Instrument: Sized {
    type Test: Copy + PartialEq + Display;

    /// How long each of the test's parts took.
    ///
    /// # Errors
    /// Arithmetic that fails, an interrupt.
    fn take(
        &mut self,
        test: Self::Test,
        warm_up: bool,
        watch: &dyn Watch,
    ) -> Result<Vec<Duration>, BenchError>;

    /// What is known of the test beside its times.
    fn expected(&self, test: Self::Test) -> Expected;

    /// The times of a test that is never taken, but follows from those of others, repetition by repetition; None for
    /// one that is taken.
    fn follows(&self, _test: Self::Test, _taken: &Taken<Self::Test>) -> Option<Vec<Duration>> {
        None
    }
}

/// The times that were taken of a test, all parts together.
pub type Taken<'a, T> = dyn Fn(T) -> Vec<Duration> + 'a;

/// What a test is about.
#[derive(Default)]
pub struct Expected {
    pub weights: String,
    pub n_tokens: Option<usize>,
    /// Whether the speed is told in tokens.
    pub counts_tokens: bool,
    /// Seconds of audio.
    pub audio_s: Option<f64>,
    /// Width and height of a picture, and as the model sees it.
    pub image: Option<[[usize; 2]; 2]>,
    pub load_ms: f64,
    /// None where it is not counted.
    pub need: Option<Need>,
    /// What computes, where it is not the subject's device.
    pub device: Option<&'static str>,
    /// Names of the parts and what each needs.
    pub parts: Vec<(String, Option<Need>)>,
}

/// What a test needs at least.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Need {
    /// Of this arithmetic.
    pub operations: f64,
    pub arithmetic: Arithmetic,
    /// Of f32, before or after them.
    pub exact: f64,
    /// Read from memory; 0 where the operations count alone.
    pub bytes: f64,
}

impl Need {
    fn milliseconds(&self, limits: &Limits) -> f64 {
        let arithmetic = self.operations / limits.peak(self.arithmetic)
            + self.exact / limits.peak(Arithmetic::F32);
        1e3 * arithmetic.max(self.bytes / limits.bandwidth)
    }
}

/// A test on a number of threads.
struct Cell<T> {
    test: T,
    threads: usize,
    /// Of each repetition, part by part.
    times: Vec<Vec<Duration>>,
    row: Row,
}

/// Loads an instrument for each number of threads and asks it for `tests`: a row for each of both. What cannot be
/// measured has its reason.
pub fn measured<I: Instrument, M>(
    subject: &Subject<M>,
    request: &Request,
    tests: &[I::Test],
    book: &mut Book,
    watch: &dyn Watch,
    load: &dyn Fn() -> Result<I, BenchError>,
) -> Vec<Outcome> {
    let cells = request.threads.iter().flat_map(|&threads| {
        tests.iter().map(move |&test| Cell {
            test,
            threads,
            times: Vec::new(),
            row: Row::of(subject, threads, &test.to_string()),
        })
    });
    let mut cells: Vec<Cell<I::Test>> = cells.collect();
    let mut failed = go(&mut cells, request, book, watch, load).err();
    let reason = failed.as_ref().map(ToString::to_string);
    let finished = |mut cell: Cell<I::Test>| {
        cell.row.error = reason.clone();
        Outcome {
            row: cell.row,
            error: failed.take(),
        }
    };
    cells.into_iter().map(finished).collect()
}

fn go<I: Instrument>(
    cells: &mut [Cell<I::Test>],
    request: &Request,
    book: &mut Book,
    watch: &dyn Watch,
    load: &dyn Fn() -> Result<I, BenchError>,
) -> Result<(), BenchError> {
    let mut loaded = None;
    watch.phase("measuring the machine's limits");
    let threads = request.threads.iter();
    let before: Vec<Limits> = threads
        .clone()
        .map(|&n| book.before(n))
        .collect::<Result<_, _>>()?;
    for &n in threads.clone() {
        stop_if(watch)?;
        watch.phase(&format!("loading (threads: {n})"));
        drop(loaded.take());
        memory::reset_peak();
        let instrument = use_threads(n, load)?;
        for cell in cells.iter_mut().filter(|cell| cell.threads == n) {
            cell.row.load_ms = Some(instrument.expected(cell.test).load_ms);
        }
        loaded = Some(instrument);
    }
    let mut instrument = loaded.ok_or(BenchError::Interrupted)?;
    rounds(cells, request, &mut instrument, watch)?;
    let peak = memory::peak();
    watch.phase("measuring the machine's limits");
    for (&n, before) in threads.zip(before) {
        let limits = before.best(book.after(n)?);
        for cell in cells.iter_mut().filter(|cell| cell.threads == n) {
            cell.row.peak_memory_bytes = peak;
            fill(cell, &instrument.expected(cell.test), &limits);
        }
    }
    Ok(())
}

/// Repetitions in turn over tests and thread counts, after one to warm up.
fn rounds<I: Instrument>(
    cells: &mut [Cell<I::Test>],
    request: &Request,
    instrument: &mut I,
    watch: &dyn Watch,
) -> Result<(), BenchError> {
    let nothing = |_| Vec::new();
    let is_taken = |test, instrument: &I| instrument.follows(test, &nothing).is_none();
    let mut names: Vec<String> = Vec::new();
    for cell in cells.iter().filter(|cell| is_taken(cell.test, instrument)) {
        let name = cell.test.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    watch.phase(&names.join(", "));
    for repetition in 0..=request.repetitions {
        let warm_up = repetition == 0;
        for cell in cells.iter_mut() {
            if !is_taken(cell.test, instrument) {
                continue;
            }
            stop_if(watch)?;
            if warm_up {
                cell.row.test_time = clock::now().format("%FT%TZ").to_string();
            }
            let times = use_threads(cell.threads, || instrument.take(cell.test, warm_up, watch))?;
            if !warm_up {
                cell.times.push(times);
            }
        }
        watch.step(repetition, request.repetitions);
    }
    for at in 0..cells.len() {
        let Cell { test, threads, .. } = cells[at];
        let taken = |test| {
            let own = |cell: &&Cell<I::Test>| cell.test == test && cell.threads == threads;
            let times = cells
                .iter()
                .find(own)
                .into_iter()
                .flat_map(|cell| &cell.times);
            times.map(|parts| parts.iter().sum()).collect()
        };
        if let Some(times) = instrument.follows(test, &taken) {
            cells[at].times = times.into_iter().map(|time| vec![time]).collect();
        }
    }
    Ok(())
}

/// The figures of a cell whose times are there.
fn fill<T>(cell: &mut Cell<T>, expected: &Expected, limits: &Limits) {
    let sums: Vec<Duration> = cell.times.iter().map(|parts| parts.iter().sum()).collect();
    let Some(times) = Summary::of(expected.n_tokens.unwrap_or(1), &sums) else {
        return;
    };
    let parts = expected.parts.iter().enumerate().filter_map(|(i, part)| {
        let own = cell.times.iter().filter_map(|parts| parts.get(i));
        let ms: Vec<f64> = own.map(|time| time.as_secs_f64() * 1e3).collect();
        let (name, need) = part;
        let median_ms = median(&ms)?;
        Some(Part {
            name: name.clone(),
            median_ms,
            min_ms: ms.iter().copied().reduce(f64::min)?,
            max_ms: ms.iter().copied().reduce(f64::max)?,
            operations: need.map(|need| need.operations),
            limit_share: need.map(|need| need.milliseconds(limits) / median_ms),
        })
    });
    let parts: Vec<Part> = parts.collect();
    let row = &mut cell.row;
    let ms: Vec<f64> = times.samples_ns.iter().map(|&ns| ns as f64 / 1e6).collect();
    row.median_ms = median(&ms);
    row.min_ms = ms.iter().copied().reduce(f64::min);
    row.max_ms = ms.iter().copied().reduce(f64::max);
    if expected.counts_tokens {
        row.median_ts = Some(times.median_ts);
        row.min_ts = Some(times.min_ts);
        row.max_ts = Some(times.max_ts);
    }
    row.weights = expected.weights.clone();
    if let Some(device) = expected.device {
        row.device = device.into();
    }
    row.n_tokens = expected.n_tokens;
    let size = |[width, height]: [usize; 2]| format!("{width}x{height}");
    row.image = expected.image.map(|[shown, _]| size(shown));
    row.image_seen = expected.image.map(|[_, seen]| size(seen));
    row.audio_s = expected.audio_s;
    row.realtime = row
        .median_ms
        .zip(expected.audio_s)
        .map(|(ms, audio)| audio * 1e3 / ms);
    row.rtf = row.realtime.map(|realtime| 1.0 / realtime);
    row.samples_ns = times.samples_ns;
    let need = expected.need;
    row.operations = need.map(|need| need.operations + need.exact);
    row.peak_flops = need.map(|need| limits.peak(need.arithmetic));
    row.limit_ms = need.map(|need| need.milliseconds(limits));
    row.limit_share = row
        .limit_ms
        .zip(row.median_ms)
        .map(|(limit, ms)| limit / ms);
    row.parts = parts;
}

fn stop_if(watch: &dyn Watch) -> Result<(), BenchError> {
    match watch.interrupted() {
        true => Err(BenchError::Interrupted),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
