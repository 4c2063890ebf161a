//! The layers that models share, one file a layer. A layer knows tensors and [`crate::weights::Loader`];
//! it knows neither files nor architectures.
//!
//! Activations of one sequence are `[tokens, width]`; there is no batch dimension.

mod attention;
mod embedding;
mod kv_cache;
mod linear;
mod mlp;
mod norm;
mod rope;

pub use attention::{Attention, AttentionConfig, Mask};
pub use embedding::Embedding;
pub use kv_cache::KvCache;
pub use linear::Linear;
pub use mlp::Mlp;
pub use norm::RmsNorm;
pub use rope::{Rope, RopeConfig, RopeLayout, RopeScaling, RopeTable};
