//! Loads the parts and takes their times, in turn.

use std::time::Duration;

use super::listener::Listener;
use super::speaker::Speaker;
use super::{Outcome, Part, Request, Row, Subject, Test};
use crate::bench::limits::{Book, Limits};
use crate::bench::statistics::{median, Summary};
use crate::bench::threads::use_threads;
use crate::bench::{memory, BenchError, Watch};
use crate::kernels::limits::Arithmetic;
use crate::text::clock;

/// Loaded parts that a test can be asked of.
pub(super) trait Instrument: Sized {
    /// How long each of the test's parts took.
    fn take(
        &mut self,
        test: Test,
        warm_up: bool,
        watch: &dyn Watch,
    ) -> Result<Vec<Duration>, BenchError>;
    /// What is known of the test beside its times.
    fn expected(&self, test: Test) -> Expected;
}

/// What a test is about.
#[derive(Default)]
pub(super) struct Expected {
    pub weights: String,
    pub n_tokens: Option<usize>,
    /// Seconds of audio.
    pub audio_s: f64,
    pub load_ms: f64,
    /// None where it is not counted.
    pub need: Option<Need>,
    /// Names of the parts and what each needs.
    pub parts: Vec<(String, Option<Need>)>,
}

/// What a test needs at least.
#[derive(Clone, Copy)]
pub(super) struct Need {
    pub operations: f64,
    /// Read from memory; 0 where the operations count alone.
    pub bytes: f64,
    pub arithmetic: Arithmetic,
}

impl Need {
    fn milliseconds(&self, limits: &Limits) -> f64 {
        let arithmetic = self.operations / limits.peak(self.arithmetic);
        1e3 * arithmetic.max(self.bytes / limits.bandwidth)
    }
}

/// A test on a number of threads.
struct Cell {
    test: Test,
    threads: usize,
    /// Of each repetition, part by part.
    times: Vec<Vec<Duration>>,
    row: Row,
}

/// Measures the language model and the codec, a row for each test and number of threads. What cannot be measured has its
/// reason.
pub fn speak(
    subject: &Subject,
    request: &Request,
    book: &mut Book,
    watch: &dyn Watch,
) -> Vec<Outcome> {
    let tests = [Test::Llm, Test::Codec, Test::CodecStream, Test::Speech];
    let load = || Speaker::load(subject, watch);
    measured(subject, request, &tests, book, watch, &load)
}

/// Measures what reads a recording: a row for each number of threads.
pub fn listen(
    subject: &Subject,
    request: &Request,
    book: &mut Book,
    watch: &dyn Watch,
) -> Vec<Outcome> {
    let load = || Listener::load(subject);
    measured(subject, request, &[Test::Encode], book, watch, &load)
}

fn measured<I: Instrument>(
    subject: &Subject,
    request: &Request,
    tests: &[Test],
    book: &mut Book,
    watch: &dyn Watch,
    load: &dyn Fn() -> Result<I, BenchError>,
) -> Vec<Outcome> {
    let cells = request.threads.iter().flat_map(|&threads| {
        tests.iter().map(move |&test| Cell {
            test,
            threads,
            times: Vec::new(),
            row: Row::of(subject, threads, test),
        })
    });
    let mut cells: Vec<Cell> = cells.collect();
    let mut failed = go(&mut cells, request, book, watch, load).err();
    let reason = failed.as_ref().map(ToString::to_string);
    let finished = |mut cell: Cell| {
        cell.row.error = reason.clone();
        Outcome {
            row: cell.row,
            error: failed.take(),
        }
    };
    cells.into_iter().map(finished).collect()
}

fn go<I: Instrument>(
    cells: &mut [Cell],
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
        let own = |cell: &&mut Cell| cell.threads == n;
        for cell in cells.iter_mut().filter(own) {
            cell.row.peak_memory_bytes = peak;
            fill(cell, &instrument.expected(cell.test), &limits);
        }
    }
    Ok(())
}

/// Repetitions in turn over tests and thread counts, after one to warm up.
fn rounds<I: Instrument>(
    cells: &mut [Cell],
    request: &Request,
    instrument: &mut I,
    watch: &dyn Watch,
) -> Result<(), BenchError> {
    let is_taken = |cell: &&mut Cell| cell.test != Test::Speech;
    let mut names: Vec<String> = Vec::new();
    for cell in cells.iter_mut().filter(is_taken) {
        let name = cell.test.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    watch.phase(&names.join(", "));
    for repetition in 0..=request.repetitions {
        let warm_up = repetition == 0;
        for cell in cells.iter_mut().filter(is_taken) {
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
    for &threads in &request.threads {
        let times = together(cells, threads, instrument);
        let whole = |cell: &&mut Cell| cell.test == Test::Speech && cell.threads == threads;
        if let Some(cell) = cells.iter_mut().find(whole) {
            cell.times = times;
        }
    }
    Ok(())
}

/// For each repetition, how long a second of speech takes the language model and the codec one after the other.
fn together<I: Instrument>(cells: &[Cell], threads: usize, instrument: &I) -> Vec<Vec<Duration>> {
    let a_second = |test: Test| {
        let cell = cells
            .iter()
            .find(|cell| cell.test == test && cell.threads == threads);
        let audio = instrument.expected(test).audio_s;
        cell.into_iter()
            .flat_map(|cell| &cell.times)
            .map(move |parts| parts.iter().sum::<Duration>().div_f64(audio))
    };
    let both = a_second(Test::Llm).zip(a_second(Test::Codec));
    both.map(|(llm, codec)| vec![llm + codec]).collect()
}

/// The figures of a cell whose times are there.
fn fill(cell: &mut Cell, expected: &Expected, limits: &Limits) {
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
    if cell.test == Test::Llm {
        row.median_ts = Some(times.median_ts);
        row.min_ts = Some(times.min_ts);
        row.max_ts = Some(times.max_ts);
    }
    row.weights = expected.weights.clone();
    row.n_tokens = expected.n_tokens;
    row.audio_s = Some(expected.audio_s);
    row.realtime = row.median_ms.map(|ms| expected.audio_s * 1e3 / ms);
    row.rtf = row.realtime.map(|realtime| 1.0 / realtime);
    row.samples_ns = times.samples_ns;
    // Where the model computes on a GPU, only what stays on the CPU has its limit.
    let need = expected
        .need
        .filter(|_| cell.test != Test::Llm || row.device == "cpu");
    row.operations = need.map(|need| need.operations);
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
mod tests {
    use super::*;

    struct Fixed;

    impl Instrument for Fixed {
        fn take(
            &mut self,
            test: Test,
            _: bool,
            _: &dyn Watch,
        ) -> Result<Vec<Duration>, BenchError> {
            Ok(match test {
                Test::Llm => vec![Duration::from_millis(1280)],
                Test::Encode => vec![Duration::from_millis(30), Duration::from_millis(10)],
                _ => vec![Duration::from_millis(500)],
            })
        }

        fn expected(&self, test: Test) -> Expected {
            let need = Need {
                operations: 2e6,
                bytes: 0.0,
                arithmetic: Arithmetic::F32,
            };
            let part = |name: &str| (name.to_string(), Some(need));
            Expected {
                n_tokens: (test == Test::Llm).then_some(128),
                audio_s: match test {
                    Test::Llm => 2.56,
                    Test::Speech => 1.0,
                    _ => 5.0,
                },
                need: Some(need),
                parts: match test {
                    Test::Encode => vec![part("a"), part("b")],
                    _ => Vec::new(),
                },
                ..Expected::default()
            }
        }
    }

    struct Nobody;

    impl Watch for Nobody {
        fn phase(&self, _: &str) {}
        fn step(&self, _: usize, _: usize) {}
        fn note(&self, _: &str) {}
        fn interrupted(&self) -> bool {
            false
        }
    }

    fn filled(tests: &[Test]) -> Vec<Row> {
        let cell = |&test: &Test| Cell {
            test,
            threads: 1,
            times: Vec::new(),
            row: Row::default(),
        };
        let mut cells: Vec<Cell> = tests.iter().map(cell).collect();
        let request = Request {
            threads: vec![1],
            repetitions: 3,
        };
        rounds(&mut cells, &request, &mut Fixed, &Nobody).unwrap();
        let limits = Limits {
            bandwidth: 1.0,
            f32: 1e9,
            bf16: 1.0,
            int8: 1.0,
        };
        for cell in &mut cells {
            fill(cell, &Fixed.expected(cell.test), &limits);
        }
        cells.into_iter().map(|cell| cell.row).collect()
    }

    #[test]
    fn the_whole_is_what_both_take_for_a_second() {
        let rows = filled(&[Test::Llm, Test::Codec, Test::Speech]);
        assert_eq!(rows[0].median_ts, Some(100.0));
        assert_eq!(
            (rows[0].realtime, rows[1].realtime),
            (Some(2.0), Some(10.0))
        );
        let rtf = rows[2].rtf.unwrap();
        // 50/100 and 1/10.
        assert!((rtf - 0.6).abs() < 1e-9, "{rtf}");
        assert_eq!(rows[2].samples_ns.len(), 3);
        assert_eq!(rows[1].median_ts, None);
    }

    #[test]
    fn parts_have_their_own_share_of_the_limit() {
        let rows = filled(&[Test::Encode]);
        assert_eq!(
            (rows[0].median_ms, rows[0].limit_ms),
            (Some(40.0), Some(2.0))
        );
        assert_eq!(rows[0].limit_share, Some(0.05));
        let names: Vec<&str> = rows[0]
            .parts
            .iter()
            .map(|part| part.name.as_str())
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(rows[0].parts[1].limit_share, Some(0.2));
    }
}
