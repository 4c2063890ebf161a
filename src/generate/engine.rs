//! The decoding loop.

mod choices;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::answer::{rate, Answer, Next};
use super::{log_softmax, FinishReason, GenerateError, GenerateOptions, Output, Step, Timings};
use crate::models::picture::{self, Picture};
use crate::models::{LanguageModel, Logits, ModelError, Released, Reuse};
use crate::text::Tokenizer;

pub use choices::Scores;

/// Tokens scored between two looks at the interrupt; bounds the logits held.
const SCORE_CHUNK: usize = 256;

/// A model with its tokenizer and the tokens in its cache.
pub struct Engine {
    pub(super) model: Box<dyn LanguageModel>,
    tokenizer: Arc<Tokenizer>,
    /// The tokens whose keys and values the model holds.
    cached: Vec<u32>,
    /// The images among them, and behind them.
    pictures: Vec<Picture>,
}

/// What is to be gone on with: token ids, [`NO_TOKEN`] where none names what an image shows there, and the images.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    pub ids: &'a [u32],
    pub pictures: &'a [Picture],
}

impl<'a> From<&'a [u32]> for Sequence<'a> {
    fn from(ids: &'a [u32]) -> Self {
        Self { ids, pictures: &[] }
    }
}

impl<'a> From<&'a Vec<u32>> for Sequence<'a> {
    fn from(ids: &'a Vec<u32>) -> Self {
        ids.as_slice().into()
    }
}

impl Engine {
    /// An engine with an empty cache.
    pub fn new(model: Box<dyn LanguageModel>, tokenizer: Tokenizer) -> Self {
        Self {
            model,
            tokenizer: Arc::new(tokenizer),
            cached: Vec::new(),
            pictures: Vec::new(),
        }
    }

    /// Lets go of the model's memory; nothing is generated until there is a model again.
    pub fn release(&mut self) {
        self.forget();
        self.model = Box::new(Released::of(self.model.as_ref()));
    }

    /// The same model, loaded again.
    pub fn put_back(&mut self, model: Box<dyn LanguageModel>) {
        self.forget();
        self.model = model;
    }

    /// The tokenizer of the model.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Rows of the output head: the tokenizer may know fewer tokens.
    pub fn vocab_size(&self) -> usize {
        self.model.vocab_size()
    }

    /// The same, for whoever needs it beside the engine.
    pub fn shared_tokenizer(&self) -> Arc<Tokenizer> {
        Arc::clone(&self.tokenizer)
    }

    /// The most tokens prompt and output may have together.
    pub fn context(&self) -> usize {
        self.model.context()
    }

    /// Writes the cache and the ids of its tokens, for [`Engine::restore`]. False, and nothing that is of use, where there
    /// are images in it or the model cannot.
    pub fn save(&self, out: &mut dyn Write) -> io::Result<bool> {
        if !self.pictures.is_empty() {
            return Ok(false);
        }
        out.write_all(&(self.cached.len() as u64).to_le_bytes())?;
        for id in &self.cached {
            out.write_all(&id.to_le_bytes())?;
        }
        self.model.save_cache(out)
    }

    /// Reads what [`Engine::save`] of the same model wrote, in place of what is held. Then, as when the model cannot
    /// (false), nothing is held on an error.
    ///
    /// # Errors
    /// A source that ends early, more tokens than the context holds.
    pub fn restore(&mut self, source: &mut dyn Read) -> io::Result<bool> {
        self.forget();
        let mut number = [0; 8];
        source.read_exact(&mut number)?;
        let len = usize::try_from(u64::from_le_bytes(number)).unwrap_or(usize::MAX);
        if len > self.model.context() {
            return Err(io::Error::other(format!(
                "{len} tokens do not fit a context of {}",
                self.model.context()
            )));
        }
        let mut ids = vec![0; 4 * len];
        source.read_exact(&mut ids)?;
        if !self.model.restore_cache(len, source)? {
            return Ok(false);
        }
        let ids = ids.chunks_exact(4);
        self.cached = ids
            .map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]]))
            .collect();
        Ok(true)
    }

    /// Forgets all that is held.
    pub fn forget(&mut self) {
        self.forget_all_but(0);
        self.show(&[]);
    }

    /// Tokens whose keys and values are held.
    pub fn cached(&self) -> usize {
        self.cached.len()
    }

    /// Whether a step of several answers is one pass through the model.
    pub fn computes_together(&self) -> bool {
        self.model.reuse() != Reuse::NONE
    }

    /// Bytes that keys and values of a sequence of `tokens` take.
    pub fn sequence_bytes(&self, tokens: usize) -> usize {
        self.model.sequence_bytes(tokens)
    }

    /// Generates after `prompt`. The cache is matched by token prefix, so that only what is new is computed.
    /// `on_step` is called for each token as it is made; returning `false` (a closed pipe, Ctrl-C) ends the
    /// output as [`FinishReason::Interrupted`]. `interrupted` is also polled while the prompt is computed.
    ///
    /// # Errors
    /// An empty prompt, one longer than the context, logits that are not numbers.
    pub fn generate<'a>(
        &mut self,
        prompt: impl Into<Sequence<'a>>,
        options: &GenerateOptions,
        interrupted: &dyn Fn() -> bool,
        on_step: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Output, GenerateError> {
        let output = self.go_on(prompt.into(), options, interrupted, on_step);
        self.unless_bad(output)
    }

    fn go_on(
        &mut self,
        prompt: Sequence,
        options: &GenerateOptions,
        interrupted: &dyn Fn() -> bool,
        on_step: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Output, GenerateError> {
        let started = Instant::now();
        let Sequence {
            ids: prompt,
            pictures,
        } = prompt;
        self.check_prompt(prompt)?;
        self.model.restrict(options.vocabulary.clone());
        let changed = picture::difference(&self.pictures, pictures).unwrap_or(usize::MAX);
        // The last token is always computed: its logits are needed.
        let shared = shared_prefix(&self.cached, prompt)
            .min(prompt.len() - 1)
            .min(changed);
        self.show(pictures);
        let mut timings = Timings {
            cached_tokens: shared,
            prefill_tokens: prompt.len() - shared,
            ..Timings::default()
        };
        let few = options.deciding();
        let Some(mut logits) = self.prefill(prompt, shared, few, interrupted)? else {
            let mut output = Output::empty(FinishReason::Interrupted, timings);
            output.complete = options.constraint.as_ref().map(|_| false);
            return Ok(output);
        };
        timings.prefill_tps = rate(timings.prefill_tokens, started);

        let tokenizer = Arc::clone(&self.tokenizer);
        let mut answer = Answer::new(&tokenizer, options, prompt, started, timings);
        let reason = loop {
            if interrupted() && !answer.is_full() {
                break FinishReason::Interrupted;
            }
            let position = self.cached.len();
            let token = match answer.take_known(logits, position, on_step)? {
                Next::Compute(token) => token,
                Next::End(reason) => break reason,
            };
            if self.cached.len() >= self.model.context() {
                break FinishReason::Length;
            }
            // A token is soon computed: the interrupt is looked at between them.
            logits = match self.compute(&[token], few, &|| false)? {
                Some(logits) => logits,
                None => break FinishReason::Interrupted,
            };
        };
        answer.finish(reason, on_step)
    }

    /// Negative log-likelihood of each token of `ids` but the first, natural logarithm. None when interrupted.
    ///
    /// # Errors
    /// Fewer than two tokens, more than the context holds, logits that are not numbers.
    pub fn score(
        &mut self,
        ids: &[u32],
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f64>>, GenerateError> {
        let scores = self.score_each(ids, interrupted);
        self.unless_bad(scores)
    }

    fn score_each(
        &mut self,
        ids: &[u32],
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f64>>, GenerateError> {
        if ids.len() < 2 {
            return Err(GenerateError::NothingToScore { tokens: ids.len() });
        }
        if ids.len() > self.model.context() {
            return Err(GenerateError::ContextFull {
                needed: ids.len(),
                limit: self.model.context(),
            });
        }
        self.forget_all_but(0);
        self.show(&[]);
        let mut scores = Vec::with_capacity(ids.len() - 1);
        let last = ids.len() - 1;
        for start in (0..last).step_by(SCORE_CHUNK) {
            if interrupted() {
                return Ok(None);
            }
            let end = (start + SCORE_CHUNK).min(last);
            let chunk = &ids[start..end];
            let logits = self.model.forward_all(chunk)?;
            self.cached.extend_from_slice(chunk);
            let rows: Vec<Vec<f32>> = logits.to_vec2().map_err(ModelError::from)?;
            let chunk_scores: Vec<Option<f64>> = rows
                .par_iter()
                .zip(&ids[start + 1..=end])
                .map(|(row, &next)| log_softmax(row, next).filter(|l| l.is_finite()))
                .collect();
            for (i, logprob) in chunk_scores.into_iter().enumerate() {
                let logprob = logprob.ok_or(GenerateError::BadLogits {
                    position: start + i,
                })?;
                scores.push(-logprob);
            }
        }
        Ok(Some(scores))
    }

    /// Nothing is kept behind numbers that are none: where tokens are computed together by products with a mask, those
    /// of one reach the ones before it, as 0 · NaN is NaN, and a prompt that begins alike would fail too.
    fn unless_bad<T>(&mut self, result: Result<T, GenerateError>) -> Result<T, GenerateError> {
        if matches!(result, Err(GenerateError::BadLogits { .. })) {
            self.forget_all_but(0);
        }
        result
    }

    pub(super) fn check_prompt(&self, prompt: &[u32]) -> Result<(), GenerateError> {
        if prompt.is_empty() {
            return Err(GenerateError::EmptyPrompt);
        }
        if prompt.len() > self.model.context() {
            return Err(GenerateError::ContextFull {
                needed: prompt.len(),
                limit: self.model.context(),
            });
        }
        Ok(())
    }

    /// Computes `prompt` after its first `shared` tokens; the logits of its last one, or None when interrupted.
    fn prefill(
        &mut self,
        prompt: &[u32],
        shared: usize,
        few: Option<usize>,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<Logits>, GenerateError> {
        self.forget_all_but(shared);
        self.compute(&prompt[shared..], few, interrupted)
    }

    /// Computes `tokens`; the logits of the last one, or of the `few` likeliest tokens behind it.
    fn compute(
        &mut self,
        tokens: &[u32],
        few: Option<usize>,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<Logits>, GenerateError> {
        let go_on = || !interrupted();
        match forward(self.model.as_mut(), tokens, few, &go_on) {
            Ok(logits) => {
                let done = self.model.cached() - self.cached.len();
                self.cached.extend(tokens.iter().take(done));
                Ok(logits)
            }
            Err(error) => {
                // Some layers may hold the tokens and others not.
                self.forget_all_but(0);
                Err(error.into())
            }
        }
    }

    pub(super) fn show(&mut self, pictures: &[Picture]) {
        self.model.place(pictures);
        self.pictures = pictures.to_vec();
    }

    pub(super) fn forget_all_but(&mut self, len: usize) {
        self.cached.truncate(len);
        self.model.truncate(len);
    }
}

/// Runs `tokens` through `model`: what is known of the logits behind them where the `few` likeliest decide, or all do.
pub(super) fn forward(
    model: &mut dyn LanguageModel,
    tokens: &[u32],
    few: Option<usize>,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Logits>, ModelError> {
    match few {
        Some(k) => model.forward_likely(tokens, k, go_on),
        None => Ok(model.forward_while(tokens, go_on)?.map(Logits::All)),
    }
}

pub(super) fn shared_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
