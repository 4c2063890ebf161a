//! Memory of a GPU, and of this machine where the GPU reads it.

use std::ffi::c_void;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUresult};

use super::error::{check, GpuError};
use super::gpu::Gpu;

/// An address in a GPU's memory; 0 is none.
pub(super) type Address = sys::CUdeviceptr;

/// Memory of a GPU, freed when it is dropped.
pub struct Buffer {
    gpu: Arc<Gpu>,
    address: Address,
    bytes: usize,
}

impl Buffer {
    /// Room for `bytes`; whatever was there stands in it.
    ///
    /// # Errors
    /// Out of memory, with the numbers.
    pub fn new(gpu: &Arc<Gpu>, bytes: usize) -> Result<Self, GpuError> {
        gpu.enter()?;
        let mut address = 0;
        // SAFETY: `address` is written by the call.
        let result = unsafe { sys::cuMemAlloc_v2(&mut address, bytes.max(1)) };
        if result == CUresult::CUDA_ERROR_OUT_OF_MEMORY {
            let (free, total) = gpu.memory().unwrap_or((0, 0));
            return Err(GpuError::OutOfMemory {
                asked: (bytes as u64).div_ceil(1 << 20),
                free: free >> 20,
                total: total >> 20,
            });
        }
        check("cuMemAlloc", result)?;
        gpu.held.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(Self {
            gpu: Arc::clone(gpu),
            address,
            bytes,
        })
    }

    /// The same, all zeros.
    pub fn zeroed(gpu: &Arc<Gpu>, bytes: usize) -> Result<Self, GpuError> {
        let buffer = Self::new(gpu, bytes)?;
        // SAFETY: the buffer has so many bytes.
        check("cuMemsetD8", unsafe {
            sys::cuMemsetD8Async(buffer.address, 0, bytes, gpu.stream)
        })?;
        Ok(buffer)
    }

    /// A copy of `bytes`.
    pub fn of(gpu: &Arc<Gpu>, bytes: &[u8]) -> Result<Self, GpuError> {
        let buffer = Self::new(gpu, bytes.len())?;
        buffer.write(0, bytes)?;
        Ok(buffer)
    }

    /// A copy of `numbers`.
    pub fn of_numbers(gpu: &Arc<Gpu>, numbers: &[f32]) -> Result<Self, GpuError> {
        Self::of(gpu, as_bytes(numbers))
    }

    /// Copies `bytes` to byte `at`, behind all work so far; returns when they may change.
    ///
    /// # Errors
    /// They do not fit.
    pub fn write(&self, at: usize, bytes: &[u8]) -> Result<(), GpuError> {
        self.fits(at, bytes.len())?;
        self.gpu.enter()?;
        // SAFETY: within the buffer (checked); pageable memory is staged before the call returns.
        check("cuMemcpyHtoD", unsafe {
            sys::cuMemcpyHtoDAsync_v2(
                self.address + at as u64,
                bytes.as_ptr().cast(),
                bytes.len(),
                self.gpu.stream,
            )
        })
    }

    /// [`Buffer::write`] for numbers from the `at`-th on.
    pub fn write_numbers(&self, at: usize, numbers: &[f32]) -> Result<(), GpuError> {
        self.write(4 * at, as_bytes(numbers))
    }

    /// Copies from byte `at` into `bytes`, behind all work so far, and waits for it.
    ///
    /// # Errors
    /// There is not so much; work that failed.
    pub fn read(&self, at: usize, bytes: &mut [u8]) -> Result<(), GpuError> {
        self.fits(at, bytes.len())?;
        self.gpu.enter()?;
        // SAFETY: within the buffer (checked); the stream is waited for before `bytes` is used again.
        check("cuMemcpyDtoH", unsafe {
            sys::cuMemcpyDtoHAsync_v2(
                bytes.as_mut_ptr().cast(),
                self.address + at as u64,
                bytes.len(),
                self.gpu.stream,
            )
        })?;
        self.gpu.synchronize()
    }

    /// [`Buffer::read`] as numbers.
    pub fn read_numbers(&self, at: usize, numbers: &mut [f32]) -> Result<(), GpuError> {
        // SAFETY: any four bytes are an f32.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(
                numbers.as_mut_ptr().cast::<u8>(),
                std::mem::size_of_val(numbers),
            )
        };
        self.read(4 * at, bytes)
    }

    /// Copies `bytes` of `from`, both from their beginning.
    pub fn copy_from(&self, at: usize, from: &Self, bytes: usize) -> Result<(), GpuError> {
        self.fits(at, bytes)?;
        from.fits(0, bytes)?;
        self.gpu.enter()?;
        // SAFETY: within both buffers (checked).
        check("cuMemcpyDtoD", unsafe {
            sys::cuMemcpyDtoDAsync_v2(
                self.address + at as u64,
                from.address,
                bytes,
                self.gpu.stream,
            )
        })
    }

    fn fits(&self, at: usize, bytes: usize) -> Result<(), GpuError> {
        match at.checked_add(bytes) {
            Some(end) if end <= self.bytes => Ok(()),
            _ => Err(GpuError::Unsupported(format!(
                "{bytes} bytes at {at} of a GPU buffer of {}",
                self.bytes
            ))),
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    pub(super) fn address(&self) -> Address {
        self.address
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.gpu
            .held
            .fetch_sub(self.bytes as u64, Ordering::Relaxed);
        if self.gpu.enter().is_ok() {
            // What fails here has no one left to be told.
            // SAFETY: allocated by cuMemAlloc and freed once; the call waits for work that uses it.
            let _ = unsafe { sys::cuMemFree_v2(self.address) };
        }
    }
}

fn as_bytes(numbers: &[f32]) -> &[u8] {
    // SAFETY: any f32 is four bytes.
    unsafe {
        std::slice::from_raw_parts(
            numbers.as_ptr().cast::<u8>(),
            std::mem::size_of_val(numbers),
        )
    }
}

/// Memory of this machine that the GPU reads and writes where it lies.
pub(super) struct Shared<T: Copy> {
    gpu: Arc<Gpu>,
    at: *mut T,
    len: usize,
}

// SAFETY: owned memory of plain numbers.
unsafe impl<T: Copy + Send> Send for Shared<T> {}

impl<T: Copy + Default> Shared<T> {
    pub fn new(gpu: &Arc<Gpu>, len: usize) -> Result<Self, GpuError> {
        gpu.enter()?;
        let mut at: *mut c_void = std::ptr::null_mut();
        let bytes = len.max(1) * std::mem::size_of::<T>();
        // SAFETY: `at` is written by the call.
        check("cuMemHostAlloc", unsafe {
            sys::cuMemHostAlloc(
                &mut at,
                bytes,
                sys::CU_MEMHOSTALLOC_DEVICEMAP | sys::CU_MEMHOSTALLOC_PORTABLE,
            )
        })?;
        let at = at.cast::<T>();
        for i in 0..len {
            // SAFETY: within the allocation.
            unsafe { at.add(i).write(T::default()) };
        }
        Ok(Self {
            gpu: Arc::clone(gpu),
            at,
            len,
        })
    }

    /// The GPU's address of it: addresses are the same on both sides (unified addressing).
    pub fn address(&self) -> Address {
        self.at as Address
    }

    /// Changes a number; the GPU must not be reading it.
    pub fn set(&mut self, index: usize, value: T) {
        assert!(index < self.len, "within the memory");
        // SAFETY: within the allocation (checked).
        unsafe { self.at.add(index).write_volatile(value) };
    }

    /// All of it; the GPU must not be writing.
    pub fn all(&self) -> &[T] {
        // SAFETY: allocated for so many and initialised.
        unsafe { std::slice::from_raw_parts(self.at, self.len) }
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

impl<T: Copy> Drop for Shared<T> {
    fn drop(&mut self) {
        if self.gpu.enter().is_ok() {
            // SAFETY: allocated by cuMemHostAlloc, freed once.
            let _ = unsafe { sys::cuMemFreeHost(self.at.cast()) };
        }
    }
}
