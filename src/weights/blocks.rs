//! Quantised blocks in GGUF's layout: read, placed on a device, or made from other numbers at load.

use std::borrow::Cow;

use candle_core::quantized::k_quants::{
    BlockQ2K, BlockQ3K, BlockQ4K, BlockQ4_0, BlockQ4_1, BlockQ5K, BlockQ5_0, BlockQ5_1, BlockQ6K,
    BlockQ8_0,
};
use candle_core::quantized::{GgmlDType, GgmlType, QStorage, QTensor};
use candle_core::{bail, Device, Result};
use rayon::prelude::*;

use super::convert::{Source, CHUNK};

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

/// A quantised matrix of `shape` with the blocks in `bytes`, copied to `device`.
pub(super) fn stored(
    dtype: GgmlDType,
    bytes: &[u8],
    shape: &[usize],
    device: &Device,
) -> Result<QTensor> {
    with_block_type!(dtype, Block => {
        cast::<Block>(bytes)?;
    });
    QTensor::new(
        QStorage::from_data(Cow::Borrowed(bytes), device, dtype)?,
        shape,
    )
}

/// Quantises `source` block by block, in parallel, without a float copy of the whole.
///
/// # Errors
/// A number that is not finite, for which blocks have no word.
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
                    if floats.iter().any(|x| !x.is_finite()) {
                        bail!("it holds numbers that are not finite");
                    }
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
        for dtype in TYPES {
            let ours = quantize(&source, dtype, &SHAPE, &Device::Cpu).unwrap();
            let candles = QTensor::quantize(&whole, dtype).unwrap();
            let data = candles.data().unwrap();
            assert_eq!(ours.data().unwrap(), data, "{dtype:?}");

            let numbers = |q: &QTensor| {
                let tensor = q.dequantize(&Device::Cpu).unwrap();
                tensor.to_vec2::<f32>().unwrap()
            };
            let copied = stored(dtype, &data, &SHAPE, &Device::Cpu).unwrap();
            assert_eq!(numbers(&copied), numbers(&candles), "{dtype:?}");
            let stored = Source::new(Format::Quantized(dtype), &data, SHAPE[0] * SHAPE[1]).unwrap();
            let float = stored
                .tensor(candle_core::DType::F32, &SHAPE, &Device::Cpu)
                .unwrap();
            assert_eq!(float.to_vec2::<f32>().unwrap(), numbers(&candles));
        }
    }

    #[test]
    fn blocks_at_an_odd_address_are_refused() {
        let bytes = [0u8; 36];
        let even = bytes.as_ptr().align_offset(2);
        let open = |start: usize| {
            let bytes = &bytes[start..start + 34];
            stored(GgmlDType::Q8_0, bytes, &[1, 32], &Device::Cpu)
        };
        assert!(open(even).is_ok());
        assert!(open(even + 1).is_err());
    }
}
