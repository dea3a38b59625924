//! Neighbouring rows side by side: what a convolution over a sequence multiplies.

use super::{Graph, Var};
use std::sync::Arc;

/// The taps of a convolution over sequences: calls `visit(row, tap, neighbour)` for each tap that falls on a token of the
/// same sequence, with the tap in the middle on the row itself.
fn taps(offsets: &[usize], count: usize, mut visit: impl FnMut(usize, usize, usize)) {
    for range in offsets.windows(2) {
        for row in range[0]..range[1] {
            for tap in 0..count {
                let Some(neighbour) = (row + tap).checked_sub(count / 2) else { continue };
                if (range[0]..range[1]).contains(&neighbour) {
                    visit(row, tap, neighbour);
                }
            }
        }
    }
}

impl Graph<'_, '_> {
    /// `(rows, width · count)`: column `c · count + tap` of a row is column `c` of its neighbour `tap − count/2` rows on,
    /// zero beyond the ends of its sequence; `count` is odd. A dense layer of this, its weight `(output, width, count)`, is
    /// a convolution over the sequence that keeps its length.
    pub fn unfold(&mut self, x: &Var, count: usize, offsets: &Arc<Vec<usize>>) -> Var {
        let width = x.width();
        let mut y = self.pass.pool.zeros(x.values().len() * count);
        taps(offsets, count, |row, tap, neighbour| {
            let values = &x.values()[neighbour * width..(neighbour + 1) * width];
            let columns = y[row * width * count..(row + 1) * width * count].chunks_exact_mut(count);
            columns.zip(values).for_each(|(column, value)| column[tap] = *value);
        });
        let (place, offsets) = (x.place(), offsets.clone());
        self.record(y, width * count, self.wants(&[x], []), move |descent, dy| {
            let mut dx = descent.open_zeroed(place);
            if let Some(dx) = &mut dx {
                taps(&offsets, count, |row, tap, neighbour| {
                    let sums = &mut dx[neighbour * width..(neighbour + 1) * width];
                    let columns = dy[row * width * count..(row + 1) * width * count].chunks_exact(count);
                    sums.iter_mut().zip(columns).for_each(|(sum, column)| *sum += column[tap]);
                });
            }
            descent.close(place, dx);
            Ok(())
        })
    }
}
