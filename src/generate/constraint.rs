//! Answers with a structure: at each step only the tokens that may come next are left to the sampler.
//!
//! A [`Grammar`] is what the user asks for, checked without any model. With a model's [`Vocabulary`] it becomes a
//! [`Constraint`], which follows one output token by token ([llguidance](https://crates.io/crates/llguidance) is the
//! parser). The mask comes first, then penalties and the sampler as they are: greedy is the likeliest allowed token.

mod finite;
mod formats;
mod grammar;
mod keywords;
mod numbers;
mod objects;
mod schema;
mod stack;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::fmt;

use llguidance::Matcher;

use super::sampler::{ranked, Candidate};

pub use grammar::{Grammar, Spec};
pub use vocabulary::Vocabulary;

/// Up to so many deciding tokens are looked for one by one.
const FEW: usize = 64;
/// Tokens that are looked at beyond the deciding ones before all are.
const LOOKED_AT: usize = 32;

/// Why an answer cannot be held to what was asked for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConstraintError {
    #[error("the schema is no JSON Schema: {reason} (at {place})")]
    NotASchema { place: String, reason: String },
    #[error("the schema's {keyword:?} (at {place}) cannot be enforced while the answer is made: {remedy}")]
    NotEnforced {
        place: String,
        keyword: String,
        remedy: String,
    },
    #[error("the schema cannot be used: {0}")]
    Schema(String),
    #[error("no JSON satisfies the schema: {0}")]
    Unsatisfiable(String),
    #[error("the regular expression cannot be used: {0}")]
    Regex(String),
    #[error("the grammar cannot be used: {0}")]
    Lark(String),
    #[error("nothing matches {0}: not even the first character of an answer is possible")]
    Nothing(&'static str),
    #[error("the model's vocabulary has no token for what the constraint asks for next; try another model")]
    DeadEnd,
    #[error("the constraint is too complex to follow: {0}; make it simpler")]
    TooComplex(String),
}

/// The state of one output that is held to a [`Grammar`]. A clone goes its own way.
#[derive(Clone)]
pub struct Constraint {
    matcher: Matcher,
    /// The tokens that end an output.
    ends: Vec<u32>,
}

impl fmt::Debug for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.matcher.stop_reason();
        f.debug_struct("Constraint")
            .field("stop_reason", &reason)
            .finish_non_exhaustive()
    }
}

impl Constraint {
    /// The state before the first token.
    ///
    /// # Errors
    /// A grammar that names a special token which the vocabulary lacks, one that is too large.
    pub fn new(grammar: &Grammar, vocabulary: &Vocabulary) -> Result<Self, ConstraintError> {
        let compile = || vocabulary.factory().create_parser(grammar.compiled());
        let parser = stack::large(compile)?.map_err(|error| grammar.error(&error))?;
        Ok(Self {
            ends: parser.token_env.tok_trie().eos_tokens().to_vec(),
            matcher: Matcher::new(Ok(parser)),
        })
    }

    /// Sets the logits (`[vocab]`) of all tokens that may not come next to −∞. `ends` are the tokens that end an
    /// output; they stay where the structure may end here. False where only the end is possible.
    ///
    /// # Errors
    /// A state that costs too much to follow, a vocabulary that cannot spell what has to come.
    pub fn mask(&mut self, logits: &mut [f32], ends: &[u32]) -> Result<bool, ConstraintError> {
        if self.is_complete() {
            return Ok(false);
        }
        let accepting = self.may_end();
        let mut mask = match self.matcher.compute_mask() {
            Ok(mask) => mask,
            Err(error) if accepting && grammar::is_dead_end(&error) => return Ok(false),
            Err(error) => return Err(failure(&error)),
        };
        let allowed_ends: Vec<u32> = (self.ends.iter().copied())
            .filter(|&id| mask.is_allowed(id))
            .collect();
        allowed_ends.iter().for_each(|&id| mask.disallow_token(id));
        let goes_on = !mask.is_zero();
        for id in allowed_ends.into_iter().filter(|id| ends.contains(id)) {
            mask.allow_token(id);
        }
        apply(mask.as_slice(), logits);
        match goes_on || accepting {
            true => Ok(goes_on),
            false => Err(ConstraintError::DeadEnd),
        }
    }

    /// As [`Constraint::mask`], where only the `deciding` likeliest tokens that may come matter (with those that equal the
    /// last of them): these alone may be left. Looking at a few tokens costs less than looking at all.
    ///
    /// # Errors
    /// As [`Constraint::mask`].
    pub fn narrow(
        &mut self,
        logits: &mut [f32],
        ends: &[u32],
        deciding: Option<usize>,
    ) -> Result<bool, ConstraintError> {
        let few = deciding.filter(|&k| k <= FEW && !self.is_complete());
        match few.and_then(|k| self.likeliest(logits, ends, k)) {
            Some(left) => {
                logits.fill(f32::NEG_INFINITY);
                for Candidate { id, logit } in left {
                    logits[id as usize] = logit;
                }
                Ok(true)
            }
            None => self.mask(logits, ends),
        }
    }

    /// The `k` likeliest tokens that may come, and those that equal the last; None where they are not soon found.
    fn likeliest(&mut self, logits: &[f32], ends: &[u32], k: usize) -> Option<Vec<Candidate>> {
        let accepting = self.may_end();
        let env = self.matcher.tok_env().ok()?;
        let spelled = |id: u32| {
            (id as usize) < env.tok_trie().vocab_size() && !env.tok_trie().token(id).is_empty()
        };
        let candidates = ranked(logits, k + LOOKED_AT);
        if candidates.len() > 2 * (k + LOOKED_AT) {
            return None;
        }
        let mut left: Vec<Candidate> = Vec::new();
        for candidate in candidates {
            let settled = left.len() >= k;
            if settled && left.last().is_some_and(|last| candidate.logit < last.logit) {
                break;
            }
            let id = candidate.id;
            let may_come = match self.ends.contains(&id) {
                true => accepting && ends.contains(&id),
                false => spelled(id) && self.matcher.validate_tokens(&[id]).ok()? == 1,
            };
            if may_come {
                left.push(candidate);
            }
        }
        // Of the last candidate all equals are among them. Whether more than the end may come, the mask tells.
        let goes_on = left.iter().any(|found| !self.ends.contains(&found.id));
        (left.len() >= k && goes_on).then_some(left)
    }

    /// Takes the token that came.
    ///
    /// # Errors
    /// A token that the mask forbids, a state that costs too much to follow.
    pub fn accept(&mut self, token: u32) -> Result<(), ConstraintError> {
        let taken = self.matcher.consume_token(token);
        taken.map_err(|error| failure(&error))
    }

    /// Whether the structure is whole and nothing can follow.
    pub fn is_complete(&self) -> bool {
        self.matcher.is_stopped() && self.matcher.stop_reason().is_ok()
    }

    /// Whether what came so far is a whole answer (more may still follow).
    pub fn may_end(&mut self) -> bool {
        self.is_complete() || self.matcher.is_accepting().unwrap_or(false)
    }

    /// Whether `text`, from this state on, is a whole answer.
    pub fn admits(&self, text: &str) -> bool {
        let mut state = self.clone();
        let Ok(env) = state.matcher.tok_env() else {
            return false;
        };
        let tokens = env.tok_trie().greedy_tokenize(text.as_bytes());
        let spelled = env.tok_trie().decode(&tokens) == text.as_bytes();
        let taken = state.matcher.try_consume_tokens(&tokens);
        spelled && taken.is_ok_and(|n| n == tokens.len()) && state.may_end()
    }
}

fn failure(error: &anyhow::Error) -> ConstraintError {
    match grammar::is_dead_end(error) {
        true => ConstraintError::DeadEnd,
        false => ConstraintError::TooComplex(grammar::first_line(error)),
    }
}

/// −∞ for each token whose bit is not set; those past the last bit have none.
fn apply(bits: &[u32], logits: &mut [f32]) {
    let words = bits.iter().copied().chain(std::iter::repeat(0));
    for (word, chunk) in words.zip(logits.chunks_mut(32)) {
        match word {
            u32::MAX => {}
            0 => chunk.fill(f32::NEG_INFINITY),
            _ => {
                for (bit, logit) in chunk.iter_mut().enumerate() {
                    if word >> bit & 1 == 0 {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }
}
