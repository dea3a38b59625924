//! What a head is given, against the assumption that pretrained features are `N(0, 1)`.

use xexp_experiments::catalogue::spectrum::{largest_of, second_moments, wishart_edge};
use xexp_heads::{Features, Moments};

use crate::sheet::{Column, Reading, Row, Sheet, Value};

const COLUMNS: &[Column] = &[
    Column { name: "examples", what: "examples", brief: true },
    Column { name: "width", what: "number of features", brief: true },
    Column { name: "mean", what: "mean over examples and features; 0 if N(0, 1)", brief: true },
    Column {
        name: "variance",
        what: "variance over examples, in the mean over features; 1 if N(0, 1)",
        brief: true,
    },
    Column { name: "second_moment", what: "E φ²; 1 if N(0, 1)", brief: true },
    Column {
        name: "mean_share", what: "share of the mean vector in E‖φ‖²; 1/n if N(0, 1)", brief: true
    },
    Column {
        name: "with_mean",
        what: "share of features whose mean is beyond a quarter of their standard deviation",
        brief: false,
    },
    Column {
        name: "variance_low",
        what: "the variance that a tenth of the features fall below",
        brief: false,
    },
    Column { name: "variance_high", what: "the variance that a tenth of the features exceed", brief: false },
    Column {
        name: "lambda",
        what: "largest eigenvalue of E φφᵀ; the Marchenko–Pastur edge if N(0, 1)",
        brief: true,
    },
    Column {
        name: "lambda_centred",
        what: "largest eigenvalue of the covariance; the same edge",
        brief: true,
    },
    Column {
        name: "dimension", what: "(tr C)²/tr C² of the covariance; dn/(d + n) if N(0, 1)", brief: true
    },
];

/// What a head is given.
pub struct Input {
    /// Moments over examples and features.
    pub moments: Moments,
    /// Largest eigenvalue of the second moments.
    pub lambda: f64,
    /// Largest eigenvalue of the covariance.
    pub centred: f64,
    /// The numbers beside those of `N(0, 1)`.
    pub sheet: Sheet,
}

/// Of features of two examples and more.
pub fn measure(features: &Features) -> Option<Input> {
    let Features { values, width } = features;
    let (n, d) = ((values.len() / width.max(&1)) as f64, *width as f64);
    if n < 2.0 || values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let moments = Moments::of(values, *width);
    let mut second = second_moments(values, *width);
    let lambda = largest_of(&second, *width);
    let mut means = vec![0.0; *width];
    for row in values.chunks_exact(*width) {
        means.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / n);
    }
    for (a, line) in means.iter().zip(second.chunks_exact_mut(*width)) {
        line.iter_mut().zip(&means).for_each(|(c, b)| *c -= a * b);
    }
    let mut variances: Vec<f64> = second.iter().step_by(width + 1).copied().collect();
    let far = means.iter().zip(&variances).filter(|(m, v)| m.abs() > 0.25 * v.max(0.0).sqrt()).count();
    let centred = largest_of(&second, *width);
    let (trace, squares) = (variances.iter().sum::<f64>(), second.iter().map(|c| c * c).sum::<f64>());
    variances.sort_by(f64::total_cmp);
    let quantile = |share: f64| variances[((variances.len() - 1) as f64 * share).round() as usize];
    let edge = wishart_edge(n as usize, *width) / n;
    let free = (n - 1.0) / n;
    let within =
        |value: f64, expected: f64, deviation: f64| Value::from(Reading::within(value, expected, deviation));
    let mut sheet = Sheet::new("features", "What a head is given", COLUMNS);
    sheet.rows.push(Row {
        layer: None,
        head: None,
        name: "features".into(),
        values: vec![
            Value::Count(n as u64),
            Value::Count(*width as u64),
            within(moments.mean, 0.0, (1.0 / (n * d)).sqrt()),
            within(moments.variance, free, (2.0 / (n * d)).sqrt()),
            within(moments.second_moment, 1.0, (2.0 / (n * d)).sqrt()),
            // ‖mean‖² is χ²_d/n beside a total of d.
            within(moments.mean_share, 1.0 / n, (2.0 / d).sqrt() / n),
            Reading::of(far as f64 / d).into(),
            Reading::of(quantile(0.1)).into(),
            Reading::of(quantile(0.9)).into(),
            Reading::beside(lambda, edge).into(),
            Reading::beside(centred, edge).into(),
            Reading::beside(trace * trace / squares, d * n / (d + n)).into(),
        ],
    });
    Some(Input { moments, lambda, centred, sheet })
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_init::Seed;

    #[test]
    fn normal_features_are_as_expected_and_shifted_ones_are_not() {
        let (n, width) = (400, 24);
        let mut stream = Seed(2).stream("features");
        let mut values: Vec<f32> = (0..n * width).map(|_| stream.normal() as f32).collect();
        let found = measure(&Features { values: values.clone(), width }).unwrap();
        let row = &found.sheet.rows[0];
        for column in ["mean", "variance", "second_moment", "mean_share"] {
            let z = found.sheet.reading(row, column).unwrap().z().unwrap();
            assert!(z.abs() < 4.0, "{column}: {z}");
        }
        for column in ["lambda", "lambda_centred", "dimension"] {
            let ratio = found.sheet.reading(row, column).unwrap().ratio().unwrap();
            assert!((ratio - 1.0).abs() < 0.1, "{column}: {ratio}");
        }
        values.iter_mut().for_each(|v| *v += 2.0);
        let shifted = measure(&Features { values, width }).unwrap();
        // λ of the second moments is about d μ².
        assert!(shifted.lambda > 0.9 * 24.0 * 4.0 && (shifted.centred / found.centred - 1.0).abs() < 1e-3);
        assert!(measure(&Features { values: vec![1.0; 24], width }).is_none());
    }
}
