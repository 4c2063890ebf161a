//! Keys and values of the tokens seen so far, as tensors of a device.

use candle_core::{DType, Device, Result, Tensor};

/// The cache of one attention layer: two buffers `[kv_heads, capacity, head_dim]`, allocated when the first token
/// arrives and doubled as needed up to the context, so that a short answer in a long context costs little.
pub(super) struct TensorCache {
    keys: Option<Tensor>,
    values: Option<Tensor>,
    len: usize,
    context: usize,
    shape: (usize, usize),
    dtype: DType,
    device: Device,
}

/// Tokens that the first allocation holds.
const FIRST_CAPACITY: usize = 512;

impl TensorCache {
    /// An empty cache for at most `context` tokens.
    pub fn new(
        kv_heads: usize,
        head_dim: usize,
        context: usize,
        dtype: DType,
        device: &Device,
    ) -> Self {
        Self {
            keys: None,
            values: None,
            len: 0,
            context,
            shape: (kv_heads, head_dim),
            dtype,
            device: device.clone(),
        }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Adds `keys` and `values`, `[kv_heads, tokens, head_dim]`, and returns views of all that is held,
    /// `[kv_heads, len, head_dim]`.
    ///
    /// # Errors
    /// More tokens than the context holds.
    pub fn append(&mut self, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let tokens = keys.dim(1)?;
        let len = self.len + tokens;
        if len > self.context {
            candle_core::bail!("{len} tokens do not fit a context of {}", self.context)
        }
        let k = Self::room(
            &mut self.keys,
            self.shape,
            self.len,
            len,
            self.context,
            self.dtype,
            &self.device,
        )?;
        let v = Self::room(
            &mut self.values,
            self.shape,
            self.len,
            len,
            self.context,
            self.dtype,
            &self.device,
        )?;
        k.slice_set(&keys.contiguous()?, 1, self.len)?;
        v.slice_set(&values.contiguous()?, 1, self.len)?;
        self.len = len;
        Ok((k.narrow(1, 0, len)?, v.narrow(1, 0, len)?))
    }

    fn room(
        buffer: &mut Option<Tensor>,
        (kv_heads, head_dim): (usize, usize),
        held: usize,
        needed: usize,
        context: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        if let Some(buffer) = buffer {
            if buffer.dim(1)? >= needed {
                return Ok(buffer.clone());
            }
        }
        let capacity = needed.max(FIRST_CAPACITY).next_power_of_two().min(context);
        let larger = Tensor::zeros((kv_heads, capacity, head_dim), dtype, device)?;
        if let (Some(old), true) = (buffer.take(), held > 0) {
            larger.slice_set(&old.narrow(1, 0, held)?.contiguous()?, 1, 0)?;
        }
        *buffer = Some(larger.clone());
        Ok(larger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(from: usize, count: usize) -> Tensor {
        let data: Vec<f32> = (0..2 * count * 4)
            .map(|i| (from * 1000 + i) as f32)
            .collect();
        Tensor::from_vec(data, (2, count, 4), &Device::Cpu).unwrap()
    }

    #[test]
    fn grows_keeps_and_rolls_back() {
        let mut cache = TensorCache::new(2, 4, 2000, DType::F32, &Device::Cpu);
        let first = tokens(1, 500);
        cache.append(&first, &first).unwrap();
        let second = tokens(2, 700);
        let (k, v) = cache.append(&second, &second).unwrap();
        let expected = Tensor::cat(&[&first, &second], 1).unwrap();
        assert_eq!(
            k.to_vec3::<f32>().unwrap(),
            expected.to_vec3::<f32>().unwrap()
        );
        assert_eq!(
            v.to_vec3::<f32>().unwrap(),
            expected.to_vec3::<f32>().unwrap()
        );
        cache.truncate(500);
        let third = tokens(3, 1);
        let (k, _) = cache.append(&third, &third).unwrap();
        let expected = Tensor::cat(&[&first, &third], 1).unwrap();
        assert_eq!(
            k.to_vec3::<f32>().unwrap(),
            expected.to_vec3::<f32>().unwrap()
        );
    }

    #[test]
    fn refuses_more_than_the_context() {
        let mut cache = TensorCache::new(2, 4, 8, DType::F32, &Device::Cpu);
        let block = tokens(0, 8);
        cache.append(&block, &block).unwrap();
        let one = tokens(0, 1);
        assert!(cache.append(&one, &one).is_err());
    }
}
