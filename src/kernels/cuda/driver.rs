//! NVIDIA's driver: its start, what it says of its GPUs, and a context on one of them.

use std::sync::OnceLock;

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUresult};

use super::blas::Blas;
use super::error::{check, version, GpuError};
use super::gpu::PLAIN_SHARED;
use super::program;

/// The oldest driver that has every call that is made here (CUDA 12.0).
const OLDEST_DRIVER: i32 = 12_000;
/// Ampere: the oldest whose instructions the kernels are written in.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);

/// What can be said of a GPU without computing on it.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuInfo {
    pub ordinal: usize,
    pub name: String,
    /// Bytes.
    pub memory: u64,
    pub capability: (i32, i32),
    /// The newest CUDA that the driver runs, as 13000 for 13.0.
    pub driver: i32,
    pub multiprocessors: u32,
    /// Shared memory that a block may have, bytes.
    pub block_memory: usize,
}

/// What a GPU that can be computed on has to offer now.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Bytes that no process holds.
    pub free: u64,
    /// What is slower than it could be, and what helps.
    pub notes: Vec<String>,
}

/// Starts the driver; an error that says why there is none.
fn initialise() -> Result<usize, GpuError> {
    static COUNT: OnceLock<Result<usize, GpuError>> = OnceLock::new();
    COUNT
        .get_or_init(|| {
            // SAFETY: only tries to open the library.
            if !unsafe { sys::is_culib_present() } {
                return Err(GpuError::NoDriver);
            }
            let mut count = 0;
            // SAFETY: the library is there; `count` is written by the call.
            unsafe {
                match sys::cuInit(0) {
                    CUresult::CUDA_ERROR_NO_DEVICE => return Ok(0),
                    result => check("cuInit", result)?,
                }
                check("cuDeviceGetCount", sys::cuDeviceGetCount(&mut count))?;
            }
            Ok(usize::try_from(count).unwrap_or(0))
        })
        .clone()
}

/// What the driver says of each of its GPUs.
///
/// # Errors
/// No driver, or one that does not start.
pub fn survey() -> Result<Vec<GpuInfo>, GpuError> {
    (0..initialise()?).map(describe).collect()
}

fn device(ordinal: usize) -> Result<sys::CUdevice, GpuError> {
    let count = initialise()?;
    if ordinal >= count {
        return Err(GpuError::NoDevice { ordinal, count });
    }
    let mut device = 0;
    // SAFETY: `device` is written by the call.
    check("cuDeviceGet", unsafe {
        sys::cuDeviceGet(&mut device, ordinal as i32)
    })?;
    Ok(device)
}

fn attribute(device: sys::CUdevice, which: Attribute) -> Result<i32, GpuError> {
    let mut value = 0;
    // SAFETY: `value` is written by the call.
    check("cuDeviceGetAttribute", unsafe {
        sys::cuDeviceGetAttribute(&mut value, which, device)
    })?;
    Ok(value)
}

/// What the driver says of GPU `ordinal`.
pub(super) fn describe(ordinal: usize) -> Result<GpuInfo, GpuError> {
    let device = device(ordinal)?;
    let mut name = [0u8; 256];
    let mut memory = 0usize;
    let mut driver = 0;
    // SAFETY: the calls write at most the sizes given.
    unsafe {
        check(
            "cuDeviceGetName",
            sys::cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as i32, device),
        )?;
        check(
            "cuDeviceTotalMem",
            sys::cuDeviceTotalMem_v2(&mut memory, device),
        )?;
        check("cuDriverGetVersion", sys::cuDriverGetVersion(&mut driver))?;
    }
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    let of = |which| attribute(device, which);
    Ok(GpuInfo {
        ordinal,
        name: String::from_utf8_lossy(&name[..end]).into_owned(),
        memory: memory as u64,
        capability: (
            of(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            of(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        driver,
        multiprocessors: u32::try_from(of(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?)
            .unwrap_or(1),
        block_memory: usize::try_from(of(
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        )?)
        .unwrap_or(0)
        .max(PLAIN_SHARED),
    })
}

impl GpuInfo {
    /// The newest CUDA that the driver runs, as NVIDIA writes it.
    pub fn cuda(&self) -> String {
        version(self.driver)
    }

    /// # Errors
    /// A card or a driver that is too old.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        if self.driver < OLDEST_DRIVER {
            return Err(GpuError::OldDriver {
                driver: self.driver,
            });
        }
        if self.capability < LEAST_CAPABILITY {
            return Err(GpuError::TooOld {
                name: self.name.clone(),
                capability: self.capability,
            });
        }
        Ok(())
    }

    /// Whether the GPU can be computed on, and with how much memory, without bringing all kernels there.
    ///
    /// # Errors
    /// As [`super::Gpu::open`].
    pub fn try_out(&self) -> Result<Offer, GpuError> {
        self.check()?;
        let context = Context::new(self.ordinal)?;
        let (free, _) = context.memory()?;
        let kernels = program::try_out(self)?;
        let prompts = Blas::open().err().map(|why| why.slow_prompts());
        Ok(Offer {
            free,
            notes: kernels.into_iter().chain(prompts).collect(),
        })
    }
}

/// The context of this process on a GPU, given back when it is dropped.
pub(super) struct Context {
    device: sys::CUdevice,
    handle: sys::CUcontext,
}

impl Context {
    /// That of GPU `ordinal`, current in this thread.
    ///
    /// # Errors
    /// No such GPU, or one that another process has for itself.
    pub fn new(ordinal: usize) -> Result<Self, GpuError> {
        let device = device(ordinal)?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` is written by the call.
        check("cuDevicePrimaryCtxRetain", unsafe {
            sys::cuDevicePrimaryCtxRetain(&mut handle, device)
        })?;
        let context = Self { device, handle };
        context.enter()?;
        Ok(context)
    }

    /// Makes it that of this thread.
    pub fn enter(&self) -> Result<(), GpuError> {
        // SAFETY: the context lives as long as `self`.
        check("cuCtxSetCurrent", unsafe {
            sys::cuCtxSetCurrent(self.handle)
        })
    }

    /// Bytes that are free, and all.
    pub fn memory(&self) -> Result<(u64, u64), GpuError> {
        self.enter()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: both are written by the call.
        check("cuMemGetInfo", unsafe {
            sys::cuMemGetInfo_v2(&mut free, &mut total)
        })?;
        Ok((free as u64, total as u64))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // What fails here has no one left to be told.
        // SAFETY: retained once by `new`.
        let _ = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(driver: i32, capability: (i32, i32)) -> GpuInfo {
        GpuInfo {
            ordinal: 0,
            name: "a card".into(),
            memory: 0,
            capability,
            driver,
            multiprocessors: 1,
            block_memory: PLAIN_SHARED,
        }
    }

    #[test]
    fn what_is_too_old_says_what_would_do() {
        assert!(info(13_000, (9, 0)).check().is_ok());
        assert!(info(12_000, (8, 0)).check().is_ok());
        let driver = info(11_040, (8, 0)).check().unwrap_err().to_string();
        assert!(
            driver.contains("11.4") && driver.contains("12.0"),
            "{driver}"
        );
        let card = info(13_000, (7, 5)).check().unwrap_err().to_string();
        assert!(card.contains("a card") && card.contains("7.5"), "{card}");
    }
}
