//! Products of activations with a matrix in GGUF's quantised blocks.
//!
//! A weight is `scale · u + min` with small unsigned integers `u`; an activation is `scale · q` (see [`Activations`]).
//! A product of two blocks is an integer dot product and a multiplication or two, whatever the format:
//! `Σ w·x = s_w·s_x·Σ u·q + min·(s_x·Σ q)`. [`PackedMatrix`] holds sixteen rows together, so that a vector's lanes are
//! rows and nothing is ever summed across lanes.

mod activations;
mod format;
mod packed;
mod product;

pub use activations::Activations;
pub use packed::PackedMatrix;
