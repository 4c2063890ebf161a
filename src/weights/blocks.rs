//! Quantised blocks: used where they lie in the mapped file, or made from other numbers at load.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use candle_core::quantized::k_quants::{
    self, BlockQ2K, BlockQ3K, BlockQ4K, BlockQ4_0, BlockQ4_1, BlockQ5K, BlockQ5_0, BlockQ5_1,
    BlockQ6K, BlockQ8_0,
};
use candle_core::quantized::{GgmlDType, GgmlType, QStorage, QTensor, QuantizedType};
use candle_core::{bail, CpuStorage, Device, Result};
use half::f16;
use rayon::prelude::*;

use super::convert::{Source, CHUNK};
use super::map::MappedFile;

/// Runs `$body` with `$block` standing for the Rust type of the blocks of `$dtype`.
macro_rules! with_block_type {
    ($dtype:expr, $block:ident => $body:expr) => {
        match $dtype {
            GgmlDType::Q4_0 => {
                type $block = BlockQ4_0;
                $body
            }
            GgmlDType::Q4_1 => {
                type $block = BlockQ4_1;
                $body
            }
            GgmlDType::Q5_0 => {
                type $block = BlockQ5_0;
                $body
            }
            GgmlDType::Q5_1 => {
                type $block = BlockQ5_1;
                $body
            }
            GgmlDType::Q8_0 => {
                type $block = BlockQ8_0;
                $body
            }
            GgmlDType::Q2K => {
                type $block = BlockQ2K;
                $body
            }
            GgmlDType::Q3K => {
                type $block = BlockQ3K;
                $body
            }
            GgmlDType::Q4K => {
                type $block = BlockQ4K;
                $body
            }
            GgmlDType::Q5K => {
                type $block = BlockQ5K;
                $body
            }
            GgmlDType::Q6K => {
                type $block = BlockQ6K;
                $body
            }
            other => bail!("no blocks of type {other:?}"),
        }
    };
}

/// A block type of plain numbers.
///
/// # Safety
/// Every bit pattern must be a value of the type, and its alignment at most 8.
unsafe trait Plain: GgmlType + 'static {}

macro_rules! plain {
    ($($block:ty)*) => {
        $(
            // SAFETY: a `repr(C)` struct of f16 and small integers, alignment 2 or 1.
            unsafe impl Plain for $block {}
        )*
    };
}
plain!(BlockQ4_0 BlockQ4_1 BlockQ5_0 BlockQ5_1 BlockQ8_0 BlockQ2K BlockQ3K BlockQ4K BlockQ5K BlockQ6K);

/// The whole blocks in `bytes`, which must begin at an even address.
fn cast<T: Plain>(bytes: &[u8]) -> Result<&[T]> {
    if bytes.as_ptr().align_offset(std::mem::align_of::<T>()) != 0 {
        bail!("quantised blocks at an odd address");
    }
    // SAFETY: aligned (checked above), within `bytes`, and any bit pattern is a block (`Plain`).
    Ok(unsafe {
        std::slice::from_raw_parts(
            bytes.as_ptr().cast::<T>(),
            bytes.len() / std::mem::size_of::<T>(),
        )
    })
}

/// Dequantises whole blocks: `bytes` hold exactly `out.len()` numbers.
pub(super) fn dequantize(dtype: GgmlDType, bytes: &[u8], out: &mut [f32]) -> Result<()> {
    with_block_type!(dtype, Block => {
        let blocks = cast::<Block>(bytes)?;
        if blocks.len() * Block::BLCK_SIZE != out.len() {
            bail!("{} blocks are not {} numbers", blocks.len(), out.len());
        }
        Block::to_float(blocks, out);
        Ok(())
    })
}

/// A quantised matrix of `shape` whose data is `length` bytes at `offset` of `file`: on the CPU it is read
/// from the map itself, on other devices it is copied there.
pub(super) fn mapped(
    dtype: GgmlDType,
    file: &Arc<MappedFile>,
    offset: usize,
    length: usize,
    shape: &[usize],
    device: &Device,
) -> Result<QTensor> {
    let Some(bytes) = file.bytes().get(offset..offset.saturating_add(length)) else {
        bail!("tensor data past the end of the file");
    };
    let storage = if device.is_cpu() {
        with_block_type!(dtype, Block => {
            cast::<Block>(bytes)?;
            let blocks = MappedBlocks::<Block> {
                file: file.clone(),
                offset,
                length,
                kind: PhantomData,
            };
            QStorage::Cpu(Box::new(blocks))
        })
    } else {
        QStorage::from_data(Cow::Borrowed(bytes), device, dtype)?
    };
    QTensor::new(storage, shape)
}

/// Quantises `source` block by block, in parallel, without a float copy of the whole.
pub(super) fn quantize(
    source: &Source,
    dtype: GgmlDType,
    shape: &[usize],
    device: &Device,
) -> Result<QTensor> {
    let storage = with_block_type!(dtype, Block => {
        let numbers = source.len();
        let mut blocks = vec![Block::zeros(); numbers / Block::BLCK_SIZE];
        blocks
            .par_chunks_mut(CHUNK / Block::BLCK_SIZE)
            .enumerate()
            .try_for_each_init(
                || vec![0f32; CHUNK],
                |buffer, (i, blocks)| {
                    let Some(floats) = buffer.get_mut(..blocks.len() * Block::BLCK_SIZE) else {
                        bail!("a chunk of blocks is larger than its buffer");
                    };
                    source.read(i * CHUNK, floats)?;
                    Block::from_float(floats, blocks);
                    Ok(())
                },
            )?;
        QStorage::Cpu(Box::new(blocks))
    });
    let tensor = QTensor::new(storage, shape)?;
    if device.is_cpu() {
        return Ok(tensor);
    }
    let storage = QStorage::from_data(tensor.data()?, device, dtype)?;
    QTensor::new(storage, shape)
}

/// Blocks in a mapped file, shared by candle's kernels without a copy.
struct MappedBlocks<T> {
    file: Arc<MappedFile>,
    offset: usize,
    length: usize,
    kind: PhantomData<T>,
}

impl<T: Plain> MappedBlocks<T> {
    fn blocks(&self) -> &[T] {
        // The range and the address were checked when the tensor was made.
        self.file
            .bytes()
            .get(self.offset..self.offset + self.length)
            .and_then(|bytes| cast(bytes).ok())
            .unwrap_or(&[])
    }
}

impl<T: Plain> QuantizedType for MappedBlocks<T> {
    fn dtype(&self) -> GgmlDType {
        T::DTYPE
    }

    fn matmul_t(&self, mkn: (usize, usize, usize), lhs: &[f32], dst: &mut [f32]) -> Result<()> {
        k_quants::matmul(mkn, lhs, self.blocks(), dst)
    }

    fn matmul_t_f16(&self, mkn: (usize, usize, usize), lhs: &[f16], dst: &mut [f16]) -> Result<()> {
        k_quants::matmul_f16(mkn, lhs, self.blocks(), dst)
    }

    fn embedding(&self, ids: &[u32], rows: usize, hidden: usize) -> Result<CpuStorage> {
        let per_row = hidden / T::BLCK_SIZE;
        let blocks = self.blocks();
        if !hidden.is_multiple_of(T::BLCK_SIZE) || blocks.len() != rows * per_row {
            bail!("{} blocks are no table of {rows} x {hidden}", blocks.len());
        }
        let mut out = vec![0f32; ids.len() * hidden];
        for (&id, out) in ids.iter().zip(out.chunks_exact_mut(hidden)) {
            let start = id as usize * per_row;
            let Some(row) = blocks.get(start..start + per_row) else {
                bail!("token id {id} is out of range: the embedding has {rows} rows");
            };
            T::to_float(row, out);
        }
        Ok(CpuStorage::F32(out))
    }

    fn dequantize(&self, elem_count: usize) -> Result<CpuStorage> {
        let blocks = self.blocks();
        if blocks.len() * T::BLCK_SIZE != elem_count {
            bail!("{} blocks are not {elem_count} numbers", blocks.len());
        }
        let mut out = vec![0f32; elem_count];
        blocks
            .par_chunks(CHUNK / T::BLCK_SIZE)
            .zip(out.par_chunks_mut(CHUNK))
            .for_each(|(blocks, out)| T::to_float(blocks, out));
        Ok(CpuStorage::F32(out))
    }

    fn storage_size_in_bytes(&self) -> usize {
        std::mem::size_of_val(self.blocks())
    }

    fn as_ptr(&self) -> *const u8 {
        self.blocks().as_ptr().cast()
    }

    fn block_size(&self) -> usize {
        T::BLCK_SIZE
    }

    fn from_float(&mut self, _xs: &[f32]) {
        unreachable!("candle quantises only into storage that it allocated itself")
    }

    fn from_float_imatrix(&mut self, _xs: &[f32], _weights: &[f32], _n_per_row: usize) {
        unreachable!("candle quantises only into storage that it allocated itself")
    }

    fn size(&self) -> usize {
        self.storage_size_in_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::format::Format;
    use candle_core::Tensor;

    const TYPES: [GgmlDType; 10] = [
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q8_0,
        GgmlDType::Q2K,
        GgmlDType::Q3K,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
    ];
    /// More than two chunks, the last one short.
    const SHAPE: [usize; 2] = [131, 256];

    #[test]
    fn long_matrices_quantise_and_dequantise_as_candle_does_it() {
        let floats: Vec<f32> = (0..SHAPE[0] * SHAPE[1])
            .map(|i| (i as f32 * 0.7).sin() + i as f32 * 1e-5)
            .collect();
        assert!(floats.len() > 2 * CHUNK && !floats.len().is_multiple_of(CHUNK));
        let bytes: Vec<u8> = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
        let source = Source::new(Format::F32, &bytes, floats.len()).unwrap();
        let whole = Tensor::from_vec(floats, &SHAPE, &Device::Cpu).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for dtype in TYPES {
            let ours = quantize(&source, dtype, &SHAPE, &Device::Cpu).unwrap();
            let candles = QTensor::quantize(&whole, dtype).unwrap();
            let data = candles.data().unwrap();
            assert_eq!(ours.data().unwrap(), data, "{dtype:?}");

            // The same blocks behind 32 bytes of something else, in a file.
            let path = folder.path().join(format!("{dtype:?}"));
            std::fs::write(&path, [&[0xa5; 32], data.as_ref()].concat()).unwrap();
            let file = Arc::new(MappedFile::open(&path).unwrap());
            let mapped = mapped(dtype, &file, 32, data.len(), &SHAPE, &Device::Cpu).unwrap();
            let numbers = |q: &QTensor| {
                let tensor = q.dequantize(&Device::Cpu).unwrap();
                tensor.to_vec2::<f32>().unwrap()
            };
            assert_eq!(numbers(&mapped), numbers(&candles), "{dtype:?}");
            let stored = Source::new(Format::Quantized(dtype), &data, SHAPE[0] * SHAPE[1]).unwrap();
            let float = stored
                .tensor(candle_core::DType::F32, &SHAPE, &Device::Cpu)
                .unwrap();
            assert_eq!(float.to_vec2::<f32>().unwrap(), numbers(&candles));
        }
    }

    #[test]
    fn blocks_outside_the_file_or_at_an_odd_address_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blocks");
        std::fs::write(&path, [0; 70]).unwrap();
        let file = Arc::new(MappedFile::open(&path).unwrap());
        let open = |offset| mapped(GgmlDType::Q8_0, &file, offset, 34, &[1, 32], &Device::Cpu);
        assert!(open(36).is_ok());
        for offset in [37, 38, usize::MAX] {
            assert!(open(offset).is_err(), "{offset}");
        }
    }
}
