//! How far this machine runs ahead of a GPU.

use std::sync::Arc;

use cudarc::driver::sys;

use super::error::{check, GpuError};
use super::gpu::Gpu;

/// Marks between pieces of work: a new one waits until the one before the last has been passed, so that the GPU always
/// has a piece to go on with, and whoever asks to stop waits for no more than two.
pub struct Pace {
    gpu: Arc<Gpu>,
    marks: [sys::CUevent; 2],
    next: usize,
}

// SAFETY: handles that one owner uses; the driver lets any thread do so.
unsafe impl Send for Pace {}

impl Pace {
    /// # Errors
    /// Those of the driver.
    pub fn new(gpu: &Arc<Gpu>) -> Result<Self, GpuError> {
        gpu.enter()?;
        let mut pace = Self {
            gpu: Arc::clone(gpu),
            marks: [std::ptr::null_mut(); 2],
            next: 0,
        };
        for mark in &mut pace.marks {
            // SAFETY: `mark` is written by the call.
            check("cuEventCreate", unsafe {
                sys::cuEventCreate(mark, sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32)
            })?;
        }
        Ok(pace)
    }

    /// Sets a mark behind all work so far.
    ///
    /// # Errors
    /// What failed in the work before.
    pub fn mark(&mut self) -> Result<(), GpuError> {
        let mark = self.marks[self.next];
        self.next = (self.next + 1) % self.marks.len();
        self.gpu.enter()?;
        // SAFETY: an event that lives as long as `self`; one that was never recorded has been passed.
        unsafe {
            check("cuEventSynchronize", sys::cuEventSynchronize(mark))?;
            check("cuEventRecord", sys::cuEventRecord(mark, self.gpu.stream))
        }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        if self.gpu.enter().is_ok() {
            for mark in self.marks.into_iter().filter(|mark| !mark.is_null()) {
                // SAFETY: made by cuEventCreate, destroyed once.
                let _ = unsafe { sys::cuEventDestroy_v2(mark) };
            }
        }
    }
}
