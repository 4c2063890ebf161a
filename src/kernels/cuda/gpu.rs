//! A GPU that is computed on: its stream and its kernels.

use std::collections::HashMap;
use std::ffi::{c_void, CString};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cudarc::driver::sys::{self, CUfunction};

use super::blas::Blas;
use super::driver::{self, Context, GpuInfo};
use super::error::{check, GpuError};
use super::program::{self, Keep};

/// A GPU that is ready to compute. All work goes to one stream, in order.
pub struct Gpu {
    info: GpuInfo,
    context: Context,
    pub(super) stream: sys::CUstream,
    module: sys::CUmodule,
    functions: Mutex<HashMap<&'static str, Function>>,
    blas: OnceLock<Result<Blas, GpuError>>,
    /// Kernels may start before the one before them has ended.
    early: bool,
    /// Bytes of all [`super::Buffer`]s.
    pub(super) held: AtomicU64,
}

// SAFETY: the driver's handles may be used by any thread once the context is current there, which every entry sees to;
// what is mutable is behind locks.
unsafe impl Send for Gpu {}
// SAFETY: as above.
unsafe impl Sync for Gpu {}

#[derive(Clone, Copy)]
struct Function {
    handle: CUfunction,
    /// Dynamic shared memory that it was allowed so far, bytes.
    shared: u32,
}

/// What a kernel takes: one struct.
///
/// # Safety
/// `repr(C)`, the same fields as the struct of the device code.
pub(super) unsafe trait Arguments: Copy {}

/// A launch without arguments.
pub(super) struct Launch {
    pub kernel: &'static str,
    pub blocks: [u32; 3],
    pub threads: u32,
    /// Dynamic shared memory, bytes.
    pub shared: usize,
}

/// The oldest driver whose graphs know kernels that start early (edge data, CUDA 12.3).
const EARLY_IN_GRAPHS: i32 = 12_030;

/// Shared memory that every kernel may have.
pub(super) const PLAIN_SHARED: usize = 48 << 10;

impl Gpu {
    /// Opens GPU `ordinal` and brings the kernels to it.
    ///
    /// # Errors
    /// No driver, no such GPU, one that is too old or taken by another process, kernels that cannot be built.
    pub fn open(ordinal: usize) -> Result<Arc<Self>, GpuError> {
        Self::open_keeping(ordinal, None)
    }

    /// [`Gpu::open`], where kernels that have to be compiled for it are kept.
    ///
    /// # Errors
    /// As there.
    pub fn open_keeping(ordinal: usize, keep: Option<Keep>) -> Result<Arc<Self>, GpuError> {
        let info = driver::describe(ordinal)?;
        info.check()?;
        let context = Context::new(ordinal)?;
        let module = program::load(&info, keep)?;
        let mut stream = std::ptr::null_mut();
        let alone = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: `stream` is written by the call.
        check("cuStreamCreate", unsafe {
            sys::cuStreamCreate(&mut stream, alone)
        })?;
        Ok(Arc::new(Self {
            early: info.capability >= (9, 0) && info.driver >= EARLY_IN_GRAPHS,
            info,
            context,
            stream,
            module,
            functions: Mutex::default(),
            blas: OnceLock::new(),
            held: AtomicU64::new(0),
        }))
    }

    pub fn info(&self) -> &GpuInfo {
        &self.info
    }

    /// Bytes that are free, and all.
    pub fn memory(&self) -> Result<(u64, u64), GpuError> {
        self.context.memory()
    }

    /// Bytes that have been asked for here and not been given back.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// cuBLASLt on this GPU; why not where it cannot be had.
    pub fn blas(&self) -> Result<&Blas, GpuError> {
        let made = self.blas.get_or_init(|| {
            self.enter()?;
            Blas::open()
        });
        made.as_ref().map_err(Clone::clone)
    }

    /// Makes the context that of this thread.
    pub(super) fn enter(&self) -> Result<(), GpuError> {
        self.context.enter()
    }

    /// Waits until all work is done.
    ///
    /// # Errors
    /// What failed in any of it.
    pub fn synchronize(&self) -> Result<(), GpuError> {
        self.enter()?;
        // SAFETY: the stream lives as long as `self`.
        check("cuStreamSynchronize", unsafe {
            sys::cuStreamSynchronize(self.stream)
        })
    }

    fn function(&self, kernel: &'static str, shared: u32) -> Result<CUfunction, GpuError> {
        let mut functions = self
            .functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let function = match functions.get(kernel) {
            Some(function) => *function,
            None => {
                let name = CString::new(kernel).unwrap_or_default();
                let mut handle = MaybeUninit::uninit();
                // SAFETY: the module lives as long as `self`; the handle is read only when it was written.
                let handle = unsafe {
                    check(
                        kernel,
                        sys::cuModuleGetFunction(handle.as_mut_ptr(), self.module, name.as_ptr()),
                    )?;
                    handle.assume_init()
                };
                Function {
                    handle,
                    shared: PLAIN_SHARED as u32,
                }
            }
        };
        if shared > function.shared {
            // SAFETY: a function of a loaded module.
            check(kernel, unsafe {
                sys::cuFuncSetAttribute(
                    function.handle,
                    sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                    shared as i32,
                )
            })?;
        }
        let shared = function.shared.max(shared);
        functions.insert(kernel, Function { shared, ..function });
        Ok(function.handle)
    }

    /// Puts a kernel on the stream. Each of crane's kernels waits for those before it by itself, so that it may start early.
    pub(super) fn launch<A: Arguments>(
        &self,
        launch: &Launch,
        arguments: &A,
    ) -> Result<(), GpuError> {
        self.enter()?;
        let shared = u32::try_from(launch.shared).unwrap_or(u32::MAX);
        let function = self.function(launch.kernel, shared)?;
        let mut attribute = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue {
                programmaticStreamSerializationAllowed: 1,
            },
        };
        let config = sys::CUlaunchConfig {
            gridDimX: launch.blocks[0],
            gridDimY: launch.blocks[1],
            gridDimZ: launch.blocks[2],
            blockDimX: launch.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: shared,
            hStream: self.stream,
            attrs: &mut attribute,
            numAttrs: u32::from(self.early),
        };
        let mut parameters = [std::ptr::from_ref(arguments).cast_mut().cast::<c_void>()];
        // SAFETY: the kernel takes one struct of `A`'s layout (`Arguments`), which the driver copies during the call; the
        // memory it names is alive until the stream has gone past it, which buffers see to when they are freed.
        check(launch.kernel, unsafe {
            sys::cuLaunchKernelEx(
                &config,
                function,
                parameters.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        })
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // What fails here has no one left to be told.
        // SAFETY: nothing that was made from these handles is left: buffers and graphs hold the GPU.
        unsafe {
            let _ = self.enter();
            drop(self.blas.take());
            let _ = sys::cuModuleUnload(self.module);
            let _ = sys::cuStreamDestroy_v2(self.stream);
        }
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_tuple("Gpu").field(&self.info).finish()
    }
}
