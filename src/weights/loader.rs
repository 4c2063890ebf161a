//! Named tensors of a checkpoint → tensors on a device, in the types that the user asked for.

#[cfg(feature = "cuda")]
mod encoder;
mod found;
#[cfg(feature = "cuda")]
mod on_gpu;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};

use super::checkpoint::Checkpoint;
use super::error::WeightsError;
use super::format::{Format, TensorInfo};
use super::mix::Mix;
use super::options::{DTypeChoice, LoadOptions};
use super::{blocks, notes};
#[cfg(feature = "cuda")]
use crate::kernels::cuda::{self, Gpu};
use crate::kernels::{
    Arena, CacheType, FloatData, FloatType, Matrix, PackedMatrix, SharedBytes, Simd,
};

#[cfg(feature = "cuda")]
pub use encoder::Filled;
use found::Found;

/// A matrix ready for a linear layer, `[out, in]`.
#[derive(Debug, Clone)]
pub enum Weight {
    /// In this machine's memory, for crane's kernels.
    Host(Arc<Matrix>),
    /// On an NVIDIA GPU, for crane's kernels.
    #[cfg(feature = "cuda")]
    Gpu(cuda::Matrix),
    /// On another device.
    Float(Tensor),
    /// The same, quantised.
    Quantized(Arc<QTensor>),
}

/// Turns named tensors of a [`Checkpoint`] into tensors on the device. Names are always Hugging Face's
/// (`model.layers.0.self_attn.q_proj.weight`); for a GGUF file they are translated.
///
/// On a CPU float matrices that are wanted as they are stored are not copied: they are read where they lie in the
/// mapped file. Quantised ones are packed for the kernels, once, and the file's pages are let go.
#[derive(Clone)]
pub struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    options: Arc<LoadOptions>,
    /// What `options.quant` makes of each matrix.
    mix: Option<Mix>,
    dtype: DType,
    prefix: String,
    /// Embedding tables by full name, so that a tied head is the same memory.
    tables: Arc<Mutex<HashMap<String, Weight>>>,
    /// Memory of the matrices that are not read from the map.
    arena: Arc<Arena>,
}

impl<'a> Loader<'a> {
    /// A loader for all of `checkpoint`. Decides the type of activations, see [`Loader::dtype`].
    pub fn new(checkpoint: &'a Checkpoint, options: &LoadOptions) -> Result<Self, WeightsError> {
        checkpoint.prefetch();
        Ok(Self {
            checkpoint,
            mix: options.quant.map(|quant| Mix::new(quant, checkpoint)),
            dtype: notes::activation_dtype(checkpoint, options),
            options: Arc::new(options.clone()),
            prefix: String::new(),
            tables: Arc::default(),
            arena: Arc::default(),
        })
    }

    /// The same loader below `prefix` (`loader.under("model").under("layers.0")`).
    pub fn under(&self, prefix: &str) -> Self {
        Self {
            prefix: self.full_name(prefix),
            ..self.clone()
        }
    }

    /// The same tensors in this machine's memory and not quantised at load, for parts that run on the kernels alone.
    pub fn for_kernels(&self) -> Self {
        let options = LoadOptions {
            device: Device::Cpu,
            #[cfg(feature = "cuda")]
            gpu: None,
            quant: None,
            tensors: false,
            ..(*self.options).clone()
        };
        Self {
            mix: None,
            dtype: notes::activation_dtype(self.checkpoint, &options),
            options: Arc::new(options),
            ..self.clone()
        }
    }

    /// The checkpoint that it reads.
    pub fn checkpoint(&self) -> &'a Checkpoint {
        self.checkpoint
    }

    /// Where its tensors go.
    pub fn device(&self) -> &Device {
        &self.options.device
    }

    /// Whether matrices stay in this machine's memory, for crane's kernels.
    pub fn on_host(&self) -> bool {
        self.options.device.is_cpu() && !self.options.tensors && !self.on_gpu()
    }

    /// The NVIDIA GPU that its matrices go to.
    #[cfg(feature = "cuda")]
    pub fn gpu(&self) -> Option<&Arc<Gpu>> {
        self.options.gpu.as_ref()
    }

    /// Whether its matrices go to an NVIDIA GPU, for crane's kernels.
    pub fn on_gpu(&self) -> bool {
        #[cfg(feature = "cuda")]
        return self.options.gpu.is_some();
        #[cfg(not(feature = "cuda"))]
        return false;
    }

    /// Whether crane's own kernels compute with its matrices, in whatever numbers these are stored.
    fn own_kernels(&self) -> bool {
        self.on_host() || self.on_gpu()
    }

    /// The type that activations are computed in: f32 on a CPU and with quantised matrices; else the type asked for;
    /// else, for `auto`, the stored type of the matrices.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The type that a float matrix stored as `format` is held in: the one asked for; else, on a CPU, as it is stored,
    /// and elsewhere [`Loader::dtype`].
    pub fn matrix_dtype(&self, format: Format) -> DType {
        let asked = self.options.dtype.explicit();
        match (asked, format) {
            _ if self.options.quant.is_some() => self.dtype,
            (Some(dtype), _) => dtype,
            (None, Format::F16) if self.own_kernels() => DType::F16,
            (None, Format::BF16) if self.own_kernels() => DType::BF16,
            _ => self.dtype,
        }
    }

    /// The type that [`Loader::matrix`] holds the matrix `info` of the checkpoint in.
    pub fn held(&self, info: &TensorInfo) -> Format {
        let width = info.shape.last().copied().unwrap_or(0);
        let mix = self.mix.filter(|_| !notes::is_encoder(&info.name));
        if let Some(dtype) = mix.and_then(|mix| mix.block_type(&info.name, width)) {
            return Format::Quantized(dtype);
        }
        let kept = mix.is_some() || self.options.dtype.explicit().is_none();
        if info.format.is_quantized() && kept {
            return info.format;
        }
        match self.matrix_dtype(info.format) {
            DType::F16 => Format::F16,
            DType::BF16 => Format::BF16,
            _ => Format::F32,
        }
    }

    /// How keys and values are kept: as asked for; else f32 where all matrices are, f16 otherwise.
    pub fn cache_type(&self) -> CacheType {
        self.options.cache.unwrap_or_else(|| {
            let exact = notes::matrices(self.checkpoint).all(|t| self.held(t) == Format::F32);
            match exact {
                true => CacheType::F32,
                false => CacheType::F16,
            }
        })
    }

    /// What the options change about the stored weights, one sentence each, for the user: nothing about a
    /// number's type happens silently.
    pub fn notes(&self) -> Vec<String> {
        notes::notes(self.checkpoint, &self.options)
    }

    /// Whether the checkpoint has `name` (below the prefix).
    pub fn contains(&self, name: &str) -> bool {
        self.checkpoint.contains(&self.full_name(name))
    }

    /// A small float tensor (norm, bias) in `dtype()`; the shape is checked.
    ///
    /// # Errors
    /// The tensor is absent, has another shape, or has a type that cannot be computed with.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, WeightsError> {
        let found = self.find(name, shape)?;
        Ok(found
            .source()?
            .tensor(self.dtype, shape, &self.options.device)?)
    }

    /// All numbers of a tensor as f32 in this machine's memory, whatever the options say; the shape is checked.
    ///
    /// # Errors
    /// As [`Loader::tensor`].
    pub fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let found = self.find(name, shape)?;
        let numbers = found.source()?.numbers()?;
        found.release();
        Ok(numbers)
    }

    /// Memory for what a layer packs by itself.
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// The type that was asked for by name.
    pub fn asked(&self) -> DTypeChoice {
        self.options.dtype
    }

    /// [`Loader::tensor`] where the checkpoint has it, None where it does not.
    pub fn optional(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>, WeightsError> {
        if self.contains(name) {
            self.tensor(name, shape).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A matrix `[out, in]`: kept quantised, quantised by the policy, or float, as the options say.
    ///
    /// # Errors
    /// As [`Loader::tensor`].
    pub fn matrix(&self, name: &str, out: usize, in_: usize) -> Result<Weight, WeightsError> {
        let full = self.full_name(name);
        let found = self.find(name, &[out, in_])?;
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(&full) {
            return Ok(table.clone());
        }
        drop(tables);
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &self.options.gpu {
            return self.to_gpu(gpu, &full, &found, [out, in_]);
        }
        let shape = [out, in_];
        let device = &self.options.device;
        let stored = found.tensor.entry.info.format;
        if let Some(dtype) = self.mix.and_then(|mix| mix.block_type(&full, in_)) {
            if stored != Format::Quantized(dtype) {
                let made = found.quantized(dtype, &shape, device)?;
                found.release();
                if !self.on_host() {
                    return Ok(Weight::Quantized(Arc::new(made)));
                }
                return self.packed(dtype, &made.data()?, shape, &|_| {});
            }
        }
        match stored {
            Format::Quantized(dtype)
                if self.options.quant.is_some() || self.options.dtype.explicit().is_none() =>
            {
                if self.on_host() && PackedMatrix::supports(dtype, in_) {
                    return self.packed(dtype, found.bytes(), shape, &|part| {
                        found.release_part(part)
                    });
                }
                let tensor = blocks::stored(dtype, found.bytes(), &shape, device)?;
                Ok(Weight::Quantized(Arc::new(tensor)))
            }
            _ if self.on_host() => self.float(&found, self.matrix_dtype(stored), shape),
            _ => {
                let dtype = self.matrix_dtype(stored);
                let tensor = found.source()?.tensor(dtype, &shape, device)?;
                found.release();
                Ok(Weight::Float(tensor))
            }
        }
    }

    /// A matrix of numbers at hand, `[rows, width]`, in f32 in this machine's memory.
    ///
    /// # Errors
    /// No memory, or numbers of another length.
    pub fn own(&self, numbers: &[f32], [rows, width]: [usize; 2]) -> Result<Weight, WeightsError> {
        let mut bytes = self
            .arena
            .take(4 * numbers.len())
            .map_err(|e| self.no_memory(e))?;
        for (bytes, number) in bytes.chunks_exact_mut(4).zip(numbers) {
            bytes.copy_from_slice(&number.to_ne_bytes());
        }
        match FloatData::own(Simd::detect(), FloatType::F32, bytes, rows, width) {
            Some(data) => Ok(Weight::Host(Arc::new(Matrix::Float(data)))),
            None => Err(candle_core::Error::Msg(format!("no matrix of {rows} x {width}")).into()),
        }
    }

    /// Blocks as they lie in a file, packed; of each part that will not be read again `read` is told.
    fn packed(
        &self,
        dtype: GgmlDType,
        blocks: &[u8],
        [rows, width]: [usize; 2],
        read: &dyn Fn(Range<usize>),
    ) -> Result<Weight, WeightsError> {
        let packed = PackedMatrix::pack(
            Simd::detect(),
            dtype,
            blocks,
            [rows, width],
            &self.arena,
            read,
        )
        .map_err(|e| self.no_memory(e))?;
        match packed {
            Some(matrix) => Ok(Weight::Host(Arc::new(Matrix::Packed(matrix)))),
            None => Err(candle_core::Error::Msg(format!(
                "{} bytes are no {dtype:?} matrix of {rows} x {width}",
                blocks.len()
            ))
            .into()),
        }
    }

    /// A float matrix of `dtype`: in the map where it is stored so, else converted.
    fn float(
        &self,
        found: &Found,
        dtype: DType,
        [rows, width]: [usize; 2],
    ) -> Result<Weight, WeightsError> {
        let (kind, stored) = match dtype {
            DType::F16 => (FloatType::F16, Format::F16),
            DType::BF16 => (FloatType::BF16, Format::BF16),
            _ => (FloatType::F32, Format::F32),
        };
        let simd = Simd::detect();
        if found.tensor.entry.info.format == stored && !found.seeded {
            let file: SharedBytes = found.file.clone();
            let mapped = FloatData::shared(simd, kind, file, found.range(), rows, width);
            if let Some(data) = mapped {
                return Ok(Weight::Host(Arc::new(Matrix::Float(data))));
            }
        }
        let len = rows.saturating_mul(width).saturating_mul(kind.size());
        let mut bytes = self.arena.take(len).map_err(|e| self.no_memory(e))?;
        found.source()?.write(dtype, &mut bytes)?;
        found.release();
        match FloatData::own(simd, kind, bytes, rows, width) {
            Some(data) => Ok(Weight::Host(Arc::new(Matrix::Float(data)))),
            None => Err(candle_core::Error::Msg(format!("no matrix of {rows} x {width}")).into()),
        }
    }

    fn no_memory(&self, error: std::io::Error) -> WeightsError {
        WeightsError::io(self.checkpoint.path(), error)
    }

    /// The embedding table `[vocab, hidden]`: as [`Loader::matrix`], and kept, so that asking again by
    /// either method (a tied output head) returns the same memory.
    ///
    /// # Errors
    /// As [`Loader::tensor`].
    pub fn embedding(
        &self,
        name: &str,
        vocab: usize,
        hidden: usize,
    ) -> Result<Weight, WeightsError> {
        let table = self.matrix(name, vocab, hidden)?;
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tables.entry(self.full_name(name)).or_insert(table).clone())
    }

    fn full_name(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }
}

#[cfg(test)]
mod tests;
