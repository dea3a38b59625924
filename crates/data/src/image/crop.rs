//! Cutting a piece out of an image.

use super::Image;

impl Image {
    /// The middle of the image in another size. Where that is larger than the image, black surrounds it.
    ///
    /// An odd remainder goes to the right and below, where the image is cut, and to the left and above, where it is
    /// padded, as transformers has it.
    pub fn centre(&self, height: usize, width: usize) -> Image {
        let first = |have: usize, want: usize| (have as isize - want as isize).div_euclid(2);
        self.piece((first(self.height, height), first(self.width, width)), (height, width))
    }

    /// `(height, width)` pixels from row `top` and column `left` on; black beyond the image.
    pub fn piece(&self, (top, left): (isize, isize), (height, width): (usize, usize)) -> Image {
        self.with_planes((height, width), |plane| {
            let mut out = vec![0; height * width];
            // Columns of the piece that lie within the image.
            let begin = (-left).clamp(0, width as isize);
            let end = (self.width as isize - left).clamp(begin, width as isize);
            for (y, row) in out.chunks_exact_mut(width.max(1)).enumerate() {
                let from = top + y as isize;
                if (0..self.height as isize).contains(&from) && begin < end {
                    let start = (from * self.width as isize + left + begin) as usize;
                    let length = (end - begin) as usize;
                    row[begin as usize..end as usize].copy_from_slice(&plane[start..start + length]);
                }
            }
            out
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_cut_or_padded_as_transformers_does() {
        let image = Image { channels: 1, height: 2, width: 3, pixels: [1, 2, 3, 4, 5, 6].into() };
        // By transformers 5.23: center_crop of the same array, in its own rounding.
        assert_eq!(&*image.centre(1, 2).pixels, [1, 2]);
        assert_eq!(&*image.centre(5, 4).pixels, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0, 0, 0, 0]);
        assert_eq!(&*image.centre(3, 1).pixels, [0, 2, 5]);
        assert_eq!(&*image.piece((5, 5), (1, 2)).pixels, [0, 0]);
    }
}
