//! Attention on an NVIDIA GPU.

use super::{Attention, AttentionConfig, Caches};
use crate::kernels::cuda::{AttentionShape, Buffer, Cache, GpuError, Norm, Stack, StepCache, Work};
use crate::nn::linear::joined_bias;
use crate::nn::{Linear, RmsNorm, RopeLayout};
use crate::weights::{Loader, WeightsError};

/// The layer as the GPU's kernels take it.
pub(super) struct OnGpu {
    qkv: Stack,
    qkv_bias: Option<Buffer>,
    output: Stack,
    output_bias: Option<Buffer>,
    shape: AttentionShape,
}

/// What a pass through a layer computes.
#[derive(Debug, Clone, Copy)]
pub enum GpuPass {
    /// The step of the current sequence.
    Step,
    /// A step of several sequences; the layer is number `layer`.
    Each { layer: usize },
    /// Tokens of the current sequence behind `cached` others.
    Tokens { tokens: usize, cached: usize },
}

impl Attention {
    /// As [`Attention::load`], to the GPU of `loader`.
    pub(super) fn load_on_gpu(
        loader: &Loader,
        config: &AttentionConfig,
    ) -> Result<Self, WeightsError> {
        let (hidden, head_dim) = (config.hidden, config.head_dim);
        let (queries, keys) = (config.heads * head_dim, config.kv_heads * head_dim);
        let mut q = Linear::load(loader, "q_proj", hidden, queries, config.qkv_bias)?;
        let mut k = Linear::load(loader, "k_proj", hidden, keys, config.qkv_bias)?;
        let mut v = Linear::load(loader, "v_proj", hidden, keys, config.qkv_bias)?;
        let o = Linear::load(loader, "o_proj", queries, hidden, config.output_bias)?;
        let norm = |name: &str, eps| {
            let norm = RmsNorm::load(loader, name, head_dim, eps)?;
            let moved = norm.into_gpu();
            Ok::<_, WeightsError>(moved.ok_or_else(GpuError::elsewhere)?.0)
        };
        let norms = match config.qk_norm {
            Some(eps) => Some(([norm("q_norm", eps)?, norm("k_norm", eps)?], eps as f32)),
            None => None,
        };
        let shape = AttentionShape {
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim,
            window: config.window,
            neighbours: config.rope_layout == RopeLayout::Pairs,
            norms,
        };
        shape.check()?;
        let gpu = OnGpu {
            qkv: Linear::stack([&mut q, &mut k, &mut v])?,
            qkv_bias: joined_bias(loader, &[&q, &k, &v])?,
            output_bias: joined_bias(loader, &[&o])?,
            output: Stack::new(vec![o.on_gpu().ok_or_else(GpuError::elsewhere)?.clone()])?,
            shape,
        };
        Ok(Self {
            q,
            k,
            v,
            o,
            q_norm: None,
            k_norm: None,
            caches: Caches::new(config, loader),
            config: config.clone(),
            gpu: Some(gpu),
        })
    }

    /// Room for `len` tokens in the cache of sequence `slot`, of which `kept` stay; whether it has moved.
    ///
    /// # Errors
    /// Out of memory.
    pub fn reserve_on_gpu(
        &mut self,
        slot: usize,
        len: usize,
        kept: usize,
    ) -> Result<bool, GpuError> {
        self.caches.on_gpu_mut(slot)?.reserve(len, kept)
    }

    /// The cache of sequence `slot`.
    ///
    /// # Errors
    /// It is not on a GPU.
    pub fn cache_on_gpu(&self, slot: usize) -> Result<&Cache, GpuError> {
        self.caches.on_gpu(slot)
    }

    /// Adds the block's output for the normed residual stream of `work` to it; keys and values join the caches. A step
    /// can be recorded: it reads from the workspace how many tokens are cached.
    ///
    /// # Errors
    /// Those of the GPU.
    pub fn add_on_gpu(&self, work: &mut Work, norm: Norm, pass: GpuPass) -> Result<(), GpuError> {
        let gpu = self.gpu.as_ref().ok_or_else(GpuError::elsewhere)?;
        let current = self.caches.on_gpu(self.caches.selected())?;
        let qkv = (&gpu.qkv, gpu.qkv_bias.as_ref());
        let output = (&gpu.output, gpu.output_bias.as_ref());
        let cache = match pass {
            GpuPass::Step => StepCache::One(current),
            GpuPass::Each { layer } => StepCache::Each {
                layer,
                like: current,
            },
            GpuPass::Tokens { tokens, cached } => {
                let cache = (current, cached);
                return work.pass_attention(tokens, qkv, norm, &gpu.shape, cache, output);
            }
        };
        work.step_attention(qkv, norm, &gpu.shape, cache, output)
    }
}
