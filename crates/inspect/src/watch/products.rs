//! Products with weights: by how much each multiplies second moments.

use xexp_backbones::{Product, Weight};
use xexp_init::{Init, Layer};
use xexp_kernels::sum_of_squares;

use crate::sheet::Reading;

/// Rows whose mutual products tell how many directions an input has.
const ROWS: usize = 96;

/// What a product has made of its inputs.
pub struct Multiplied {
    /// The weight's name.
    pub name: String,
    /// The block.
    pub layer: Option<usize>,
    layer_kind: Layer,
    init: Init,
    own_law: bool,
    terms: f64,
    output: usize,
    /// `tr C²/(tr C)²` of the inputs' second moments: one over their effective dimension.
    concentration: f64,
    x: (f64, usize),
    y: (f64, usize),
    /// Largest magnitudes of inputs and outputs.
    pub max: (f64, f64),
}

fn largest(values: &[f32]) -> f64 {
    f64::from(values.iter().fold(0.0f32, |max, v| if v.is_nan() { f32::NAN } else { max.max(v.abs()) }))
}

/// `Σ (xᵢ·xⱼ)² / (Σ |xᵢ|²)²` over some of the rows.
pub fn concentration(x: &[f32], width: usize) -> f64 {
    let count = x.len() / width.max(1);
    let step = count.div_ceil(ROWS).max(1);
    let rows: Vec<&[f32]> = x.chunks_exact(width.max(1)).step_by(step).collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let (mut squares, mut trace) = (0.0, 0.0);
    for (i, a) in rows.iter().enumerate() {
        let own = dot(a, a);
        trace += own;
        squares += own * own + 2.0 * rows[..i].iter().map(|b| dot(a, b).powi(2)).sum::<f64>();
    }
    if trace > 0.0 { squares / (trace * trace) } else { 1.0 }
}

/// `Σ eᶜ²/(Σ eᶜ)²` of the channels' energies.
fn channels(x: &[f32], width: usize) -> f64 {
    let mut energies = vec![0.0; width];
    for row in x.chunks_exact(width.max(1)) {
        energies.iter_mut().zip(row).for_each(|(e, v)| *e += f64::from(*v).powi(2));
    }
    let (sum, squares) = (energies.iter().sum::<f64>(), energies.iter().map(|e| e * e).sum::<f64>());
    if sum > 0.0 { squares / (sum * sum) } else { 1.0 }
}

impl Multiplied {
    /// `own_law` says whether new weights are drawn by the declared initializer.
    pub(super) fn new(weight: &Weight, layer: Option<usize>, own_law: bool, seen: &Product<'_>) -> Self {
        let concentration = match weight.layer {
            Layer::Linear { .. } | Layer::Transposed { .. } => concentration(seen.x, seen.input),
            // An output has one channel alone, and few may have most of the energy.
            Layer::Conv { groups, .. } if groups > 1 => channels(seen.x, seen.input) * seen.output as f64,
            // A window's inputs overlap with those of its neighbours: nothing is known of their directions.
            _ => 1.0,
        };
        Multiplied {
            name: weight.name.clone(),
            layer,
            layer_kind: weight.layer.clone(),
            init: weight.init,
            own_law,
            terms: seen.terms,
            output: seen.output,
            concentration,
            x: (0.0, 0),
            y: (0.0, 0),
            max: (0.0, 0.0),
        }
    }

    pub(super) fn add(&mut self, seen: &Product<'_>) {
        for (sum, values) in [(&mut self.x, seen.x), (&mut self.y, seen.y)] {
            sum.0 += sum_of_squares(values);
            sum.1 += values.len();
        }
        self.max = (self.max.0.max(largest(seen.x)), self.max.1.max(largest(seen.y)));
    }

    /// Second moments of inputs and outputs.
    pub fn moments(&self) -> (f64, f64) {
        let mean = |(sum, count): (f64, usize)| sum / count.max(1) as f64;
        (mean(self.x), mean(self.y))
    }

    /// `E[y²]/E[x²]`. New weights give `terms · Var(w)`, and over draws of them it spreads by `√(2/(outputs · r))` of that,
    /// with `r` the inputs' effective dimension: an output is `Σ λᵢ zᵢ²` of independent normals, `λ` the spectrum of the
    /// inputs' second moments.
    pub fn gain(&self) -> Reading {
        let (x, y) = self.moments();
        let value = if x > 0.0 { y / x } else { f64::NAN };
        match self.init.std(&self.layer_kind) {
            Ok(std) if std > 0.0 && self.own_law => {
                let spread = (2.0 * self.concentration / self.output as f64).sqrt();
                Reading::of_squares(value, self.terms * std * std, spread)
            }
            _ => Reading::of(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_have_one_direction_and_axes_have_as_many_as_there_are() {
        assert!((concentration(&[1.0, 2.0, 1.0, 2.0, 2.0, 4.0], 2) - 1.0).abs() < 1e-12);
        assert!((concentration(&[1.0, 0.0, 0.0, 1.0], 2) - 0.5).abs() < 1e-12);
        assert_eq!(concentration(&[0.0; 4], 2), 1.0);
    }
}
