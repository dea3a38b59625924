//! Plots as SVG, without fonts, scripts or network.
//!
//! A plot follows the reader's light or dark colours, tells its series apart by dash as well as by colour, and
//! names every value in a tooltip where it has no room to print it.

mod axis;
mod curves;
mod forest;
mod frame;
mod grid;
mod heat_map;
mod lines;
mod reliability;
mod scatter;
mod svg;

pub use curves::{Curve, CurveChart, Kind, Mark};
pub use forest::{Forest, Ratio};
pub use grid::Grid;
pub use heat_map::HeatMap;
pub use lines::{LineChart, Series};
pub use reliability::{Bin, Reliability};
pub use scatter::Scatter;
pub use svg::Svg;
