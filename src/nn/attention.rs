//! Causal self-attention with grouped queries.

mod caches;
#[cfg(feature = "cuda")]
mod on_gpu;
mod on_tensor;
mod tensor_cache;

use candle_core::Result;

use self::caches::{Cache, Caches};
use super::rows::sized;
use super::{Linear, PassTables, RmsNorm, RopeLayout, Rows, Workspace};
use crate::kernels::{self, CacheType};
use crate::weights::{Loader, WeightsError};
#[cfg(feature = "cuda")]
pub use on_gpu::GpuPass;
pub(super) use on_tensor::Mask;

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
    /// How heads are rotated.
    pub rope_layout: RopeLayout,
    /// `Some(w)`: a token sees itself and the `w - 1` before it.
    pub window: Option<usize>,
    /// Tokens that the cache may hold.
    pub context: usize,
    /// How keys and values are kept (in the memory of this machine).
    pub cache: CacheType,
}

/// Grouped-query attention (Ainslie et al., 2023, arXiv:2305.13245) with a cache for each sequence.
pub struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    q_norm: Option<RmsNorm>,
    k_norm: Option<RmsNorm>,
    caches: Caches,
    config: AttentionConfig,
    #[cfg(feature = "cuda")]
    gpu: Option<on_gpu::OnGpu>,
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
        #[cfg(feature = "cuda")]
        if loader.on_gpu() {
            return Self::load_on_gpu(loader, config);
        }
        Ok(Self {
            #[cfg(feature = "cuda")]
            gpu: None,
            q: Linear::load(loader, "q_proj", hidden, queries, config.qkv_bias)?,
            k: Linear::load(loader, "k_proj", hidden, keys, config.qkv_bias)?,
            v: Linear::load(loader, "v_proj", hidden, keys, config.qkv_bias)?,
            o: Linear::load(loader, "o_proj", queries, hidden, config.output_bias)?,
            q_norm: norm("q_norm")?,
            k_norm: norm("k_norm")?,
            caches: Caches::new(config, loader),
            config: config.clone(),
        })
    }

    /// The caches of the sequences.
    pub fn caches(&self) -> &Caches {
        &self.caches
    }

    /// The same, to be changed.
    pub fn caches_mut(&mut self) -> &mut Caches {
        &mut self.caches
    }

    /// Bytes that a token takes in a cache.
    pub fn cache_bytes(&self) -> usize {
        let numbers = 2 * self.config.kv_heads * self.config.head_dim;
        (numbers as f64 * self.caches.number_bytes()) as usize
    }

    /// Whether all of its matrices are quantised.
    pub fn is_packed(&self) -> bool {
        [&self.q, &self.k, &self.v, &self.o]
            .iter()
            .all(|linear| linear.is_packed())
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

    /// The same for one token of each of several sequences: row `i` of `x` belongs to the sequence `slots[i]`, no two of
    /// which are the same. Each row becomes what it would alone.
    pub fn add_to_each(
        &mut self,
        x: &mut Rows,
        norm: &RmsNorm,
        slots: &[usize],
        tables: &PassTables,
        work: &mut Workspace,
    ) -> Result<()> {
        let Rows::Host { x, .. } = x else {
            candle_core::bail!("sequences together are for activations of this device")
        };
        norm.to_workspace(x, work);
        self.project(tables, work)?;
        let AttentionConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        let [q, k, v] = &work.qkv;
        let rows = k.chunks_exact(keys).zip(v.chunks_exact(keys));
        for (&slot, (k, v)) in slots.iter().zip(rows) {
            let cache = self.caches.host_mut(slot)?;
            cache
                .append(work.simd, k, v, keys, 1)
                .map_err(candle_core::Error::wrap)?;
        }
        let sequences = slots.iter().zip(q.chunks_exact(queries));
        let sequences: Vec<_> = sequences
            .map(|(&slot, q)| {
                let cache = self.caches.host(slot)?;
                Ok(kernels::attention::Alone { q, cache })
            })
            .collect::<Result<_>>()?;
        let mut inner = std::mem::take(&mut work.inner);
        let out = sized(&mut inner, slots.len() * queries);
        let attention = self.kernel();
        attention.each(work.simd, &sequences, &mut work.attention, out);
        self.o.host()?.multiply_into(&inner, x, true, work);
        work.inner = inner;
        Ok(())
    }

    /// The same for activations in this memory, whose norm is in the workspace.
    fn on_host(&mut self, x: &mut [f32], tables: &PassTables, work: &mut Workspace) -> Result<()> {
        self.project(tables, work)?;
        let AttentionConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let attention = self.kernel();
        let Cache::Host(cache) = self.caches.current() else {
            candle_core::bail!("a cache of another device meets activations of this one")
        };
        let (simd, tokens) = (work.simd, tables.tokens());
        let [q, k, v] = &work.qkv;
        cache
            .append(simd, k, v, kv_heads * head_dim, tokens)
            .map_err(candle_core::Error::wrap)?;
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

    /// Queries and keys, rotated, and values of the normed tokens in the workspace.
    fn project(&self, tables: &PassTables, work: &mut Workspace) -> Result<()> {
        let AttentionConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let (simd, tokens) = (work.simd, tables.tokens());
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
        Ok(())
    }

    fn kernel(&self) -> kernels::Attention {
        kernels::Attention {
            heads: self.config.heads,
            kv_heads: self.config.kv_heads,
            head_dim: self.config.head_dim,
            window: self.config.window,
            scale: (self.config.head_dim as f32).powf(-0.5),
            causal: true,
            rounded: false,
        }
    }
}
