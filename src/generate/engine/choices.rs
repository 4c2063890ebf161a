//! Which of some answers is the likeliest, each as a whole.

use std::time::Instant;

use super::{rate, shared_prefix, Engine, Sequence, SCORE_CHUNK};
use crate::generate::{log_softmax, GenerateError, Timings};
use crate::models::{picture, Logits, ModelError};

/// How likely each answer is.
#[derive(Debug, Clone)]
pub struct Scores {
    /// Natural logarithms of probabilities, in the order of the answers.
    pub logprobs: Vec<f64>,
    pub timings: Timings,
}

impl Engine {
    /// The log-probability of each of `answers` (token ids) after `prompt`: the sum over its tokens and over one of
    /// `ends` behind them, whichever it is. So an answer that another one begins with (`a` and `ab`) does not win for
    /// being shorter. The prompt is computed once, and the cache holds it afterwards. None when interrupted.
    ///
    /// # Errors
    /// An empty prompt or answer, more than the context holds, logits that are not numbers.
    pub fn choose<'a>(
        &mut self,
        prompt: impl Into<Sequence<'a>>,
        answers: &[Vec<u32>],
        ends: &[u32],
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<Scores>, GenerateError> {
        let started = Instant::now();
        let Sequence { ids, pictures } = prompt.into();
        self.check_prompt(ids)?;
        let longest = answers.iter().map(Vec::len).max().unwrap_or(0);
        if ids.len() + longest > self.model.context() {
            return Err(GenerateError::ContextFull {
                needed: ids.len() + longest,
                limit: self.model.context(),
            });
        }
        if answers.iter().any(Vec::is_empty) {
            return Err(GenerateError::NothingToScore { tokens: 0 });
        }
        self.model.restrict(None);
        let changed = picture::difference(&self.pictures, pictures).unwrap_or(usize::MAX);
        let shared = shared_prefix(&self.cached, ids)
            .min(ids.len() - 1)
            .min(changed);
        self.show(pictures);
        let Some(Logits::All(logits)) = self.prefill(ids, shared, None, interrupted)? else {
            return Ok(None);
        };
        let prefill_tokens = ids.len() - shared;
        let mut timings = Timings {
            cached_tokens: shared,
            prefill_tokens,
            prefill_tps: rate(prefill_tokens, started),
            ..Timings::default()
        };
        let first: Vec<f32> = logits.to_vec1().map_err(ModelError::from)?;
        let mut logprobs = Vec::with_capacity(answers.len());
        for answer in answers {
            if interrupted() {
                return Ok(None);
            }
            let scored = self.score_answer(&first, answer, ends);
            self.forget_all_but(match scored {
                Ok(_) => ids.len(),
                Err(_) => 0,
            });
            logprobs.push(scored?);
        }
        timings.ttft_ms = started.elapsed().as_secs_f64() * 1000.0;
        Ok(Some(Scores { logprobs, timings }))
    }

    /// `first` are the logits of the prompt's last token.
    fn score_answer(
        &mut self,
        first: &[f32],
        answer: &[u32],
        ends: &[u32],
    ) -> Result<f64, GenerateError> {
        let position = self.cached.len();
        let finite = |logprob: Option<f64>| {
            let finite = logprob.filter(|l| l.is_finite());
            finite.ok_or(GenerateError::BadLogits { position })
        };
        let mut sum = finite(answer.first().and_then(|&id| log_softmax(first, id)))?;
        for (start, chunk) in answer.chunks(SCORE_CHUNK).enumerate() {
            let logits = self.model.forward_all(chunk)?;
            self.cached.extend_from_slice(chunk);
            let rows: Vec<Vec<f32>> = logits.to_vec2().map_err(ModelError::from)?;
            for (row, at) in rows.iter().zip(start * SCORE_CHUNK + 1..) {
                sum += match answer.get(at) {
                    Some(&next) => finite(log_softmax(row, next))?,
                    None if ends.is_empty() => 0.0,
                    None => finite(end_logprob(row, ends))?,
                };
            }
        }
        Ok(sum)
    }
}

/// The log-probability that one of `ends` comes; those past the last row are none.
fn end_logprob(row: &[f32], ends: &[u32]) -> Option<f64> {
    let each = ends.iter().filter_map(|&id| log_softmax(row, id));
    let sum: f64 = each.map(f64::exp).sum();
    match sum > 0.0 {
        true => Some(sum.ln()),
        // Too small for an f64, and not the sum of nothing: the likeliest one alone.
        false => ends
            .iter()
            .filter_map(|&id| log_softmax(row, id))
            .reduce(f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_end_ends() {
        let row = [0.0f32, 1.0, 2.0, 3.0];
        let total: f64 = row.iter().map(|&l| f64::from(l).exp()).sum();
        let expected = ((1f64.exp() + 3f64.exp()) / total).ln();
        let both = end_logprob(&row, &[1, 3, 99]).unwrap();
        assert!((both - expected).abs() < 1e-12);
        assert_eq!(end_logprob(&row, &[99]), None);
        // e^-1000 is 0 in an f64; its logarithm is not lost.
        let far = end_logprob(&[0.0, -1000.0], &[1]).unwrap();
        assert!((far + 1000.0).abs() < 1e-9);
    }
}
