//! Many prompts side by side: each step computes one token of every answer that is under way, so that the weights are
//! read once for all, and a prompt takes the place of an answer that is finished at once (continuous batching; Yu et
//! al., 2022, Orca).
//!
//! An answer is, token for token, that of [`Engine::generate`] with the same prompt and options: neither its company nor
//! what it shares with others changes a number of it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::answer::{rate, Answer, Next};
use super::engine::{forward, shared_prefix};
use super::{Engine, FinishReason, GenerateError, GenerateOptions, Output, Timings};
use crate::kernels::pool;
use crate::models::{LanguageModel, Logits, ModelError, Reuse};
use crate::text::Tokenizer;

/// Answers under way over one engine, which does nothing else meanwhile.
pub struct Batch<'t> {
    tokenizer: &'t Tokenizer,
    places: Vec<Place<'t>>,
    reuse: Reuse,
    /// `[answers, vocab]` of the last step.
    logits: Vec<f32>,
    totals: Totals,
}

/// A sequence of the model, and the answer that grows there.
#[derive(Default)]
struct Place<'t> {
    /// The tokens whose keys and values are there.
    ids: Vec<u32>,
    /// How many of them serve prompts that begin alike.
    kept: usize,
    live: Option<Live<'t>>,
}

struct Live<'t> {
    key: usize,
    answer: Answer<'t>,
    /// The token to be computed next.
    next: u32,
}

/// An answer that is complete, or why there is none.
#[derive(Debug)]
pub struct Finished {
    /// As it was given with the prompt.
    pub key: usize,
    pub answer: Result<Output, GenerateError>,
}

/// What became of a prompt.
#[derive(Debug)]
pub enum Started {
    /// Its answer grows with the steps to come.
    Running,
    Finished(Finished),
    /// The caller said so, before there was anything of an answer.
    Interrupted,
}

/// What all of a batch took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub prompts: usize,
    /// Tokens of prompts that were computed, and those that another prompt's computing served.
    pub prefill_tokens: usize,
    pub reused_tokens: usize,
    /// Tokens of answers.
    pub tokens: usize,
    /// Passes through the model for more than a prompt.
    pub steps: usize,
}

impl<'t> Batch<'t> {
    /// Room for `parallel` answers, at least one. The engine forgets what is in its cache.
    pub fn new(engine: &mut Engine, tokenizer: &'t Tokenizer, parallel: usize) -> Self {
        engine.forget_all_but(0);
        engine.show(&[]);
        engine.model.restrict(None);
        engine.model.hold(parallel);
        let mut places = Vec::new();
        places.resize_with(parallel.max(1), Place::default);
        Self {
            tokenizer,
            places,
            reuse: engine.model.reuse(),
            logits: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Answers under way.
    pub fn live(&self) -> usize {
        self.places.iter().filter(|p| p.live.is_some()).count()
    }

    /// Whether another prompt may be started.
    pub fn has_room(&self) -> bool {
        self.places.iter().any(|place| place.live.is_none())
    }

    /// What was done so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Computes the prompt `ids` and the first token of its answer; `interrupted` is polled meanwhile. All tokens of the
    /// vocabulary may come, whatever `options` say of it.
    ///
    /// # Panics
    /// There is no room.
    pub fn start(
        &mut self,
        engine: &mut Engine,
        (key, ids): (usize, Vec<u32>),
        options: &GenerateOptions,
        interrupted: &dyn Fn() -> bool,
    ) -> Started {
        assert!(self.has_room(), "a place for another answer");
        self.totals.prompts += 1;
        match self.begin(engine, key, ids, options, interrupted) {
            Ok(Some(None)) => Started::Running,
            Ok(Some(Some(output))) => {
                self.totals.tokens += output.tokens.len();
                Started::Finished(Finished {
                    key,
                    answer: Ok(output),
                })
            }
            Ok(None) => Started::Interrupted,
            Err(error) => Started::Finished(Finished {
                key,
                answer: Err(error),
            }),
        }
    }

    /// None: interrupted; else the output, if it is complete already.
    fn begin(
        &mut self,
        engine: &mut Engine,
        key: usize,
        ids: Vec<u32>,
        options: &GenerateOptions,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<Option<Output>>, GenerateError> {
        let began = Instant::now();
        engine.check_prompt(&ids)?;
        let (source, start) = self.source(&ids);
        let slot = self.free_place(source);
        let place = &mut self.places[slot];
        (place.ids, place.kept) = (Vec::new(), 0);
        let model = engine.model.as_mut();
        model.select(slot);
        match start {
            0 => model.truncate(0),
            _ => model.begin_as(source, start)?,
        }
        let few = options.deciding();
        let logits = match forward(model, &ids[start..], few, &|| !interrupted()) {
            Ok(Some(logits)) => logits,
            Ok(None) => return Ok(None),
            Err(error) => {
                // Some layers may hold the tokens and others not.
                model.truncate(0);
                return Err(error.into());
            }
        };
        let timings = Timings {
            cached_tokens: start,
            prefill_tokens: ids.len() - start,
            prefill_tps: rate(ids.len() - start, began),
            ..Timings::default()
        };
        self.totals.prefill_tokens += timings.prefill_tokens;
        self.totals.reused_tokens += timings.cached_tokens;
        let mut answer = Answer::new(self.tokenizer, options, &ids, began, timings);
        (place.kept, place.ids) = (self.reuse.kept(ids.len()), ids);
        match after(
            &mut answer,
            Row::Known(logits),
            place.ids.len(),
            engine.context(),
        )? {
            Next::End(reason) => Ok(Some(Some(answer.finish(reason, &mut |_| true)?))),
            Next::Compute(next) => {
                place.live = Some(Live { key, answer, next });
                Ok(Some(None))
            }
        }
    }

    /// The place whose beginning serves most of `ids`, and how many tokens of it.
    fn source(&self, ids: &[u32]) -> (usize, usize) {
        let serves = |place: &Place| {
            let shared = shared_prefix(&place.ids[..place.kept.min(place.ids.len())], ids);
            self.reuse.start(shared, ids.len())
        };
        let all = self.places.iter().map(serves).enumerate();
        // The first of equals.
        all.rev().max_by_key(|&(_, start)| start).unwrap_or((0, 0))
    }

    /// A place without an answer, if possible not `source`, which may serve again.
    fn free_place(&self, source: usize) -> usize {
        let free = |slot: &usize| self.places[*slot].live.is_none();
        let mut others = (0..self.places.len()).filter(|&slot| slot != source);
        others.find(free).unwrap_or(source)
    }

    /// One token for every answer under way; those that are complete with it.
    pub fn step(&mut self, engine: &mut Engine) -> Vec<Finished> {
        let live = self.places.iter().enumerate();
        let (next, few): (Vec<(usize, u32)>, Vec<Option<usize>>) = live
            .filter_map(|(slot, place)| {
                let live = place.live.as_ref()?;
                Some(((slot, live.next), live.answer.deciding()))
            })
            .unzip();
        if next.is_empty() {
            return Vec::new();
        }
        self.totals.steps += 1;
        let context = engine.context();
        let computed = compute(engine.model.as_mut(), &next, &few, &mut self.logits);
        let places = self.places.iter_mut().filter(|p| p.live.is_some());
        let work: Vec<_> = places
            .zip(computed)
            .map(|(place, computed)| Mutex::new((place, Some(computed), None)))
            .collect();
        // The vocabulary is long: choosing is work for all threads.
        pool::run(work.len(), |i| {
            let mut item = work[i].lock().unwrap_or_else(PoisonError::into_inner);
            let (place, computed, ended) = &mut *item;
            let (Some(live), Some(computed)) = (&mut place.live, computed.take()) else {
                return;
            };
            let row = match computed {
                Ok(row) => row,
                Err(error) => {
                    *ended = Some(Err(error.into()));
                    return;
                }
            };
            place.ids.push(live.next);
            match after(&mut live.answer, row, place.ids.len(), context) {
                Ok(Next::Compute(next)) => live.next = next,
                Ok(Next::End(reason)) => *ended = Some(Ok(reason)),
                Err(error) => *ended = Some(Err(error)),
            }
        });
        let mut finished = Vec::new();
        for item in work {
            let (place, _, ended) = item.into_inner().unwrap_or_else(PoisonError::into_inner);
            let Some(ended) = ended else { continue };
            let Some(Live { key, answer, .. }) = place.live.take() else {
                continue;
            };
            let answer = ended.and_then(|reason| answer.finish(reason, &mut |_| true));
            self.totals.tokens += answer.as_ref().map_or(0, |output| output.tokens.len());
            finished.push(Finished { key, answer });
        }
        finished
    }

    /// Gives the engine back with an empty cache and room for one sequence; answers under way are lost.
    pub fn close(self, engine: &mut Engine) -> Totals {
        engine.model.hold(1);
        engine.forget_all_but(0);
        self.totals
    }
}

/// What is known of the logits behind a token.
enum Row<'l> {
    /// All of them, `[vocab]`.
    All(&'l mut [f32]),
    Known(Logits),
}

/// What is known of the logits behind each of `next`, all of which lie in `logits` unless the `few` likeliest decide;
/// where all together fail, one after the other, so that one that does not fit takes no other with it.
fn compute<'l>(
    model: &mut dyn LanguageModel,
    next: &[(usize, u32)],
    few: &[Option<usize>],
    logits: &'l mut Vec<f32>,
) -> Vec<Result<Row<'l>, ModelError>> {
    let vocab = model.vocab_size().max(1);
    let done = match model.forward_each_likely(next, few) {
        Ok(Some(known)) => return known.into_iter().map(|l| Ok(Row::Known(l))).collect(),
        Ok(None) => model.forward_each(next, logits),
        Err(error) => Err(error),
    };
    let outcomes: Vec<Result<(), ModelError>> = match done {
        Ok(()) => next.iter().map(|_| Ok(())).collect(),
        Err(error) if next.len() == 1 => {
            logits.resize(vocab, 0.0);
            vec![Err(error)]
        }
        Err(_) => {
            let mut all = Vec::with_capacity(next.len() * vocab);
            let mut each = |one: &(usize, u32)| {
                let outcome = model.forward_each(&[*one], logits);
                logits.resize(vocab, 0.0);
                all.extend_from_slice(logits);
                outcome
            };
            let outcomes = next.iter().map(&mut each).collect();
            *logits = all;
            outcomes
        }
    };
    let rows = logits.chunks_exact_mut(vocab).zip(outcomes);
    rows.map(|(row, outcome)| outcome.map(|()| Row::All(row)))
        .collect()
}

/// What follows the row of logits of the last of `cached` tokens.
fn after(
    answer: &mut Answer,
    row: Row,
    cached: usize,
    context: usize,
) -> Result<Next, GenerateError> {
    let next = match row {
        Row::All(row) => answer.take(row, cached, &mut |_| true)?,
        Row::Known(logits) => answer.take_known(logits, cached, &mut |_| true)?,
    };
    Ok(match next {
        Next::Compute(_) if cached >= context => Next::End(FinishReason::Length),
        next => next,
    })
}
