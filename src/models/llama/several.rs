//! A token of each of several sequences at a time.

use super::Llama;
use crate::models::{LanguageModel, ModelError};

impl Llama {
    /// Lets `compute` run the tokens `next` of their sequences; after an error no sequence has grown.
    ///
    /// # Errors
    /// Those of `compute`; a sequence without room.
    pub(super) fn grow<T>(
        &mut self,
        next: &[(usize, u32)],
        compute: impl FnOnce(&mut Self) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        let before: Vec<usize> = next.iter().map(|&(slot, _)| self.cached[slot]).collect();
        for &(slot, _) in next {
            self.check_room(slot, 1)?;
        }
        let current = self.slot;
        let done = compute(self);
        for (&(slot, _), before) in next.iter().zip(before) {
            match done {
                Ok(_) => self.cached[slot] = before + 1,
                Err(_) => {
                    // Some layers may hold the token and others not.
                    self.select(slot);
                    self.truncate(before);
                }
            }
        }
        self.select(current);
        done
    }

    /// As [`LanguageModel::forward_each`], within [`Llama::grow`].
    pub(super) fn all_of(
        &mut self,
        next: &[(usize, u32)],
        logits: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        #[cfg(feature = "cuda")]
        if self.gpu.is_some() && next.len() > 1 && self.pictures.is_empty() {
            return self.each_on_gpu(next, logits);
        }
        // On other devices, for a part of the vocabulary and beside images one after the other.
        if !self.lm_head.on_host() || self.vocabulary.is_some() {
            return self.one_by_one(next, logits);
        }
        self.work.set_apart(true);
        let done = self.each(next, logits);
        self.work.set_apart(false);
        Ok(done?)
    }

    /// The same in as many passes as there are sequences.
    fn one_by_one(
        &mut self,
        next: &[(usize, u32)],
        logits: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        logits.clear();
        for &(slot, token) in next {
            self.select(slot);
            let row: Vec<f32> = self.forward(&[token])?.to_vec1()?;
            logits.extend(row);
        }
        Ok(())
    }

    /// One token of each of several sequences through all layers, each as if alone; their logits.
    fn each(&mut self, next: &[(usize, u32)], logits: &mut Vec<f32>) -> candle_core::Result<()> {
        let (slots, tokens): (Vec<usize>, Vec<u32>) = next.iter().copied().unzip();
        let mut x = self.embed_tokens.forward(&tokens)?;
        let positions: Vec<_> = slots.iter().map(|&slot| [self.cached[slot]; 3]).collect();
        let tables = self.rope.tables_of(0, positions.into_iter())?;
        for layer in &mut self.layers {
            let norm = &layer.input_layernorm;
            layer
                .self_attn
                .add_to_each(&mut x, norm, &slots, &tables, &mut self.work)?;
            layer
                .mlp
                .add_to(&mut x, &layer.post_attention_layernorm, &mut self.work)?;
        }
        let x = self.norm.forward(&x, &mut self.work)?;
        self.lm_head.forward_into(&x, logits, &mut self.work)
    }
}
