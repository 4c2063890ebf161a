//! The kernels on their way to the GPU: compiled when crane was built, or by the run-time compiler of a CUDA toolkit.

mod kept;

use std::borrow::Cow;
use std::ffi::{c_void, CStr, CString};
use std::path::Path;

use cudarc::driver::sys;
use cudarc::nvrtc::sys as nvrtc;

use super::driver::GpuInfo;
use super::error::{check, GpuError};

/// The device code, in the order in which it builds on itself.
const SOURCE: &str = concat!(
    include_str!("device/instructions.cuh"),
    include_str!("device/common.cuh"),
    include_str!("device/products.cuh"),
    include_str!("device/gemv.cu"),
    include_str!("device/tiles.cu"),
    include_str!("device/each.cu"),
    include_str!("device/each_tiles.cu"),
    include_str!("device/rows.cu"),
    include_str!("device/heads.cu"),
    include_str!("device/attention.cu"),
    include_str!("device/each_attention.cu"),
    include_str!("device/flash.cu"),
    include_str!("device/choice.cu"),
    include_str!("device/encoder.cu"),
    include_str!("device/segments.cu"),
    include_str!("device/conv.cu"),
    include_str!("device/signals.cu"),
);

/// What `nvcc` made of it when crane was built; empty where there was none.
static COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin"));

/// What becomes of kernels that have to be compiled before they can be used.
#[derive(Clone, Copy)]
pub struct Keep<'a> {
    /// Where they are kept for the next time; it need not be there.
    pub folder: &'a Path,
    /// Is told when they are compiled, which may take a minute.
    pub compiling: &'a dyn Fn(),
}

/// Brings the kernels into the current context.
pub(super) fn load(info: &GpuInfo, keep: Option<Keep>) -> Result<sys::CUmodule, GpuError> {
    match (COMPILED.is_empty(), keep) {
        (false, _) => module(COMPILED),
        (true, None) => module(&compile(info, SOURCE)?),
        (true, Some(keep)) => module(&compiled_once(info, keep)?),
    }
}

/// PTX of the kernels as [`compile`] gives it, made now or before.
fn compiled_once(info: &GpuInfo, keep: Keep) -> Result<Vec<u8>, GpuError> {
    find_compiler()?;
    let parts = [SOURCE, &architecture(info), &nvrtc_version()];
    let file = kept::file(keep.folder, &parts.map(str::as_bytes));
    if let Some(made) = kept::read(&file) {
        return Ok(made);
    }
    (keep.compiling)();
    let made = compile(info, SOURCE)?;
    // Where nothing can be written it is compiled the next time, too.
    let _ = kept::write(&file, &made);
    Ok(made)
}

fn module(image: &[u8]) -> Result<sys::CUmodule, GpuError> {
    let mut module = std::ptr::null_mut();
    // SAFETY: a whole fatbin, or PTX that ends with 0; the handle is written by the call.
    check("cuModuleLoadData", unsafe {
        sys::cuModuleLoadData(&mut module, image.as_ptr().cast::<c_void>())
    })
    .map_err(|error| match error.is_memory() {
        true => error,
        false => GpuError::Kernels(error.to_string()),
    })?;
    Ok(module)
}

/// Whether [`load`] would bring the kernels into the current context, without compiling all of them; what the user should
/// know of it.
pub(super) fn try_out(info: &GpuInfo) -> Result<Option<String>, GpuError> {
    let (image, note) = match COMPILED.is_empty() {
        false => (Cow::Borrowed(COMPILED), None),
        true => (
            Cow::Owned(compile(info, "extern \"C\" __global__ void nothing() {}")?),
            Some(format!(
                "this crane was built without nvcc: libnvrtc{} compiles its kernels when they are first used",
                nvrtc_version()
            )),
        ),
    };
    let module = module(&image)?;
    // SAFETY: loaded above and used by nothing.
    let _ = unsafe { sys::cuModuleUnload(module) };
    Ok(note)
}

/// A blank and the version of the run-time compiler, which is there.
fn nvrtc_version() -> String {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both are written by the call.
    match unsafe { nvrtc::nvrtcVersion(&mut major, &mut minor) } {
        nvrtc::nvrtcResult::NVRTC_SUCCESS => format!(" {major}.{minor}"),
        _ => String::new(),
    }
}

/// An error where there is no run-time compiler.
fn find_compiler() -> Result<(), GpuError> {
    // SAFETY: only tries to open the library.
    match unsafe { nvrtc::is_culib_present() } {
        true => Ok(()),
        false => Err(GpuError::Kernels(
            "this crane was built without nvcc, and libnvrtc was not found; install the CUDA toolkit, or put the folder of libnvrtc into LD_LIBRARY_PATH".into(),
        )),
    }
}

/// What the compiler is told of `info`'s capability.
fn architecture(info: &GpuInfo) -> String {
    let (major, minor) = info.capability;
    format!("--gpu-architecture=compute_{major}{minor}")
}

/// PTX of `source` for `info`'s capability, and the 0 at its end.
fn compile(info: &GpuInfo, source: &str) -> Result<Vec<u8>, GpuError> {
    find_compiler()?;
    let failed = |what: &str| GpuError::Kernels(what.to_string());
    let source = CString::new(source).map_err(|_| failed("a 0 in the source"))?;
    let architecture = CString::new(architecture(info)).map_err(|_| failed("a 0 in an option"))?;
    let options = [architecture.as_ptr(), c"--std=c++17".as_ptr()];
    let mut program = std::ptr::null_mut();
    // SAFETY: the strings outlive the calls; sizes are asked for before what they measure is written.
    unsafe {
        let ok = |result| result == nvrtc::nvrtcResult::NVRTC_SUCCESS;
        let made = nvrtc::nvrtcCreateProgram(
            &mut program,
            source.as_ptr(),
            c"crane.cu".as_ptr(),
            0,
            std::ptr::null(),
            std::ptr::null(),
        );
        if !ok(made) {
            return Err(failed("nvrtc does not start"));
        }
        let built = nvrtc::nvrtcCompileProgram(program, options.len() as i32, options.as_ptr());
        let result = match ok(built) {
            false => {
                let mut size = 0;
                let mut log = vec![0u8; 1];
                if ok(nvrtc::nvrtcGetProgramLogSize(program, &mut size)) {
                    log.resize(size.max(1), 0);
                    nvrtc::nvrtcGetProgramLog(program, log.as_mut_ptr().cast());
                }
                let log = CStr::from_bytes_until_nul(&log).unwrap_or_default();
                let first = log.to_string_lossy();
                let first = first.lines().find(|line| line.contains("error"));
                Err(GpuError::Kernels(format!(
                    "nvrtc refuses them: {}",
                    first.unwrap_or("no reason given")
                )))
            }
            true => {
                let mut size = 0;
                let mut ptx = Vec::new();
                let sized = nvrtc::nvrtcGetPTXSize(program, &mut size);
                ptx.resize(size.max(1), 0u8);
                match ok(sized) && ok(nvrtc::nvrtcGetPTX(program, ptx.as_mut_ptr().cast())) {
                    true => Ok(ptx),
                    false => Err(failed("nvrtc gives nothing back")),
                }
            }
        };
        nvrtc::nvrtcDestroyProgram(&mut program);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_time_compiler_takes_the_kernels() {
        // SAFETY: only tries to open the library.
        if !unsafe { nvrtc::is_culib_present() } {
            eprintln!("skipped: no libnvrtc on this machine");
            return;
        }
        for capability in [(8, 0), (8, 9), (9, 0)] {
            let info = GpuInfo {
                ordinal: 0,
                name: String::new(),
                memory: 0,
                capability,
                driver: 0,
                multiprocessors: 1,
                block_memory: 48 << 10,
            };
            let ptx = compile(&info, SOURCE).unwrap();
            assert!(ptx
                .windows(9)
                .any(|w| w == b".entry ge" || w == b"gemv_bf16"));
        }
    }
}
