//! The fast arithmetic under [`crate::nn`]: one file an operation. A kernel knows slices, not models.
//!
//! The instruction set is picked at run time ([`Simd`]), so one portable binary runs at full speed. Work is split over
//! [`pool`], the only pool of a forward pass. A result never depends on the number of threads: each output is computed
//! whole, in a fixed order, by one of them.

pub mod attention;
mod cache;
pub mod conv;
#[cfg(feature = "cuda")]
pub mod cuda;
mod float;
pub mod heap;
pub mod limits;
mod matrix;
mod memory;
mod norm;
mod placement;
#[cfg(any(feature = "cuda", test))]
pub mod planes;
pub mod pool;
mod product;
mod quant;
mod resize;
mod rope;
mod simd;

pub use attention::Attention;
pub use cache::{CacheError, CacheType, KvCache, UnknownCacheType};
pub use float::{FloatInputs, FloatMatrix, Floats, Unit};
pub use matrix::{FloatData, FloatType, Matrix, SharedBytes};
pub use memory::{Arena, Bytes};
pub use norm::{layer_norm, rms_norm, rms_norm_in_place};
pub use product::{multiply, multiply_rows, swiglu, Inputs, Product, Weights};
pub use quant::PackedMatrix;
pub use resize::{resize_columns, resize_rows, Taps, WEIGHT_BITS};
pub use rope::{rotate, Angles};
pub use simd::Simd;

pub(crate) use float::PANEL;
