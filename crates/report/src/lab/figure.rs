//! Plots that rows ask for.

use serde::{Deserialize, Serialize};

/// A plot of predicted and measured values against a number, such as depth or width. Its data are the rows that have a
/// [`Point`] in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// File name without extension; unique in the experiment.
    pub name: String,
    /// Heading: what is to be seen.
    pub title: String,
    /// What runs to the right.
    pub x_label: String,
    /// What runs upwards.
    pub y_label: String,
    /// Powers of ten to the right.
    pub log_x: bool,
    /// Powers of ten upwards.
    pub log_y: bool,
}

impl Figure {
    /// A figure with linear axes.
    pub fn new(name: &str, title: &str, x_label: &str, y_label: &str) -> Figure {
        let [name, title, x_label, y_label] = [name, title, x_label, y_label].map(str::to_owned);
        Figure { name, title, x_label, y_label, log_x: false, log_y: false }
    }

    /// With powers of ten to the right.
    pub fn log_x(self) -> Figure {
        Figure { log_x: true, ..self }
    }

    /// With powers of ten upwards.
    pub fn log_y(self) -> Figure {
        Figure { log_y: true, ..self }
    }
}

/// Where a row stands in a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// [`Figure::name`].
    pub figure: String,
    /// Name of the line it belongs to.
    pub series: String,
    /// Place on the horizontal axis.
    pub x: f64,
}
