//! The gated feed-forward block.

#[cfg(feature = "cuda")]
mod on_gpu;

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
    #[cfg(feature = "cuda")]
    gpu: Option<on_gpu::OnGpu>,
}

impl Mlp {
    /// Reads `gate_proj`, `up_proj` (`[intermediate, hidden]`) and `down_proj` (`[hidden, intermediate]`).
    pub fn load(
        loader: &Loader,
        hidden: usize,
        intermediate: usize,
        bias: bool,
    ) -> std::result::Result<Self, WeightsError> {
        let names = ["gate_proj", "up_proj", "down_proj"];
        Self::load_named(loader, names, hidden, intermediate, bias)
    }

    /// The same where gate, up and down have these names.
    pub fn load_named(
        loader: &Loader,
        [gate, up, down]: [&str; 3],
        hidden: usize,
        intermediate: usize,
        bias: bool,
    ) -> std::result::Result<Self, WeightsError> {
        #[cfg(feature = "cuda")]
        if loader.on_gpu() {
            return Self::load_on_gpu(loader, [gate, up, down], hidden, intermediate, bias);
        }
        Ok(Self {
            #[cfg(feature = "cuda")]
            gpu: None,
            gate: Linear::load(loader, gate, hidden, intermediate, bias)?,
            up: Linear::load(loader, up, hidden, intermediate, bias)?,
            down: Linear::load(loader, down, intermediate, hidden, bias)?,
            intermediate,
        })
    }

    /// Whether all of its matrices are quantised.
    pub fn is_packed(&self) -> bool {
        self.gate.is_packed() && self.up.is_packed() && self.down.is_packed()
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
            Rows::Host { x, .. } => self.add_to_host(x, norm, work)?,
        }
        Ok(())
    }

    /// The same for activations in this memory.
    pub(super) fn add_to_host(
        &self,
        x: &mut [f32],
        norm: &RmsNorm,
        work: &mut Workspace,
    ) -> Result<()> {
        norm.to_workspace(x, work);
        // Lent to the products, which want the rest of the workspace.
        let mut inner = std::mem::take(&mut work.inner);
        let normed = std::mem::take(&mut work.normed);
        self.forward_host(&normed, &mut inner, work)?;
        self.down.host()?.multiply_into(&inner, x, true, work);
        (work.normed, work.inner) = (normed, inner);
        Ok(())
    }

    /// `silu(gate(x)) ⊙ up(x)` of `x`, `[tokens, hidden]`.
    fn forward_host(&self, x: &[f32], inner: &mut Vec<f32>, work: &mut Workspace) -> Result<()> {
        let (gate, up) = (self.gate.host()?, self.up.host()?);
        let tokens = x.len() / gate.matrix.width().max(1);
        let inner = sized(inner, tokens * self.intermediate);
        kernels::swiglu(work.simd, x, gate, up, inner, &mut work.inputs);
        Ok(())
    }

    /// The block's output for `x`, `[tokens, hidden]`, in this memory.
    pub fn forward(&self, x: &[f32], work: &mut Workspace) -> Result<Vec<f32>> {
        let mut inner = std::mem::take(&mut work.inner);
        self.forward_host(x, &mut inner, work)?;
        let down = self.down.host()?;
        let tokens = inner.len() / self.intermediate.max(1);
        let mut out = vec![0f32; tokens * down.matrix.rows()];
        down.multiply_into(&inner, &mut out, false, work);
        work.inner = inner;
        Ok(out)
    }
}
