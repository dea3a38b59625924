//! Xavier counts linear layers; with a real nonlinearity the signal drifts by a map that is known.

use serde::{Deserialize, Serialize};
use xexp_init::{Activation, Init, Layer};
use xexp_report::lab::{Figure, Looks, Row, Rule, Statistic};

use super::demand::{demand, fits};
use super::planes::{resolution, wrapped};
use crate::moments::second_moment;
use crate::{About, Draw, Experiment, Result, Setup};

/// Convolutional networks with an activation after each layer, without a border.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XavierActivationDrift {
    /// Channels, in and out.
    pub channels: usize,
    /// Side of the kernel, odd.
    pub kernel: usize,
    /// Side of the square image, in pixels; it wraps around.
    pub side: usize,
    /// Images a draw.
    pub batch: usize,
    /// After how many layers the signal is measured, rising.
    pub depths: Vec<usize>,
}

impl Default for XavierActivationDrift {
    fn default() -> Self {
        XavierActivationDrift { channels: 64, kernel: 3, side: 8, batch: 1, depths: vec![1, 3, 6, 10] }
    }
}

/// An activation with its weights.
pub struct Net {
    activation: Activation,
    init: Init,
    /// Factor of the second moment by the linear layer.
    gain: f64,
}

impl XavierActivationDrift {
    fn layer(&self) -> Layer {
        let (channels, kernel) = (self.channels, vec![self.kernel; 2]);
        Layer::Conv { input: channels, output: channels, kernel, stride: vec![1; 2], groups: 1 }
    }

    fn deepest(&self) -> usize {
        self.depths.last().copied().unwrap_or(0)
    }

    /// `E[h²]` after `depth` layers: `q ← E[φ(√(gain·q) z)²]` from 1.
    fn second_moment(net: &Net, depth: usize) -> Result<f64> {
        (0..depth).try_fold(1.0, |q, _| Ok(net.activation.second_moment(net.gain * q)?))
    }

    fn tolerance(&self, setup: &Setup<Net>, depth: usize) -> (f64, &'static str) {
        let depth = depth as f64;
        if setup.of.activation == Activation::Relu {
            // Four standard errors in place of three: the bootstrap of heavy tails is wider.
            let variance = (4.0_f64 / 3.0).powi(2) * 5.0 * depth / self.channels as f64;
            let reason = "4 %, or four standard errors of the last look if that is more, at a log variance of 5L/c: the \
                          mean over weights is exact at every width, the draws are heavy-tailed";
            (resolution(0.04, variance, &setup.looks), reason)
        } else {
            let fan = (self.channels * self.kernel * self.kernel) as f64;
            let reason = "3 %, or 2L/(c·k²) if that is more: the map is that of infinite width; it bends by −2q² at the \
                          second moment q, and q fluctuates by about 2l/(c·k²) after l layers, which sums to 2L/(c·k²)";
            ((2.0 * depth / fan).max(0.03), reason)
        }
    }
}

impl Experiment for XavierActivationDrift {
    type Setup = Net;

    const ABOUT: About = About {
        id: "xavier-activation-drift",
        title: "Xavier with a real nonlinearity",
        question: "Does Xavier initialization keep the signal of a deep network that has ReLU or tanh after its layers?",
        source: "Document, introduction and \"Various network layers\"; He et al. 2015, eq. 7; Poole et al. 2016, eq. 3",
        method: "A stack of convolutions on an image that wraps around, as many channels out as in, an activation after each, \
                 on N(0, 1) images. A draw is a new stack and a new image; it measures E[h²] after the activation at several \
                 depths. ReLU and tanh with Xavier weights, and each with the gain that is used for it: √2 for ReLU (He), \
                 5/3 for tanh (the table of PyTorch and candle). ReLU stacks are heavy-tailed and take hundreds of draws. \
                 The control counts linear layers only.",
        cost: "10 s",
    };

    fn full() -> Self {
        XavierActivationDrift { channels: 128, side: 16, depths: vec![1, 3, 10, 20], ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let odd = self.kernel % 2 == 1 && self.kernel <= self.side;
        demand(id, "kernel", self.kernel, odd, "an odd number, at most `side`")?;
        let rising = self.depths.windows(2).all(|pair| pair[0] < pair[1]);
        // Beyond, 2^-L leaves the range of f32.
        let some = rising && self.depths.first().is_some_and(|&depth| depth > 0) && self.deepest() <= 100;
        demand(id, "depths", &self.depths, some, "one or more rising numbers, from 1 to 100")?;
        let fit = fits(&[self.channels, self.channels, self.kernel, self.kernel])
            && fits(&[self.batch, self.channels, self.side, self.side, 4]);
        demand(id, "channels", self.channels, fit, "1 or more, with `batch` and `side` that fit memory")
    }

    fn setups(&self) -> Result<Vec<Setup<Net>>> {
        let table = Activation::Tanh.table_gain().unwrap_or(1.0);
        // Uniform weights cost a quarter of normal ones, and a ReLU's mean is exact for every symmetric law.
        let nets = [
            ("relu-xavier", Activation::Relu, Init::xavier_uniform(), 1.0),
            ("relu-he", Activation::Relu, Init::xavier_uniform().times(2.0_f64.sqrt()), 2.0),
            ("tanh-xavier", Activation::Tanh, Init::xavier_normal(), 1.0),
            ("tanh-table", Activation::Tanh, Init::xavier_normal().times(table), table * table),
        ];
        nets.into_iter()
            .map(|(name, activation, init, gain)| {
                let setup = Setup::new(name, Net { activation, init, gain });
                // Heavy-tailed draws: few looks, so that each spends much of the error rate, and many draws.
                let heavy = activation == Activation::Relu;
                let looks = if heavy { Looks::at(&[200, 640])? } else { Looks::default() };
                Ok(Setup { looks, ..setup })
            })
            .collect()
    }

    fn predict(&self, setup: &Setup<Net>) -> Result<Vec<Row>> {
        let xavier = setup.of.gain == 1.0;
        let relu = setup.of.activation == Activation::Relu;
        let claim =
            "Xavier initialization keeps the signal's scale through a deep network with its activations.";
        let why = if relu {
            "a ReLU lets half of the second moment through, so that L layers leave 2^-L"
        } else {
            "tanh takes 2q² off a second moment q, so that L layers leave about 1/(2L)"
        };
        let mut rows = vec![];
        for &depth in &self.depths {
            let value = Self::second_moment(&setup.of, depth)?;
            let (tolerance, reason) = self.tolerance(setup, depth);
            let measure = format!("depth-{depth}");
            let mut row = Row::new(
                format!("{}/{measure}", setup.name),
                "E[h²] after the activation of that layer",
                &measure,
            )
            .about(value, tolerance, reason)
            .at("depth", &setup.name, depth as f64);
            if relu {
                row = row.by(Statistic::SkewedMean { of: measure });
            }
            if xavier {
                row = row.claim(claim, Rule::about(1.0, tolerance.max(0.1)), why);
            }
            rows.push(row);
        }
        if xavier {
            let depth = self.deepest();
            let (tolerance, reason) = self.tolerance(setup, depth);
            let row =
                Row::new(format!("{}/control", setup.name), "E[h²], counting linear layers only", "last");
            rows.push(row.about(1.0, tolerance, reason).control());
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Net>, draw: &mut Draw<'_>) -> Result<()> {
        let mut x = draw.normal("input", &[self.batch, self.channels, self.side, self.side], 1.0)?;
        for depth in 1..=self.deepest() {
            let weight = draw.weight(&format!("weight-{depth}"), &self.layer(), setup.of.init)?;
            let y = wrapped(&x, self.kernel / 2)?.conv2d(&weight, 0, 1, 1, 1)?;
            x = if setup.of.activation == Activation::Relu { y.relu()? } else { y.tanh()? };
            if self.depths.contains(&depth) {
                let moment = second_moment(&x)?;
                draw.record(&format!("depth-{depth}"), moment)?;
                if depth == self.deepest() {
                    draw.record("last", moment)?;
                }
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::new("depth", "Drift with depth", "layers", "E[h²]").log_y()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_halves_for_relu_and_follows_its_series_for_tanh() {
        let net = |activation| Net { activation, init: Init::xavier_normal(), gain: 1.0 };
        let after =
            |activation, depth| XavierActivationDrift::second_moment(&net(activation), depth).unwrap();
        assert!((after(Activation::Relu, 10) * 1024.0 - 1.0).abs() < 1e-12);
        // 1/q grows by 2 a layer once q is small: q' = q − 2q² + 17q³/3 gives 1/q' = 1/q + 2 − 5q/3 + …
        let (early, late) = (after(Activation::Tanh, 5000), after(Activation::Tanh, 5001));
        assert!((late.recip() - early.recip() - (2.0 - 5.0 / 3.0 * early)).abs() < 1e-5);
    }
}
