//! Causal self-attention with grouped queries.

mod on_tensor;
mod tensor_cache;

use std::io::{self, Read, Write};

use candle_core::Result;

use super::rows::sized;
use super::{Linear, PassTables, RmsNorm, Rows, Workspace};
use crate::kernels::{self, CacheType, KvCache};
use crate::weights::{Loader, WeightsError};
pub(super) use on_tensor::Mask;
use tensor_cache::TensorCache;

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
    /// How keys and values are kept (in the memory of this machine).
    pub cache: CacheType,
}

/// Grouped-query attention (Ainslie et al., 2023, arXiv:2305.13245) with its own cache.
pub struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    q_norm: Option<RmsNorm>,
    k_norm: Option<RmsNorm>,
    cache: Cache,
    config: AttentionConfig,
}

enum Cache {
    Host(KvCache),
    Tensor(TensorCache),
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
        let cache = match loader.on_host() {
            true => Cache::Host(KvCache::new(
                config.kv_heads,
                head_dim,
                config.context,
                config.cache,
            )),
            false => Cache::Tensor(TensorCache::new(
                config.kv_heads,
                head_dim,
                config.context,
                loader.dtype(),
                loader.device(),
            )),
        };
        Ok(Self {
            q: Linear::load(loader, "q_proj", hidden, queries, config.qkv_bias)?,
            k: Linear::load(loader, "k_proj", hidden, keys, config.qkv_bias)?,
            v: Linear::load(loader, "v_proj", hidden, keys, config.qkv_bias)?,
            o: Linear::load(loader, "o_proj", queries, hidden, config.output_bias)?,
            q_norm: norm("q_norm")?,
            k_norm: norm("k_norm")?,
            cache,
            config: config.clone(),
        })
    }

    /// Keeps the first `len` tokens of the cache.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.cache {
            Cache::Host(cache) => cache.truncate(len),
            Cache::Tensor(cache) => cache.truncate(len),
        }
    }

    /// Writes the cache, where it is in this memory; else false.
    pub fn save_cache(&self, out: &mut dyn Write) -> io::Result<bool> {
        match &self.cache {
            Cache::Host(cache) => cache.save(out).map(|()| true),
            Cache::Tensor(_) => Ok(false),
        }
    }

    /// Reads `len` tokens that [`Attention::save_cache`] wrote; false where the cache is not in this memory.
    pub fn restore_cache(&mut self, len: usize, source: &mut dyn Read) -> io::Result<bool> {
        match &mut self.cache {
            Cache::Host(cache) => cache.restore(len, source).map(|()| true),
            Cache::Tensor(_) => Ok(false),
        }
    }

    /// Adds the block's output for `norm(x)` to `x`, `[tokens, hidden]`; keys and values of the tokens join the cache.
    pub fn add_to(
        &mut self,
        x: &mut Rows,
        norm: &RmsNorm,
        tables: &PassTables,
        work: &mut Workspace,
    ) -> Result<()> {
        match x {
            Rows::Tensor(x) => {
                let attended = self.on_tensor(&norm.on_tensor(x)?, tables)?;
                *x = (&*x + attended)?;
                Ok(())
            }
            Rows::Host { x, .. } => {
                norm.to_workspace(x, work);
                self.on_host(x, tables, work)
            }
        }
    }

    /// The same for activations in this memory, whose norm is in the workspace.
    fn on_host(&mut self, x: &mut [f32], tables: &PassTables, work: &mut Workspace) -> Result<()> {
        let AttentionConfig {
            heads,
            kv_heads,
            head_dim,
            window,
            ..
        } = self.config;
        let Cache::Host(cache) = &mut self.cache else {
            candle_core::bail!("a cache of another device meets activations of this one")
        };
        let simd = work.simd;
        let tokens = tables.tokens();
        let [q, k, v] = &mut work.qkv;
        let products = [
            self.q.host()?.product(q, tokens),
            self.k.host()?.product(k, tokens),
            self.v.host()?.product(v, tokens),
        ];
        kernels::multiply(simd, &work.normed, products, &mut work.inputs);
        if let (Some(q_norm), Some(k_norm)) = (&self.q_norm, &self.k_norm) {
            q_norm.on_heads(q, simd);
            k_norm.on_heads(k, simd);
        }
        kernels::rotate(simd, q, heads * head_dim, heads, tables.angles());
        kernels::rotate(simd, k, kv_heads * head_dim, kv_heads, tables.angles());
        cache
            .append(simd, k, v, kv_heads * head_dim, tokens)
            .map_err(candle_core::Error::wrap)?;
        let attention = kernels::Attention {
            heads,
            kv_heads,
            head_dim,
            window,
            scale: (head_dim as f32).powf(-0.5),
            causal: true,
            rounded: false,
        };
        let mut inner = std::mem::take(&mut work.inner);
        attention.forward(
            simd,
            q,
            heads * head_dim,
            cache,
            tokens,
            &mut work.attention,
            sized(&mut inner, tokens * heads * head_dim),
        );
        self.o.host()?.multiply_into(&inner, x, true, work);
        work.inner = inner;
        Ok(())
    }
}
