//! The matrices of an image encoder on their way to an NVIDIA GPU.

use std::sync::Arc;

use candle_core::DType;

use super::Loader;
use crate::kernels::cuda::{Buffer, Dense, Gpu, GpuError, Kind, Layout, Matrix};
use crate::weights::format::Format;
use crate::weights::{notes, WeightsError};

/// Rows of a matrix are read so many numbers at a time, at most.
const TOGETHER: usize = 8;

/// The shape of a layer's matrix `[rows, width]`, and what it is filled up to with zeros.
#[derive(Debug, Clone, Copy)]
pub struct Filled {
    pub rows: usize,
    pub width: usize,
    pub tall: usize,
    pub wide: usize,
}

impl Filled {
    /// As it is.
    pub fn plain(rows: usize, width: usize) -> Self {
        Self {
            rows,
            width,
            tall: rows,
            wide: width,
        }
    }

    /// With rows as long as the kernels take them.
    pub fn wide(self) -> Self {
        Self {
            wide: self.width.next_multiple_of(TOGETHER),
            ..self
        }
    }

    /// With so many rows that what they make is a row that the kernels take.
    pub fn tall(self) -> Self {
        Self {
            tall: self.rows.next_multiple_of(TOGETHER),
            ..self
        }
    }
}

impl<'a> Loader<'a> {
    /// The same tensors not quantised at load, for an image encoder on the loader's GPU; None where it computes in this
    /// machine's memory.
    pub fn for_encoder(&self) -> Option<Self> {
        let gpu = self.gpu().filter(|gpu| gpu.blas().is_ok())?;
        let host = self.for_kernels();
        let mut options = (*host.options).clone();
        options.gpu = Some(Arc::clone(gpu));
        Some(Self {
            options: Arc::new(options),
            ..host
        })
    }

    /// Why an image encoder computes in this machine's memory although the loader has a GPU.
    pub fn encoder_note(&self) -> Option<String> {
        let why = self.gpu()?.blas().err()?;
        Some(format!("images are encoded on the CPU: {why}"))
    }

    /// The numbers that an image encoder's matrices meet patches in: those of the matrices, where these are of one kind;
    /// bf16 where some are quantised; else f32.
    pub fn encoder_operand(&self) -> Kind {
        let matrices = || notes::matrices(self.checkpoint);
        // A file that holds an encoder alone has other names.
        let beside = matrices().any(|info| notes::is_encoder(&info.name));
        let own = matrices().filter(|info| !beside || notes::is_encoder(&info.name));
        let formats: Vec<Format> = own.map(|info| self.held(info)).collect();
        let all = |wanted: Format| formats.iter().all(|format| *format == wanted);
        if formats.is_empty() || formats.contains(&Format::F32) {
            Kind::F32
        } else if all(Format::F16) {
            Kind::F16
        } else if all(Format::BF16) || formats.iter().any(|format| format.is_quantized()) {
            Kind::BF16
        } else {
            Kind::F32
        }
    }

    /// The layers `names`, each `name.weight` of one shape and with `bias` `name.bias`, below each other in numbers of
    /// `kind` (F32, F16 or BF16).
    ///
    /// # Errors
    /// A tensor that is missing or of another shape; out of memory, here or there.
    pub fn dense(
        &self,
        names: &[&str],
        shape: Filled,
        kind: Kind,
        bias: bool,
    ) -> Result<Dense, WeightsError> {
        let (dtype, size) = match kind {
            Kind::F16 => (DType::F16, 2),
            Kind::BF16 => (DType::BF16, 2),
            _ => (DType::F32, 4),
        };
        let Filled {
            rows,
            width,
            tall,
            wide,
        } = shape;
        let mut all = vec![0u8; names.len() * tall * wide * size];
        let mut shifts = vec![0f32; names.len() * tall];
        for (i, name) in names.iter().enumerate() {
            let found = self.find(&format!("{name}.weight"), &[rows, width])?;
            let part = &mut all[i * tall * wide * size..][..rows * wide * size];
            if width == wide {
                found.source()?.write(dtype, part)?;
            } else {
                let mut numbers = vec![0u8; rows * width * size];
                found.source()?.write(dtype, &mut numbers)?;
                fill(part, &numbers, wide * size, width * size);
            }
            found.release();
            if bias {
                let numbers = self.numbers(&format!("{name}.bias"), &[rows])?;
                shifts[i * tall..i * tall + rows].copy_from_slice(&numbers);
            }
        }
        let gpu = self.gpu().ok_or_else(GpuError::elsewhere)?;
        let shape = [names.len() * tall, wide];
        Ok(Dense {
            matrix: upload(gpu, kind, shape, &all)?,
            bias: match bias {
                true => Some(Buffer::of_numbers(gpu, &shifts)?),
                false => None,
            },
        })
    }

    /// A layer of numbers at hand, `[shape.rows, shape.width]`, in f32.
    ///
    /// # Errors
    /// Out of memory.
    pub fn dense_of(
        &self,
        numbers: &[f32],
        shape: Filled,
        bias: Option<&[f32]>,
    ) -> Result<Dense, WeightsError> {
        let gpu = self.gpu().ok_or_else(GpuError::elsewhere)?;
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut all = vec![0u8; 4 * shape.tall * shape.wide];
        fill(&mut all, &bytes, 4 * shape.wide, 4 * shape.width);
        Ok(Dense {
            matrix: upload(gpu, Kind::F32, [shape.tall, shape.wide], &all)?,
            bias: match bias {
                Some(bias) => Some(Buffer::of_numbers(gpu, bias)?),
                None => None,
            },
        })
    }
}

/// Rows of `width` bytes to the beginnings of rows of `wide` bytes.
fn fill(all: &mut [u8], rows: &[u8], wide: usize, width: usize) {
    let pairs = all.chunks_exact_mut(wide).zip(rows.chunks_exact(width));
    pairs.for_each(|(to, row)| to[..width].copy_from_slice(row));
}

fn upload(
    gpu: &Arc<Gpu>,
    kind: Kind,
    [rows, width]: [usize; 2],
    bytes: &[u8],
) -> Result<Matrix, GpuError> {
    match Layout::new(kind, rows, width) {
        Some(layout) => Matrix::upload(gpu, layout, bytes),
        None => Err(GpuError::Unsupported(format!(
            "a matrix of {rows} x {width}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::weights::{Checkpoint, DTypeChoice, LoadOptions};

    #[test]
    fn rows_are_filled_up_with_zeros() {
        let shape = Filled::plain(2, 3).wide().tall();
        assert_eq!((shape.tall, shape.wide), (8, 8));
        let mut all = [0u8; 12];
        fill(&mut all, &[1, 2, 3, 4], 4, 2);
        assert_eq!(all, [1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_encoder_is_computed_in_its_own_numbers() {
        let tensors = [
            "visual.blocks.0.attn.proj.weight",
            "model.embed_tokens.weight",
        ];
        let operand = |format, dtype| {
            let tensors = tensors.map(|name| (name.to_string(), vec![8, 8]));
            let checkpoint = Checkpoint::synthetic("x", json!({}), tensors.to_vec(), format);
            let options = LoadOptions {
                dtype,
                ..LoadOptions::default()
            };
            let checkpoint = checkpoint.unwrap();
            let operand = Loader::new(&checkpoint, &options)
                .unwrap()
                .encoder_operand();
            operand
        };
        assert_eq!(operand(Format::BF16, DTypeChoice::Auto), Kind::BF16);
        assert_eq!(operand(Format::F16, DTypeChoice::Auto), Kind::F16);
        assert_eq!(operand(Format::F32, DTypeChoice::Auto), Kind::F32);
        assert_eq!(operand(Format::BF16, DTypeChoice::F32), Kind::F32);
    }
}
