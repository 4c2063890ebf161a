//! What a GPU reaches at best, measured on the spot.

use std::sync::Arc;
use std::time::Instant;

use super::blas::{Operands, Product, SCRATCH};
use super::error::GpuError;
use super::gpu::Gpu;
use super::memory::Buffer;
use crate::kernels::planes::Kind;

/// Bytes that are copied at a time: no cache holds them.
const COPIED: usize = 1 << 30;
/// Rows and columns of the matrices that are multiplied.
const SIDE: usize = 8192;
const FLOAT_SIDE: usize = 4096;
const ROUNDS: usize = 3;
const PASSES: usize = 5;

/// The best of some rounds of `pass`, seconds for one.
fn seconds(gpu: &Gpu, pass: &dyn Fn() -> Result<(), GpuError>) -> Result<f64, GpuError> {
    pass()?;
    gpu.synchronize()?;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..PASSES {
            pass()?;
        }
        gpu.synchronize()?;
        best = best.min(started.elapsed().as_secs_f64() / PASSES as f64);
    }
    Ok(best.max(1e-9))
}

/// Bytes a second, read and written together, while a large buffer is copied.
///
/// # Errors
/// Out of memory.
pub fn copy_bandwidth(gpu: &Arc<Gpu>) -> Result<f64, GpuError> {
    let (free, _) = gpu.memory()?;
    let bytes = COPIED.min(free as usize / 4).max(1 << 20);
    let from = Buffer::zeroed(gpu, bytes)?;
    let to = Buffer::new(gpu, bytes)?;
    let time = seconds(gpu, &|| to.copy_from(0, &from, bytes))?;
    Ok(2.0 * bytes as f64 / time)
}

/// Operations a second of a large product of numbers of `kind` (F32, F16 or BF16).
///
/// # Errors
/// No cuBLASLt, out of memory.
pub fn product_rate(gpu: &Arc<Gpu>, kind: Kind) -> Result<f64, GpuError> {
    let size = kind.float_bytes().unwrap_or(4);
    let side = if size == 4 { FLOAT_SIDE } else { SIDE };
    let matrix = Buffer::of(gpu, &numbers(side * side, size))?;
    let out = Buffer::new(gpu, size * side * side)?;
    let scratch = Buffer::new(gpu, SCRATCH)?;
    let product = Product {
        rows: side,
        width: side,
        tokens: side,
        kind,
        out: kind,
        stride: side,
        add: false,
    };
    let blas = gpu.blas()?;
    let time = seconds(gpu, &|| {
        let at = Operands {
            matrix: matrix.address(),
            x: matrix.address(),
            out: out.address(),
            scratch: scratch.address(),
        };
        blas.multiply(&product, &at, gpu.stream)
    })?;
    Ok(2.0 * (side as f64).powi(3) / time)
}

/// Numbers of two or four bytes whose signs and mantissas are random and whose size is about 0.01, whatever the type:
/// products of zeros are faster than others.
fn numbers(count: usize, size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let mut bytes = Vec::with_capacity(count * size);
    for _ in 0..count {
        let random = next();
        match size {
            2 => bytes.extend_from_slice(&(0x3c00 | random as u16 & 0x807f).to_le_bytes()),
            _ => bytes.extend_from_slice(&(0x3c00_0000 | random & 0x807f_ffff).to_le_bytes()),
        }
    }
    bytes
}
