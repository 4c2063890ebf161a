//! NVIDIA GPUs: the kernels of a decoder and of convolutions ([`conv`]), and what brings them there.
//!
//! The driver and cuBLASLt are opened when a GPU is asked for, so that one binary starts with and without them. One
//! token at a time is bound by the memory that holds the weights, and by the time between two kernels: a step is five
//! kernels a layer ([`Work::step_attention`], [`Work::step_mlp`]) that are recorded once and replayed ([`Graph`]), each
//! of which starts while the one before it still runs and fetches its weights. A step of several sequences
//! ([`Work::begin_each`]) reads each weight once for all; what it computes of each is, to the last bit, what the step of
//! that sequence alone computes. Many tokens at a time are bound by arithmetic: products go to cuBLASLt, attention to tensor cores. So are the patches of an image, whose encoder has
//! kernels of its own ([`Work::encoder_layer`]).
//!
//! The device code is in `device/`; its structs and those marked "as the device code has it" are the same.

mod attention;
mod blas;
mod cache;
pub mod conv;
mod driver;
mod error;
mod gpu;
mod graph;
pub mod limits;
mod matrix;
mod memory;
mod pace;
mod program;
mod rope;
mod work;

pub use crate::kernels::planes::{Kind, Layout};
pub use attention::AttentionShape;
pub use cache::Cache;
pub use driver::{survey, GpuInfo, Offer};
pub use error::GpuError;
pub use gpu::Gpu;
pub use graph::Graph;
pub use matrix::{Matrix, Stack};
pub use memory::Buffer;
pub use pace::Pace;
pub use program::Keep;
pub use rope::Rope;
pub use work::{
    fits_block, Dense, EncoderLayer, EncoderSizes, GatedUnit, Heads, Likely, NextToken, Norm,
    Segments, StepCache, Work, MOST_EACH,
};
