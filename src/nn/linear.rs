//! A linear layer whose weight is float or quantised.

use std::sync::Arc;

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{DType, Module, Result, Tensor};

use crate::weights::{Loader, Weight, WeightsError};

/// `y = x · Wᵀ + b` with `W` of shape `[out, in]`.
pub struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
}

enum Matrix {
    Float(Tensor),
    Quantized { matmul: QMatMul, data: Arc<QTensor> },
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
            Weight::Quantized(data) => Matrix::Quantized {
                matmul: QMatMul::from_arc(data.clone())?,
                data,
            },
        };
        Ok(Self { weight, bias })
    }

    /// `x` is `[tokens, inputs]`; the result is `[tokens, outputs]` in the type of `x`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.weight {
            Matrix::Float(weight) => x.matmul(&weight.t()?)?,
            Matrix::Quantized { matmul, .. } if x.dtype() == DType::F32 => matmul.forward(x)?,
            Matrix::Quantized { matmul, .. } => matmul
                .forward(&x.to_dtype(DType::F32)?)?
                .to_dtype(x.dtype())?,
        };
        self.add_bias(y)
    }

    /// Several layers over the same `x`. Quantised layers of one type share one quantisation of `x` where the
    /// back end can do that.
    pub fn forward_shared<const N: usize>(layers: [&Self; N], x: &Tensor) -> Result<[Tensor; N]> {
        let mut outputs = Vec::with_capacity(N);
        if let Some(tensors) = Self::same_quantized(&layers) {
            if let Some(products) = QTensor::gemv_fused_shared_lhs(&tensors, x)? {
                for (layer, y) in layers.iter().zip(products) {
                    outputs.push(layer.add_bias(y)?);
                }
            }
        }
        if outputs.len() != N {
            outputs.clear();
            for layer in layers {
                outputs.push(layer.forward(x)?);
            }
        }
        outputs
            .try_into()
            .map_err(|_| candle_core::Error::Msg("a product is missing".into()).bt())
    }

    fn same_quantized<'a>(layers: &[&'a Self]) -> Option<Vec<&'a QTensor>> {
        let tensors: Vec<&QTensor> = layers
            .iter()
            .filter_map(|layer| match &layer.weight {
                Matrix::Quantized { data, .. } => Some(data.as_ref()),
                Matrix::Float(_) => None,
            })
            .collect();
        let first = tensors.first()?.dtype();
        let same = tensors.len() == layers.len() && tensors.iter().all(|t| t.dtype() == first);
        same.then_some(tensors)
    }

    fn add_bias(&self, y: Tensor) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}
