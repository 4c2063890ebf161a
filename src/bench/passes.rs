//! Forward passes whose time is taken.

use std::time::{Duration, Instant};

use crate::models::{LanguageModel, Logits, ModelError};

use super::{quality, BenchError, Test, Watch};

/// Tokens computed between two looks at the interrupt while the cache is filled up to a depth.
const DEPTH_CHUNK: usize = 512;

/// Milliseconds that have passed.
pub fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Fixed pseudo-random ids for the positions `0 .. length`: whatever stands in the cache is a prefix of them.
pub fn token_ids(length: usize, vocabulary: usize) -> Vec<u32> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let vocabulary = u32::try_from(vocabulary).unwrap_or(u32::MAX).max(1);
    (0..length).map(|_| next() % vocabulary).collect()
}

/// The prompt and the choice of the token after it, from an empty cache.
pub fn first_token(model: &mut dyn LanguageModel, prompt: &[u32]) -> Result<(), BenchError> {
    model.truncate(0);
    let logits = model.forward(prompt)?;
    let row: Vec<f32> = logits.to_vec1().map_err(ModelError::from)?;
    std::hint::black_box(quality::likeliest(&row));
    Ok(())
}

/// Fills the cache up to the depth of `test`, then takes the time of its tokens, which are `stream`'s.
pub fn take_time(
    model: &mut dyn LanguageModel,
    test: &Test,
    stream: &[u32],
    watch: &dyn Watch,
) -> Result<Duration, BenchError> {
    model.truncate(test.n_depth);
    while model.cached() < test.n_depth {
        if watch.interrupted() {
            return Err(BenchError::Interrupted);
        }
        let from = model.cached();
        compute(model, stream, from, DEPTH_CHUNK.min(test.n_depth - from))?;
    }
    let started = Instant::now();
    if test.n_prompt > 0 {
        compute(model, stream, test.n_depth, test.n_prompt)?;
    }
    let from = test.n_depth + test.n_prompt;
    for position in from..from + test.n_gen {
        compute(model, stream, position, 1)?;
    }
    Ok(started.elapsed())
}

/// One pass and, on a GPU, the choice of the likeliest token there; to its end also on a device that works on while the
/// caller goes on.
fn compute(
    model: &mut dyn LanguageModel,
    stream: &[u32],
    from: usize,
    tokens: usize,
) -> Result<(), ModelError> {
    let tokens = stream.get(from..from + tokens).unwrap_or(&[]);
    match model.forward_likely(tokens, 1, &|| true)? {
        Some(Logits::All(logits)) => Ok(logits.device().synchronize()?),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_fixed_and_within_the_vocabulary() {
        let ids = token_ids(1000, 50);
        assert!(ids.iter().all(|&id| id < 50));
        assert_eq!(ids[..10], token_ids(10, 50));
        assert!((0..50).all(|id| ids.contains(&id)));
        assert_eq!(token_ids(3, 0), [0, 0, 0]);
    }
}
