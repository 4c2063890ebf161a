//! Files → tensors: GGUF and safetensors, memory-mapped, quantised at load on request.
//!
//! [`Checkpoint::open`] reads headers (`gguf`, `safetensors`, `pickle`, with `shards` and `folder` to find the files)
//! and maps the data; a [`Loader`] turns named tensors (`names`) into candle's, in the types that
//! [`LoadOptions`] ask for (`convert`, `blocks`, `mix`), and says what that changes (`notes`).
//! `describe` sums a checkpoint up for people. A checkpoint that lies in no file is made of `seeded` numbers.

mod blocks;
mod checkpoint;
mod convert;
mod describe;
mod error;
mod folder;
mod format;
mod gguf;
mod loader;
mod map;
mod metadata;
mod mix;
pub mod names;
mod notes;
mod options;
mod pickle;
mod safetensors;
mod seeded;
mod shards;

pub use checkpoint::{Checkpoint, Header};
pub use error::WeightsError;
pub use format::{Format, TensorInfo};
#[cfg(feature = "cuda")]
pub use loader::Filled;
pub use loader::{Loader, Weight};
pub use metadata::{Metadata, Value};
pub use notes::{histogram, is_encoder};
pub use options::{DTypeChoice, LoadOptions, Quant};
