//! What a step of several sequences is told beside their tokens: where their caches lie.

use super::{Place, Work, STEP_WORDS};
use crate::kernels::cuda::attention::splits;
use crate::kernels::cuda::cache::Cache;
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::memory::Address;

/// Sequences of a step at most: their logits take no more room than those of a prompt whose positions are all wanted.
pub const MOST_EACH: usize = 64;

/// The next token of a sequence.
#[derive(Debug, Clone, Copy)]
pub struct NextToken {
    pub token: u32,
    /// Tokens before it.
    pub cached: usize,
    /// On the axes time, height and width.
    pub position: [usize; 3],
}

impl Work {
    /// What the next step reads: a token of each of at most [`MOST_EACH`] sequences, whose `caches` are given layer by
    /// layer.
    ///
    /// # Errors
    /// Out of memory; a cache without room.
    ///
    /// # Panics
    /// More sequences.
    pub fn begin_each<'c>(
        &mut self,
        next: &[NextToken],
        caches: impl Iterator<Item = &'c Cache>,
    ) -> Result<(), GpuError> {
        // Two words of 32 bits, of which the first lies lower: room and splits.
        let mut room = vec![u32::MAX; next.len()];
        let mut addresses = Vec::new();
        for (i, cache) in caches.enumerate() {
            let room = &mut room[i % next.len()];
            *room = (*room).min(cache.capacity as u32);
            let (keys, values) = cache.addresses()?;
            addresses.extend([keys, values]);
        }
        let of = |next: &NextToken| splits(next.cached + 1);
        let sequences = next.iter().zip(room);
        let mut table: Vec<u64> = sequences
            .map(|(next, room)| u64::from(room) | (of(next) as u64) << 32)
            .collect();
        table.extend(&addresses);
        self.bring(table, MOST_EACH * (1 + addresses.len() / next.len().max(1)))?;
        for (i, next) in next.iter().enumerate() {
            self.put_step(i, next);
        }
        self.tokens = next.len();
        self.splits = next.iter().map(of).max().unwrap_or(1);
        Ok(())
    }

    /// What the step's token number `index` is.
    pub(super) fn put_step(&mut self, index: usize, next: &NextToken) {
        let [time, height, width] = next.position.map(|position| position as u32);
        let words: [u32; STEP_WORDS] = [next.token, next.cached as u32, time, height, width];
        for (i, word) in words.into_iter().enumerate() {
            self.step.set(index * STEP_WORDS + i, word);
        }
    }

    /// Brings the table to its place, which has room for `most` words, where it is not there already.
    fn bring(&mut self, table: Vec<u64>, most: usize) -> Result<(), GpuError> {
        let moved = self.moved;
        self.place(Place::Table, 8 * most.max(table.len()))?;
        if self.moved != moved || self.table != table {
            // Not what is there, should the writing fail.
            self.table.clear();
            let bytes: Vec<u8> = table.iter().flat_map(|word| word.to_le_bytes()).collect();
            self.held(Place::Table)?.write(0, &bytes)?;
            self.table = table;
        }
        Ok(())
    }

    /// Where the step's caches of a layer stand in the table, and what is the same in all layers.
    pub(in crate::kernels::cuda) fn table_addresses(
        &self,
        layer: usize,
    ) -> Result<(Address, Address), GpuError> {
        let sequences = self.held(Place::Table)?.address();
        let before = self.tokens * (1 + 2 * layer);
        Ok((sequences + 8 * before as u64, sequences))
    }

    /// Waits for the step and gives its logits from the `at`-th on, those of all tokens behind each other.
    ///
    /// # Errors
    /// What failed in the step.
    pub fn read_logits(&self, at: usize, logits: &mut [f32]) -> Result<(), GpuError> {
        self.held(Place::Logits)?.read_numbers(at, logits)
    }
}
