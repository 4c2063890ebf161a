//! Pictures in: files of many formats to 8-bit RGB, to the size that a model wants, to the rows that it reads.
//!
//! [`resize()`] gives Pillow's very bytes.

mod patches;
mod picture;
mod processor;
mod resize;
mod size;

pub use picture::Picture;
pub use processor::{Family, ImageProcessor, Limits, Prepared, ProcessorError, Wants};
pub use resize::{resize, Filter};

/// STUB below
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("x")]
    X,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSource(String);
impl ImageSource {
    pub fn parse(s: &str) -> Result<Self, ImageError> {
        Ok(Self(s.into()))
    }
    pub fn read(&self) -> Result<Vec<u8>, ImageError> {
        std::fs::read(&self.0).map_err(|_| ImageError::X)
    }
    pub fn probe(&self) -> Result<(), ImageError> {
        Ok(())
    }
    pub fn label(&self) -> &str {
        &self.0
    }
    pub fn spelled(&self) -> &str {
        &self.0
    }
    pub fn is_stdin(&self) -> bool {
        self.0 == "-"
    }
}
pub fn decode(b: &[u8], _: &str) -> Result<Picture, ImageError> {
    let i = image::load_from_memory(b)
        .map_err(|_| ImageError::X)?
        .to_rgb8();
    Ok(Picture {
        width: i.width() as usize,
        height: i.height() as usize,
        rgb: i.into_raw(),
    })
}
