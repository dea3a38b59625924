//! What half precision does to activations of the wrong scale: overflow, underflow, rounding.

use serde::{Deserialize, Serialize};
use xexp_init::{Init, Layer};
use xexp_report::lab::{Figure, Row, Rule};

use super::demand::demand;
use super::half_precision::Format;
use super::storage::{Counts, Mode, singles, store};
use crate::moments::second_moment;
use crate::{About, Draw, Experiment, Result, Setup};

/// Stacks of square linear layers with Xavier weights times a gain.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fp16Range {
    /// Factors on the standard deviation of Xavier weights, a set-up each.
    pub gains: Vec<f64>,
    /// Numbers of layers at which the activations are looked at, rising.
    pub layers: Vec<usize>,
    /// Number of layers of which the document speaks.
    pub claimed: usize,
    /// Width.
    pub width: usize,
    /// Inputs a draw.
    pub batch: usize,
}

impl Default for Fp16Range {
    fn default() -> Self {
        Fp16Range {
            gains: vec![10.0, 1.0, 0.1],
            layers: vec![4, 5, 6, 7, 8],
            claimed: 5,
            width: 256,
            batch: 64,
        }
    }
}

/// Overflow beyond which no rounding error is predicted: an infinite value has no finite error.
const NO_OVERFLOW: f64 = 1e-9;

/// Rounding error, carried through the layers, beyond which it no longer adds up in squares.
const SMALL: f64 = 0.3;

impl Fp16Range {
    /// How far the scale of a draw may be off: 2 %, and L/n, half the relative variance 2L/n of one input's squared norm.
    fn slack(&self, layer: usize) -> f64 {
        0.02 + layer as f64 / self.width as f64
    }

    /// A share that depends on the scale, with what the scale's slack makes of it.
    fn share(&self, row: Row, layer: usize, std: f64, share: impl Fn(f64) -> f64) -> Row {
        let slack = self.slack(layer);
        let expected = share(std);
        let counted = (self.width * self.batch) as f64;
        let counting = (0.5 * (expected * (1.0 - expected) / counted).max(0.0).sqrt()).max(1e-4);
        let tolerance = 0.5 * (share(std * (1.0 + slack)) - share(std * (1.0 - slack))).abs() + counting;
        let reason =
            "what a scale off by 2 % + L/n does to the share, and half the spread of a count, at least 1e-4";
        row.near(expected, tolerance, reason)
    }

    /// Error of the activations that are stored after every layer, relative to exact ones; `None` where none is predicted.
    ///
    /// Layers are linear and keep relative errors, and errors of different layers are independent: squares add. A layer
    /// that loses all leaves the error 1.
    fn carried(&self, format: Format, gain: f64, layer: usize) -> Option<f64> {
        let mut sum = 0.0;
        for l in 0..=layer {
            let std = gain.powi(l as i32);
            let error = format.error(std);
            if format.overflow(std) > NO_OVERFLOW {
                return None;
            }
            if error > 1.0 - 1e-9 {
                return Some(1.0);
            }
            sum += error * error;
        }
        Some(sum.sqrt()).filter(|&error| error < SMALL)
    }

    fn rows(&self, name: &str, gain: f64, layer: usize) -> Vec<Row> {
        let std = gain.powi(layer as i32);
        let x = layer as f64;
        let row = |part: &str, quantity: &str| {
            Row::new(format!("{name}/L{layer}/{part}"), quantity, &format!("{part}.{layer}"))
        };
        let claimed = layer == self.claimed;
        let mut scale = row("std", "standard deviation of the activations")
            .about(
                std,
                self.slack(layer),
                "2 % + L/n: the mean square is exact, its root lies L/(4n) below at most",
            )
            .at("std", name, x);
        if claimed && gain != 1.0 {
            scale = scale.claim(
                "A gain of 10 or 0.1 a layer grows or shrinks the standard deviation exponentially, to 1e5 or 1e-5 in 5 layers.",
                Rule::about(std, 0.1),
                "it holds",
            );
        }
        let mut rows = vec![scale];
        let f16 = Format::F16;
        if gain >= 1.0 {
            let mut over =
                self.share(row("ieee-overflow", "share that FP16 stores as infinite"), layer, std, |s| {
                    f16.overflow(s)
                });
            over = over.at("overflow", name, x);
            if claimed && gain > 1.0 {
                over = over.claim(
                    "With a gain of 10 a layer, activations easily overflow FP16 after 5 layers.",
                    Rule::AtLeast { value: 0.1 },
                    "it holds: half of them lie beyond 65 520, from where rounding leads to infinity",
                );
            }
            if claimed && gain == 1.0 {
                over = over.claim(
                    "Xavier weights keep activations from overflowing and underflowing FP16.",
                    Rule::AtMost { value: 1e-3 },
                    "it holds",
                );
            }
            rows.push(over);
        }
        if gain <= 1.0 {
            for (mode, format) in [("ieee", Mode::Ieee.format()), ("ftz", Mode::Ftz.format())] {
                let part = format!("{mode}-zero");
                let mut zero = self
                    .share(row(&part, "share that is stored as zero"), layer, std, |s| format.zero(s))
                    .at("zero", &format!("{name}, {mode}"), x);
                if claimed {
                    zero = if gain < 1.0 {
                        zero.claim(
                            "With a gain of 0.1 a layer, FP16 flushes large numbers of activations to zero after 5 layers.",
                            Rule::AtLeast { value: 0.1 },
                            "IEEE half precision has subnormal numbers down to 6e-8: at 1e-5 nearly all activations are \
                             subnormal, few are zero, and what is lost is digits; it holds where the hardware flushes",
                        )
                    } else {
                        zero.claim(
                            "Xavier weights keep activations from overflowing and underflowing FP16.",
                            Rule::AtMost { value: 1e-3 },
                            "it holds",
                        )
                    };
                }
                rows.push(zero);
            }
        }
        if gain < 1.0 {
            let subnormal = row("ieee-subnormal", "share that FP16 stores as a subnormal number");
            rows.push(self.share(subnormal, layer, std, |s| f16.below_normal(s) - f16.zero(s)));
        }
        for (mode, format) in Mode::of(gain).map(|(mode, m)| (mode, m.format())) {
            if format.overflow(std) > NO_OVERFLOW || (format.flush && gain >= 1.0) {
                continue;
            }
            let slack = self.slack(layer);
            let reason = "5 % + L/n: every representable number's interval is in the prediction; a draw's scale varies";
            let part = format!("{mode}-error");
            rows.push(
                row(&part, "error of storing once, relative to the standard deviation")
                    .about(format.error(std), 0.03 + slack, reason)
                    .at("error", &format!("{name}, {mode}"), x),
            );
            if let Some(error) = self.carried(format, gain, layer) {
                let part = format!("{mode}-carried");
                let quantity =
                    "error when every layer's activations are stored, relative to the standard deviation";
                rows.push(row(&part, quantity).about(
                    error,
                    0.03 + slack,
                    "as for one; squares of layers add",
                ));
            }
        }
        rows
    }
}

impl Experiment for Fp16Range {
    type Setup = f64;

    const ABOUT: About = About {
        id: "fp16-range",
        title: "Half precision and the scale of activations",
        question: "After a few layers of wrong scale, does half precision overflow, flush to zero, or merely round?",
        source: "Document, \"Regularization and numerical precision\"; IEEE 754-2019, sections 3.6, 4.3 and 7",
        method: "A stack of square linear layers with Xavier weights times a gain, on N(0, 1) inputs, in single precision. At \
                 some depths the activations are stored in FP16 with gradual underflow, in FP16 that flushes to zero, and in \
                 bfloat16, and infinite, zero and subnormal results are counted after rounding; a second pass stores after \
                 every layer. A draw is new weights and inputs. The control has FP16 flush to zero where it does not.",
        cost: "3 s",
    };

    fn full() -> Self {
        Fp16Range {
            gains: vec![10.0, 3.0, 1.0, 0.3, 0.1],
            layers: (1..=12).collect(),
            claimed: 5,
            width: 1024,
            batch: 64,
        }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let distinct = self.gains.iter().enumerate().all(|(i, gain)| !self.gains[..i].contains(gain));
        let valid = !self.gains.is_empty() && self.gains.iter().all(|g| (1e-3..=1e3).contains(g)) && distinct;
        demand(id, "gains", &self.gains, valid, "one or more distinct numbers from 0.001 to 1000")?;
        let rising = self.layers.windows(2).all(|pair| pair[0] < pair[1]);
        let valid = !self.layers.is_empty() && rising && self.layers.iter().all(|l| (1..=64).contains(l));
        demand(id, "layers", &self.layers, valid, "one or more rising numbers from 1 to 64")?;
        let deepest = self.layers.last().copied().unwrap_or(0) as f64;
        let scales = self.gains.iter().map(|gain| (deepest * libm::log10(*gain)).abs());
        demand(
            id,
            "gains",
            &self.gains,
            scales.fold(0.0, f64::max) <= 30.0,
            "gain^layers from 1e-30 to 1e30, within f32",
        )?;
        demand(id, "width", self.width, (64..=16_384).contains(&self.width), "64 to 16384")?;
        demand(id, "batch", self.batch, self.batch >= 1, "1 or more")
    }

    fn setups(&self) -> Result<Vec<Setup<f64>>> {
        Ok(self.gains.iter().map(|&gain| Setup::new(format!("gain{gain}"), gain)).collect())
    }

    fn predict(&self, setup: &Setup<f64>) -> Result<Vec<Row>> {
        let mut rows: Vec<Row> =
            self.layers.iter().flat_map(|&layer| self.rows(&setup.name, setup.of, layer)).collect();
        // Where most of what is below the normal range is not zero, the two underflows can be told apart.
        let apart = |&&layer: &&usize| {
            let std = setup.of.powi(layer as i32);
            Format::F16.below_normal(std) - Format::F16.zero(std) > 0.3
        };
        if let Some(&layer) = self.layers.iter().find(apart) {
            let flushed = Mode::Ftz.format().zero(setup.of.powi(layer as i32));
            rows.push(
                Row::new(
                    format!("{}/control", setup.name),
                    "share that IEEE FP16 stores as zero, if it flushed subnormal numbers",
                    &format!("ieee-zero.{layer}"),
                )
                .near(flushed, 0.05, "what flushing hardware does")
                .control(),
            );
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<f64>, draw: &mut Draw<'_>) -> Result<()> {
        let layer = Layer::Linear { input: self.width, output: self.width };
        let input = draw.normal("input", &[self.batch, self.width], 1.0)?;
        let mut exact = input.clone();
        let mut stored = vec![];
        for (name, mode) in Mode::of(setup.of) {
            stored.push((name, mode, store(&input, mode)?));
        }
        for number in 1..=self.layers.last().copied().unwrap_or(0) {
            let weight = draw
                .weight(&format!("weight.{number}"), &layer, Init::xavier_normal().times(setup.of))?
                .t()?;
            exact = exact.matmul(&weight)?;
            for (_, mode, x) in &mut stored {
                *x = store(&x.matmul(&weight)?, *mode)?;
            }
            if self.layers.contains(&number) {
                let std = second_moment(&exact)?.sqrt();
                draw.record(&format!("std.{number}"), std)?;
                let exact = singles(&exact)?;
                for (name, mode, x) in &stored {
                    Counts::of(&exact, *mode).record(draw, name, number, std)?;
                    let carried =
                        singles(x)?.iter().zip(&exact).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
                    if carried.is_finite() {
                        draw.record(
                            &format!("{name}-carried.{number}"),
                            (carried / exact.len() as f64).sqrt() / std,
                        )?;
                    }
                }
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("std", "Scale of the activations", "layer", "standard deviation").log_y(),
            Figure::new("overflow", "FP16: infinite", "layer", "share"),
            Figure::new("zero", "Stored as zero", "layer", "share"),
            Figure::new("error", "Error of storing once", "layer", "relative error").log_y(),
        ]
    }
}
