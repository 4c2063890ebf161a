//! The gated feed-forward block.

use candle_core::Result;

use super::rows::sized;
use super::{Linear, RmsNorm, Rows, Workspace};
use crate::kernels;
use crate::weights::{Loader, WeightsError};

/// SwiGLU: `down(silu(gate(x)) ⊙ up(x))` (Shazeer, 2020, arXiv:2002.05202).
pub struct Mlp {
    gate: Linear,
    up: Linear,
    down: Linear,
    intermediate: usize,
}

impl Mlp {
    /// Reads `gate_proj`, `up_proj` (`[intermediate, hidden]`) and `down_proj` (`[hidden, intermediate]`).
    pub fn load(
        loader: &Loader,
        hidden: usize,
        intermediate: usize,
        bias: bool,
    ) -> std::result::Result<Self, WeightsError> {
        Ok(Self {
            gate: Linear::load(loader, "gate_proj", hidden, intermediate, bias)?,
            up: Linear::load(loader, "up_proj", hidden, intermediate, bias)?,
            down: Linear::load(loader, "down_proj", intermediate, hidden, bias)?,
            intermediate,
        })
    }

    /// Adds the block's output for `norm(x)` to `x`, `[tokens, hidden]`.
    pub fn add_to(&self, x: &mut Rows, norm: &RmsNorm, work: &mut Workspace) -> Result<()> {
        match x {
            Rows::Tensor(x) => {
                let normed = norm.on_tensor(x)?;
                let gate = self.gate.product(&normed)?.silu()?;
                let fed = self.down.product(&(gate * self.up.product(&normed)?)?)?;
                *x = (&*x + fed)?;
            }
            Rows::Host { x, width } => {
                norm.to_workspace(x, work);
                let len = x.len() / (*width).max(1) * self.intermediate;
                // Lent to the products, which want the rest of the workspace.
                let mut inner = std::mem::take(&mut work.inner);
                kernels::swiglu(
                    work.simd,
                    &work.normed,
                    self.gate.host()?,
                    self.up.host()?,
                    sized(&mut inner, len),
                    &mut work.inputs,
                );
                self.down.host()?.multiply_into(&inner, x, true, work);
                work.inner = inner;
            }
        }
        Ok(())
    }
}
