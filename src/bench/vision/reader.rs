//! What reads the rows of an image: the language model.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Model, Test};
use crate::bench::count::check_widths;
use crate::bench::parts::{Expected, Instrument, Need, Subject};
use crate::bench::passes::{milliseconds, token_ids};
use crate::bench::{self, memory, BenchError, Counts, Watch};
use crate::models::{self, Config, Encoded, LanguageModel, Picture, NO_TOKEN};
use crate::weights::Loader;

/// Tokens of text before the image, and behind it.
const TEXT: usize = 16;
/// Tokens of an answer, and those that warm up.
const ANSWER: usize = 64;
const WARM_UP: usize = 4;

/// The language model, loaded.
pub struct Reader {
    model: Box<dyn LanguageModel>,
    prompt: Vec<u32>,
    answer: Vec<u32>,
    counts: Counts,
    load_ms: f64,
    /// Whether it computes on the CPU, whose limits are known.
    on_cpu: bool,
}

impl Reader {
    pub fn load(
        subject: &Subject<Model>,
        image: &Arc<Encoded>,
        watch: &dyn Watch,
    ) -> Result<Self, BenchError> {
        let checkpoint = &subject.model.decoder;
        let architecture = models::detect(checkpoint)?;
        let config = Config::read(checkpoint, architecture.model_type)?;
        let started = Instant::now();
        let loader = Loader::new(checkpoint, &subject.options)?;
        check_widths(&loader, subject.options.quant)?;
        let counts = Counts::of(&loader, &config);
        let on_cpu = subject.options.on_cpu();
        if on_cpu {
            memory::check(counts.held_bytes)?;
        }
        loader.notes().iter().for_each(|note| watch.note(note));
        let mut prompt = token_ids(TEXT + image.tokens + TEXT, config.vocab_size);
        prompt[TEXT..TEXT + image.tokens].fill(NO_TOKEN);
        let context = prompt.len() + ANSWER;
        let mut model = models::load(&loader, Some(context))?;
        if model.context() < context {
            return Err(BenchError::Context {
                test: Test::Decode.to_string(),
                needed: context,
                limit: model.context(),
            });
        }
        model.place(&[Picture {
            start: TEXT,
            image: Arc::clone(image),
        }]);
        Ok(Self {
            model,
            prompt,
            answer: token_ids(ANSWER, config.vocab_size),
            counts,
            load_ms: milliseconds(started),
            on_cpu,
        })
    }

    fn prefill(&mut self, watch: &dyn Watch) -> Result<Duration, BenchError> {
        self.model.truncate(0);
        let started = Instant::now();
        let logits = self
            .model
            .forward_while(&self.prompt, &|| !watch.interrupted())?
            .ok_or(BenchError::Interrupted)?;
        logits
            .device()
            .synchronize()
            .map_err(models::ModelError::from)?;
        Ok(started.elapsed())
    }

    fn decode(&mut self, tokens: usize, watch: &dyn Watch) -> Result<Duration, BenchError> {
        self.model.truncate(self.prompt.len());
        if self.model.cached() < self.prompt.len() {
            self.prefill(watch)?;
        }
        let started = Instant::now();
        for &token in &self.answer[..tokens] {
            if watch.interrupted() {
                return Err(BenchError::Interrupted);
            }
            let logits = self.model.forward(&[token])?;
            logits
                .device()
                .synchronize()
                .map_err(models::ModelError::from)?;
        }
        Ok(started.elapsed())
    }
}

impl Instrument for Reader {
    type Test = Test;

    fn take(
        &mut self,
        test: Test,
        warm_up: bool,
        watch: &dyn Watch,
    ) -> Result<Vec<Duration>, BenchError> {
        let tokens = match warm_up {
            true => WARM_UP,
            false => ANSWER,
        };
        let took = match test {
            Test::Prefill => self.prefill(watch)?,
            _ => self.decode(tokens, watch)?,
        };
        Ok(vec![took])
    }

    fn expected(&self, test: Test) -> Expected {
        let test = match test {
            Test::Prefill => bench::Test {
                n_prompt: self.prompt.len(),
                n_gen: 0,
                n_depth: 0,
                n_parallel: 1,
            },
            _ => bench::Test {
                n_prompt: 0,
                n_gen: ANSWER,
                n_depth: self.prompt.len(),
                n_parallel: 1,
            },
        };
        let work = self.counts.work(&test);
        Expected {
            weights: self.counts.format.name().to_lowercase(),
            n_tokens: Some(test.tokens()),
            counts_tokens: true,
            load_ms: self.load_ms,
            need: self.on_cpu.then_some(Need {
                operations: work.operations,
                arithmetic: self.counts.arithmetic(),
                exact: 0.0,
                bytes: work.bytes,
            }),
            ..Expected::default()
        }
    }
}
