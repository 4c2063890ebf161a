//! Causal self-attention with grouped queries.

use candle_core::{DType, Device, Result, Tensor, D};

use super::{KvCache, Linear, RmsNorm, RopeTable};
use crate::weights::{Loader, WeightsError};

/// The shape of an attention layer.
#[derive(Debug, Clone)]
pub struct AttentionConfig {
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Biases on query, key and value; on the output.
    pub qkv_bias: bool,
    pub output_bias: bool,
    /// `Some(eps)`: RMS norm of each query and key head before the rotation (Qwen3).
    pub qk_norm: Option<f64>,
    /// `Some(w)`: a token sees itself and the `w - 1` before it.
    pub window: Option<usize>,
    /// Tokens that the cache may hold.
    pub context: usize,
}

/// Grouped-query attention (Ainslie et al., 2023, arXiv:2305.13245) with its own cache.
pub struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    q_norm: Option<RmsNorm>,
    k_norm: Option<RmsNorm>,
    cache: KvCache,
    config: AttentionConfig,
}

/// What the tokens of one forward pass may see, `[tokens, keys]`, 0 or −∞; made once for all layers that share a window.
pub struct Mask {
    bias: Option<Tensor>,
    window: Option<usize>,
}

impl Mask {
    /// For `tokens` new tokens after `cached` others.
    pub fn new(
        tokens: usize,
        cached: usize,
        window: Option<usize>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        if tokens == 1 {
            return Ok(Self { bias: None, window });
        }
        let keys = cached + tokens;
        let window_len = window.unwrap_or(usize::MAX);
        let mut bias = vec![0f32; tokens * keys];
        for (i, row) in bias.chunks_exact_mut(keys).enumerate() {
            let position = cached + i;
            row[position + 1..].fill(f32::NEG_INFINITY);
            row[..(position + 1).saturating_sub(window_len)].fill(f32::NEG_INFINITY);
        }
        let bias = Tensor::from_vec(bias, (tokens, keys), device)?.to_dtype(dtype)?;
        Ok(Self {
            bias: Some(bias),
            window,
        })
    }

    /// The window it was made for.
    pub fn window(&self) -> Option<usize> {
        self.window
    }
}

impl Attention {
    /// Reads `q_proj`, `k_proj`, `v_proj`, `o_proj` and, for QK norm, `q_norm`, `k_norm` below `loader`.
    pub fn load(
        loader: &Loader,
        config: &AttentionConfig,
    ) -> std::result::Result<Self, WeightsError> {
        let (hidden, head_dim) = (config.hidden, config.head_dim);
        let (queries, keys) = (config.heads * head_dim, config.kv_heads * head_dim);
        let norm = |name: &str| match config.qk_norm {
            Some(eps) => RmsNorm::load(loader, name, head_dim, eps).map(Some),
            None => Ok(None),
        };
        Ok(Self {
            q: Linear::load(loader, "q_proj", hidden, queries, config.qkv_bias)?,
            k: Linear::load(loader, "k_proj", hidden, keys, config.qkv_bias)?,
            v: Linear::load(loader, "v_proj", hidden, keys, config.qkv_bias)?,
            o: Linear::load(loader, "o_proj", queries, hidden, config.output_bias)?,
            q_norm: norm("q_norm")?,
            k_norm: norm("k_norm")?,
            cache: KvCache::new(
                config.kv_heads,
                head_dim,
                config.context,
                loader.dtype(),
                loader.device(),
            ),
            config: config.clone(),
        })
    }

    /// Keeps the first `len` tokens of the cache.
    pub fn truncate(&mut self, len: usize) {
        self.cache.truncate(len);
    }

    /// `x` is `[tokens, hidden]`, and so is the result; keys and values of the tokens join the cache.
    pub fn forward(&mut self, x: &Tensor, rope: &RopeTable, mask: &Mask) -> Result<Tensor> {
        let tokens = x.dim(0)?;
        let AttentionConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let split = |x: Tensor, heads: usize| x.reshape((tokens, heads, head_dim))?.transpose(0, 1);

        let [q, k, v] = Linear::forward_shared([&self.q, &self.k, &self.v], x)?;
        let (mut q, mut k, v) = (split(q, heads)?, split(k, kv_heads)?, split(v, kv_heads)?);
        if let (Some(q_norm), Some(k_norm)) = (&self.q_norm, &self.k_norm) {
            (q, k) = (q_norm.forward(&q)?, k_norm.forward(&k)?);
        }
        let (q, k) = (rope.rotate(&q)?, rope.rotate(&k)?);
        let (mut k, mut v) = self.cache.append(&k, &v)?;
        if let (Some(window), None) = (mask.window, &mask.bias) {
            let len = self.cache.len();
            let seen = window.min(len);
            (k, v) = (
                k.narrow(1, len - seen, seen)?,
                v.narrow(1, len - seen, seen)?,
            );
        }

        // The queries of a group are consecutive heads: as rows of one matrix they meet their key head without
        // the keys being repeated.
        let group = heads / kv_heads;
        let keys = k.dim(1)?;
        let q =
            (q * (head_dim as f64).powf(-0.5))?.reshape((kv_heads, group * tokens, head_dim))?;
        let mut scores = q.matmul(&k.t()?)?;
        if let Some(bias) = &mask.bias {
            scores = scores
                .reshape((heads, tokens, keys))?
                .broadcast_add(bias)?
                .reshape((kv_heads, group * tokens, keys))?;
        }
        let weights = softmax_f32(&scores)?;
        let y = weights
            .matmul(&v)?
            .reshape((heads, tokens, head_dim))?
            .transpose(0, 1)?
            .reshape((tokens, heads * head_dim))?;
        self.o.forward(&y)
    }
}

/// Softmax over the last dimension, computed in f32 whatever the type.
fn softmax_f32(scores: &Tensor) -> Result<Tensor> {
    match scores.dtype() {
        DType::F32 => candle_nn::ops::softmax_last_dim(scores),
        dtype => candle_nn::ops::softmax(&scores.to_dtype(DType::F32)?, D::Minus1)?.to_dtype(dtype),
    }
}
