//! The order in which the encoder holds the cells of an image.

/// The cells of an image (each `merge × merge` patches) sorted by the window they lie in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// For each place, the cell that is there, counted row by row in the image.
    order: Vec<usize>,
    /// Patches of each window.
    segments: Vec<usize>,
    columns: usize,
    merge: usize,
}

impl Windows {
    /// For an image of `rows × columns` cells and windows of `side × side` of them, smaller at the right and lower edge.
    pub fn new(rows: usize, columns: usize, merge: usize, side: usize) -> Self {
        let side = side.max(1);
        let mut order = Vec::with_capacity(rows * columns);
        let mut segments = Vec::new();
        for top in (0..rows).step_by(side) {
            for left in (0..columns).step_by(side) {
                let (bottom, right) = (rows.min(top + side), columns.min(left + side));
                for row in top..bottom {
                    order.extend((left..right).map(|column| row * columns + column));
                }
                segments.push((bottom - top) * (right - left) * merge * merge);
            }
        }
        Self {
            order,
            segments,
            columns,
            merge,
        }
    }

    /// For each place, the cell that is there.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Patches of each window, in order.
    pub fn segments(&self) -> &[usize] {
        &self.segments
    }

    /// Patches of the image.
    pub fn patches(&self) -> usize {
        self.order.len() * self.merge * self.merge
    }

    /// Row and column of each patch, in order.
    pub fn places(&self) -> impl Iterator<Item = [usize; 2]> + '_ {
        let merge = self.merge;
        self.order.iter().flat_map(move |cell| {
            let (row, column) = (cell / self.columns, cell % self.columns);
            (0..merge * merge).map(move |i| [row * merge + i / merge, column * merge + i % merge])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_at_the_edges_are_smaller() {
        // The worked example of the reference: 140 x 224 pixels.
        let windows = Windows::new(5, 8, 2, 4);
        let expected = [
            0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27, 4, 5, 6, 7, 12, 13, 14, 15,
            20, 21, 22, 23, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,
        ];
        assert_eq!(windows.order(), expected);
        assert_eq!(windows.segments(), [64, 64, 16, 16]);
        assert_eq!(windows.patches(), 160);
        let places: Vec<_> = windows.places().collect();
        assert_eq!(places[..4], [[0, 0], [0, 1], [1, 0], [1, 1]]);
        // The second cell of the second window.
        assert_eq!(places[68], [0, 10]);
    }

    #[test]
    fn an_image_of_one_cell_is_one_window() {
        let windows = Windows::new(1, 1, 2, 4);
        assert_eq!((windows.order(), windows.segments()), (&[0][..], &[4][..]));
    }
}
