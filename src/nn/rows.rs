//! Activations, and the memory that a forward pass works in.

use candle_core::{DType, Device, Result, Tensor};

use crate::kernels::{attention, Inputs, Simd};

/// Activations, `[tokens, width]`.
pub enum Rows {
    /// f32 in the memory of this machine, for crane's kernels.
    Host { x: Vec<f32>, width: usize },
    /// A tensor of another device, for candle's.
    Tensor(Tensor),
}

impl Rows {
    /// The last token alone.
    pub fn last(&self) -> Result<Self> {
        Ok(match self {
            Self::Host { x, width } => Self::Host {
                x: x[x.len().saturating_sub(*width)..].to_vec(),
                width: *width,
            },
            Self::Tensor(x) => Self::Tensor(x.narrow(0, x.dim(0)? - 1, 1)?),
        })
    }

    /// As a tensor of f32.
    pub fn into_tensor(self) -> Result<Tensor> {
        match self {
            Self::Host { x, width } => {
                let tokens = x.len() / width.max(1);
                Tensor::from_vec(x, (tokens, width), &Device::Cpu)
            }
            Self::Tensor(x) => x.to_dtype(DType::F32),
        }
    }
}

/// What the layers of a model share: memory that each pass uses again, and the instruction set.
pub struct Workspace {
    pub(super) simd: Simd,
    pub(super) inputs: Inputs,
    pub(super) attention: attention::Workspace,
    /// The input of a block after its norm.
    pub(super) normed: Vec<f32>,
    /// Query, key and value.
    pub(super) qkv: [Vec<f32>; 3],
    /// What the block's last matrix multiplies.
    pub(super) inner: Vec<f32>,
}

impl Workspace {
    /// Empty memory for kernels of `simd`.
    pub fn new(simd: Simd) -> Self {
        Self {
            simd,
            inputs: Inputs::default(),
            attention: attention::Workspace::default(),
            normed: Vec::new(),
            qkv: Default::default(),
            inner: Vec::new(),
        }
    }

    /// Whether each token of the passes that follow is computed as if it came alone, to the last bit.
    pub fn set_apart(&mut self, apart: bool) {
        self.inputs.apart = apart;
    }
}

/// `buffer` with exactly `len` numbers, whatever they are.
pub(super) fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.resize(len, 0.0);
    buffer
}
