//! Files of pictures to 8-bit RGB, as a person would see them.

use std::io::Cursor;

use image::error::{ImageError as Failure, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::kind::{self, Kind};
use super::{ImageError, Picture};

/// Millions of pixels that are decoded at most, said before any is: Pillow's own limit against decompression bombs.
const MOST_MEGAPIXELS: u64 = 178;
/// What a decoder may allocate: 178 million pixels of four 16-bit numbers.
const MOST_ALLOCATED: u64 = 1536 << 20;

/// The first picture of a file of any format that crane reads, whatever its name says. It is turned as its EXIF data
/// says, transparency lies on white, more than 8 bits are rounded to 8.
///
/// # Errors
/// A format that is not read (named, with what to do), a damaged or cut-off file, more pixels than fit.
pub fn decode(bytes: &[u8], label: &str) -> Result<Picture, ImageError> {
    let (mut decoder, format) = open(bytes, label)?;
    let orientation = decoder.orientation();
    let orientation = orientation.unwrap_or(image::metadata::Orientation::NoTransforms);
    let found = DynamicImage::from_decoder(decoder).map_err(|e| failed(e, label))?;
    // Decoders of JPEG fill what is missing with grey.
    if format == ImageFormat::Jpeg && !kind::is_whole_jpeg(bytes) {
        return Err(ImageError::corrupt(label, "the JPEG file is cut off"));
    }
    let mut found = on_white(found);
    found.apply_orientation(orientation);
    let rgb = found.into_rgb8();
    Ok(Picture {
        width: rgb.width() as usize,
        height: rgb.height() as usize,
        rgb: rgb.into_raw(),
    })
}

/// Whether [`decode`] reads it, as far as the header tells.
pub(super) fn probe(bytes: &[u8], label: &str) -> Result<(), ImageError> {
    open(bytes, label).map(drop)
}

/// A decoder that has read the header.
fn open<'a>(
    bytes: &'a [u8],
    label: &str,
) -> Result<(impl ImageDecoder + 'a, ImageFormat), ImageError> {
    let format = match kind::of(bytes) {
        Kind::Picture(format) => format,
        Kind::Other { what, remedy } => {
            return Err(ImageError::Unsupported {
                label: label.into(),
                what: what.into(),
                remedy: remedy.replace("{}", label),
            })
        }
        Kind::Unknown(seen) => {
            return Err(ImageError::corrupt(
                label,
                format!("this is no picture but {seen}"),
            ))
        }
    };
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST_ALLOCATED);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|e| failed(e, label))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(ImageError::corrupt(
            label,
            format!("it says that it has {width} x {height} pixels"),
        ));
    }
    if u64::from(width) * u64::from(height) > MOST_MEGAPIXELS * 1_000_000 {
        return Err(ImageError::TooLarge {
            label: label.into(),
            width,
            height,
            most: MOST_MEGAPIXELS,
        });
    }
    Ok((decoder, format))
}

/// 8-bit RGB, transparent parts on white.
fn on_white(found: DynamicImage) -> DynamicImage {
    if !found.color().has_alpha() {
        return match found {
            DynamicImage::ImageRgb8(_) => found,
            other => other.into_rgb8().into(),
        };
    }
    let rgba = found.into_rgba8();
    let (width, height) = rgba.dimensions();
    let mut bytes = rgba.into_raw();
    let pixels = width as usize * height as usize;
    // In place: what is written lies never behind what is still to be read.
    for pixel in 0..pixels {
        let alpha = u32::from(bytes[4 * pixel + 3]);
        for c in 0..3 {
            let x = u32::from(bytes[4 * pixel + c]);
            bytes[3 * pixel + c] = ((x * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        }
    }
    bytes.truncate(3 * pixels);
    match image::RgbImage::from_raw(width, height, bytes) {
        Some(rgb) => rgb.into(),
        None => DynamicImage::new_rgb8(width, height),
    }
}

/// A decoder's failure in crane's words.
fn failed(error: Failure, label: &str) -> ImageError {
    match error {
        Failure::Unsupported(error) => ImageError::Unsupported {
            label: label.into(),
            what: format!("of a kind that is not read ({error})"),
            remedy: format!("convert it, for example with 'magick {label} out.png'"),
        },
        Failure::Limits(error) => match error.kind() {
            LimitErrorKind::InsufficientMemory => ImageError::corrupt(
                label,
                format!(
                    "decoding it would take more than {} MiB, which no picture of {MOST_MEGAPIXELS} million pixels does",
                    MOST_ALLOCATED >> 20
                ),
            ),
            _ => ImageError::corrupt(label, error.to_string()),
        },
        Failure::IoError(error) => ImageError::corrupt(label, format!("the file is cut off ({error})")),
        error => ImageError::corrupt(label, format!("it cannot be decoded: {error}")),
    }
}

#[cfg(test)]
mod tests;
