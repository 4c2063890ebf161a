//! A picture as rows of a matrix: patches, normalised.

use super::Picture;
use crate::kernels::pool::{self, Parts};

/// What every value of red, green and blue becomes.
pub struct Normalise {
    table: [[f32; 256]; 3],
}

impl Normalise {
    /// `(x · scale − mean) / deviation`, each step rounded to f32 as transformers does.
    pub fn new(scale: f64, mean: [f64; 3], deviation: [f64; 3]) -> Self {
        let channel = |c: usize| {
            let (mean, deviation) = (mean[c] as f32, deviation[c] as f32);
            std::array::from_fn(|x| ((x as f64 * scale) as f32 - mean) / deviation)
        };
        Self {
            table: std::array::from_fn(channel),
        }
    }
}

/// Patches of `side × side` pixels, `[patches, 3 · side · side]` in the order channel, y, x. They come in blocks of
/// `merge × merge`, row by row in the block and the blocks row by row in the picture.
///
/// # Panics
/// A picture whose sides are no multiples of `side · merge`.
pub fn patches(picture: &Picture, side: usize, merge: usize, normalise: &Normalise) -> Vec<f32> {
    let (width, height) = (picture.width / side, picture.height / side);
    assert!(
        picture.width.is_multiple_of(side * merge) && picture.height.is_multiple_of(side * merge)
    );
    let row = 3 * side * side;
    let mut out = vec![0f32; width * height * row];
    let blocks_across = width / merge;
    let strip = width * merge * row;
    let parts = Parts::new(&mut out);
    pool::run(height / merge, |block_row| {
        // SAFETY: each task has the blocks of its own row.
        let out = unsafe { parts.part(block_row * strip, strip) };
        for (i, patch) in out.chunks_exact_mut(row).enumerate() {
            let (block, within) = (i / (merge * merge), i % (merge * merge));
            let top = (block_row * merge + within / merge) * side;
            let left = (block % blocks_across * merge + within % merge) * side;
            for (c, channel) in patch.chunks_exact_mut(side * side).enumerate() {
                let table = &normalise.table[c];
                for (y, line) in channel.chunks_exact_mut(side).enumerate() {
                    let at = ((top + y) * picture.width + left) * 3;
                    let pixels = picture.rgb[at..at + 3 * side].chunks_exact(3);
                    for (x, pixel) in line.iter_mut().zip(pixels) {
                        *x = table[usize::from(pixel[c])];
                    }
                }
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_come_in_blocks_and_hold_channel_row_column() {
        // Two blocks of 2 x 2 patches of 2 x 2 pixels; red counts pixels, green is 0.
        let (width, height) = (8, 4);
        let rgb = (0..width * height)
            .flat_map(|i| [i as u8, 0, 255])
            .collect();
        let picture = Picture { width, height, rgb };
        let plain = Normalise::new(1.0, [0.0; 3], [1.0; 3]);
        let rows = patches(&picture, 2, 2, &plain);
        let reds: Vec<&[f32]> = rows.chunks(12).map(|row| &row[..4]).collect();
        let pixels = |x: usize, y: usize| {
            let at = (y * width + x) as f32;
            [at, at + 1.0, at + 8.0, at + 9.0]
        };
        let places = [
            (0, 0),
            (2, 0),
            (0, 2),
            (2, 2),
            (4, 0),
            (6, 0),
            (4, 2),
            (6, 2),
        ];
        for (red, (x, y)) in reds.iter().zip(places) {
            assert_eq!(*red, pixels(x, y));
        }
        assert_eq!(rows[4..12], [[0.0; 4], [255.0; 4]].concat());
        // Without blocks, row by row.
        let rows = patches(&picture, 2, 1, &plain);
        assert_eq!(rows[12..16], pixels(2, 0));
        assert_eq!(rows[4 * 12..4 * 12 + 4], pixels(0, 2));
    }

    #[test]
    fn values_are_scaled_and_normalised() {
        let picture = Picture {
            width: 1,
            height: 1,
            rgb: vec![51, 102, 255],
        };
        let normalise = Normalise::new(1.0 / 255.0, [0.2, 0.2, 0.5], [0.5, 0.1, 0.25]);
        let rows = patches(&picture, 1, 1, &normalise);
        for (found, expected) in rows.iter().zip([0.0, 2.0, 2.0]) {
            assert!((found - expected).abs() < 1e-6, "{rows:?}");
        }
    }
}
