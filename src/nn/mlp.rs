//! The gated feed-forward block.

use candle_core::Tensor;

use super::Linear;
use crate::weights::{Loader, WeightsError};

/// SwiGLU: `down(silu(gate(x)) ⊙ up(x))` (Shazeer, 2020, arXiv:2002.05202).
pub struct Mlp {
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Mlp {
    /// Reads `gate_proj`, `up_proj` (`[intermediate, hidden]`) and `down_proj` (`[hidden, intermediate]`).
    pub fn load(
        loader: &Loader,
        hidden: usize,
        intermediate: usize,
        bias: bool,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            gate: Linear::load(loader, "gate_proj", hidden, intermediate, bias)?,
            up: Linear::load(loader, "up_proj", hidden, intermediate, bias)?,
            down: Linear::load(loader, "down_proj", intermediate, hidden, bias)?,
        })
    }

    /// `x` is `[tokens, hidden]`, and so is the result.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let [gate, up] = Linear::forward_shared([&self.gate, &self.up], x)?;
        self.down.forward(&(gate.silu()? * up)?)
    }
}
