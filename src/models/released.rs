//! What is left of a model whose memory another one needs.

use std::io::{self, Read, Write};
use std::ops::Range;

use candle_core::Tensor;

use super::{LanguageModel, ModelError, Picture, Reuse};

/// Has no weights, and answers nothing until it is loaded again.
pub struct Released {
    context: usize,
    vocab_size: usize,
}

impl Released {
    /// In the place of `model`.
    pub fn of(model: &dyn LanguageModel) -> Self {
        Self {
            context: model.context(),
            vocab_size: model.vocab_size(),
        }
    }
}

impl LanguageModel for Released {
    fn forward_while(
        &mut self,
        _: &[u32],
        _: &dyn Fn() -> bool,
    ) -> Result<Option<Tensor>, ModelError> {
        Err(ModelError::Released)
    }

    fn forward_all(&mut self, _: &[u32]) -> Result<Tensor, ModelError> {
        Err(ModelError::Released)
    }

    fn cached(&self) -> usize {
        0
    }

    fn truncate(&mut self, _: usize) {}

    fn save_cache(&self, _: &mut dyn Write) -> io::Result<bool> {
        Ok(false)
    }

    fn restore_cache(&mut self, _: usize, _: &mut dyn Read) -> io::Result<bool> {
        Ok(false)
    }

    fn context(&self) -> usize {
        self.context
    }

    fn restrict(&mut self, _: Option<Range<u32>>) {}

    fn place(&mut self, _: &[Picture]) {}

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn hold(&mut self, _: usize) {}

    fn sequence_bytes(&self, _: usize) -> usize {
        0
    }

    fn select(&mut self, _: usize) {}

    fn reuse(&self) -> Reuse {
        Reuse::NONE
    }

    fn begin_as(&mut self, _: usize, _: usize) -> Result<(), ModelError> {
        Err(ModelError::Released)
    }

    fn forward_each(&mut self, _: &[(usize, u32)], _: &mut Vec<f32>) -> Result<(), ModelError> {
        Err(ModelError::Released)
    }
}
