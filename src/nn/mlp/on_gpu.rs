//! The feed-forward block on an NVIDIA GPU.

use super::Mlp;
use crate::kernels::cuda::{Buffer, GpuError, Norm, Stack, Work};
use crate::nn::linear::joined_bias;
use crate::nn::Linear;
use crate::weights::{Loader, WeightsError};

/// The block as the GPU's kernels take it.
pub(super) struct OnGpu {
    gate_up: Stack,
    gate_up_bias: Option<Buffer>,
    down: Stack,
    down_bias: Option<Buffer>,
}

impl Mlp {
    /// As [`Mlp::load_named`], to the GPU of `loader`.
    pub(super) fn load_on_gpu(
        loader: &Loader,
        [gate, up, down]: [&str; 3],
        hidden: usize,
        intermediate: usize,
        bias: bool,
    ) -> Result<Self, WeightsError> {
        let mut gate = Linear::load(loader, gate, hidden, intermediate, bias)?;
        let mut up = Linear::load(loader, up, hidden, intermediate, bias)?;
        let down = Linear::load(loader, down, intermediate, hidden, bias)?;
        let gpu = OnGpu {
            gate_up: Linear::stack([&mut gate, &mut up])?,
            gate_up_bias: joined_bias(loader, &[&gate, &up])?,
            down_bias: joined_bias(loader, &[&down])?,
            down: Stack::new(vec![down.on_gpu().ok_or_else(GpuError::elsewhere)?.clone()])?,
        };
        Ok(Self {
            gate,
            up,
            down,
            intermediate,
            gpu: Some(gpu),
        })
    }

    /// Adds the block's output for the normed residual stream of `work` to it: of so many tokens of
    /// a sequence, or of those of a step.
    ///
    /// # Errors
    /// Those of the GPU.
    pub fn add_on_gpu(
        &self,
        work: &mut Work,
        norm: Norm,
        tokens: Option<usize>,
    ) -> Result<(), GpuError> {
        let gpu = self.gpu.as_ref().ok_or_else(GpuError::elsewhere)?;
        let gate_up = (&gpu.gate_up, gpu.gate_up_bias.as_ref());
        let down = (&gpu.down, gpu.down_bias.as_ref());
        match tokens {
            None => work.step_mlp(gate_up, norm, down),
            Some(tokens) => work.pass_mlp(tokens, gate_up, norm, down),
        }
    }
}
