//! Whether there is room for what is to be measured.

use super::{Run, Test};
use crate::bench::{memory, BenchError, Counts};
use crate::kernels::KvCache;
use crate::models::Config;
#[cfg(feature = "cuda")]
use crate::models::{Footprint, ModelError};
use crate::weights::Loader;

impl Run<'_> {
    /// Refuses the tests that do not fit the model's context; the context that the others and a text of `text` tokens
    /// need.
    pub(super) fn check_context(
        &mut self,
        config: &Config,
        text: usize,
    ) -> Result<usize, BenchError> {
        let limit = config.context_length;
        for cell in &mut self.cells {
            if cell.test.needed() > limit {
                cell.error = Some(BenchError::Context {
                    test: cell.test.to_string(),
                    needed: cell.test.needed(),
                    limit,
                });
            }
        }
        let fitting = self.cells.iter().filter(|cell| cell.error.is_none());
        match fitting.map(|cell| cell.test.needed()).max() {
            Some(needed) => Ok(needed.max(text).max(1)),
            // Every row has its own reason already.
            None => Err(BenchError::Context {
                test: "every test".into(),
                needed: self
                    .request
                    .tests
                    .iter()
                    .map(Test::needed)
                    .min()
                    .unwrap_or(0),
                limit,
            }),
        }
    }

    /// Refuses the tests whose sequences do not all fit the memory where `loader` brings the model.
    pub(super) fn check_sequences(
        &mut self,
        loader: &Loader,
        counts: &Counts,
        config: &Config,
    ) -> Result<(), BenchError> {
        let several = |cell: &&mut super::Cell| cell.error.is_none() && cell.test.n_parallel > 1;
        for cell in self.cells.iter_mut().filter(several) {
            // A cache that grows by doubling may be twice as large as it has to be.
            let context = match loader.on_host() {
                true => cell.test.needed(),
                false => (2 * cell.test.needed()).min(config.context_length),
            };
            let fits = check_memory(loader, counts, context, cell.test.n_parallel);
            cell.error = fits.err();
        }
        match self.cells.iter().all(|cell| cell.error.is_some()) {
            true => {
                let errors = self.cells.iter_mut();
                let mut errors = errors.filter_map(|cell| cell.error.take());
                errors.next().map_or(Ok(()), Err)
            }
            false => Ok(()),
        }
    }
}

/// Whether there is room for the model and `sequences` of `context` tokens each where `loader` brings it.
pub(super) fn check_memory(
    loader: &Loader,
    counts: &Counts,
    context: usize,
    sequences: usize,
) -> Result<(), BenchError> {
    let sequences = sequences as u64;
    #[cfg(feature = "cuda")]
    if let Some(gpu) = loader.gpu() {
        let one = Footprint::of(loader, Some(context))?;
        let all = Footprint {
            cache: one.cache.saturating_mul(sequences),
            ..one
        };
        let (free, _) = gpu.memory().map_err(ModelError::from)?;
        return memory::compare(all.total(), free);
    }
    match loader.on_host() {
        true => {
            let tokens = context.next_multiple_of(KvCache::GROWTH) as u64;
            let caches = tokens
                .saturating_mul(counts.cache_bytes_per_token)
                .saturating_mul(sequences);
            memory::check(counts.held_bytes.saturating_add(caches))
        }
        false => Ok(()),
    }
}
