//! Matrices on their way to an NVIDIA GPU.

use std::sync::Arc;

use candle_core::{DType, Device};

use super::{Found, Loader, Weight};
use crate::kernels::cuda::{Gpu, GpuError, Kind, Layout, Matrix};
use crate::kernels::planes;
use crate::weights::format::Format;
use crate::weights::{notes, WeightsError};

impl Loader<'_> {
    /// The matrix `name`, `[rows, width]`, in the numbers that the options ask for.
    ///
    /// # Errors
    /// Out of memory, here or there; a type that the GPU's kernels do not take.
    pub(super) fn to_gpu(
        &self,
        gpu: &Arc<Gpu>,
        name: &str,
        found: &Found,
        [rows, width]: [usize; 2],
    ) -> Result<Weight, WeightsError> {
        let stored = found.tensor.entry.info.format;
        let made = self.mix.and_then(|mix| mix.block_type(name, width));
        let kept = self.mix.is_some() || self.options.dtype.explicit().is_none();
        let packed = match (made, stored) {
            (Some(dtype), _) if stored != Format::Quantized(dtype) => {
                let shape = [rows, width];
                let made = found.quantized(dtype, &shape, &Device::Cpu)?;
                Some((dtype, planes::pack(dtype, &made.data()?, rows, width)))
            }
            (_, Format::Quantized(dtype)) if kept => {
                Some((dtype, planes::pack(dtype, found.bytes(), rows, width)))
            }
            _ => None,
        };
        let matrix = match packed {
            Some((_, Some((layout, bytes)))) => Matrix::upload(gpu, layout, &bytes)?,
            Some((dtype, None)) => {
                return Err(GpuError::Unsupported(format!(
                    "tensor '{name}': crane's GPU kernels do not take {dtype:?} matrices of {rows} x {width}; use --device cpu"
                ))
                .into())
            }
            None => self.float_to_gpu(gpu, found, [rows, width])?,
        };
        found.release();
        Ok(Weight::Gpu(matrix))
    }

    fn float_to_gpu(
        &self,
        gpu: &Arc<Gpu>,
        found: &Found,
        [rows, width]: [usize; 2],
    ) -> Result<Matrix, WeightsError> {
        let stored = found.tensor.entry.info.format;
        let dtype = self.matrix_dtype(stored);
        let (kind, same) = match dtype {
            DType::F16 => (Kind::F16, Format::F16),
            DType::BF16 => (Kind::BF16, Format::BF16),
            _ => (Kind::F32, Format::F32),
        };
        let Some(layout) = Layout::new(kind, rows, width) else {
            return Err(GpuError::Unsupported(format!("a matrix of {rows} x {width}")).into());
        };
        if stored == same && !found.seeded {
            return Ok(Matrix::upload(gpu, layout, found.bytes())?);
        }
        let mut bytes = vec![0; layout.bytes];
        found.source()?.write(dtype, &mut bytes)?;
        Ok(Matrix::upload(gpu, layout, &bytes)?)
    }

    /// The numbers that many tokens meet the layers' matrices in: those of the matrices, where these are of one kind;
    /// bf16 for quantised ones; else f32.
    pub fn operand(&self) -> Kind {
        let layers = notes::matrices(self.checkpoint)
            .filter(|info| !notes::is_vocabulary(&info.name) && !notes::is_encoder(&info.name));
        let mut kinds = layers.map(|info| match self.held(info) {
            Format::F16 => Kind::F16,
            Format::BF16 | Format::Quantized(_) => Kind::BF16,
            _ => Kind::F32,
        });
        let first = kinds.next().unwrap_or(Kind::F32);
        match kinds.all(|kind| kind == first) {
            true => first,
            false => Kind::F32,
        }
    }
}
