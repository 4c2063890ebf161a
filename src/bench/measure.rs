//! Loads a model and takes its times.

mod room;

use std::time::Instant;

use self::room::check_memory;
use crate::models::{self, Config, LanguageModel, Reuse, DEFAULT_CONTEXT};
use crate::text::{clock, Tokenizer};
#[cfg(feature = "cuda")]
use crate::weights::Format;
use crate::weights::{DTypeChoice, LoadOptions, Loader};

use super::cell::Cell;
use super::count::check_widths;
use super::limits::{Book, Limits};
use super::passes::{first_token, milliseconds, take_time, token_ids};
use super::quality::{self, Quality};
use super::statistics::Summary;
use super::subject::{Request, Subject, Watch};
use super::threads::use_threads;
use super::{memory, BenchError, Counts, Outcome, Test};

/// Tokens generated to warm up.
const WARM_UP: usize = 4;

/// Measures every test on every number of threads, a row each: what cannot be measured has its reason. After an interrupt
/// the rest of the rows says so.
pub fn measure(
    subject: &Subject,
    request: &Request,
    book: &mut Book,
    watch: &dyn Watch,
) -> Vec<Outcome> {
    let mut run = Run::new(subject, request, watch);
    let failed = run.go(book).err();
    run.finish(failed)
}

struct Run<'a> {
    subject: &'a Subject<'a>,
    request: &'a Request,
    watch: &'a dyn Watch,
    cells: Vec<Cell>,
    /// Fixed token ids, position by position: whatever stands in the cache is a prefix of them.
    stream: Vec<u32>,
    /// Whether most weights are of f16.
    #[cfg(feature = "cuda")]
    halves: bool,
}

impl<'a> Run<'a> {
    fn new(subject: &'a Subject, request: &'a Request, watch: &'a dyn Watch) -> Self {
        let cells = request.threads.iter().enumerate().flat_map(|(i, &n)| {
            request.tests.iter().map(move |test| Cell {
                test: *test,
                threads: i,
                times: Vec::new(),
                error: None,
                row: subject.row(n, test),
            })
        });
        Self {
            subject,
            request,
            watch,
            cells: cells.collect(),
            stream: Vec::new(),
            #[cfg(feature = "cuda")]
            halves: false,
        }
    }

    /// Measures all that can be measured.
    fn go(&mut self, book: &mut Book) -> Result<(), BenchError> {
        let (subject, watch) = (self.subject, self.watch);
        let architecture = models::detect(subject.checkpoint)?;
        // A model of another task is refused here.
        models::summary(subject.checkpoint)?;
        let config = Config::read(subject.checkpoint, architecture.model_type)?;
        let loader = Loader::new(subject.checkpoint, &subject.options)?;
        let counts = Counts::of(&loader, &config);
        #[cfg(feature = "cuda")]
        {
            self.halves = counts.format == Format::F16;
        }
        let weights = counts.format.name().to_lowercase();
        let billions = subject.checkpoint.parameters() as f64 / 1e9;
        for cell in &mut self.cells {
            cell.row.model_size = counts.held_bytes;
            cell.row.type_k = loader.cache_type().name().into();
            cell.row.type_v = cell.row.type_k.clone();
            cell.row.model_type = format!("{} {billions:.2}B {weights}", architecture.model_type);
            cell.row.weights = weights.clone();
        }
        for note in loader.notes() {
            watch.note(&note);
        }
        check_widths(&loader, subject.options.quant)?;
        let ids = self.text_ids(&config)?;
        let context = self.check_context(&config, ids.len())?;
        check_memory(&loader, &counts, context, 1)?;
        self.check_sequences(&loader, &counts, &config)?;
        drop(loader);
        self.stream = token_ids(context, config.vocab_size);

        #[cfg(feature = "cuda")]
        let of_gpu = self.limits_of_gpu();
        #[cfg(not(feature = "cuda"))]
        let of_gpu = None;
        let mut limits = match of_gpu {
            Some(limits) => limits,
            None => self.limits(book, Book::before)?,
        };
        let mut model = self.load_for_all(context)?;
        self.hold(model.as_mut());
        self.run_tests(model.as_mut())?;
        model.hold(1);
        let peak = memory::peak();
        for (best, now) in limits.iter_mut().zip(self.limits(book, Book::after)?) {
            *best = best.best(now);
        }
        for cell in self.cells.iter_mut().filter(|cell| cell.error.is_none()) {
            cell.row.peak_memory_bytes = peak;
            if let Some(limits) = limits.get(cell.threads) {
                cell.fill_limits(&counts, limits);
            }
        }
        if !ids.is_empty() && !watch.interrupted() {
            match self.quality(model.as_mut(), &ids, &config) {
                Ok(quality) => self
                    .cells
                    .iter_mut()
                    .for_each(|cell| cell.fill_quality(&quality)),
                Err(error) => {
                    let reason = format!("quality: {error}");
                    self.cells.iter_mut().for_each(|cell| {
                        cell.row.error.get_or_insert(reason.clone());
                    });
                }
            }
        }
        Ok(())
    }

    /// The quality text's tokens as far as the context goes; none without a text.
    fn text_ids(&self, config: &Config) -> Result<Vec<u32>, BenchError> {
        let Some(text) = &self.request.text else {
            return Ok(Vec::new());
        };
        let tokenizer = Tokenizer::open(self.subject.checkpoint)?;
        let mut ids = tokenizer.encode(&text.content, true)?;
        if ids.len() < 2 {
            return Err(BenchError::ShortText { tokens: ids.len() });
        }
        let limit = config.context_length.min(DEFAULT_CONTEXT);
        if ids.len() > limit {
            self.watch.note(&format!(
                "{}: the first {limit} of {} tokens are scored, the context holds no more",
                text.name,
                ids.len()
            ));
            ids.truncate(limit);
        }
        Ok(ids)
    }

    /// Of the GPU that is computed on, on which threads change nothing; none without cuBLASLt. They are measured while the
    /// model is not there yet: both need room.
    #[cfg(feature = "cuda")]
    fn limits_of_gpu(&self) -> Option<Vec<Limits>> {
        let gpu = self.subject.options.gpu.as_ref()?;
        if self.watch.interrupted() {
            return Some(Vec::new());
        }
        self.watch.phase("measuring the GPU's limits");
        let limits = gpu.blas().and_then(|_| Limits::of_gpu(gpu, self.halves));
        Some(limits.map_or(Vec::new(), |limits| {
            vec![limits; self.request.threads.len()]
        }))
    }

    /// For each number of threads; none elsewhere than on the CPU.
    fn limits(
        &self,
        book: &mut Book,
        measure: fn(&mut Book, usize) -> Result<Limits, BenchError>,
    ) -> Result<Vec<Limits>, BenchError> {
        if !self.subject.options.on_cpu() || self.watch.interrupted() {
            return Ok(Vec::new());
        }
        self.watch.phase("measuring the machine's limits");
        let threads = self.request.threads.iter();
        threads.map(|&n| measure(book, n)).collect()
    }

    /// Loads the model anew for each number of threads, for the time to load and to the first token; the last one stays.
    fn load_for_all(&mut self, context: usize) -> Result<Box<dyn LanguageModel>, BenchError> {
        let subject = self.subject;
        let mut loaded = None;
        for (index, &threads) in self.request.threads.iter().enumerate() {
            if self.watch.interrupted() {
                return Err(BenchError::Interrupted);
            }
            self.watch.phase(&format!("loading (threads: {threads})"));
            drop(loaded.take());
            memory::reset_peak();
            let started = Instant::now();
            let mut model = use_threads(threads, || subject.load(context))?;
            let load_ms = milliseconds(started);
            let prompt = self.cells.iter().filter(|cell| cell.error.is_none());
            let prompt = prompt.map(|cell| cell.test.n_prompt).find(|&n| n > 0);
            let ttft_ms = match prompt.and_then(|n| self.stream.get(..n)) {
                Some(prompt) => {
                    let started = Instant::now();
                    use_threads(threads, || first_token(model.as_mut(), prompt))?;
                    Some(milliseconds(started))
                }
                None => None,
            };
            let cells = self.cells.iter_mut();
            for cell in cells.filter(|cell| cell.threads == index && cell.error.is_none()) {
                cell.row.load_ms = Some(load_ms);
                cell.row.ttft_ms = ttft_ms;
            }
            loaded = Some(model);
        }
        loaded.ok_or(BenchError::Interrupted)
    }

    /// Room for as many sequences as some test has.
    fn hold(&self, model: &mut dyn LanguageModel) {
        let fitting = self.cells.iter().filter(|cell| cell.error.is_none());
        let most = fitting.map(|cell| cell.test.n_parallel).max().unwrap_or(1);
        model.hold(most);
        if most > 1 && model.reuse() == Reuse::NONE {
            self.watch
                .note("on this device a step computes each sequence by itself");
        }
    }

    /// Depth by depth, so that the cache is filled once; within one, repetitions go in turn over tests and thread counts.
    fn run_tests(&mut self, model: &mut dyn LanguageModel) -> Result<(), BenchError> {
        let mut depths: Vec<usize> = self.cells.iter().map(|cell| cell.test.n_depth).collect();
        depths.sort_unstable();
        depths.dedup();
        for depth in depths {
            let fits = |cell: &&mut Cell| cell.test.n_depth == depth && cell.error.is_none();
            let mut cells: Vec<&mut Cell> = self.cells.iter_mut().filter(fits).collect();
            if cells.is_empty() {
                continue;
            }
            let names: Vec<String> = self
                .request
                .tests
                .iter()
                .filter(|test| cells.iter().any(|cell| cell.test == **test))
                .map(Test::to_string)
                .collect();
            self.watch.phase(&names.join(", "));
            // The first round warms up.
            for repetition in 0..=self.request.repetitions {
                for cell in &mut cells {
                    if self.watch.interrupted() {
                        return Err(BenchError::Interrupted);
                    }
                    let threads = self.request.threads.get(cell.threads);
                    let threads = threads.copied().unwrap_or(1);
                    let mut test = cell.test;
                    if repetition == 0 {
                        test.n_gen = test.n_gen.min(WARM_UP);
                        cell.row.test_time = clock::now().format("%FT%TZ");
                    }
                    let (stream, watch) = (&self.stream, self.watch);
                    let time = use_threads(threads, || take_time(model, &test, stream, watch));
                    match time {
                        Ok(time) if repetition > 0 => cell.times.push(time),
                        Ok(_) => {}
                        Err(BenchError::Interrupted) => return Err(BenchError::Interrupted),
                        Err(error) => cell.error = Some(error),
                    }
                }
                cells.retain(|cell| cell.error.is_none());
                self.watch.step(repetition, self.request.repetitions);
            }
        }
        Ok(())
    }

    fn quality(
        &self,
        model: &mut dyn LanguageModel,
        ids: &[u32],
        config: &Config,
    ) -> Result<Quality, BenchError> {
        let subject = self.subject;
        let threads = self.request.threads.last().copied().unwrap_or(1);
        let options = LoadOptions {
            dtype: DTypeChoice::F32,
            quant: None,
            ..subject.options.clone()
        };
        self.watch.phase("quality");
        let mut reference = None;
        if (subject.options.dtype, subject.options.quant) != (options.dtype, options.quant) {
            let loader = Loader::new(subject.checkpoint, &options)?;
            let counts = Counts::of(&loader, config);
            check_memory(&loader, &counts, ids.len(), 1)?;
            drop(loader);
            let load = || subject.load_with(&options, ids.len());
            reference = Some(use_threads(threads, load)?);
        }
        let interrupted = || self.watch.interrupted();
        let reference = reference.as_mut().map(|model| model.as_mut() as _);
        quality::score(model, reference, ids, threads, &interrupted)
    }

    /// The rows. `failed` is the reason of every row that has neither figures nor a reason of its own.
    fn finish(self, failed: Option<BenchError>) -> Vec<Outcome> {
        let mut failed = failed;
        let reason = failed.as_ref().map(ToString::to_string);
        let finished = |mut cell: Cell| {
            let complete = cell.times.len() == self.request.repetitions && cell.error.is_none();
            match Summary::of(cell.test.tokens(), &cell.times).filter(|_| complete) {
                Some(summary) => cell.fill_summary(summary),
                None => {
                    cell.error = cell.error.or_else(|| failed.take());
                    let own = cell.error.as_ref().map(ToString::to_string);
                    cell.row.error = own.or_else(|| reason.clone());
                }
            }
            Outcome {
                row: cell.row,
                error: cell.error,
            }
        };
        self.cells.into_iter().map(finished).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::subject::Nobody;
    use crate::weights::{Checkpoint, Format, Quant};
    use candle_core::Device;
    use serde_json::json;

    /// The reasons of both rows of a model of `width`: a prompt, and what `n_parallel` sequences generate.
    fn reasons(
        width: usize,
        quant: Option<Quant>,
        n_depth: usize,
        n_parallel: usize,
    ) -> Vec<String> {
        let config = json!({
            "model_type": "llama", "hidden_size": width, "intermediate_size": 64,
            "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 32,
            "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        });
        let tensors = vec![("model.embed_tokens.weight".to_string(), vec![32, width])];
        let subject = Subject {
            name: "tiny".into(),
            checkpoint: &Checkpoint::synthetic("tiny", config, tensors, Format::F32).unwrap(),
            options: LoadOptions {
                device: Device::Cpu,
                dtype: DTypeChoice::Auto,
                quant,
                ..LoadOptions::default()
            },
            device: "cpu".into(),
            dtype: "auto".into(),
            quant: "none".into(),
        };
        let request = Request {
            tests: super::super::tests(&[8], &[4], &[], &[n_depth], &[n_parallel]),
            threads: vec![1],
            repetitions: 1,
            text: None,
        };
        let outcomes = measure(&subject, &request, &mut Book::default(), &Nobody);
        let reason = |outcome: Outcome| outcome.row.error.unwrap();
        outcomes.into_iter().map(reason).collect()
    }

    #[test]
    fn what_does_not_fit_is_a_row_with_its_reason() {
        let width = reasons(48, Some(Quant::Q8_0), 0, 1);
        assert_eq!(width.len(), 2);
        assert!(
            width[1].contains("q8_0 does not fit a width of 48"),
            "{width:?}"
        );
        let depth = reasons(64, None, 61, 1);
        assert!(
            depth[0].contains("pp8@d61 needs a context of 69"),
            "{depth:?}"
        );
        assert!(depth[1].contains("tg4@d61"), "{depth:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn sequences_that_memory_has_no_room_for_are_a_row_with_its_reason() {
        let found = reasons(64, None, 60, 1 << 40);
        assert!(found[0].contains("a context of 68"), "{found:?}");
        assert!(found[1].contains("of memory"), "{found:?}");
    }
}
