//! Entropy of attention from the variance of its logits: exact at every number of keys, with the two phases beside it.

use serde::{Deserialize, Serialize};
use xexp_report::lab::{Figure, Row, Rule};

use super::entropy_law::{
    RowLaw, critical_sigma, frozen_entropy, frozen_participation, is_liquid, largest, liquid_entropy,
    liquid_participation, of_row,
};
use crate::{About, Draw, Error, Experiment, Result, Setup};

/// Rows of independent Gaussian logits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttnEntropyLaw {
    /// `[keys, variance]` of rows in the liquid phase.
    pub variances: Vec<(usize, f64)>,
    /// `[keys, multiple]` of rows whose standard deviation is that multiple of `√(2 ln n)`, where they freeze.
    pub multiples: Vec<(usize, f64)>,
    /// `[tokens, variance]` of causal attention, whose row `i` sees `i` keys.
    pub causal: Vec<(usize, f64)>,
    /// Rows a draw; of causal attention, whole triangles that have at least as many rows.
    pub rows: usize,
}

impl Default for AttnEntropyLaw {
    fn default() -> Self {
        let half = core::f64::consts::FRAC_1_SQRT_2;
        AttnEntropyLaw {
            variances: vec![
                (64, 0.1),
                (64, 0.25),
                (64, 1.0),
                (512, 0.25),
                (512, 1.0),
                (512, 2.0),
                (4096, 0.1),
                (4096, 1.0),
                (4096, 2.0),
            ],
            multiples: vec![
                (64, half),
                (512, half),
                (4096, half),
                (64, 1.5),
                (64, 2.0),
                (64, 4.0),
                (512, 4.0),
                (4096, 4.0),
            ],
            causal: vec![(128, 1.0)],
            rows: 100,
        }
    }
}

/// One kind of row.
pub struct Rows {
    keys: usize,
    variance: f64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Variance,
    /// In multiples of the critical σ.
    Multiple(f64),
    Causal,
}

/// Draws at the last look.
const DRAWS: f64 = 160.0;

/// From where on the frozen forms are meant: below, the row is still near its transition.
const FROZEN: (f64, f64) = (1.5, 4.0);

impl Experiment for AttnEntropyLaw {
    type Setup = Rows;

    const ABOUT: About = About {
        id: "attn-entropy-law",
        title: "Entropy of attention from the variance of its logits",
        question: "If the logits of a row are independent and Gaussian, how spread is the attention, for any number of keys?",
        source: "Document, \"Recurrence and attention\"; the two phases are those of the random energy model (Derrida 1981); \
                 the exact form at finite n is integrated here",
        method: "Rows of n independent N(0, σ²) logits, their softmax in double precision, its entropy H and Σp². A draw is \
                 a hundred new rows. The prediction is an integral that is exact at every n and σ; the closed forms of the \
                 liquid phase (σ² below 2 ln n) and of the frozen phase (above) stand where they are meant to hold. The \
                 control is the frozen phase's limit for n → ∞, in which √(2 ln n) stands for the largest logit.",
        cost: "4 s",
    };

    fn full() -> Self {
        AttnEntropyLaw { rows: 400, ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        let refuse = |parameter, found: String, expected| {
            Err(Error::Parameter { experiment: Self::ABOUT.id, parameter, found, expected })
        };
        let bad = |pairs: &[(usize, f64)], most: f64| {
            pairs.iter().copied().find(|&(n, x)| !((2..=1 << 20).contains(&n) && x > 0.0 && x <= most))
        };
        for (parameter, pairs, most, expected) in [
            (
                "variances",
                &self.variances,
                400.0,
                "pairs of 2 to 1048576 keys and a variance above 0, at most 400",
            ),
            (
                "multiples",
                &self.multiples,
                20.0,
                "pairs of 2 to 1048576 keys and a multiple above 0, at most 20",
            ),
            (
                "causal",
                &self.causal,
                400.0,
                "pairs of 2 to 1048576 tokens and a variance above 0, at most 400",
            ),
        ] {
            if let Some(found) = bad(pairs, most) {
                return refuse(parameter, format!("{found:?}"), expected);
            }
        }
        if let Some(&(n, _)) = self.causal.iter().find(|(n, _)| *n > 4096) {
            return refuse("causal", n.to_string(), "at most 4096 tokens: a triangle has n²/2 logits");
        }
        if self.rows == 0 {
            return refuse("rows", "0".to_owned(), "1 or more");
        }
        if self.variances.is_empty() && self.multiples.is_empty() && self.causal.is_empty() {
            return refuse("variances", "[]".to_owned(), "at least one kind of row among the three lists");
        }
        Ok(())
    }

    fn setups(&self) -> Result<Vec<Setup<Rows>>> {
        let variance = |&(keys, variance): &(usize, f64)| {
            Setup::new(format!("n{keys}-var{variance}"), Rows { keys, variance, kind: Kind::Variance })
        };
        let multiple = |&(keys, multiple): &(usize, f64)| {
            let sigma = multiple * critical_sigma(keys);
            let rows = Rows { keys, variance: sigma * sigma, kind: Kind::Multiple(multiple) };
            Setup::new(format!("n{keys}-x{}", (1000.0 * multiple).round() / 1000.0), rows)
        };
        let causal = |&(keys, variance): &(usize, f64)| {
            Setup::new(format!("causal{keys}-var{variance}"), Rows { keys, variance, kind: Kind::Causal })
        };
        let (a, b, c) = (self.variances.iter(), self.multiples.iter(), self.causal.iter());
        Ok(a.map(variance).chain(b.map(multiple)).chain(c.map(causal)).collect())
    }

    fn predict(&self, setup: &Setup<Rows>) -> Result<Vec<Row>> {
        let &Rows { keys: n, variance, kind } = &setup.of;
        let name = |part: &str| format!("{}/{part}", setup.name);
        let all = (n as f64).ln();
        // The spread of H in a row is at most about its mean, and small where attention is spread out.
        let drawn = (self.rows as f64 * DRAWS).sqrt();
        let sigma = variance.sqrt();
        let multiple = sigma / critical_sigma(n);
        let of_entropy = if multiple < 0.5 { 0.01 } else { 0.01 + 5.0 / drawn };
        let exact = "the value is exact: 1 % and, from half the critical σ on, where H spreads by as much as its mean, five \
                     standard errors of all rows";
        let entropy =
            |part: &str| Row::new(name(part), "mean entropy of a row of attention", "entropy").unit("nats");
        if kind == Kind::Causal {
            let mean = (1..=n).map(|keys| RowLaw::new(keys, variance).entropy).sum::<f64>() / n as f64;
            let most = (1..=n).map(|keys| (keys as f64).ln()).sum::<f64>() / n as f64;
            return Ok(vec![
                entropy("entropy").about(mean, of_entropy, exact),
                entropy("bound").at_most(most, "row i sees i keys, so the mean is at most ln(n!)/n"),
                entropy("control").about(RowLaw::new(n, variance).entropy, of_entropy, exact).control(),
            ]);
        }
        let law = RowLaw::new(n, variance);
        let share =
            |part: &str| Row::new(name(part), "mean Σp²: one over the keys that take part", "participation");
        let of_share = 0.01 + 5.0 * (law.squares / law.participation.powi(2) - 1.0).max(0.0).sqrt() / drawn;
        let exact_share =
            "the value is exact: 1 % and five standard errors of all rows, whose spread is exact as well";
        let mut first = entropy("entropy").about(law.entropy, of_entropy, exact).at(
            "entropy",
            &format!("n = {n}"),
            multiple,
        );
        if variance <= 0.25 {
            let why =
                "it holds: at small variance H is ln n − σ²/2, within a few hundredths of uniform attention";
            first = first.claim(
                "Logits of too small a variance leave attention almost uniform.",
                Rule::AtLeast { value: 0.95 * all },
                why,
            );
        } else if multiple >= FROZEN.1 {
            let why = "it holds: above σ = √(2 ln n) a few keys take nearly all, however many there are";
            first = first.claim(
                "Logits of too large a variance concentrate attention on a few inputs.",
                Rule::AtMost { value: 3f64.ln() },
                why,
            );
        }
        let mut rows = vec![
            first,
            share("participation").about(law.participation, of_share, exact_share).at(
                "participation",
                &format!("n = {n}"),
                multiple,
            ),
        ];
        if is_liquid(n, variance) {
            let reason = "1 %: the next order, (σ²e^{σ²}/n)², is below 1 % in the range σ²e^{σ²}/n < 0.1";
            rows.push(entropy("liquid entropy").about(liquid_entropy(n, variance), 0.01, reason));
            let next = 2.0 * (2.0 * variance).exp_m1() / n as f64;
            if next < 0.1 {
                let reason = "1 % and the next order, 2(e^{2σ²} − 1)/n";
                let value = liquid_participation(n, variance);
                rows.push(share("liquid participation").about(value, 0.01 + next, reason));
            }
        } else if multiple < 1.0 {
            let reason = "for n → ∞ the liquid phase has H = ln n − σ²/2; at finite n the transition is rounded upwards";
            rows.push(entropy("liquid bound").at_least(all - variance / 2.0, reason));
        }
        if multiple >= FROZEN.0 {
            let limit = critical_sigma(n);
            let largest = largest(n);
            let reason = "1/(4 ln n): corrections to extreme values are of order 1/ln n";
            let value = frozen_participation(sigma, largest);
            rows.push(share("frozen participation").about(value, 0.25 / all, reason));
            if multiple >= FROZEN.1 {
                let reason = "1/(2 ln n): as for Σp², with twice the slope in b_n/σ";
                rows.push(entropy("frozen entropy").about(frozen_entropy(sigma, largest), 0.5 / all, reason));
            }
            let value = frozen_participation(sigma, limit);
            rows.push(
                share("control").about(value, 0.01, "1 %: a limit that logarithms reach slowly").control(),
            );
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Rows>, draw: &mut Draw<'_>) -> Result<()> {
        let &Rows { keys, variance, kind } = &setup.of;
        let sigma = variance.sqrt();
        let mut stream = draw.stream("logits");
        let (mut entropy, mut participation, mut rows) = (0.0, 0.0, 0.0);
        let mut row = |keys: usize| {
            let logits: Vec<f64> = (0..keys).map(|_| sigma * stream.normal()).collect();
            let (h, squares) = of_row(logits.iter().copied());
            entropy += h;
            participation += squares;
            rows += 1.0;
        };
        if kind == Kind::Causal {
            (0..self.rows.div_ceil(keys)).for_each(|_| (1..=keys).for_each(&mut row));
        } else {
            (0..self.rows).for_each(|_| row(keys));
        }
        draw.record("entropy", entropy / rows)?;
        draw.record("participation", participation / rows)
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("entropy", "Entropy of a row of attention", "σ / √(2 ln n)", "H, nats"),
            Figure::new("participation", "Concentration of a row of attention", "σ / √(2 ln n)", "Σp²")
                .log_y(),
        ]
    }
}
