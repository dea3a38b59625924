//! Windows over a square of rows, and the merging of neighbours. Source: Liu et al. 2021, §3.1 and §3.2.

use std::sync::Arc;

/// What is added to the logits of pairs that lie apart in the image and side by side in a shifted window.
const APART: f32 = -100.0;

/// Where each of the `side · side` rows of an image goes, among places that are filled up with empty ones.
pub struct Places {
    of_image: Vec<u32>,
    /// Number of places of one image.
    count: usize,
}

impl Places {
    /// The places of the rows of some images, one after the other, and the number of all places.
    pub fn over(&self, images: usize) -> (Arc<Vec<u32>>, usize) {
        let image = |image: usize| self.of_image.iter().map(move |place| place + (image * self.count) as u32);
        (Arc::new((0..images).flat_map(image).collect()), images * self.count)
    }

    /// The four neighbours of each square of two by two side by side, a column of the square before the next; a side that
    /// is odd is filled up. There are [`merged`]² squares.
    pub fn merging(side: usize) -> Self {
        let half = merged(side);
        let place = |(row, column): (usize, usize)| {
            ((row / 2 * half + column / 2) * 4 + column % 2 * 2 + row % 2) as u32
        };
        Places { of_image: square(side).map(place).collect(), count: 4 * half * half }
    }
}

/// The side of a square after the merging of neighbours.
pub fn merged(side: usize) -> usize {
    side.div_ceil(2)
}

/// Windows of `window · window` places over a square whose rows have been rolled by `shift` towards the beginning.
pub struct Windows {
    /// Where the rows go, window by window; a side that `window` does not divide is filled up at its end.
    pub places: Places,
    /// Places of one window.
    pub area: usize,
    /// For each window of an image, what is added to the attention logits of its pairs, `(windows, area, area)`; `None`
    /// without a shift.
    pub masks: Option<Arc<Vec<f32>>>,
}

impl Windows {
    /// Over `side · side` rows; `window` is at most `side` and at least one, `shift` is less than `window`.
    pub fn new(side: usize, window: usize, shift: usize) -> Self {
        let full = side.next_multiple_of(window);
        let (along, area) = (full / window, window * window);
        let place = |(row, column): (usize, usize)| {
            let (row, column) = ((row + full - shift) % full, (column + full - shift) % full);
            let number = row / window * along + column / window;
            (number * area + row % window * window + column % window) as u32
        };
        let places = Places { of_image: square(side).map(place).collect(), count: full * full };
        // Stretches of a rolled edge between which the image is torn.
        let stretch = |at: usize| usize::from(at >= full - window) + usize::from(at >= full - shift);
        let region = |number: usize, place: usize| {
            let row = number / along * window + place / window;
            let column = number % along * window + place % window;
            (stretch(row), stretch(column))
        };
        let mask = |number: usize| {
            let pair = move |pair: usize| {
                let torn = region(number, pair / area) != region(number, pair % area);
                if torn { APART } else { 0.0 }
            };
            (0..area * area).map(pair)
        };
        let masks = (shift > 0).then(|| Arc::new((0..along * along).flat_map(mask).collect()));
        Windows { places, area, masks }
    }

    /// Where the windows of some images begin and end.
    pub fn offsets(&self, images: usize) -> Arc<Vec<usize>> {
        Arc::new((0..=images * (self.places.count / self.area)).map(|window| window * self.area).collect())
    }
}

/// Rows and columns of a square, row by row.
fn square(side: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..side * side).map(move |at| (at / side, at % side))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_of_four_in_shifted_windows_of_two_is_torn_as_in_the_paper() {
        let windows = Windows::new(4, 2, 1);
        // Rolled by one, the rows of the image come as 1, 2, 3, 0, and so do its columns.
        let order = [1, 2, 3, 0];
        let expected: Vec<u32> = (0..16)
            .map(|at: usize| {
                let find = |v: usize| order.iter().position(|&o| o == v).unwrap();
                let (row, column) = (find(at / 4), find(at % 4));
                ((row / 2 * 2 + column / 2) * 4 + row % 2 * 2 + column % 2) as u32
            })
            .collect();
        assert_eq!(windows.places.over(1), (Arc::new(expected), 16));
        // The first window is whole; the last holds four corners of the image, each alone.
        let masks = windows.masks.unwrap();
        assert!(masks[..16].iter().all(|v| *v == 0.0));
        let alone: Vec<f32> = (0..16).map(|pair| if pair / 4 == pair % 4 { 0.0 } else { APART }).collect();
        assert_eq!(masks[48..], alone);
    }

    #[test]
    fn sides_that_do_not_fit_are_filled_up_with_empty_places() {
        let windows = Windows::new(3, 2, 0);
        // Windows of four places; those beyond the third row and column stay empty.
        assert_eq!(windows.places.over(1), (Arc::new(vec![0, 1, 4, 2, 3, 6, 8, 9, 12]), 16));
        assert!(windows.masks.is_none());
        let (places, count) = Places::merging(3).over(2);
        assert_eq!(places[..9], [0, 2, 4, 1, 3, 5, 8, 10, 12]);
        assert_eq!((places[9], count), (16, 32));
    }
}
