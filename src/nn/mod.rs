//! The layers that models share, one file a layer. A layer knows activations and [`crate::weights::Loader`];
//! it knows neither files nor architectures.
//!
//! Activations are `[tokens, width]` ([`Rows`]); there is no batch dimension: rows are tokens of one sequence, or one
//! token each of several ([`Attention::add_to_each`]). In the memory of this
//! machine layers run on [`crate::kernels`] over buffers that each pass uses again ([`Workspace`]); on other devices
//! on candle's tensors. A model is defined once for both. So are models of sound, of [`conv`] and [`frames`].

mod attention;
pub mod conv;
mod embedding;
mod encoder;
pub mod frames;
mod linear;
mod mlp;
mod norm;
mod rope;
mod rows;

#[cfg(feature = "cuda")]
pub use attention::GpuPass;
pub use attention::{Attention, AttentionConfig};
pub use embedding::Embedding;
pub use encoder::{EncoderBlock, EncoderConfig, EncoderSpace, Layout};
pub use linear::Linear;
pub use mlp::Mlp;
pub use norm::RmsNorm;
pub use rope::{PassTables, Rope, RopeConfig, RopeLayout, RopeScaling};
pub use rows::{Rows, Workspace};
