//! The token embedding table.

use candle_core::{DType, Device, Tensor};

use crate::weights::{Loader, Weight, WeightsError};

/// A table `[vocab, hidden]` whose rows are looked up by token id; a quantised table stays quantised.
pub struct Embedding {
    table: Weight,
    vocab: usize,
    dtype: DType,
    device: Device,
}

impl Embedding {
    /// Reads `name.weight`, `[vocab, hidden]`.
    pub fn load(
        loader: &Loader,
        name: &str,
        vocab: usize,
        hidden: usize,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            table: loader.matrix(&format!("{name}.weight"), vocab, hidden)?,
            vocab,
            dtype: loader.dtype(),
            device: loader.device().clone(),
        })
    }

    /// The table itself, for a head that is tied to it.
    pub fn weight(&self) -> Weight {
        self.table.clone()
    }

    /// Rows of `tokens`, `[tokens, hidden]`, in the type that activations are computed in.
    ///
    /// # Errors
    /// A token id past the table.
    pub fn forward(&self, tokens: &[u32]) -> candle_core::Result<Tensor> {
        if let Some(id) = tokens.iter().find(|&&id| id as usize >= self.vocab) {
            candle_core::bail!(
                "token id {id} is past the model's vocabulary of {}",
                self.vocab
            )
        }
        let ids = Tensor::new(tokens, &self.device)?;
        match &self.table {
            Weight::Float(table) => table.embedding(&ids)?.to_dtype(self.dtype),
            Weight::Quantized(table) => table.embedding(&ids)?.to_dtype(self.dtype),
        }
    }
}
