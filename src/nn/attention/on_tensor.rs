//! Attention by candle's tensors, for devices that crane has no kernels for.

use candle_core::{DType, Device, Result, Tensor, D};

use super::{Attention, AttentionConfig, Cache};
use crate::nn::PassTables;

/// What the tokens of one forward pass may see, `[tokens, keys]`, 0 or −∞; made once for all layers that share a window.
pub(in crate::nn) struct Mask {
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
    /// `x` is `[tokens, hidden]`, and so is the result; keys and values of the tokens join the cache.
    pub(super) fn on_tensor(&mut self, x: &Tensor, tables: &PassTables) -> Result<Tensor> {
        let tokens = x.dim(0)?;
        let AttentionConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let split = |x: Tensor, heads: usize| x.reshape((tokens, heads, head_dim))?.transpose(0, 1);

        let (q, k, v) = (self.q.product(x)?, self.k.product(x)?, self.v.product(x)?);
        let (mut q, mut k, v) = (split(q, heads)?, split(k, kv_heads)?, split(v, kv_heads)?);
        if let (Some(q_norm), Some(k_norm)) = (&self.q_norm, &self.k_norm) {
            (q, k) = (q_norm.on_tensor(&q)?, k_norm.on_tensor(&k)?);
        }
        let (q, k) = (tables.rotate(&q)?, tables.rotate(&k)?);
        let Cache::Tensor(cache) = self.caches.current() else {
            candle_core::bail!("a cache of this device meets activations of another one")
        };
        let (mut k, mut v) = cache.append(&k, &v)?;
        let mask = tables.mask(self.config.window)?;
        if let (Some(window), None) = (self.config.window, &mask.bias) {
            let len = cache.len();
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
        self.o.product(&y)
    }
}

/// Softmax over the last dimension, computed in f32 whatever the type.
fn softmax_f32(scores: &Tensor) -> Result<Tensor> {
    match scores.dtype() {
        DType::F32 => candle_nn::ops::softmax_last_dim(scores),
        dtype => candle_nn::ops::softmax(&scores.to_dtype(DType::F32)?, D::Minus1)?.to_dtype(dtype),
    }
}
