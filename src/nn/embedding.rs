//! The token embedding table.

use candle_core::{DType, Device, Result, Tensor};

use super::Rows;
use crate::weights::{Loader, Weight, WeightsError};

/// A table `[vocab, hidden]` whose rows are looked up by token id; a quantised table stays quantised.
pub struct Embedding {
    table: Weight,
    vocab: usize,
    hidden: usize,
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
    ) -> std::result::Result<Self, WeightsError> {
        Ok(Self {
            table: loader.matrix(&format!("{name}.weight"), vocab, hidden)?,
            vocab,
            hidden,
            dtype: loader.dtype(),
            device: loader.device().clone(),
        })
    }

    /// The table on an NVIDIA GPU.
    #[cfg(feature = "cuda")]
    pub fn on_gpu(&self) -> Option<&crate::kernels::cuda::Matrix> {
        match &self.table {
            Weight::Gpu(table) => Some(table),
            _ => None,
        }
    }

    /// The table itself, for a head that is tied to it.
    pub fn weight(&self) -> Weight {
        self.table.clone()
    }

    /// Rows of `tokens`, `[tokens, hidden]`.
    ///
    /// # Errors
    /// A token id past the table.
    pub fn forward(&self, tokens: &[u32]) -> Result<Rows> {
        if let Some(id) = tokens.iter().find(|&&id| id as usize >= self.vocab) {
            candle_core::bail!(
                "token id {id} is past the model's vocabulary of {}",
                self.vocab
            )
        }
        let ids = || Tensor::new(tokens, &self.device);
        Ok(match &self.table {
            Weight::Host(matrix) => {
                let mut x = vec![0f32; tokens.len() * self.hidden];
                for (id, row) in tokens.iter().zip(x.chunks_exact_mut(self.hidden)) {
                    matrix.row(*id as usize, row);
                }
                Rows::Host {
                    x,
                    width: self.hidden,
                }
            }
            #[cfg(feature = "cuda")]
            Weight::Gpu(_) => candle_core::bail!("an embedding of a GPU is read there"),
            Weight::Float(table) => Rows::Tensor(table.embedding(&ids()?)?.to_dtype(self.dtype)?),
            Weight::Quantized(table) => {
                Rows::Tensor(table.embedding(&ids()?)?.to_dtype(self.dtype)?)
            }
        })
    }
}
