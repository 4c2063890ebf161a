//! A step of several sequences on an NVIDIA GPU: each weight is read once for all of them.

use std::ops::Range;

use candle_core::{Device, Tensor};

use super::{likely, Llama};
use crate::kernels::cuda::{GpuError, Graph, Likely, NextToken, MOST_EACH};
use crate::models::{LanguageModel, Logits, ModelError};

/// Steps that are kept recorded: answers end, and others take their place, so that few numbers of them come again.
const KEPT: usize = 16;

/// What holds for any sequences and lengths that it was made for: where their caches lie stands in a table.
pub(super) struct Step {
    sequences: usize,
    splits: usize,
    moved: u64,
    vocabulary: Range<usize>,
    /// None: it was computed once, so that memory is found and kernels are loaded, which cannot be recorded.
    graph: Option<Graph>,
}

impl Llama {
    /// As [`crate::models::LanguageModel::forward_each`], of sequences without images. The caller counts the tokens.
    pub(in super::super) fn each_on_gpu(
        &mut self,
        next: &[(usize, u32)],
        logits: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let tokens: Vec<u32> = next.iter().map(|&(_, token)| token).collect();
        self.check_tokens(&tokens)?;
        for &(slot, _) in next {
            self.reserve(slot, 1)?;
        }
        let wanted = self.wanted();
        logits.clear();
        logits.resize(next.len() * self.vocab_size, f32::NEG_INFINITY);
        let rows = logits.chunks_mut(MOST_EACH * self.vocab_size);
        for (next, rows) in next.chunks(MOST_EACH).zip(rows) {
            self.step_each(next)?;
            let Some(gpu) = &self.gpu else {
                return Err(GpuError::elsewhere().into());
            };
            if wanted.len() == self.vocab_size {
                gpu.work.read_logits(0, rows)?;
                continue;
            }
            for (i, row) in rows.chunks_exact_mut(self.vocab_size).enumerate() {
                gpu.work
                    .read_logits(i * wanted.len(), &mut row[wanted.clone()])?;
            }
        }
        Ok(())
    }

    /// As [`crate::models::LanguageModel::forward_each_likely`], of sequences without images. The caller counts the tokens.
    pub(in super::super) fn likely_of_each(
        &mut self,
        next: &[(usize, u32)],
        few: &[Option<usize>],
    ) -> Result<Vec<Logits>, ModelError> {
        if let (&[(slot, token)], &[Some(k)]) = (next, few) {
            self.select(slot);
            let one = self.likely_on_gpu(&[token], k, &|| true)?;
            return Ok(one.into_iter().collect());
        }
        let tokens: Vec<u32> = next.iter().map(|&(_, token)| token).collect();
        self.check_tokens(&tokens)?;
        for &(slot, _) in next {
            self.reserve(slot, 1)?;
        }
        let wanted = self.wanted();
        let mut all = Vec::with_capacity(next.len());
        for (next, few) in next.chunks(MOST_EACH).zip(few.chunks(MOST_EACH)) {
            self.step_each(next)?;
            let Some(gpu) = &mut self.gpu else {
                return Err(GpuError::elsewhere().into());
            };
            let found = gpu.work.likely_each(wanted.len(), few)?;
            for (row, found) in found.into_iter().enumerate() {
                all.push(match found {
                    Some(Likely::Tokens(tokens)) => likely(tokens, &wanted),
                    Some(Likely::NoNumber) => Logits::NoNumber,
                    Some(Likely::TooMany) | None => Logits::All(self.row_of_each(row)?),
                });
            }
        }
        Ok(all)
    }

    /// The logits of one token of the last step, `[vocab]`.
    fn row_of_each(&self, row: usize) -> Result<Tensor, ModelError> {
        let (wanted, mut all) = (self.wanted(), vec![f32::NEG_INFINITY; self.vocab_size]);
        let Some(gpu) = &self.gpu else {
            return Err(GpuError::elsewhere().into());
        };
        gpu.work
            .read_logits(row * wanted.len(), &mut all[wanted.clone()])?;
        Ok(Tensor::from_vec(all, self.vocab_size, &Device::Cpu)?)
    }

    /// Puts a step of at most [`MOST_EACH`] sequences on the stream, as it was recorded if it was.
    fn step_each(&mut self, next: &[(usize, u32)]) -> Result<(), ModelError> {
        let wanted = self.wanted();
        let Some(gpu) = &mut self.gpu else {
            return Err(GpuError::elsewhere().into());
        };
        let tokens: Vec<NextToken> = next
            .iter()
            .map(|&(slot, token)| NextToken {
                token,
                cached: self.cached[slot],
                position: [self.cached[slot]; 3],
            })
            .collect();
        let caches = self
            .layers
            .iter()
            .flat_map(|layer| {
                next.iter()
                    .map(|&(slot, _)| layer.self_attn.cache_on_gpu(slot))
            })
            .collect::<Result<Vec<_>, _>>()?;
        gpu.work.begin_each(&tokens, caches.into_iter())?;
        let (sequences, splits, moved) = (next.len(), gpu.work.splits(), gpu.work.moved());
        let known = gpu.each.iter().position(|step| {
            (step.sequences, step.splits, step.moved, &step.vocabulary)
                == (sequences, splits, moved, &wanted)
        });
        let Some(known) = known else {
            self.put_step(true)?;
            if let Some(gpu) = &mut self.gpu {
                let moved = gpu.work.moved();
                gpu.each.retain(|step| step.moved == moved);
                if gpu.each.len() == KEPT {
                    gpu.each.remove(0);
                }
                gpu.each.push(Step {
                    sequences,
                    splits,
                    moved,
                    vocabulary: wanted,
                    graph: None,
                });
            }
            return Ok(());
        };
        if let Some(graph) = &gpu.each[known].graph {
            return Ok(graph.launch()?);
        }
        let handle = gpu.work.gpu().clone();
        let graph = Graph::record(&handle, || self.put_step(true))?;
        graph.launch()?;
        if let Some(gpu) = &mut self.gpu {
            gpu.each[known].graph = Some(graph);
        }
        Ok(())
    }
}
