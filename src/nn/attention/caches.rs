//! The caches of a layer: one a sequence.

use std::io::{self, Read, Write};

use candle_core::{DType, Device, Result};

use super::tensor_cache::TensorCache;
use super::AttentionConfig;
#[cfg(feature = "cuda")]
use crate::kernels::cuda;
#[cfg(feature = "cuda")]
use crate::kernels::CacheType;
use crate::kernels::KvCache;
use crate::weights::Loader;

/// Keys and values of sequences that a model holds side by side, one of which is the current one.
pub struct Caches {
    all: Vec<Cache>,
    current: usize,
    config: AttentionConfig,
    /// Where keys and values are tensors: their type and device.
    tensors: Option<(DType, Device)>,
    #[cfg(feature = "cuda")]
    gpu: Option<std::sync::Arc<cuda::Gpu>>,
}

pub(super) enum Cache {
    Host(KvCache),
    #[cfg(feature = "cuda")]
    Gpu(cuda::Cache),
    Tensor(TensorCache),
}

impl Caches {
    /// One empty cache, where the tensors of `loader` go.
    pub(super) fn new(config: &AttentionConfig, loader: &Loader) -> Self {
        let tensors = (!loader.on_host()).then(|| (loader.dtype(), loader.device().clone()));
        let mut caches = Self {
            all: Vec::new(),
            current: 0,
            config: config.clone(),
            tensors,
            #[cfg(feature = "cuda")]
            gpu: loader.gpu().cloned(),
        };
        caches.resize(1);
        caches
    }

    /// Room for `count` sequences, at least one; what is new is empty. The first becomes the current one.
    pub fn resize(&mut self, count: usize) {
        let AttentionConfig {
            kv_heads,
            head_dim,
            context,
            cache,
            ..
        } = self.config;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &self.gpu {
            let kind = match cache {
                CacheType::F32 => cuda::Kind::F32,
                _ => cuda::Kind::F16,
            };
            let empty = || Cache::Gpu(cuda::Cache::new(gpu, context, kv_heads * head_dim, kind));
            self.all.resize_with(count.max(1), empty);
            self.current = 0;
            return;
        }
        let empty = || match &self.tensors {
            None => Cache::Host(KvCache::new(kv_heads, head_dim, context, cache)),
            Some((dtype, device)) => Cache::Tensor(TensorCache::new(
                kv_heads, head_dim, context, *dtype, device,
            )),
        };
        self.all.resize_with(count.max(1), empty);
        self.current = 0;
    }

    /// Bytes of a number, scales included.
    pub(super) fn number_bytes(&self) -> f64 {
        #[cfg(feature = "cuda")]
        if self.gpu.is_some() {
            return if self.config.cache == CacheType::F32 {
                4.0
            } else {
                2.0
            };
        }
        match &self.tensors {
            None => self.config.cache.bytes(),
            Some((dtype, _)) => dtype.size_in_bytes() as f64,
        }
    }

    /// Makes sequence `slot` the current one.
    pub fn select(&mut self, slot: usize) {
        assert!(slot < self.all.len(), "one of the sequences");
        self.current = slot;
    }

    /// Keeps the first `len` tokens of the current sequence.
    pub fn truncate(&mut self, len: usize) {
        match self.current() {
            Cache::Host(cache) => cache.truncate(len),
            // It has as many tokens as its model says.
            #[cfg(feature = "cuda")]
            Cache::Gpu(_) => {}
            Cache::Tensor(cache) => cache.truncate(len),
        }
    }

    /// The current sequence becomes the first `len` tokens of sequence `slot`.
    ///
    /// # Errors
    /// Caches that are not in the memory of this machine.
    pub fn begin_as(&mut self, slot: usize, len: usize) -> Result<()> {
        if slot == self.current {
            self.truncate(len);
            return Ok(());
        }
        match self.all.get_disjoint_mut([self.current, slot]) {
            Ok([Cache::Host(cache), Cache::Host(other)]) => {
                cache.begin_as(other, len);
                Ok(())
            }
            #[cfg(feature = "cuda")]
            Ok([Cache::Gpu(cache), Cache::Gpu(other)]) => {
                let copied = cache.begin_as(other, len);
                copied.map(|_| ()).map_err(candle_core::Error::wrap)
            }
            _ => candle_core::bail!("sequences of this device do not share their beginning"),
        }
    }

    /// Writes the current sequence, which has `len` tokens; false, and nothing, for one that is a tensor.
    pub fn save(&self, len: usize, out: &mut dyn Write) -> io::Result<bool> {
        match &self.all[self.current] {
            Cache::Host(cache) => cache.save(len, out),
            #[cfg(feature = "cuda")]
            Cache::Gpu(cache) => cache.save(len, out),
            Cache::Tensor(_) => return Ok(false),
        }
        .map(|()| true)
    }

    /// Reads `len` tokens that [`Caches::save`] wrote, in place of the current sequence, which may move; false for one
    /// that is a tensor.
    pub fn restore(&mut self, len: usize, source: &mut dyn Read) -> io::Result<bool> {
        match self.current() {
            Cache::Host(cache) => cache.restore(len, source),
            #[cfg(feature = "cuda")]
            Cache::Gpu(cache) => cache.restore(len, source),
            Cache::Tensor(_) => return Ok(false),
        }
        .map(|()| true)
    }

    /// The number of the current sequence.
    #[cfg(feature = "cuda")]
    pub(super) fn selected(&self) -> usize {
        self.current
    }

    /// The cache of sequence `slot` on a GPU.
    ///
    /// # Errors
    /// It is not there.
    #[cfg(feature = "cuda")]
    pub(super) fn on_gpu(&self, slot: usize) -> std::result::Result<&cuda::Cache, cuda::GpuError> {
        match self.all.get(slot) {
            Some(Cache::Gpu(cache)) => Ok(cache),
            _ => Err(cuda::GpuError::elsewhere()),
        }
    }

    /// As [`Caches::on_gpu`].
    #[cfg(feature = "cuda")]
    pub(super) fn on_gpu_mut(
        &mut self,
        slot: usize,
    ) -> std::result::Result<&mut cuda::Cache, cuda::GpuError> {
        match self.all.get_mut(slot) {
            Some(Cache::Gpu(cache)) => Ok(cache),
            _ => Err(cuda::GpuError::elsewhere()),
        }
    }

    pub(super) fn current(&mut self) -> &mut Cache {
        &mut self.all[self.current]
    }

    /// The cache of sequence `slot`.
    ///
    /// # Errors
    /// It is not in the memory of this machine, or there is none.
    pub(super) fn host(&self, slot: usize) -> Result<&KvCache> {
        match self.all.get(slot) {
            Some(Cache::Host(cache)) => Ok(cache),
            _ => candle_core::bail!("no cache of this device for sequence {slot}"),
        }
    }

    /// As [`Caches::host`].
    pub(super) fn host_mut(&mut self, slot: usize) -> Result<&mut KvCache> {
        match self.all.get_mut(slot) {
            Some(Cache::Host(cache)) => Ok(cache),
            _ => candle_core::bail!("no cache of this device for sequence {slot}"),
        }
    }
}
