//! One answer while it grows: what follows from each row of logits, whoever computed it.

use std::time::Instant;

use super::logprobs::token_logprob;
use super::{
    Constraint, FinishReason, GenerateError, GenerateOptions, Output, Sampler, Step, StopMatcher,
    Timings, TokenLogprob,
};
use crate::models::{Logits, ModelError, NO_TOKEN};
use crate::text::{StreamDecoder, Tokenizer};

/// The text and tokens of one answer, and all that decides how it goes on.
pub(super) struct Answer<'a> {
    options: GenerateOptions,
    /// Where in its structure the answer is.
    constraint: Option<Constraint>,
    sampler: Sampler,
    decoder: StreamDecoder<'a>,
    stop: StopMatcher,
    stopped: bool,
    output: Output,
    started: Instant,
    first_token: Option<Instant>,
}

/// What comes after a row of logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// This token is to be computed, for the row that follows it.
    Compute(u32),
    End(FinishReason),
}

impl<'a> Answer<'a> {
    /// An answer to `prompt`, whose computing began at `started` and took what `timings` say so far.
    pub fn new(
        tokenizer: &'a Tokenizer,
        options: &GenerateOptions,
        prompt: &[u32],
        started: Instant,
        timings: Timings,
    ) -> Self {
        // A prompt that is not all tokens is, for transformers' penalties, none.
        let seen = match prompt.contains(&NO_TOKEN) {
            true => &[],
            false => prompt,
        };
        Self {
            options: options.clone(),
            constraint: options.constraint.clone(),
            sampler: Sampler::new(&options.sampling, options.seed, seen),
            decoder: match options.constraint {
                // The parser sees every byte, and so does the reader.
                Some(_) => tokenizer.stream_within(),
                None => tokenizer.stream(),
            },
            stop: StopMatcher::new(&options.stop),
            stopped: false,
            output: Output::empty(FinishReason::Length, timings),
            started,
            first_token: None,
        }
    }

    /// Whether no token may be added.
    pub fn is_full(&self) -> bool {
        self.options
            .max_tokens
            .is_some_and(|limit| self.output.tokens.len() >= limit)
    }

    /// How many of the likeliest tokens decide, where so few do: see [`GenerateOptions::deciding`].
    pub fn deciding(&self) -> Option<usize> {
        self.options.deciding()
    }

    /// [`Answer::take`], whatever is known of the logits.
    ///
    /// # Errors
    /// As there.
    pub fn take_known(
        &mut self,
        logits: Logits,
        position: usize,
        on_step: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Next, GenerateError> {
        match logits {
            Logits::All(logits) => {
                let mut row: Vec<f32> = logits.to_vec1().map_err(ModelError::from)?;
                self.take(&mut row, position, on_step)
            }
            Logits::Likely(tokens) => self.take_likely(&tokens, position, on_step),
            Logits::NoNumber => Err(GenerateError::BadLogits { position }),
        }
    }

    /// Chooses a token of `row`, `[vocab]`, which is changed, and tells `on_step`. The `position` of the row is for an
    /// error.
    ///
    /// # Errors
    /// Logits that are not numbers, a token that the tokenizer cannot spell.
    pub fn take(
        &mut self,
        row: &mut [f32],
        position: usize,
        on_step: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Next, GenerateError> {
        if self.is_full() {
            return Ok(Next::End(FinishReason::Length));
        }
        let raw = self.options.logprobs.map(|k| (row.to_vec(), k));
        let bad = GenerateError::BadLogits { position };
        if self.sampler.prepare(row).is_none() {
            return Err(bad);
        }
        if let Some(constraint) = &mut self.constraint {
            let deciding = self.sampler.deciding();
            if !constraint.narrow(row, &self.options.eos_ids, deciding)? {
                return Ok(Next::End(FinishReason::Stop));
            }
        }
        let token = self.sampler.choose(row).ok_or(bad)?;
        self.took(token, raw, on_step)
    }

    /// [`Answer::take`] where only the tokens that decide are known, with their logits.
    ///
    /// # Errors
    /// As there.
    fn take_likely(
        &mut self,
        tokens: &[(u32, f32)],
        position: usize,
        on_step: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Next, GenerateError> {
        if self.is_full() {
            return Ok(Next::End(FinishReason::Length));
        }
        let bad = GenerateError::BadLogits { position };
        let token = self.sampler.choose_likely(tokens).ok_or(bad)?;
        self.took(token, None, on_step)
    }

    /// What follows from the choice of `token`, out of the logits `raw` where so many of the best are to be told.
    fn took(
        &mut self,
        token: u32,
        raw: Option<(Vec<f32>, usize)>,
        on_step: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Next, GenerateError> {
        if self.first_token.is_none() {
            self.output.timings.ttft_ms = self.started.elapsed().as_secs_f64() * 1000.0;
            self.first_token = Some(Instant::now());
        }
        if self.options.eos_ids.contains(&token) {
            return Ok(Next::End(FinishReason::Stop));
        }
        let logprob = raw.map(|(row, k)| token_logprob(&row, token, k));
        let accepted = self.add(token, logprob, on_step)?;
        let mut complete = false;
        if let (Some(constraint), false) = (&mut self.constraint, self.stopped) {
            constraint.accept(token)?;
            complete = constraint.is_complete();
        }
        Ok(match (self.stopped, accepted) {
            (true, _) => Next::End(FinishReason::Stop),
            (false, false) => Next::End(FinishReason::Interrupted),
            (false, true) if complete => Next::End(FinishReason::Stop),
            (false, true) if self.is_full() => Next::End(FinishReason::Length),
            (false, true) => Next::Compute(token),
        })
    }

    /// Adds a token and its text; whether `on_step` took it.
    fn add(
        &mut self,
        token: u32,
        logprob: Option<TokenLogprob>,
        on_step: &mut dyn FnMut(Step) -> bool,
    ) -> Result<bool, GenerateError> {
        self.output.tokens.push(token);
        let piece = self.decoder.push(token)?;
        let (text, stopped) = self.stop.push(&piece);
        self.stopped = stopped;
        self.output.text.push_str(&text);
        let accepted = on_step(Step {
            token: Some(token),
            text: &text,
            logprob: logprob.as_ref(),
        });
        self.output.logprobs.extend(logprob);
        Ok(accepted)
    }

    /// The whole answer; lets go of what was held back, unless a stop string cut it off.
    ///
    /// # Errors
    /// Tokens that the tokenizer cannot spell.
    pub fn finish(
        mut self,
        reason: FinishReason,
        on_step: &mut dyn FnMut(Step) -> bool,
    ) -> Result<Output, GenerateError> {
        if let Some(first) = self.first_token {
            let others = self.output.tokens.len().saturating_sub(1);
            self.output.timings.decode_tps = rate(others, first);
        }
        let mut text = String::new();
        if !self.stopped {
            let (rest, stopped) = self.stop.push(&self.decoder.finish()?);
            text.push_str(&rest);
            if !stopped {
                text.push_str(&self.stop.finish());
            }
        }
        if !text.is_empty() {
            self.output.text.push_str(&text);
            on_step(Step {
                token: None,
                text: &text,
                logprob: None,
            });
        }
        self.output.finish_reason = reason;
        // A stop string also takes away what came before it in its tokens.
        self.output.complete = match (&self.options.constraint, self.constraint) {
            (Some(whole), _) if self.stopped => Some(whole.admits(&self.output.text)),
            (_, state) => state.map(|mut state| state.may_end()),
        };
        Ok(self.output)
    }
}

/// `count` a second since `start`; 0 for none.
pub(super) fn rate(count: usize, start: Instant) -> f64 {
    match count {
        0 => 0.0,
        _ => count as f64 / start.elapsed().as_secs_f64().max(1e-9),
    }
}
