//! Pictures in: files of many formats to 8-bit RGB, to the size that a model wants, to the rows that it reads.
//!
//! [`resize()`] gives Pillow's very bytes.

mod decode;
mod error;
mod kind;
mod patches;
mod picture;
mod processor;
mod resize;
mod size;
mod source;

pub use decode::decode;
pub use error::ImageError;
pub use picture::Picture;
pub use processor::{Family, ImageProcessor, Limits, Prepared, ProcessorError, Wants};
pub use resize::{resize, Filter};
pub use source::ImageSource;
