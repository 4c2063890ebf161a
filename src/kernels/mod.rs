//! The fast arithmetic under [`crate::nn`]: one file an operation. A kernel knows slices, not models.
//!
//! The instruction set is picked at run time, so one portable binary runs at full speed. Work is split over rayon's
//! global pool, the only pool of a forward pass. A result never depends on the number of threads: each output is
//! computed whole, in a fixed order, by one of them.

mod activations;
mod float;
pub mod heap;
pub mod limits;
mod quantized;
#[cfg(target_arch = "x86_64")]
mod quantized_x86;
mod simd;

pub use activations::Activations;
pub use float::{FloatMatrix, Floats};
pub use quantized::QuantizedMatrix;
pub use simd::Simd;
