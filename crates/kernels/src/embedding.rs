//! Rows of tables summed by index, and the gradient added back to the tables.

use rayon::prelude::*;

/// `y[r] = table[ids[r]]`, or `y[r] += …` when `accumulate`. Shapes: `table (count, width)`, `y (ids, width)`.
/// Ids must lie below `count`; the caller has checked them.
pub fn forward(ids: &[u32], table: &[f32], width: usize, y: &mut [f32], accumulate: bool) {
    y.par_chunks_mut(width * 32).zip(ids.par_chunks(32)).for_each(|(y, ids)| {
        for (y, &id) in y.chunks_exact_mut(width).zip(ids) {
            let row = &table[id as usize * width..(id as usize + 1) * width];
            if accumulate {
                y.iter_mut().zip(row).for_each(|(a, b)| *a += b);
            } else {
                y.copy_from_slice(row);
            }
        }
    });
}

/// `dtable[ids[r]] += dy[r]`, in the order of `r`.
pub fn backward(ids: &[u32], dy: &[f32], width: usize, dtable: &mut [f32]) {
    for (&id, dy) in ids.iter().zip(dy.chunks_exact(width)) {
        let row = &mut dtable[id as usize * width..(id as usize + 1) * width];
        row.iter_mut().zip(dy).for_each(|(a, b)| *a += b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backward_is_the_transpose_of_forward() {
        // ⟨forward(T), D⟩ = ⟨T, backward(D)⟩ for all T and D, in whole numbers.
        let (ids, width) = ([3u32, 0, 3, 1], 2);
        let table: Vec<f32> = (0..10).map(|v| v as f32).collect();
        let dy: Vec<f32> = (0..8).map(|v| (v * v % 5) as f32).collect();
        let (mut y, mut dtable) = (vec![0.0; 8], vec![0.0; 10]);
        forward(&ids, &table, width, &mut y, false);
        backward(&ids, &dy, width, &mut dtable);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        assert_eq!(dot(&y, &dy), dot(&table, &dtable));
        assert_eq!(y[..2], [6.0, 7.0]);
        assert_eq!(dtable[8..], [0.0, 0.0]);
    }
}
