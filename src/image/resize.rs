//! Resizing as Pillow does it, to the bit: models were trained on its pictures.
//!
//! When a picture shrinks, the filter is stretched so that every pixel counts (antialiasing). Weights are computed in
//! double precision, normalised, and rounded to 22 bits after the point; one side is resized after the other, and each
//! time the result is rounded to bytes. A side that keeps its length is left alone.

use std::borrow::Cow;

use super::Picture;
use crate::kernels::{resize_columns, resize_rows, Simd, Taps, WEIGHT_BITS};

/// How a pixel of the result weighs those around its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// A triangle over two pixels.
    Bilinear,
    /// Keys' cubic over four pixels with a = −1/2 (IEEE Trans. ASSP 29, 1981).
    Bicubic,
}

impl Filter {
    /// How far it reaches, in pixels.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// The weight at a distance of `x` pixels.
    fn at(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            _ => 0.0,
        }
    }
}

/// `picture` at `width` × `height`.
///
/// # Panics
/// A side of 0, or a picture whose bytes do not fit its sides.
pub fn resize(picture: &Picture, width: usize, height: usize, filter: Filter) -> Picture {
    let (from_width, from_height) = (picture.width, picture.height);
    assert!(width > 0 && height > 0, "a side of 0");
    assert_eq!(picture.rgb.len(), from_width * from_height * 3);
    let mut rgb = Cow::Borrowed(&picture.rgb[..]);
    if height_first((from_width, from_height), (width, height)) {
        resize_height(&mut rgb, from_width, from_height, height, filter);
        resize_width(&mut rgb, from_width, width, filter);
    } else {
        resize_width(&mut rgb, from_width, width, filter);
        resize_height(&mut rgb, width, from_height, height, filter);
    }
    Picture {
        width,
        height,
        rgb: rgb.into_owned(),
    }
}

/// Pillow's order since its version 13 (pull request 9549): where the height loses more than twice what the width
/// does, it goes first. Before that the width always did. The two differ by a level here and there.
fn height_first(from: (usize, usize), to: (usize, usize)) -> bool {
    let lost = |from: usize, to: usize| from as i128 - to as i128;
    let height = lost(from.1, to.1);
    height > 0 && height > 2 * lost(from.0, to.0)
}

fn resize_width(rgb: &mut Cow<[u8]>, from: usize, to: usize, filter: Filter) {
    if from != to {
        let taps = taps(from, to, filter);
        *rgb = Cow::Owned(resize_columns(Simd::detect(), rgb, from, &taps));
    }
}

fn resize_height(rgb: &mut Cow<[u8]>, width: usize, from: usize, to: usize, filter: Filter) {
    if from != to {
        let taps = taps(from, to, filter);
        *rgb = Cow::Owned(resize_rows(Simd::detect(), rgb, width, &taps));
    }
}

/// The weights that make `to` lines of `from`.
fn taps(from: usize, to: usize, filter: Filter) -> Taps {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let unit = f64::from(1 << WEIGHT_BITS);
    let mut taps = Taps::default();
    for line in 0..to {
        let centre = (line as f64 + 0.5) * scale;
        // Both conversions cut towards zero, and below it.
        let first = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let weight = |x: usize| filter.at((x as f64 - centre + 0.5) * (1.0 / stretch));
        let sum: f64 = (first..end).map(weight).sum();
        let fixed = (first..end).map(|x| {
            let exact = if sum == 0.0 { 0.0 } else { weight(x) / sum };
            // Halves away from zero.
            (exact * unit).round() as i32
        });
        taps.push(first, fixed);
    }
    taps
}

#[cfg(test)]
mod tests;
