//! Stratified splits.

use crate::error::{Error, Result};

/// A training and a validation part; indices ascend in both, so that only *which* rows are taken is random.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Indices for training.
    pub train: Vec<usize>,
    /// Indices for validation.
    pub valid: Vec<usize>,
    /// Classes with a single example: it is in `train`, and validation says nothing about them.
    pub single: Vec<usize>,
}

/// Splits examples, given by their class ids, so that `fraction` of them, and as nearly as can be of every class,
/// validate.
///
/// The size of `valid` is `fraction` of all rows, rounded, at least 1; each class's share of it follows by the method
/// of largest remainders, equal remainders by the lower id; and every class keeps at least one example for training.
/// `shuffle` is the shuffle of a named random stream; it is called once a class, in the order of the ids.
///
/// Source: largest remainders (Hamilton's apportionment), Balinski and Young 1982.
///
/// # Errors
/// [`Error::Fraction`] outside of (0, 1); [`Error::SplitSize`] when the rows do not suffice.
pub fn stratified_split(
    labels: &[usize],
    fraction: f64,
    shuffle: &mut dyn FnMut(&mut [usize]),
) -> Result<Split> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Error::Fraction { found: fraction });
    }
    let classes = by_class(labels);
    let capacity: Vec<usize> = classes.iter().map(|members| members.len().saturating_sub(1)).collect();
    let wanted = ((labels.len() as f64 * fraction).round() as usize).max(1);
    if wanted > capacity.iter().sum() {
        let classes = classes.iter().filter(|members| !members.is_empty()).count();
        return Err(Error::SplitSize { wanted, rows: labels.len(), classes });
    }
    let single = (0..classes.len()).filter(|&class| classes[class].len() == 1).collect();
    let (valid, train) = draw(classes, &capacity, wanted, labels.len(), shuffle);
    Ok(Split { train, valid, single })
}

/// `count` of the examples, given by their class ids, with every class's share kept as nearly as can be; ascending.
///
/// Shares follow by the method of largest remainders, as in [`stratified_split`]; a class may come out empty when
/// `count` is smaller than the number of classes.
///
/// # Errors
/// [`Error::SampleSize`] when `count` is 0 or more than there are.
pub fn stratified_sample(
    labels: &[usize],
    count: usize,
    shuffle: &mut dyn FnMut(&mut [usize]),
) -> Result<Vec<usize>> {
    if count == 0 || count > labels.len() {
        return Err(Error::SampleSize { wanted: count, rows: labels.len() });
    }
    let classes = by_class(labels);
    let capacity: Vec<usize> = classes.iter().map(Vec::len).collect();
    Ok(draw(classes, &capacity, count, labels.len(), shuffle).0)
}

/// The indices of each class, by class id.
fn by_class(labels: &[usize]) -> Vec<Vec<usize>> {
    let mut classes = vec![Vec::new(); labels.iter().max().map_or(0, |last| last + 1)];
    for (index, &label) in labels.iter().enumerate() {
        classes[label].push(index);
    }
    classes
}

/// Draws `wanted` indices; returns those and the rest, both ascending.
fn draw(
    classes: Vec<Vec<usize>>,
    capacity: &[usize],
    wanted: usize,
    rows: usize,
    shuffle: &mut dyn FnMut(&mut [usize]),
) -> (Vec<usize>, Vec<usize>) {
    let seats = seats(&classes, capacity, wanted, rows);
    let (mut taken, mut rest) = (Vec::with_capacity(wanted), Vec::with_capacity(rows - wanted));
    for (mut members, seats) in classes.into_iter().zip(seats) {
        shuffle(&mut members);
        taken.extend_from_slice(&members[..seats]);
        rest.extend_from_slice(&members[seats..]);
    }
    taken.sort_unstable();
    rest.sort_unstable();
    (taken, rest)
}

/// How many of each class are among the `wanted`. The capacities together suffice.
fn seats(classes: &[Vec<usize>], capacity: &[usize], wanted: usize, rows: usize) -> Vec<usize> {
    // In whole numbers: a class's quota is members · wanted / rows, its remainder is a count of 1/rows.
    let quota = |class: usize| classes[class].len() as u128 * wanted as u128;
    let rows = rows as u128;
    let mut seats: Vec<usize> =
        (0..classes.len()).map(|class| ((quota(class) / rows) as usize).min(capacity[class])).collect();
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by_key(|&class| (std::cmp::Reverse(quota(class) % rows), class));
    let mut left = wanted - seats.iter().sum::<usize>();
    // More than one round only where capacities cut the shares of the classes with the largest remainders.
    while left > 0 {
        for &class in &order {
            if left > 0 && seats[class] < capacity[class] {
                seats[class] += 1;
                left -= 1;
            }
        }
    }
    seats
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fisher–Yates on a linear congruential generator: any shuffle serves.
    fn shuffler(seed: u64) -> impl FnMut(&mut [usize]) {
        let mut state = seed;
        move |items| {
            for i in (1..items.len()).rev() {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                items.swap(i, (state >> 33) as usize % (i + 1));
            }
        }
    }

    fn labels(counts: &[usize]) -> Vec<usize> {
        // Interleaved, so that class membership is not a range of indices.
        let mut labels: Vec<usize> =
            counts.iter().enumerate().flat_map(|(class, &n)| vec![class; n]).collect();
        shuffler(1)(&mut labels);
        labels
    }

    fn counts(indices: &[usize], labels: &[usize], classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        indices.iter().for_each(|&index| counts[labels[index]] += 1);
        counts
    }

    #[test]
    fn shares_are_those_of_largest_remainders_by_hand() {
        // 0.3 of 20 is 6; quotas 3.3, 1.5, 1.2: floors 3, 1, 1, and the sixth to the second class.
        let labels = labels(&[11, 5, 4]);
        let split = stratified_split(&labels, 0.3, &mut shuffler(7)).unwrap();
        assert_eq!(counts(&split.valid, &labels, 3), [3, 2, 1]);
        assert_eq!(counts(&split.train, &labels, 3), [8, 3, 3]);
        assert_eq!(split.single, Vec::<usize>::new());
    }

    #[test]
    fn total_is_exact_parts_are_disjoint_and_every_class_stays_in_training() {
        let mut state = 3_u64;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 33) as usize % n
        };
        for _ in 0..300 {
            let class_counts: Vec<usize> = (0..1 + below(12)).map(|_| 1 + below(30)).collect();
            let labels = labels(&class_counts);
            let fraction = (1 + below(9)) as f64 / 10.0;
            let n = labels.len();
            let wanted = ((n as f64 * fraction).round() as usize).max(1);
            match stratified_split(&labels, fraction, &mut shuffler(5)) {
                Ok(split) => {
                    assert_eq!(split.valid.len(), wanted);
                    let mut all = [split.train.clone(), split.valid.clone()].concat();
                    all.sort_unstable();
                    assert_eq!(all, (0..n).collect::<Vec<_>>());
                    let train = counts(&split.train, &labels, class_counts.len());
                    let valid = counts(&split.valid, &labels, class_counts.len());
                    assert!(train.iter().all(|&count| count >= 1));
                    let single: Vec<usize> =
                        (0..class_counts.len()).filter(|&class| class_counts[class] == 1).collect();
                    assert_eq!(split.single, single);
                    // The quota rule of Hamilton's method, where no class is short of rows.
                    if class_counts.iter().all(|&count| count as f64 * fraction + 1.0 < count as f64) {
                        for (seats, count) in valid.iter().zip(&class_counts) {
                            let quota = *count as f64 * wanted as f64 / n as f64;
                            assert!((*seats as f64 - quota).abs() < 1.0, "{seats} {quota}");
                        }
                    }
                }
                Err(error) => {
                    assert!(matches!(error, Error::SplitSize { .. }) && wanted > n - class_counts.len());
                }
            }
        }
    }

    #[test]
    fn a_single_example_trains() {
        let labels = [0, 1, 1, 1, 2, 1, 1];
        let split = stratified_split(&labels, 0.4, &mut shuffler(2)).unwrap();
        assert_eq!(split.single, [0, 2]);
        assert!(split.train.contains(&0) && split.train.contains(&4));
        assert_eq!(split.valid.len(), 3);
    }

    #[test]
    fn the_shuffle_decides_which_rows_and_nothing_else() {
        let labels = labels(&[40, 20]);
        let a = stratified_split(&labels, 0.25, &mut shuffler(1)).unwrap();
        assert_eq!(a, stratified_split(&labels, 0.25, &mut shuffler(1)).unwrap());
        let b = stratified_split(&labels, 0.25, &mut shuffler(2)).unwrap();
        assert_ne!(a.valid, b.valid);
        assert_eq!(counts(&a.valid, &labels, 2), counts(&b.valid, &labels, 2));
        assert!(a.train.is_sorted() && a.valid.is_sorted());
    }

    #[test]
    fn impossible_splits_are_refused() {
        for fraction in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(matches!(
                stratified_split(&[0, 1, 0], fraction, &mut |_| {}),
                Err(Error::Fraction { .. })
            ));
        }
        let error = stratified_split(&[0, 1, 2], 0.5, &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::SplitSize { wanted: 2, rows: 3, classes: 3 }), "{error}");
        assert!(stratified_split(&[], 0.5, &mut |_| {}).is_err());
    }

    #[test]
    fn samples_keep_the_shares_and_may_take_all() {
        let labels = labels(&[60, 30, 10]);
        let sample = stratified_sample(&labels, 20, &mut shuffler(4)).unwrap();
        assert_eq!(counts(&sample, &labels, 3), [12, 6, 2]);
        let all = stratified_sample(&labels, 100, &mut shuffler(4)).unwrap();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert!(stratified_sample(&labels, 101, &mut shuffler(4)).is_err());
        assert!(stratified_sample(&labels, 0, &mut shuffler(4)).is_err());
    }
}
