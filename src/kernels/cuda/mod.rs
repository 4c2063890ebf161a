//! NVIDIA GPUs: the kernels of a decoder and of convolutions ([`conv`]), and what brings them there.
//!
//! The driver and cuBLASLt are opened when a GPU is asked for, so that one binary starts with and without them. One
//! token at a time is bound by the memory that holds the weights, and by the time between two kernels: a step is five
//! kernels a layer ([`Work::step_attention`], [`Work::step_mlp`]) that are recorded once and replayed ([`Graph`]), each
//! of which starts while the one before it still runs and fetches its weights. Many tokens at a time are bound by
//! arithmetic: products go to cuBLASLt, attention to tensor cores.
//!
//! The device code is in `device/`; its structs and those marked "as the device code has it" are the same.

mod attention;
mod blas;
pub mod conv;
mod error;
mod gpu;
mod graph;
mod matrix;
mod memory;
mod program;
mod rope;
mod work;

pub use attention::{AttentionShape, Cache};
pub use error::GpuError;
pub use gpu::{survey, Gpu, GpuInfo};
pub use graph::Graph;
pub use matrix::{Matrix, Stack};
pub use memory::Buffer;
pub use crate::kernels::planes::{Kind, Layout};
pub use rope::Rope;
pub use work::{Likely, Norm, Work};
