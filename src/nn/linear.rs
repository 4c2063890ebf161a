//! A linear layer whose weight is float or quantised.

use std::ops::Range;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul};
use candle_core::{DType, Device, Module, Result, Tensor};

use super::rows::sized;
use super::{Rows, Workspace};
#[cfg(feature = "cuda")]
use crate::kernels::cuda;
use crate::kernels::{self, Matrix, Product, Weights};
use crate::weights::{Loader, Weight, WeightsError};

/// Rows that a packed matrix holds together.
const ROW_GROUP: usize = 16;

/// `y = x · Wᵀ + b` with `W` of shape `[out, in]`.
pub struct Linear {
    weight: Held,
    bias: Option<Tensor>,
    /// The same numbers, for the kernels.
    host_bias: Option<Vec<f32>>,
}

enum Held {
    Host(Arc<Matrix>),
    #[cfg(feature = "cuda")]
    Gpu(cuda::Matrix),
    Float(Tensor),
    Quantized(QMatMul),
}

impl Linear {
    /// Reads `name.weight` (`[outputs, inputs]`) and, with `bias`, `name.bias` (`[outputs]`).
    pub fn load(
        loader: &Loader,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> std::result::Result<Self, WeightsError> {
        let weight = loader.matrix(&format!("{name}.weight"), outputs, inputs)?;
        let bias = match bias {
            true => Some(loader.tensor(&format!("{name}.bias"), &[outputs])?),
            false => None,
        };
        Ok(Self::new(weight, bias)?)
    }

    /// A layer of tensors at hand: `weight` `[outputs, inputs]`, `bias` `[outputs]`.
    pub fn new(weight: Weight, bias: Option<Tensor>) -> Result<Self> {
        let weight = match weight {
            Weight::Host(matrix) => Held::Host(matrix),
            #[cfg(feature = "cuda")]
            Weight::Gpu(matrix) => Held::Gpu(matrix),
            Weight::Float(tensor) => Held::Float(tensor),
            Weight::Quantized(data) => Held::Quantized(QMatMul::from_arc(data)?),
        };
        let host_bias = match (&weight, &bias) {
            (Held::Float(_) | Held::Quantized(_), _) | (_, None) => None,
            (_, Some(bias)) => Some(numbers(bias)?),
        };
        Ok(Self {
            weight,
            bias,
            host_bias,
        })
    }

    /// Matrix and bias for the kernels.
    ///
    /// # Errors
    /// The layer is not in the memory of this machine.
    pub(super) fn host(&self) -> Result<Weights<'_>> {
        match &self.weight {
            Held::Host(matrix) => Ok(Weights {
                matrix,
                bias: self.host_bias.as_deref(),
            }),
            _ => candle_core::bail!("a layer of another device meets activations of this one"),
        }
    }

    /// Its matrix on an NVIDIA GPU.
    #[cfg(feature = "cuda")]
    pub fn on_gpu(&self) -> Option<&cuda::Matrix> {
        match &self.weight {
            Held::Gpu(matrix) => Some(matrix),
            _ => None,
        }
    }

    /// The same numbers somewhere else on the GPU take the place of its matrix.
    #[cfg(feature = "cuda")]
    pub(super) fn move_to(&mut self, matrix: &cuda::Matrix) {
        self.weight = Held::Gpu(matrix.clone());
    }

    /// Its bias, where crane's kernels compute.
    #[cfg(feature = "cuda")]
    pub(super) fn bias_numbers(&self) -> Option<&[f32]> {
        self.host_bias.as_deref()
    }

    /// Whether its matrix is of bf16, so that products may round activations to bf16 too.
    pub(super) fn is_bf16(&self) -> bool {
        match &self.weight {
            Held::Host(matrix) => matrix.dtype() == GgmlDType::BF16,
            _ => false,
        }
    }

    /// Whether it computes in the memory of this machine.
    pub fn on_host(&self) -> bool {
        matches!(self.weight, Held::Host(_))
    }

    /// Whether its matrix is quantised and packed for the kernels, so that a token's product does not depend on how many
    /// others are computed with it.
    pub(super) fn is_packed(&self) -> bool {
        matches!(&self.weight, Held::Host(matrix) if matches!(**matrix, Matrix::Packed(_)))
    }

    /// `x` is `[tokens, inputs]`, in this memory; `out` becomes `[tokens, outputs]`.
    ///
    /// # Errors
    /// The layer or `x` is not in the memory of this machine.
    pub fn forward_into(&self, x: &Rows, out: &mut Vec<f32>, work: &mut Workspace) -> Result<()> {
        let Rows::Host { x, width } = x else {
            candle_core::bail!("a layer of this device meets activations of another one")
        };
        let weights = self.host()?;
        let tokens = x.len() / (*width).max(1);
        let out = sized(out, tokens * weights.matrix.rows());
        weights.multiply_into(x, out, false, work);
        Ok(())
    }

    /// `x` is `[tokens, inputs]`; the result is `[tokens, outputs]`.
    pub fn forward(&self, x: &Rows, work: &mut Workspace) -> Result<Rows> {
        match x {
            Rows::Tensor(x) => Ok(Rows::Tensor(self.product(x)?)),
            Rows::Host { x, width } => {
                let weights = self.host()?;
                let rows = weights.matrix.rows();
                let mut out = vec![0f32; x.len() / (*width).max(1) * rows];
                weights.multiply_into(x, &mut out, false, work);
                Ok(Rows::Host {
                    x: out,
                    width: rows,
                })
            }
        }
    }

    /// The outputs in `rows` for one token, `[1, inputs]`, as numbers in this machine's memory.
    pub fn forward_rows(
        &self,
        x: &Rows,
        rows: Range<usize>,
        work: &mut Workspace,
    ) -> Result<Vec<f32>> {
        match x {
            Rows::Host { x, .. } => {
                // Kernels begin at whole groups of rows.
                let first = rows.start / ROW_GROUP * ROW_GROUP;
                let mut out = vec![0f32; rows.end - first];
                let weights = self.host()?;
                kernels::multiply_rows(work.simd, x, weights, first, &mut out, &mut work.inputs);
                out.drain(..rows.start - first);
                Ok(out)
            }
            Rows::Tensor(x) => {
                let all = self.product(x)?;
                numbers(&all.narrow(1, rows.start, rows.len())?.squeeze(0)?)
            }
        }
    }

    /// The same for a tensor, `[tokens, inputs]`, of whatever device the layer is on; the result has the type of `x`.
    pub fn forward_tensor(&self, x: &Tensor) -> Result<Tensor> {
        let Held::Host(_) = self.weight else {
            return self.product(x);
        };
        let mut work = Workspace::new(kernels::Simd::detect());
        let (tokens, width) = x.dims2()?;
        let host = Rows::Host {
            x: numbers(&x.reshape(tokens * width)?)?,
            width,
        };
        let y = self.forward(&host, &mut work)?;
        y.into_tensor()?.to_dtype(x.dtype())
    }

    /// `x · Wᵀ + b` by candle.
    pub(super) fn product(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.weight {
            Held::Host(_) => {
                candle_core::bail!("a layer of this device meets activations of another one")
            }
            #[cfg(feature = "cuda")]
            Held::Gpu(_) => {
                candle_core::bail!("a layer of a GPU meets activations of another device")
            }
            Held::Float(weight) => x
                .to_dtype(weight.dtype())?
                .matmul(&weight.t()?)?
                .to_dtype(x.dtype())?,
            Held::Quantized(matmul) => matmul
                .forward(&x.to_dtype(DType::F32)?)?
                .to_dtype(x.dtype())?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

impl<'a> Weights<'a> {
    /// The product into `out`, which becomes `tokens · rows` numbers.
    pub(super) fn product(self, out: &'a mut Vec<f32>, tokens: usize) -> Product<'a> {
        Product {
            matrix: self.matrix,
            bias: self.bias,
            out: sized(out, tokens * self.matrix.rows()),
            add: false,
        }
    }

    /// The product with `x` into `out`, `[tokens, rows]`, or added to what is there.
    pub(super) fn multiply_into(
        &self,
        x: &[f32],
        out: &mut [f32],
        add: bool,
        work: &mut Workspace,
    ) {
        let product = Product {
            matrix: self.matrix,
            bias: self.bias,
            out,
            add,
        };
        kernels::multiply(work.simd, x, [product], &mut work.inputs);
    }
}

/// The numbers of a one-dimensional tensor.
pub(super) fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor
        .to_dtype(DType::F32)?
        .to_device(&Device::Cpu)?
        .to_vec1()
}

#[cfg(feature = "cuda")]
impl Linear {
    /// The matrices of `layers` below each other on their GPU; each layer keeps its own rows of them.
    ///
    /// # Errors
    /// Out of memory, a layer of another device.
    pub(super) fn stack<const N: usize>(
        layers: [&mut Self; N],
    ) -> std::result::Result<cuda::Stack, cuda::GpuError> {
        let matrices = layers.iter().map(|layer| layer.on_gpu().cloned());
        let matrices: Option<Vec<_>> = matrices.collect();
        let stack = cuda::Stack::new(matrices.ok_or_else(cuda::GpuError::elsewhere)?)?;
        for (layer, part) in layers.into_iter().zip(stack.parts()) {
            layer.move_to(part);
        }
        Ok(stack)
    }
}

/// The biases of `layers` one behind the other on the loader's GPU, 0 where a layer has none; None where none has one.
#[cfg(feature = "cuda")]
pub(super) fn joined_bias(
    loader: &Loader,
    layers: &[&Linear],
) -> std::result::Result<Option<cuda::Buffer>, cuda::GpuError> {
    let Some(gpu) = loader.gpu() else {
        return Err(cuda::GpuError::elsewhere());
    };
    if layers.iter().all(|layer| layer.bias_numbers().is_none()) {
        return Ok(None);
    }
    let mut all = Vec::new();
    for layer in layers {
        match (layer.bias_numbers(), layer.on_gpu()) {
            (Some(bias), _) => all.extend_from_slice(bias),
            (None, Some(matrix)) => all.resize(all.len() + matrix.rows(), 0.0),
            (None, None) => return Err(cuda::GpuError::elsewhere()),
        }
    }
    cuda::Buffer::of_numbers(gpu, &all).map(Some)
}
