//! Samples between the layers.

use std::ops::Range;

use super::{Failed, Space};
use crate::kernels::conv::{self as host, activate, Activation};
#[cfg(feature = "cuda")]
use crate::kernels::cuda::{self, GpuError};
use crate::kernels::{Simd, Unit};

/// Samples `[channels, len]` where the layers compute that write them. Memory is kept from use to use.
pub enum Signal {
    /// In this machine's memory.
    Host(host::Signal),
    /// On an NVIDIA GPU.
    #[cfg(feature = "cuda")]
    Gpu(cuda::conv::Signal),
}

impl Default for Signal {
    /// None, anywhere.
    fn default() -> Self {
        Self::Host(host::Signal::default())
    }
}

impl Signal {
    pub fn channels(&self) -> usize {
        match self {
            Self::Host(x) => x.channels(),
            #[cfg(feature = "cuda")]
            Self::Gpu(x) => x.channels(),
        }
    }

    /// Samples of a channel.
    pub fn len(&self) -> usize {
        match self {
            Self::Host(x) => x.len(),
            #[cfg(feature = "cuda")]
            Self::Gpu(x) => x.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Becomes `[channels, len]` where `space` computes; the samples are whatever they are.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn reshape(&mut self, channels: usize, len: usize, space: &Space) -> Result<(), Failed> {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = space.gpu() {
            return self.gpu_mut().reshape(gpu, channels, len);
        }
        // Where it computes does not matter with one memory.
        let _ = space;
        self.host_mut().reshape(Unit::F32, channels, len);
        Ok(())
    }

    /// Copies `x` to where its first sample is to be sample `start` of channel `channel`.
    ///
    /// # Errors
    /// Those of a GPU.
    ///
    /// # Panics
    /// It does not fit there.
    pub fn put(&mut self, channel: usize, start: usize, x: &Self) -> Result<(), Failed> {
        match self {
            Self::Host(out) => {
                let x = x.host()?;
                for from in 0..x.channels() {
                    out.channel_mut(channel + from)[start..start + x.len()]
                        .copy_from_slice(x.channel(from));
                }
                Ok(())
            }
            #[cfg(feature = "cuda")]
            Self::Gpu(out) => out.put(channel, start, x.gpu()?),
        }
    }

    /// Becomes `numbers`, `[len, channels]`, sample by sample, where `space` computes.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn put_rows(
        &mut self,
        numbers: &[f32],
        channels: usize,
        space: &Space,
    ) -> Result<(), Failed> {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = space.gpu() {
            return self.gpu_mut().put_rows(gpu, numbers, channels);
        }
        // Where it computes does not matter with one memory.
        let _ = space;
        *self = Self::Host(host::Signal::from_rows(numbers, channels));
        Ok(())
    }

    /// `out` becomes the samples in `range`, for the convolutions of `space`.
    ///
    /// # Errors
    /// Those of a GPU.
    ///
    /// # Panics
    /// A range past the samples.
    pub fn part(&self, range: Range<usize>, out: &mut Self, space: &Space) -> Result<(), Failed> {
        match self {
            Self::Host(x) => {
                let part = x.part(range.start, range.len());
                let (simd, unit) = (Simd::detect(), space.unit(false));
                activate(simd, &part, Activation::Identity, unit, out.host_mut());
                Ok(())
            }
            #[cfg(feature = "cuda")]
            Self::Gpu(x) => x.part(range.start, range.len(), out.gpu_mut()),
        }
    }

    /// The samples in this machine's memory.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn into_host(self) -> Result<host::Signal, Failed> {
        match self {
            Self::Host(x) => Ok(x),
            #[cfg(feature = "cuda")]
            Self::Gpu(x) => {
                let numbers = x.to_channels()?;
                Ok(host::Signal::from_channels(&numbers, x.channels()))
            }
        }
    }

    /// The samples of the first channel, f32.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn first_channel(&self) -> Result<Vec<f32>, Failed> {
        match self {
            Self::Host(x) => Ok(x.channel(0).to_vec()),
            #[cfg(feature = "cuda")]
            Self::Gpu(x) => x.first_channel(),
        }
    }

    pub(in crate::nn) fn host(&self) -> Result<&host::Signal, Failed> {
        match self {
            Self::Host(x) => Ok(x),
            #[cfg(feature = "cuda")]
            Self::Gpu(_) => Err(GpuError::elsewhere()),
        }
    }

    /// To be written in this machine's memory.
    pub(super) fn host_mut(&mut self) -> &mut host::Signal {
        match self {
            Self::Host(x) => x,
            #[cfg(feature = "cuda")]
            other => {
                *other = Self::default();
                other.host_mut()
            }
        }
    }
}
