//! Files → tensors: GGUF and safetensors, memory-mapped, quantised at load on request.

use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};

/// Why a checkpoint could not be read. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("{file}: {reason}")]
    Corrupt { file: PathBuf, reason: String },
    #[error("{file}: {reason}")]
    Missing { file: PathBuf, reason: String },
    #[error("{file}: {reason}")]
    Unsupported { file: PathBuf, reason: String },
    #[error("{file}: {source}")]
    Io {
        file: PathBuf,
        source: std::io::Error,
    },
    #[error("arithmetic failed: {0}")]
    Compute(#[from] candle_core::Error),
}

/// How numbers are stored in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    F32,
    F16,
    BF16,
    /// A block format of GGUF.
    Quantized(GgmlDType),
}

/// A tensor as a header declares it. `name` as the file spells it; `shape` row-major, PyTorch's order
/// (outermost first), also for GGUF.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    pub name: String,
    pub shape: Vec<usize>,
    pub format: Format,
    /// Bytes of data.
    pub bytes: usize,
}

/// A value of GGUF's metadata (specification: ggml's docs/gguf.md).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    String(String),
    Array(Vec<Value>),
}

/// The metadata of a GGUF file, in file order.
#[derive(Debug, Default)]
pub struct Metadata {}

impl Metadata {
    pub fn get(&self, _key: &str) -> Option<&Value> {
        unimplemented!()
    }
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        std::iter::empty()
    }
    pub fn str(&self, _key: &str) -> Option<&str> {
        unimplemented!()
    }
    /// Any integer type.
    pub fn usize(&self, _key: &str) -> Option<usize> {
        unimplemented!()
    }
    pub fn f64(&self, _key: &str) -> Option<f64> {
        unimplemented!()
    }
    pub fn bool(&self, _key: &str) -> Option<bool> {
        unimplemented!()
    }
    pub fn strings(&self, _key: &str) -> Option<Vec<&str>> {
        unimplemented!()
    }
}

/// What a directory or a GGUF file says of itself beside tensors.
pub enum Header {
    /// A GGUF file's metadata.
    Gguf(Metadata),
    /// A Hugging Face folder's parsed `config.json`.
    HuggingFace(serde_json::Value),
}

/// An opened model: headers parsed and checked, tensor data mapped and untouched.
pub struct Checkpoint {}

impl Checkpoint {
    /// Opens a `.gguf` file (or the first of its `-00001-of-0000N` shards) or a Hugging Face folder
    /// (`config.json` with `model.safetensors` or `model.safetensors.index.json`).
    pub fn open(_path: &Path) -> Result<Self, WeightsError> {
        unimplemented!()
    }
    /// The file or folder it was opened from.
    pub fn path(&self) -> &Path {
        unimplemented!()
    }
    pub fn header(&self) -> &Header {
        unimplemented!()
    }
    /// All weight files, mapped, with their sizes in bytes.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        unimplemented!()
    }
    /// All tensors, names as in the file, in file order.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        std::iter::empty()
    }
    /// Whether a tensor exists, by Hugging Face's name or the file's own.
    pub fn contains(&self, _name: &str) -> bool {
        unimplemented!()
    }
}

/// `--dtype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DTypeChoice {
    #[default]
    Auto,
    F32,
    F16,
    BF16,
}

/// `--quant`: quantise at load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quant {
    Q8_0,
    Q4_0,
    Q4K,
    Q6K,
}

/// How tensors are put on a device.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    pub device: Device,
    pub dtype: DTypeChoice,
    pub quant: Option<Quant>,
}

/// A matrix ready for a linear layer, `[out, in]`.
#[derive(Debug, Clone)]
pub enum Weight {
    Float(Tensor),
    Quantized(std::sync::Arc<QTensor>),
}

/// Turns named tensors of a [`Checkpoint`] into tensors on the device. Names are always Hugging Face's
/// (`model.layers.0.self_attn.q_proj.weight`); for a GGUF file they are translated.
#[derive(Clone)]
pub struct Loader<'a> {
    #[allow(dead_code)]
    checkpoint: &'a Checkpoint,
}

impl<'a> Loader<'a> {
    pub fn new(_checkpoint: &'a Checkpoint, _options: &LoadOptions) -> Result<Self, WeightsError> {
        unimplemented!()
    }
    /// The same loader below `prefix` (`loader.under("model").under("layers.0")`).
    pub fn under(&self, _prefix: &str) -> Self {
        unimplemented!()
    }
    pub fn checkpoint(&self) -> &'a Checkpoint {
        unimplemented!()
    }
    pub fn device(&self) -> &Device {
        unimplemented!()
    }
    /// The type that activations are computed in.
    pub fn dtype(&self) -> DType {
        unimplemented!()
    }
    pub fn contains(&self, _name: &str) -> bool {
        unimplemented!()
    }
    /// A small float tensor (norm, bias) in `dtype()`; the shape is checked.
    pub fn tensor(&self, _name: &str, _shape: &[usize]) -> Result<Tensor, WeightsError> {
        unimplemented!()
    }
    /// A matrix `[out, in]`: kept quantised, quantised by the policy, or float, as the options say.
    pub fn matrix(&self, _name: &str, _out: usize, _in: usize) -> Result<Weight, WeightsError> {
        unimplemented!()
    }
}
