//! Pictures in: files of many formats to 8-bit RGB, to the size that a model wants, to the rows that it reads.
//!
//! [`resize()`] gives Pillow's very bytes.

mod picture;
mod resize;

pub use picture::Picture;
pub use resize::{resize, Filter};
