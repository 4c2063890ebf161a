//! A linear layer whose weight is float or quantised.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{CpuStorage, DType, Module, Result, Storage, Tensor};

use crate::kernels::{Activations, FloatMatrix, Floats, QuantizedMatrix, Simd};
use crate::weights::{Loader, Weight, WeightsError};

/// `y = x · Wᵀ + b` with `W` of shape `[out, in]`.
pub struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
}

enum Matrix {
    Float(Tensor),
    /// Quantised, multiplied by crane's own kernels (on a CPU that has them).
    Blocks {
        data: Arc<QTensor>,
        simd: Simd,
        shape: (usize, usize),
    },
    /// Quantised, multiplied by candle.
    Candle(QMatMul),
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
            Weight::Float(tensor) => Matrix::Float(tensor),
            Weight::Quantized(data) => Matrix::quantized(data)?,
        };
        Ok(Self { weight, bias })
    }

    /// `x` is `[tokens, inputs]`; the result is `[tokens, outputs]` in the type of `x`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [y] = Self::forward_shared([self], x)?;
        Ok(y)
    }

    /// Several layers over the same `x`, which is quantised once for all that want it so.
    pub fn forward_shared<const N: usize>(layers: [&Self; N], x: &Tensor) -> Result<[Tensor; N]> {
        let wants_blocks = layers
            .iter()
            .any(|layer| matches!(layer.weight, Matrix::Blocks { .. }));
        let activations = match wants_blocks {
            true => Some(quantize(x)?),
            false => None,
        };
        let mut outputs = Vec::with_capacity(N);
        for layer in layers {
            let y = match (&layer.weight, &activations) {
                (Matrix::Blocks { data, simd, shape }, Some(activations)) => {
                    multiply(data, *simd, *shape, activations)?.to_dtype(x.dtype())?
                }
                _ => layer.product(x)?,
            };
            outputs.push(match &layer.bias {
                Some(bias) => y.broadcast_add(bias)?,
                None => y,
            });
        }
        outputs
            .try_into()
            .map_err(|_| candle_core::Error::Msg("a product is missing".into()).bt())
    }

    /// `x · Wᵀ` by candle, or by quantising `x` for this layer alone.
    fn product(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weight {
            Matrix::Float(weight) => match float_product(weight, x)? {
                Some(y) => Ok(y),
                None => x
                    .to_dtype(weight.dtype())?
                    .matmul(&weight.t()?)?
                    .to_dtype(x.dtype()),
            },
            Matrix::Blocks { data, simd, shape } => {
                multiply(data, *simd, *shape, &quantize(x)?)?.to_dtype(x.dtype())
            }
            Matrix::Candle(matmul) if x.dtype() == DType::F32 => matmul.forward(x),
            Matrix::Candle(matmul) => matmul
                .forward(&x.to_dtype(DType::F32)?)?
                .to_dtype(x.dtype()),
        }
    }
}

impl Matrix {
    fn quantized(data: Arc<QTensor>) -> Result<Self> {
        let simd = Simd::detect();
        if data.device().is_cpu() {
            let (rows, width) = data.shape().dims2()?;
            if !packed_by_candle(data.dtype(), rows, width)
                && QuantizedMatrix::new(simd, data.dtype(), &data.data()?, rows, width).is_some()
            {
                let shape = (rows, width);
                return Ok(Self::Blocks { data, simd, shape });
            }
        }
        Ok(Self::Candle(QMatMul::from_arc(data)?))
    }
}

/// Tokens from which on candle's packed f32 product is the faster one.
const MANY_TOKENS: usize = 16;

/// `x · Wᵀ` by crane's kernel for float weights; None where candle's product serves better or is all there is.
fn float_product(weight: &Tensor, x: &Tensor) -> Result<Option<Tensor>> {
    let simd = Simd::detect();
    let (rows, width) = weight.dims2()?;
    let tokens = x.dim(0)?;
    let many = weight.dtype() == DType::F32 && tokens >= MANY_TOKENS;
    if simd == Simd::Portable || many || !weight.device().is_cpu() || !weight.is_contiguous() {
        return Ok(None);
    }
    let activations = x.to_dtype(DType::F32)?.contiguous()?;
    if activations.dims() != [tokens, width] {
        return Ok(None);
    }
    let (weight_storage, weight_layout) = weight.storage_and_layout();
    let (x_storage, x_layout) = activations.storage_and_layout();
    let (Storage::Cpu(weight_storage), Storage::Cpu(x_storage)) = (&*weight_storage, &*x_storage)
    else {
        return Ok(None);
    };
    let start = weight_layout.start_offset();
    let range = start..start + rows * width;
    let floats = match weight_storage {
        CpuStorage::F32(w) => w.get(range).map(Floats::F32),
        CpuStorage::F16(w) => w.get(range).map(Floats::F16),
        CpuStorage::BF16(w) => w.get(range).map(Floats::BF16),
        _ => None,
    };
    let start = x_layout.start_offset();
    let numbers = x_storage
        .as_slice::<f32>()?
        .get(start..start + tokens * width);
    let (Some(floats), Some(numbers)) = (floats, numbers) else {
        return Ok(None);
    };
    let Some(matrix) = FloatMatrix::new(simd, floats, rows, width) else {
        return Ok(None);
    };
    let y = Tensor::from_vec(
        matrix.multiply(numbers),
        (tokens, rows),
        &candle_core::Device::Cpu,
    )?;
    y.to_dtype(x.dtype()).map(Some)
}

/// Whether candle multiplies by tiles that it packs at the first product (its `repack_x86`). At these shapes they are
/// three times as fast as crane's kernels for a prompt, for a second copy of the weights in memory.
fn packed_by_candle(dtype: GgmlDType, rows: usize, width: usize) -> bool {
    cfg!(target_arch = "x86_64")
        && matches!(dtype, GgmlDType::Q4K | GgmlDType::Q6K | GgmlDType::Q8_0)
        && width.is_multiple_of(256)
        && rows.is_multiple_of(16)
}

/// `x`, `[tokens, width]` on the CPU, in blocks of small integers.
fn quantize(x: &Tensor) -> Result<Activations> {
    let x = x.to_dtype(DType::F32)?.contiguous()?;
    let width = x.dim(candle_core::D::Minus1)?;
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        candle_core::bail!("activations of a CPU layer are not on the CPU")
    };
    let start = layout.start_offset();
    let numbers = storage.as_slice::<f32>()?;
    match numbers.get(start..start + layout.shape().elem_count()) {
        Some(x) => Ok(Activations::quantize(x, width)),
        None => candle_core::bail!("activations reach past their storage"),
    }
}

/// The product with a matrix of `shape`, `[tokens, rows]` in f32.
fn multiply(
    data: &QTensor,
    simd: Simd,
    (rows, width): (usize, usize),
    x: &Activations,
) -> Result<Tensor> {
    if x.width() != width {
        candle_core::bail!(
            "a matrix of width {width} meets activations of {}",
            x.width()
        )
    }
    let bytes = data.data()?;
    match QuantizedMatrix::new(simd, data.dtype(), &bytes, rows, width) {
        Some(matrix) => Tensor::from_vec(
            matrix.multiply(x),
            (x.tokens(), rows),
            &candle_core::Device::Cpu,
        ),
        None => candle_core::bail!("no kernel for {:?}", data.dtype()),
    }
}
