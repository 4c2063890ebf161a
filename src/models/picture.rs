//! Images in the sequence that a language model reads.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::nn::Rows;

/// Stands in a prompt where an image's row is read and the model has no token for it.
pub const NO_TOKEN: u32 = u32::MAX;

/// What an encoder made of an image, in the place of embeddings.
#[derive(Debug, PartialEq)]
pub struct Encoded {
    /// `[tokens, hidden]` of the language model.
    pub rows: Vec<f32>,
    pub tokens: usize,
    /// Frames, rows and columns that the tokens make, for models whose positions have these axes.
    pub grid: [usize; 3],
}

/// An encoded image among the tokens of a sequence.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The position of its first token.
    pub start: usize,
    pub image: Arc<Encoded>,
}

impl Picture {
    /// The positions it takes.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.image.tokens
    }

    /// Whether both are the same image at the same place.
    pub fn is(&self, other: &Self) -> bool {
        self.start == other.start && Arc::ptr_eq(&self.image, &other.image)
    }
}

/// The first position at which two sequences of pictures differ, if they do.
pub fn difference(a: &[Picture], b: &[Picture]) -> Option<usize> {
    let same = a.iter().zip(b).take_while(|(a, b)| a.is(b)).count();
    let start = |all: &[Picture]| all.get(same).map(|picture| picture.start);
    match (start(a), start(b)) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Puts the rows of `pictures` over `x`, `[tokens, hidden]`, which begins at position `start`.
///
/// # Errors
/// Rows of another width.
pub fn put(pictures: &[Picture], start: usize, x: &mut Rows) -> Result<()> {
    let (tokens, hidden) = match x {
        Rows::Host { x, width } => (x.len() / (*width).max(1), *width),
        Rows::Tensor(x) => x.dims2()?,
    };
    for (at, rows) in self::rows(pictures, start..start + tokens, hidden)? {
        match x {
            Rows::Host { x, .. } => x[at * hidden..at * hidden + rows.len()].copy_from_slice(rows),
            Rows::Tensor(x) => {
                let count = rows.len() / hidden.max(1);
                let rows = Tensor::from_slice(rows, (count, hidden), x.device())?;
                let rows = rows.to_dtype(x.dtype())?;
                *x = x.slice_assign(&[at..at + count, 0..hidden], &rows)?;
            }
        }
    }
    Ok(())
}

/// The rows of `pictures` that stand at the positions `range`, each part with the row of the range that it begins at;
/// a row has `hidden` numbers.
///
/// # Errors
/// Rows of another width.
pub fn rows(
    pictures: &[Picture],
    range: Range<usize>,
    hidden: usize,
) -> Result<Vec<(usize, &[f32])>> {
    let mut found = Vec::new();
    for picture in pictures {
        let own = picture.range();
        let (from, to) = (own.start.max(range.start), own.end.min(range.end));
        if from >= to {
            continue;
        }
        let numbers = (from - own.start) * hidden..(to - own.start) * hidden;
        let Some(rows) = picture.image.rows.get(numbers) else {
            candle_core::bail!("an image of another width than {hidden}")
        };
        found.push((from - range.start, rows));
    }
    Ok(found)
}

/// Positions of tokens on the axes time, height and width (M-RoPE; Wang et al., 2024, arXiv:2409.12191): text counts
/// on all three at once, an image counts its frames, rows and columns from where the text before it ended, and the text
/// after it goes on behind the largest of these.
pub fn axes(pictures: &[Picture], positions: Range<usize>) -> Vec<[usize; 3]> {
    let mut all = Vec::with_capacity(positions.len());
    // How far positions lag behind the places in the sequence.
    let mut lag = 0;
    let mut place = positions.start;
    for picture in pictures {
        let range = picture.range();
        let [frames, rows, columns] = picture.image.grid;
        while place < range.start.min(positions.end) {
            all.push([place - lag; 3]);
            place += 1;
        }
        let base = range.start - lag;
        while place < range.end.min(positions.end) {
            let at = place - range.start;
            let (row, column) = (at / columns.max(1) % rows.max(1), at % columns.max(1));
            let frame = at / (rows * columns).max(1);
            all.push([base + frame, base + row, base + column]);
            place += 1;
        }
        lag += picture.image.tokens - frames.max(rows).max(columns).min(picture.image.tokens);
    }
    all.extend((place..positions.end).map(|place| [place - lag; 3]));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(start: usize, rows: usize, columns: usize) -> Picture {
        let tokens = rows * columns;
        Picture {
            start,
            image: Arc::new(Encoded {
                rows: (0..tokens * 2).map(|x| x as f32).collect(),
                tokens,
                grid: [1, rows, columns],
            }),
        }
    }

    #[test]
    fn text_goes_on_behind_the_longer_side() {
        // The worked example of the reference: three tokens, an image of 5 x 8, four tokens.
        let all = axes(&[picture(3, 5, 8)], 0..47);
        assert_eq!(all[..3], [[0; 3], [1; 3], [2; 3]]);
        assert_eq!(all[3], [3, 3, 3]);
        assert_eq!(all[3 + 8 + 2], [3, 4, 5]);
        assert_eq!(all[42], [3, 7, 10]);
        assert_eq!(all[43..], [[11; 3], [12; 3], [13; 3], [14; 3]]);
    }

    #[test]
    fn any_part_is_the_same_as_in_the_whole() {
        let pictures = [picture(2, 2, 3), picture(8, 4, 1), picture(15, 2, 2)];
        let whole = axes(&pictures, 0..30);
        for start in 0..30 {
            for end in start..=30 {
                assert_eq!(axes(&pictures, start..end), whole[start..end]);
            }
        }
        assert_eq!(whole[29], [29 - 3 - 2; 3]);
    }

    #[test]
    fn rows_take_their_places() {
        let mut x = Rows::Host {
            x: vec![-1.0; 8],
            width: 2,
        };
        put(&[picture(1, 2, 3)], 3, &mut x).unwrap();
        let Rows::Host { x, .. } = x else { panic!() };
        assert_eq!(x, [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
        let mut x = Rows::Tensor(
            Tensor::zeros((4, 2), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap(),
        );
        put(&[picture(1, 1, 2)], 0, &mut x).unwrap();
        let x: Vec<Vec<f32>> = x.into_tensor().unwrap().to_vec2().unwrap();
        assert_eq!(x, [[0.0, 0.0], [0.0, 1.0], [2.0, 3.0], [0.0, 0.0]]);
    }

    #[test]
    fn another_image_at_the_same_place_is_another_sequence() {
        let (a, b) = (&[picture(3, 2, 2)][..], &[picture(3, 2, 2)][..]);
        assert_eq!(difference(a, a), None);
        assert_eq!(difference(a, b), Some(3));
        assert_eq!(difference(&[a, b].concat(), a), Some(3));
        assert_eq!(difference(&[], a), Some(3));
    }
}
