//! The values of a regression.

use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::label::Label;

/// What values a split has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// The least.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
    /// The largest.
    pub max: f64,
}

impl Values {
    /// Those of the examples; `None` where they have no values.
    pub(super) fn of(data: &Dataset) -> Option<Self> {
        let value = |label: &Option<Label>| match label {
            Some(Label::Value(value)) => Some(*value),
            _ => None,
        };
        let values: Vec<f64> = data.examples.iter().filter_map(|example| value(&example.label)).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        (!values.is_empty()).then(|| Values {
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            mean,
            std: variance.sqrt(),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}
