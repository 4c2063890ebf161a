//! Stored numbers of any computable format → f32, f16 or bf16, in parallel and chunk by chunk.

use candle_core::{bail, DType, Device, Result, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;

use super::blocks;
use super::format::Format;
use super::seeded::Seeded;

/// Numbers converted at a time: a multiple of every block size, small enough for a core's cache.
pub(super) const CHUNK: usize = 16 * 1024;

/// A tensor's numbers: its stored bytes, or what stands in for them.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    format: Format,
    bytes: &'a [u8],
    numbers: usize,
    seeded: Option<Seeded>,
}

impl<'a> Source<'a> {
    /// `bytes` must hold exactly `numbers` numbers of `format`.
    pub fn new(format: Format, bytes: &'a [u8], numbers: usize) -> Result<Self> {
        let Some(ggml) = format.ggml() else {
            bail!("numbers of type {} cannot be computed with", format.name());
        };
        if !numbers.is_multiple_of(ggml.block_size())
            || (numbers / ggml.block_size()).checked_mul(ggml.type_size()) != Some(bytes.len())
        {
            bail!(
                "{} bytes are not {numbers} numbers of {}",
                bytes.len(),
                format.name()
            );
        }
        Ok(Self {
            format,
            bytes,
            numbers,
            seeded: None,
        })
    }

    /// `numbers` numbers that are made as they are read.
    pub fn seeded(seeded: Seeded, numbers: usize) -> Self {
        Self {
            format: Format::F32,
            bytes: &[],
            numbers,
            seeded: Some(seeded),
        }
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.numbers
    }

    /// Converts the numbers from `start` on, which must begin a block, into `out`.
    pub fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        if let Some(seeded) = &self.seeded {
            seeded.fill(start, out);
            return Ok(());
        }
        let Some(ggml) = self.format.ggml() else {
            bail!(
                "numbers of type {} cannot be computed with",
                self.format.name()
            );
        };
        let from = start / ggml.block_size() * ggml.type_size();
        let to = (start + out.len()) / ggml.block_size() * ggml.type_size();
        let Some(bytes) = self.bytes.get(from..to) else {
            bail!("numbers {start}.. of a tensor that has {}", self.numbers);
        };
        match self.format {
            Format::F32 => each(bytes, out, f32::from_le_bytes),
            Format::F16 => each(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
            Format::BF16 => each(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
            Format::Quantized(dtype) => blocks::dequantize(dtype, bytes, out)?,
            Format::Other(_) => {}
        }
        Ok(())
    }

    /// All numbers.
    pub fn numbers(&self) -> Result<Vec<f32>> {
        let mut out = vec![0f32; self.numbers];
        out.par_chunks_mut(CHUNK)
            .enumerate()
            .try_for_each(|(i, out)| self.read(i * CHUNK, out))?;
        Ok(out)
    }

    /// All numbers as a tensor of `dtype` (f32, f16 or bf16) on `device`.
    pub fn tensor(&self, dtype: DType, shape: &[usize], device: &Device) -> Result<Tensor> {
        match (dtype, self.format) {
            (DType::F32, _) => Tensor::from_vec(self.numbers()?, shape, device),
            (DType::F16, Format::F16) => {
                Tensor::from_vec(self.same(f16::from_le_bytes), shape, device)
            }
            (DType::F16, _) => Tensor::from_vec(self.narrow(f16::from_f32)?, shape, device),
            (DType::BF16, Format::BF16) => {
                Tensor::from_vec(self.same(bf16::from_le_bytes), shape, device)
            }
            (DType::BF16, _) => Tensor::from_vec(self.narrow(bf16::from_f32)?, shape, device),
            (other, _) => bail!("weights cannot be held in {other:?}"),
        }
    }

    /// All numbers as `dtype` (f32, f16 or bf16) into `out`, which has room for just them.
    pub fn write(&self, dtype: DType, out: &mut [u8]) -> Result<()> {
        match dtype {
            DType::F32 => self.write_as(out, f32::to_le_bytes),
            DType::F16 => self.write_as(out, |x| f16::from_f32(x).to_le_bytes()),
            DType::BF16 => self.write_as(out, |x| bf16::from_f32(x).to_le_bytes()),
            other => bail!("weights cannot be held in {other:?}"),
        }
    }

    fn write_as<const N: usize>(
        &self,
        out: &mut [u8],
        bytes: impl Fn(f32) -> [u8; N] + Sync,
    ) -> Result<()> {
        if self.numbers.checked_mul(N) != Some(out.len()) {
            bail!("{} numbers do not fill {} bytes", self.numbers, out.len());
        }
        out.par_chunks_mut(CHUNK * N).enumerate().try_for_each_init(
            || vec![0f32; CHUNK],
            |buffer, (i, out)| {
                let (out, _) = out.as_chunks_mut::<N>();
                let Some(floats) = buffer.get_mut(..out.len()) else {
                    bail!("a chunk is larger than its buffer");
                };
                self.read(i * CHUNK, floats)?;
                for (out, x) in out.iter_mut().zip(floats.iter()) {
                    *out = bytes(*x);
                }
                Ok(())
            },
        )
    }

    /// The numbers as they are.
    fn same<const N: usize, T: Send>(&self, read: impl Fn([u8; N]) -> T + Sync) -> Vec<T> {
        let (numbers, _) = self.bytes.as_chunks::<N>();
        numbers.par_iter().map(|b| read(*b)).collect()
    }

    /// The numbers rounded to a narrower type.
    fn narrow<T: Send + Clone + Default>(&self, round: impl Fn(f32) -> T + Sync) -> Result<Vec<T>> {
        let mut all = vec![T::default(); self.numbers];
        all.par_chunks_mut(CHUNK).enumerate().try_for_each_init(
            || vec![0f32; CHUNK],
            |buffer, (i, out)| {
                let Some(floats) = buffer.get_mut(..out.len()) else {
                    bail!("a chunk is larger than its buffer");
                };
                self.read(i * CHUNK, floats)?;
                for (out, &x) in out.iter_mut().zip(floats.iter()) {
                    *out = round(x);
                }
                Ok(())
            },
        )?;
        Ok(all)
    }
}

/// Reads little-endian numbers of `N` bytes; the address need not be aligned.
fn each<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
    let (numbers, _) = bytes.as_chunks::<N>();
    for (out, b) in out.iter_mut().zip(numbers) {
        *out = read(*b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than two chunks, the last one short.
    const NUMBERS: usize = 2 * CHUNK + 96;

    fn floats() -> Vec<f32> {
        (0..NUMBERS).map(|i| (i as f32).sin() * 3.0).collect()
    }

    fn bytes<const N: usize, T: Copy>(numbers: &[T], write: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        numbers.iter().flat_map(|&x| write(x)).collect()
    }

    #[test]
    fn long_tensors_convert_as_number_by_number() {
        let f32s = floats();
        let f16s: Vec<f16> = f32s.iter().map(|&x| f16::from_f32(x)).collect();
        let bf16s: Vec<bf16> = f32s.iter().map(|&x| bf16::from_f32(x)).collect();
        let stored = [
            (Format::F32, bytes(&f32s, f32::to_le_bytes)),
            (Format::F16, bytes(&f16s, f16::to_le_bytes)),
            (Format::BF16, bytes(&bf16s, bf16::to_le_bytes)),
        ];
        for (format, bytes) in &stored {
            let source = Source::new(*format, bytes, NUMBERS).unwrap();
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                let made = source.tensor(dtype, &[NUMBERS], &Device::Cpu).unwrap();
                assert_eq!(made.dtype(), dtype);
                let made = made.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
                for (i, (&made, &x)) in made.iter().zip(&f32s).enumerate() {
                    let x = match format {
                        Format::F16 => f16::from_f32(x).to_f32(),
                        Format::BF16 => bf16::from_f32(x).to_f32(),
                        _ => x,
                    };
                    let expected = match dtype {
                        DType::F16 => f16::from_f32(x).to_f32(),
                        DType::BF16 => bf16::from_f32(x).to_f32(),
                        _ => x,
                    };
                    assert_eq!(made, expected, "{format:?} to {dtype:?}, number {i}");
                }
            }
        }
    }

    #[test]
    fn a_source_of_the_wrong_length_is_refused() {
        assert!(Source::new(Format::F32, &[0; 8], 3).is_err());
        assert!(Source::new(Format::Other("I32"), &[0; 8], 2).is_err());
        let source = Source::new(Format::F32, &[0; 8], 2).unwrap();
        assert!(source.read(1, &mut [0.0; 2]).is_err());
        assert!(source.tensor(DType::I64, &[2], &Device::Cpu).is_err());
    }
}
