//! Variance of new attention logits by how `W_Q` and `W_K` are drawn, and which part of it sets the entropy.

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use xexp_init::{Init, Layer};
use xexp_report::lab::{Figure, Row, Rule};

use super::demand::fits;
use super::entropy_law::{RowLaw, critical_sigma};
use super::stack::Logits;
use crate::moments::values;
use crate::{About, Draw, Error, Experiment, Result, Setup};

/// One attention layer with new projections, all its heads.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttnLogitVariance {
    /// Width of the tokens.
    pub width: usize,
    /// Heads; divides the width.
    pub heads: usize,
    /// Tokens, normalized as by a layer norm.
    pub tokens: usize,
    /// Standard deviation of the scheme that takes no fan into account.
    pub std: f64,
    /// Cosines of the tokens for which the variance within a row is measured.
    pub cosines: Vec<f64>,
    /// Factor on fused Xavier weights in these set-ups.
    pub gain: f64,
}

impl Default for AttnLogitVariance {
    fn default() -> Self {
        AttnLogitVariance {
            width: 768,
            heads: 12,
            tokens: 128,
            std: 0.02,
            cosines: vec![0.0, 0.5, 0.9, 0.99],
            gain: 2.0,
        }
    }
}

/// How the projections are drawn, and how alike the tokens are.
pub struct Drawn {
    scheme: Scheme,
    init: Init,
    cosine: f64,
}

/// Which matrix the fans are counted from.
#[derive(Clone, Copy, PartialEq)]
enum Scheme {
    /// One matrix from width to width for all heads.
    Fused,
    /// A matrix from width to head width for each head.
    PerHead,
    /// One matrix for queries, keys and values together, as `nn.MultiheadAttention` has it.
    InProjection,
    /// No fan.
    Fixed,
}

/// Draws at the last look.
const DRAWS: f64 = 160.0;

impl AttnLogitVariance {
    fn head(&self) -> usize {
        self.width / self.heads
    }

    /// The matrix that is drawn, of which each head's queries are some rows.
    fn layer(&self, scheme: Scheme) -> Layer {
        let output = match scheme {
            Scheme::Fused | Scheme::Fixed => self.width,
            Scheme::PerHead => self.head(),
            Scheme::InProjection => 3 * self.width,
        };
        Layer::Linear { input: self.width, output }
    }

    /// `E s² = (d·Var w)²`, exact for tokens with `|x|² = d`.
    fn variance(&self, drawn: &Drawn) -> Result<f64> {
        let std = drawn.init.std(&self.layer(drawn.scheme))?;
        Ok((self.width as f64 * std * std).powi(2))
    }

    /// The rows' law: independent keys, query norms spread as `χ²_{d_k}`, and `W_Kᵀq` over `d` components.
    fn law(&self, variance: f64) -> RowLaw {
        let k = 1.0 / (1.0 / self.head() as f64 + 1.0 / self.width as f64);
        RowLaw::mixed(self.tokens, variance, k)
    }

    /// Queries or keys `(heads, tokens, head width)`.
    fn project(&self, drawn: &Drawn, draw: &Draw<'_>, name: &str, x: &Tensor) -> Result<Tensor> {
        let layer = self.layer(drawn.scheme);
        let weight = match drawn.scheme {
            Scheme::PerHead => {
                let one = |h| draw.weight(&format!("{name}.{h}"), &layer, drawn.init);
                Tensor::cat(&(0..self.heads).map(one).collect::<Result<Vec<_>>>()?, 0)?
            }
            // The rows of one third of the joint matrix; which does not matter, they are independent.
            Scheme::InProjection => draw.weight(name, &layer, drawn.init)?.narrow(0, 0, self.width)?,
            Scheme::Fused | Scheme::Fixed => draw.weight(name, &layer, drawn.init)?,
        };
        let y = x.matmul(&weight.t()?)?;
        Ok(y.reshape((self.tokens, self.heads, self.head()))?.transpose(0, 1)?.contiguous()?)
    }

    /// Normalized tokens with this cosine: a common part and one of their own.
    fn inputs(&self, cosine: f64, draw: &Draw<'_>) -> Result<Tensor> {
        let (common, own) = (cosine.sqrt(), (1.0 - cosine).sqrt());
        let (mut shared, mut stream) = (draw.stream("common"), draw.stream("tokens"));
        let shared: Vec<f64> = (0..self.width).map(|_| common * shared.normal()).collect();
        let mut all = Vec::with_capacity(self.tokens * self.width);
        for _ in 0..self.tokens {
            let token: Vec<f64> = shared.iter().map(|c| c + own * stream.normal()).collect();
            let width = self.width as f64;
            let mean = token.iter().sum::<f64>() / width;
            let size = (token.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width).sqrt();
            all.extend(token.iter().map(|v| ((v - mean) / size) as f32));
        }
        Ok(Tensor::from_vec(all, (self.tokens, self.width), draw.device)?)
    }
}

impl Experiment for AttnLogitVariance {
    type Setup = Drawn;

    const ABOUT: About = About {
        id: "attn-logit-variance",
        title: "Variance of new attention logits",
        question: "Does Xavier initialization keep the variance of attention logits near 1, and does that variance set how \
                   spread the attention is?",
        source: "Document, \"Recurrence and attention\"; Vaswani et al. 2017, eq. 1",
        method: "Normalized tokens, new W_Q and W_K, logits q·k/√d_k of all heads. Xavier's fans are counted from the fused \
                 d×d matrix, from one matrix a head, or from the joint matrix of queries, keys and values; a fixed standard \
                 deviation stands beside them. Then the fused matrix at a larger gain, on tokens that share a common \
                 vector. A draw is new weights and new tokens. Measured: E s², the variance within a row, the entropy. \
                 Controls: the fused value for the other two ways of counting, and the total variance in place of that \
                 within a row.",
        cost: "10 s",
    };

    fn full() -> Self {
        AttnLogitVariance { width: 1536, heads: 24, tokens: 256, ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        let refuse = |parameter, found: String, expected| {
            Err(Error::Parameter { experiment: Self::ABOUT.id, parameter, found, expected })
        };
        if self.heads == 0 || self.width < 8 || !self.width.is_multiple_of(self.heads) {
            return refuse("heads", self.heads.to_string(), "a divisor of the width, which is 8 or more");
        }
        if self.tokens < 2 || !fits(&[self.tokens, self.tokens.max(self.width)]) {
            return refuse("tokens", self.tokens.to_string(), "2 or more, whose logits fit into memory");
        }
        for (parameter, value) in [("std", self.std), ("gain", self.gain)] {
            if !(value > 0.0 && value <= 10.0) {
                return refuse(parameter, value.to_string(), "above 0 and at most 10");
            }
        }
        match self.cosines.iter().find(|cosine| !(0.0..1.0).contains(*cosine)) {
            Some(cosine) => refuse("cosines", cosine.to_string(), "from 0 up to, but not including, 1"),
            None => Ok(()),
        }
    }

    fn setups(&self) -> Result<Vec<Setup<Drawn>>> {
        let xavier = Init::xavier_normal();
        let mut setups: Vec<Setup<Drawn>> = [
            ("fused", Scheme::Fused, xavier),
            ("per-head", Scheme::PerHead, xavier),
            ("in-projection", Scheme::InProjection, xavier),
            ("fixed-std", Scheme::Fixed, Init::Normal { std: self.std }),
        ]
        .into_iter()
        .map(|(name, scheme, init)| Setup::new(name, Drawn { scheme, init, cosine: 0.0 }))
        .collect();
        setups.extend(self.cosines.iter().map(|&cosine| {
            let init = xavier.times(self.gain);
            Setup::new(format!("cosine-{cosine}"), Drawn { scheme: Scheme::Fused, init, cosine })
        }));
        Ok(setups)
    }

    fn predict(&self, setup: &Setup<Drawn>) -> Result<Vec<Row>> {
        let drawn = &setup.of;
        let variance = self.variance(drawn)?;
        let name = |part: &str| format!("{}/{part}", setup.name);
        // A common query on a common key is one number a head, of relative variance 2 + 6/d_k when squared.
        let common =
            drawn.cosine.powi(2) * ((2.0 + 6.0 / self.head() as f64) / self.heads as f64 / DRAWS).sqrt();
        let reason =
            "3 % and five standard errors of 160 draws of the part common to all tokens, one number a head";
        let total = Row::new(name("total"), "E s² of the logits", "total").about(
            variance,
            0.03 + 5.0 * common,
            reason,
        );
        let within = variance * (1.0 - drawn.cosine);
        let row = within * (1.0 - 1.0 / self.tokens as f64);
        let reason = "6 %: exact but for 1/d; a query's norm, shared by a row, leaves √(2/(d_k·heads)) of spread a draw";
        let row =
            Row::new(name("row"), "variance of the logits within a row", "row").about(row, 0.06, reason);
        // As in attn-entropy-law, the entropy spreads by as much as its mean where rows are near to freezing.
        let spreads = within.sqrt() > 0.5 * critical_sigma(self.tokens);
        let seen = ((self.tokens * self.heads) as f64 * DRAWS).sqrt();
        let exact = 0.01 + 0.5 / self.head() as f64 + if spreads { 5.0 / seen } else { 0.0 };
        let reason = "exact for Gaussian rows: 1 %, 1/(2 d_k) for logits of d_k components, and five standard errors where rows \
                      are near to freezing";
        let law = self.law(within);
        let entropy = Row::new(name("entropy"), "mean entropy of a row", "entropy").unit("nats").about(
            law.entropy,
            exact,
            reason,
        );
        if setup.name.starts_with("cosine") {
            let reason = "as for the right value: what the total variance would give, if it were what counts";
            let blind = self.law(variance).entropy;
            let says = Rule::about(blind, exact);
            let why = "what all keys have in common cancels in the softmax: the variance within a row counts, which is \
                       (1 − ρ) of the total for tokens of cosine ρ";
            let entropy = entropy
                .claim("The variance of the logits sets the entropy of attention.", says, why)
                .at("entropy", "exact", drawn.cosine);
            let mut rows = vec![total, row, entropy];
            if drawn.cosine >= 0.25 {
                let blind =
                    Row::new(name("control"), "the entropy that the total variance would give", "entropy")
                        .unit("nats")
                        .about(blind, exact, reason)
                        .control()
                        .at("entropy", "from the total variance", drawn.cosine);
                rows.push(blind);
            }
            return Ok(rows);
        }
        let fused =
            self.variance(&Drawn { scheme: Scheme::Fused, init: Init::xavier_normal(), cosine: 0.0 })?;
        if drawn.scheme == Scheme::Fixed {
            return Ok(vec![total, entropy]);
        }
        let why = "it depends on which matrix the fans are counted from: 1 for the fused d×d one, (2d/(d + d_k))² for one a \
                   head, 1/4 for the joint matrix of queries, keys and values";
        let total = total.claim(
            "Xavier weights with the factor 1/√d_k keep the logits' variance at 1.",
            Rule::about(1.0, 0.05),
            why,
        );
        let mut rows = vec![total, entropy];
        if (variance / fused - 1.0).abs() > 0.2 {
            let reason = "3 %: the value of a d×d matrix";
            let control = Row::new(name("control"), "E s², if fans were those of a d×d matrix", "total");
            rows.push(control.about(fused, 0.03, reason).control());
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Drawn>, draw: &mut Draw<'_>) -> Result<()> {
        let drawn = &setup.of;
        let x = self.inputs(drawn.cosine, draw)?;
        let q = self.project(drawn, draw, "query", &x)?;
        let k = self.project(drawn, draw, "key", &x)?;
        let logits = (q.matmul(&k.transpose(1, 2)?.contiguous()?)? / (self.head() as f64).sqrt())?;
        let seen = Logits::of(&values(&logits.to_device(&Device::Cpu)?)?, self.tokens);
        draw.record("total", seen.total)?;
        draw.record("row", seen.row)?;
        draw.record("entropy", seen.entropy)
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::new(
            "entropy",
            "Entropy of attention over tokens that are alike",
            "cosine of the tokens",
            "H, nats",
        )]
    }
}
