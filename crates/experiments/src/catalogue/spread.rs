//! How far draws lie apart for finite sizes, and the tolerance that follows.

/// Relative tolerance: `least`, or half the relative spread of one draw where that is more. An interval over 80 draws has
/// a half-width of 0.29 spreads, so half a spread is what 80 draws resolve.
pub(crate) fn tolerance(least: f64, spread: f64) -> f64 {
    least.max(0.5 * spread)
}

/// Relative spread of the mean square over `output` channels and `batch` independent inputs of `input` values behind one
/// random linear map: `√(2 (1/batch + 1/input) / output)`, since a channel's mean square over the batch is a quadratic
/// form of that effective rank, and channels are independent.
pub(crate) fn of_map(input: usize, output: usize, batch: usize) -> f64 {
    (2.0 * (1.0 / batch as f64 + 1.0 / input as f64) / output as f64).sqrt()
}

/// Depths at which a stack of `depth` blocks is looked at: 1, 2, 5, 10, … below it, and the depth itself.
pub(crate) fn checkpoints(depth: usize) -> Vec<usize> {
    let mut points = vec![];
    let mut decade = 1;
    while decade < depth {
        points.extend([1, 2, 5].map(|step| step * decade).into_iter().filter(|&point| point < depth));
        decade = decade.saturating_mul(10);
    }
    points.push(depth);
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_rise_to_the_depth() {
        assert_eq!(checkpoints(1), [1]);
        assert_eq!(checkpoints(10), [1, 2, 5, 10]);
        assert_eq!(checkpoints(11), [1, 2, 5, 10, 11]);
        assert_eq!(checkpoints(40), [1, 2, 5, 10, 20, 40]);
    }
}
