//! With `--features cuda`, compiles the GPU's kernels where there is an `nvcc`; else crane compiles them when it starts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// In the order in which they build on each other.
const SOURCES: [&str; 17] = [
    "instructions.cuh",
    "common.cuh",
    "products.cuh",
    "gemv.cu",
    "tiles.cu",
    "each.cu",
    "each_tiles.cu",
    "rows.cu",
    "heads.cu",
    "attention.cu",
    "each_attention.cu",
    "flash.cu",
    "choice.cu",
    "encoder.cu",
    "segments.cu",
    "conv.cu",
    "signals.cu",
];

fn main() {
    println!("cargo::rerun-if-changed=src/kernels/cuda/device");
    for name in ["CUDA_HOME", "CUDA_PATH", "NVCC"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let compiled = out.join("kernels.fatbin");
    match nvcc().map(|nvcc| compile(&nvcc, &out, &compiled)) {
        Some(Ok(())) => {}
        Some(Err(why)) => panic!("nvcc cannot compile crane's kernels: {why}"),
        None => {
            println!("cargo::warning=no nvcc was found: crane will compile its GPU kernels with libnvrtc when it starts");
            fs::write(&compiled, []).expect("OUT_DIR can be written");
        }
    }
}

/// What NVCC names, else that of CUDA_HOME or CUDA_PATH, of the PATH, or of the place where toolkits are installed.
fn nvcc() -> Option<PathBuf> {
    let named = env::var_os("NVCC").map(PathBuf::from);
    let homes = ["CUDA_HOME", "CUDA_PATH"]
        .into_iter()
        .filter_map(env::var_os);
    let homes = homes.map(|home| Path::new(&home).join("bin/nvcc"));
    let path = env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = env::split_paths(&path)
        .map(|dir| dir.join("nvcc"))
        .collect();
    let usual = PathBuf::from("/usr/local/cuda/bin/nvcc");
    named
        .into_iter()
        .chain(homes)
        .chain(path)
        .chain([usual])
        .find(|file| file.is_file())
}

/// Machine code for Hopper, and PTX for Ampere and for whatever comes after Hopper: the driver compiles that.
fn compile(nvcc: &Path, out: &Path, compiled: &Path) -> Result<(), String> {
    let folder = Path::new("src/kernels/cuda/device");
    let mut source = String::new();
    for name in SOURCES {
        source += &fs::read_to_string(folder.join(name)).map_err(|e| format!("{name}: {e}"))?;
    }
    let joined = out.join("kernels.cu");
    fs::write(&joined, source).map_err(|e| e.to_string())?;
    let result = Command::new(nvcc)
        .args(["-fatbin", "-O3", "--std=c++17"])
        .args(["-gencode", "arch=compute_80,code=compute_80"])
        .args(["-gencode", "arch=compute_90,code=[sm_90,compute_90]"])
        .arg("-o")
        .arg(compiled)
        .arg(&joined)
        .output()
        .map_err(|e| format!("{}: {e}", nvcc.display()))?;
    match result.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&result.stderr).into_owned()),
    }
}
