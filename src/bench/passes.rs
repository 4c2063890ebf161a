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

/// Fills the caches up to the depth of `test`, then takes the time of its tokens, which are `stream`'s in every sequence.
/// The model holds as many as the test has.
pub fn take_time(
    model: &mut dyn LanguageModel,
    test: &Test,
    stream: &[u32],
    watch: &dyn Watch,
) -> Result<Duration, BenchError> {
    fill(model, test, stream, watch)?;
    let from = test.n_depth + test.n_prompt;
    let mut logits = Vec::new();
    let started = Instant::now();
    if test.n_prompt > 0 {
        for slot in 0..test.n_parallel {
            model.select(slot);
            compute(model, stream, test.n_depth, test.n_prompt)?;
        }
    }
    for position in from..from + test.n_gen {
        if test.n_parallel == 1 {
            compute(model, stream, position, 1)?;
            continue;
        }
        if watch.interrupted() {
            return Err(BenchError::Interrupted);
        }
        let token = stream.get(position).copied().unwrap_or(0);
        compute_each(model, token, test.n_parallel, &mut logits)?;
    }
    Ok(started.elapsed())
}

/// Every sequence of `test` becomes the first tokens of `stream`, as many as its depth; the first one is the current one.
fn fill(
    model: &mut dyn LanguageModel,
    test: &Test,
    stream: &[u32],
    watch: &dyn Watch,
) -> Result<(), BenchError> {
    let mut first = Vec::new();
    for slot in 0..test.n_parallel {
        model.select(slot);
        model.truncate(test.n_depth);
        let copied = slot > 0 && model.cached() < test.n_depth;
        // Not as `begin_as` does it: memory that sequences share is read once for all of them.
        if copied && copy_first(model, slot, test.n_depth, &mut first)? {
            continue;
        }
        while model.cached() < test.n_depth {
            if watch.interrupted() {
                return Err(BenchError::Interrupted);
            }
            let from = model.cached();
            compute(model, stream, from, DEPTH_CHUNK.min(test.n_depth - from))?;
        }
    }
    model.select(0);
    Ok(())
}

/// Sequence `slot`, the current one, becomes a copy of the `len` tokens of the first one, whose cache `first` keeps for
/// the next ones; false for a model that cannot do that.
fn copy_first(
    model: &mut dyn LanguageModel,
    slot: usize,
    len: usize,
    first: &mut Vec<u8>,
) -> Result<bool, BenchError> {
    let failed = |source| BenchError::Cache { source };
    if first.is_empty() {
        model.select(0);
        let saved = model.save_cache(first);
        model.select(slot);
        if !saved.map_err(failed)? {
            return Ok(false);
        }
    }
    model
        .restore_cache(len, &mut first.as_slice())
        .map_err(failed)
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

/// One token of each of the first `sequences`, and, on a GPU, the choice of the likeliest one behind each there.
fn compute_each(
    model: &mut dyn LanguageModel,
    token: u32,
    sequences: usize,
    logits: &mut Vec<f32>,
) -> Result<(), ModelError> {
    let next: Vec<_> = (0..sequences).map(|slot| (slot, token)).collect();
    match model.forward_each_likely(&next, &vec![Some(1); sequences])? {
        Some(_) => Ok(()),
        None => model.forward_each(&next, logits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::bench::subject::Nobody;
    use crate::models;
    use crate::weights::{Checkpoint, LoadOptions, Loader};

    /// Three sequences of `n_depth`, a prompt and some steps each: each goes on as one that was read in one pass.
    fn go_on_alike(n_depth: usize, n_prompt: usize) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/qwen2-tied");
        let checkpoint = Checkpoint::open(&folder).unwrap();
        let loader = Loader::new(&checkpoint, &LoadOptions::default()).unwrap();
        let mut model = models::load(&loader, Some(64)).unwrap();
        let stream = token_ids(64, model.vocab_size());
        let row = |model: &mut dyn LanguageModel, tokens: &[u32]| -> Vec<f32> {
            model.forward(tokens).unwrap().to_vec1().unwrap()
        };
        let end = n_depth + n_prompt + 3;
        let mut alone = models::load(&loader, Some(64)).unwrap();
        row(alone.as_mut(), &stream[..end]);
        let expected = row(alone.as_mut(), &[5]);
        let test = Test {
            n_prompt,
            n_gen: 3,
            n_depth,
            n_parallel: 3,
        };
        model.hold(3);
        // The second time what is in the caches is gone back to.
        for _ in 0..2 {
            take_time(model.as_mut(), &test, &stream, &Nobody).unwrap();
            for slot in 0..3 {
                model.select(slot);
                assert_eq!(model.cached(), end, "sequence {slot}");
                let found = row(model.as_mut(), &[5]);
                let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                assert!(off.fold(0.0, f32::max) < 1e-3, "sequence {slot}");
            }
        }
    }

    #[test]
    fn every_sequence_is_computed_behind_its_depth() {
        go_on_alike(20, 0);
        go_on_alike(0, 0);
        go_on_alike(17, 6);
    }

    #[test]
    fn ids_are_fixed_and_within_the_vocabulary() {
        let ids = token_ids(1000, 50);
        assert!(ids.iter().all(|&id| id < 50));
        assert_eq!(ids[..10], token_ids(10, 50));
        assert!((0..50).all(|id| ids.contains(&id)));
        assert_eq!(token_ids(3, 0), [0, 0, 0]);
    }
}
