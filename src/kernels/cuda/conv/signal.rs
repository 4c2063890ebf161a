//! Samples of several channels in a GPU's memory.

use std::sync::Arc;

use super::room;
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Gpu, Launch};
use crate::kernels::cuda::memory::{Address, Buffer};

/// What rows are a multiple of, in numbers: each begins at a line of the cache.
const ALIGN: usize = 32;
/// Samples of a block that copies.
const COPIED: u32 = 256;

/// Samples `[channels, len]`. Memory is kept from use to use.
#[derive(Default)]
pub struct Signal {
    buffer: Option<Buffer>,
    channels: usize,
    len: usize,
}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct PartArgs {
    pub x: Address,
    pub out: Address,
    pub len: u32,
    pub stride: u32,
    pub out_stride: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for PartArgs {}

/// Numbers from one row of `len` samples to the next.
pub(super) fn stride(len: usize) -> usize {
    len.max(1).next_multiple_of(ALIGN)
}

impl Signal {
    /// Becomes `[channels, len]`; the samples are whatever they are.
    ///
    /// # Errors
    /// Out of memory; more samples than kernels count.
    pub fn reshape(&mut self, gpu: &Arc<Gpu>, channels: usize, len: usize) -> Result<(), GpuError> {
        if i32::try_from(stride(len)).is_err() || i32::try_from(channels).is_err() {
            return Err(GpuError::Unsupported(format!(
                "a signal of {channels} channels of {len} samples"
            )));
        }
        let bytes = 4 * channels * stride(len);
        room(&mut self.buffer, bytes, |n| Buffer::new(gpu, n))?;
        (self.channels, self.len) = (channels, len);
        Ok(())
    }

    /// Becomes `numbers`, `[len, channels]`, sample by sample.
    ///
    /// # Errors
    /// As [`Signal::reshape`].
    pub fn put_rows(
        &mut self,
        gpu: &Arc<Gpu>,
        numbers: &[f32],
        channels: usize,
    ) -> Result<(), GpuError> {
        let len = numbers.len() / channels.max(1);
        self.reshape(gpu, channels, len)?;
        let step = stride(len);
        let mut bytes = vec![0; 4 * channels * step];
        for (i, x) in numbers.iter().enumerate() {
            let at = 4 * (i % channels.max(1) * step + i / channels.max(1));
            bytes[at..at + 4].copy_from_slice(&x.to_le_bytes());
        }
        self.held()?.write(0, &bytes)
    }

    /// The samples, channel by channel; waits for them.
    ///
    /// # Errors
    /// Work that failed.
    pub fn to_channels(&self) -> Result<Vec<f32>, GpuError> {
        let mut all = vec![0f32; self.channels * stride(self.len)];
        if self.buffer.is_some() {
            self.held()?.read_numbers(0, &mut all)?;
        }
        let rows = all.chunks_exact(stride(self.len));
        Ok(rows.flat_map(|row| &row[..self.len]).copied().collect())
    }

    /// The samples of the first channel; waits for them.
    ///
    /// # Errors
    /// As [`Signal::to_channels`].
    pub fn first_channel(&self) -> Result<Vec<f32>, GpuError> {
        let mut samples = vec![0f32; self.len];
        self.held()?.read_numbers(0, &mut samples)?;
        Ok(samples)
    }

    /// `out` becomes the samples from `start` on, `len` of them.
    ///
    /// # Errors
    /// As [`Signal::reshape`]; there are not so many.
    pub fn part(&self, start: usize, len: usize, out: &mut Self) -> Result<(), GpuError> {
        let gpu = self.held()?.gpu();
        if start + len > self.len {
            return Err(GpuError::Unsupported(format!(
                "samples {start} to {} of {}",
                start + len,
                self.len
            )));
        }
        out.reshape(gpu, self.channels, len)?;
        self.copy(start, len, out, out.address(0))
    }

    /// Copies `x` to where its first sample is to be sample `start` of channel `channel`.
    ///
    /// # Errors
    /// It does not fit there.
    pub fn put(&mut self, channel: usize, start: usize, x: &Self) -> Result<(), GpuError> {
        if channel + x.channels > self.channels || start + x.len > self.len {
            return Err(GpuError::Unsupported(format!(
                "{} channels of {} samples at {channel}, {start} of {} of {}",
                x.channels, x.len, self.channels, self.len
            )));
        }
        x.copy(
            0,
            x.len,
            self,
            self.channel_address(channel) + 4 * start as u64,
        )
    }

    /// Copies `len` samples of each channel from `start` on to `to`, which lies in `out`.
    fn copy(&self, start: usize, len: usize, out: &Self, to: Address) -> Result<(), GpuError> {
        let arguments = PartArgs {
            x: self.address(start),
            out: to,
            len: len as u32,
            stride: self.stride() as u32,
            out_stride: out.stride() as u32,
        };
        self.launch_each("part_of_signal", len, &arguments)
    }

    /// Launches a kernel whose blocks have 256 of `len` samples of a channel of this signal.
    pub(super) fn launch_each(
        &self,
        kernel: &'static str,
        len: usize,
        arguments: &impl Arguments,
    ) -> Result<(), GpuError> {
        if self.channels == 0 || len == 0 {
            return Ok(());
        }
        let launch = Launch {
            kernel,
            blocks: [self.channels as u32, (len as u32).div_ceil(COPIED), 1],
            threads: COPIED,
            shared: 0,
        };
        self.held()?.gpu().launch(&launch, arguments)
    }

    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Samples of a channel.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// An error unless it is `[channels, len]`.
    pub(super) fn check(&self, channels: usize, len: usize) -> Result<(), GpuError> {
        match self.channels == channels && self.len == len {
            true => Ok(()),
            false => Err(GpuError::Unsupported(format!(
                "{} channels of {} samples where {channels} of {len} are to be",
                self.channels, self.len
            ))),
        }
    }

    /// An error unless its samples are `len` and it has `channels` channels from `first` on.
    pub(super) fn check_within(
        &self,
        first: usize,
        channels: usize,
        len: usize,
    ) -> Result<(), GpuError> {
        match first + channels <= self.channels && self.len == len {
            true => Ok(()),
            false => Err(GpuError::Unsupported(format!(
                "{} channels of {} samples where {channels} of {len} from the {first}th on are to be",
                self.channels, self.len
            ))),
        }
    }

    /// Where channel `channel` begins.
    pub(super) fn channel_address(&self, channel: usize) -> Address {
        self.address(channel * self.stride())
    }

    /// Where sample `start` of the first channel lies.
    pub(super) fn address(&self, start: usize) -> Address {
        let first = self.buffer.as_ref().map_or(0, Buffer::address);
        first + 4 * start as u64
    }

    /// Numbers from one row to the next.
    pub(super) fn stride(&self) -> usize {
        stride(self.len)
    }

    pub(super) fn held(&self) -> Result<&Buffer, GpuError> {
        let none = || GpuError::Unsupported("a signal without samples".into());
        self.buffer.as_ref().ok_or_else(none)
    }
}
