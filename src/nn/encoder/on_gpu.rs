//! A block of an image encoder on an NVIDIA GPU.

use super::{EncoderBlock, EncoderConfig};
use crate::kernels::cuda::{EncoderLayer, GpuError, Heads, Kind};
use crate::nn::RmsNorm;
use crate::weights::{Filled, Loader, WeightsError};

impl EncoderConfig {
    /// The heads as the GPU's kernels take them, where products are computed in `operand`.
    ///
    /// # Errors
    /// Heads that they do not take.
    pub fn heads_on_gpu(&self, operand: Kind, rotated: bool) -> Result<Heads, GpuError> {
        let head_dim = self.hidden / self.heads.max(1);
        Heads::new(self.heads, head_dim, operand, rotated)
    }
}

impl EncoderBlock {
    /// As [`EncoderBlock::load`], to the GPU of `loader`, with matrices of `operand`.
    ///
    /// # Errors
    /// As there; out of memory, shapes that the kernels do not take.
    pub fn load_on_gpu(
        loader: &Loader,
        config: &EncoderConfig,
        operand: Kind,
        heads: Heads,
    ) -> Result<EncoderLayer, WeightsError> {
        let (hidden, inner) = (config.hidden, config.intermediate);
        let attn = loader.under("attn");
        let mlp = loader.under("mlp");
        let norm = |name: &str| {
            let norm = RmsNorm::load(loader, name, hidden, config.eps)?;
            norm.into_gpu()
                .ok_or_else(|| WeightsError::from(GpuError::elsewhere()))
        };
        let square = Filled::plain(hidden, hidden);
        let qkv = match attn.contains("q.weight") {
            true => attn.dense(&["q", "k", "v"], square, operand, config.qkv_bias)?,
            false => {
                let three = Filled::plain(3 * hidden, hidden);
                attn.dense(&["qkv"], three, operand, config.qkv_bias)?
            }
        };
        let [gate, up, down] = config.mlp;
        Ok(EncoderLayer {
            norms: [norm(config.norms[0])?, norm(config.norms[1])?],
            qkv,
            heads,
            proj: attn.dense(&["proj"], square, operand, config.bias)?,
            gate_up: mlp.dense(
                &[gate, up],
                Filled::plain(inner, hidden).tall(),
                operand,
                config.bias,
            )?,
            down: mlp.dense(
                &[down],
                Filled::plain(hidden, inner).wide(),
                operand,
                config.bias,
            )?,
        })
    }
}
