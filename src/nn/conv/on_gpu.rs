//! Convolutions on an NVIDIA GPU.

use std::sync::Arc;

use super::{Function, Numbers, Out, Signal, Vector};
use crate::kernels::cuda::conv::{self as gpu, Filter, Spacing};
use crate::kernels::cuda::{Buffer, Gpu, GpuError};

/// Frames of a model that are computed together, as far as is known: a second of speech.
const FRAMES: usize = 50;

impl Numbers {
    /// For `gpu`.
    pub(super) fn upload(&self, gpu: &Arc<Gpu>) -> Result<Filter, GpuError> {
        let [stride, dilation, padding] = self.shape.spacing();
        let read = FRAMES * self.shape.rate;
        let (kernel, bias) = (self.kernel(), &self.bias);
        let spacing = |expected| Spacing {
            stride,
            dilation,
            padding,
            expected,
        };
        match self.transposed {
            false => Filter::conv(gpu, &kernel, bias, spacing(read / stride.max(1))),
            true => Filter::transposed(gpu, &kernel, bias, spacing(read)),
        }
    }
}

impl Signal {
    pub(super) fn gpu(&self) -> Result<&gpu::Signal, GpuError> {
        match self {
            Self::Gpu(x) => Ok(x),
            Self::Host(_) => Err(GpuError::elsewhere()),
        }
    }

    /// To be written on a GPU.
    pub(super) fn gpu_mut(&mut self) -> &mut gpu::Signal {
        if let Self::Host(_) = self {
            *self = Self::Gpu(gpu::Signal::default());
        }
        match self {
            Self::Gpu(x) => x,
            Self::Host(_) => unreachable!("it was replaced"),
        }
    }
}

impl Vector {
    pub(super) fn gpu(&self) -> Result<&Buffer, GpuError> {
        match self {
            Self::Gpu(buffer) => Ok(buffer),
            Self::Host(_) => Err(GpuError::elsewhere()),
        }
    }
}

impl<'a> Out<'a> {
    pub(super) fn on_gpu(self) -> Result<gpu::Out<'a>, GpuError> {
        let active = match self.active {
            None => None,
            Some(active) => {
                let function = match active.function {
                    Function::Identity => gpu::Function::Identity,
                    Function::Snake(alpha) => gpu::Function::Snake(alpha.gpu()?),
                    Function::Gelu => gpu::Function::Gelu,
                    Function::Tanh => gpu::Function::Tanh,
                    Function::Relu => gpu::Function::Relu,
                    Function::ReluAffine { scale, shift } => gpu::Function::ReluAffine {
                        scale: scale.gpu()?,
                        shift: shift.gpu()?,
                    },
                };
                Some((active.to.gpu_mut(), function))
            }
        };
        Ok(gpu::Out {
            plain: self.plain.map(Signal::gpu_mut),
            add: self.add,
            active,
            bias: self.bias.map(Vector::gpu).transpose()?,
        })
    }
}
