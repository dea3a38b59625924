//! The recurrent matrix: spectral radius near 1, spectral norm near 2, and what its powers do.

use candle_core::{DType, Tensor};
use faer::{Mat, Par};
use serde::{Deserialize, Serialize};
use xexp_init::{Init, Layer};
use xexp_report::lab::{Figure, Looks, Row, Rule, Statistic};

use super::demand::demand;
use super::ginibre;
use super::spread;
use crate::moments::{second_moment, values};
use crate::{About, Draw, Error, Experiment, Result, Setup};

/// Hidden-to-hidden matrices under Xavier.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RnnSpectralRadius {
    /// Widths of the hidden state, with normal weights.
    pub sizes: Vec<usize>,
    /// Widths of the hidden state, with uniform weights.
    pub uniform_sizes: Vec<usize>,
    /// Width of the linear network that runs without input.
    pub running_size: usize,
    /// Steps at which that network's state is looked at.
    pub times: Vec<usize>,
    /// Initial states a draw of that network.
    pub batch: usize,
}

impl Default for RnnSpectralRadius {
    fn default() -> Self {
        RnnSpectralRadius {
            sizes: vec![64, 128, 256, 512],
            uniform_sizes: vec![256],
            running_size: 512,
            times: vec![1, 10, 20, 100],
            batch: 8,
        }
    }
}

/// What is measured of a matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Matrix {
    /// Its largest eigenvalue and singular value.
    Spectrum {
        /// Rows and columns.
        size: usize,
        /// Uniform weights instead of normal ones.
        uniform: bool,
    },
    /// What its powers do to a state.
    Running,
}

impl Matrix {
    fn init(self) -> Init {
        match self {
            Matrix::Spectrum { uniform: true, .. } => Init::xavier_uniform(),
            _ => Init::xavier_normal(),
        }
    }
}

/// Share of a radius that its interval is to resolve.
const RESOLVED: f64 = 0.008;

/// Relative tolerance of the radius and the norm.
const TOLERANCE: f64 = 0.01;

impl RnnSpectralRadius {
    /// The rows of one horizon of the network without input.
    fn running(&self, name: &str, t: usize) -> Vec<Row> {
        let claim = "With radius 1 a linear recurrent network without input is critical: signals neither explode nor vanish.";
        let says = Rule::about(1.0, 0.5);
        let measure = format!("state.{t}");
        let quantity = "E|h_t|² over E|h_0|², one matrix at all steps";
        let row = |part: &str| Row::new(format!("{name}/{part}-{t}"), quantity, &measure);
        let skewed = Statistic::SkewedMean { of: measure.clone() };
        let median = Statistic::Median { of: measure.clone() };
        let mean = ginibre::power(self.running_size, t);
        if mean < 1.1 {
            let reason = "3 %, or half a draw's spread √(2t/(n·batch) + t⁴/(12 n²)), and the whole excess over 1: it is that of \
                          complex weights, and real ones have at most twice it";
            let (n, steps) = (self.running_size as f64, t as f64);
            let spread = (2.0 * steps / (n * self.batch as f64) + steps.powi(4) / (12.0 * n * n)).sqrt();
            let predicted =
                row("mean").by(skewed).near(mean, spread::tolerance(0.03, spread) + (mean - 1.0), reason);
            let why = "it holds for few steps, t ≪ √n";
            return vec![predicted.claim(claim, says, why).at("state", "mean", t as f64)];
        }
        let reason = "every pairing of the weights in the mean counts positive, and the leading one alone gives 1; the mean is \
                      carried by rare draws, so no more than the bound is predicted";
        let why = "powers of a matrix whose radius is a little above 1 and whose norm is 2 grow by their transients and by \
                   ρ^2t once t is beyond √n";
        vec![
            row("mean").by(skewed).at_least(1.0, reason).at("state", "mean", t as f64),
            row("typical").by(median).claim(claim, says, why).at("state", "median", t as f64),
        ]
    }
}

impl Experiment for RnnSpectralRadius {
    type Setup = Matrix;

    const ABOUT: About = About {
        id: "rnn-spectral-radius",
        title: "Spectral radius of a recurrent matrix",
        question: "Has a Xavier recurrent matrix spectral radius 1, and do its powers keep a signal?",
        source: "Document, \"Recurrent networks\"; Kostlan 1992; Edelman 1997; Rider & Sinclair 2014; Johnstone 2001",
        method: "Square Xavier matrices, normal and uniform: all eigenvalues by a dense solver (power iteration does not \
                 converge on complex pairs), and the largest singular value. A draw is one matrix. One more set-up runs \
                 h ← W h from N(0, 1) states and measures |h_t|². The control takes the matrix for a normal one, whose norm \
                 is its radius.",
        cost: "8 s",
    };

    fn full() -> Self {
        RnnSpectralRadius {
            sizes: vec![64, 128, 256, 512, 1024],
            uniform_sizes: vec![256, 512],
            ..Self::default()
        }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let sizes = |sizes: &[usize]| sizes.iter().all(|size| (16..=4096).contains(size));
        demand(id, "sizes", &self.sizes, sizes(&self.sizes), "numbers from 16 to 4096")?;
        demand(
            id,
            "uniform_sizes",
            &self.uniform_sizes,
            sizes(&self.uniform_sizes),
            "numbers from 16 to 4096",
        )?;
        demand(id, "running_size", self.running_size, sizes(&[self.running_size]), "16 to 4096")?;
        let rising = self.times.windows(2).all(|pair| pair[0] < pair[1]);
        let valid = !self.times.is_empty() && rising && self.times.iter().all(|t| (1..=300).contains(t));
        demand(id, "times", &self.times, valid, "one or more rising numbers from 1 to 300")?;
        demand(id, "batch", self.batch, self.batch >= 1, "1 or more")
    }

    fn setups(&self) -> Result<Vec<Setup<Matrix>>> {
        let spectrum = |size: usize, uniform: bool| {
            // As many draws as resolve the mean, at 2.5 standard errors, and four times as many for safety.
            let draws = (2.5 * ginibre::radius(size).spread / RESOLVED).powi(2).ceil() as usize;
            let draws = draws.max(12);
            let name = if uniform { format!("uniform-n{size}") } else { format!("n{size}") };
            Ok(Setup {
                name,
                looks: Looks::at(&[draws, 2 * draws, 4 * draws])?,
                of: Matrix::Spectrum { size, uniform },
            })
        };
        let normal = self.sizes.iter().map(|&size| spectrum(size, false));
        let uniform = self.uniform_sizes.iter().map(|&size| spectrum(size, true));
        // Rare draws carry the mean at late times, so that many are needed before anything is said.
        let running = Setup {
            name: format!("running-n{}", self.running_size),
            looks: Looks::at(&[40, 80, 160])?,
            of: Matrix::Running,
        };
        normal.chain(uniform).chain([Ok(running)]).collect()
    }

    fn predict(&self, setup: &Setup<Matrix>) -> Result<Vec<Row>> {
        let Matrix::Spectrum { size, uniform } = setup.of else {
            return Ok(self.times.iter().flat_map(|&t| self.running(&setup.name, t)).collect());
        };
        let (radius, norm) = (ginibre::radius(size), ginibre::norm(size));
        let reason = "1 %: the law's mean is within 0.2 % of simulations from 16 on, and the draws are as many as resolve 0.8 %";
        let universal =
            "1 %, as for normal weights: the spectrum of large matrices does not depend on the distribution";
        let name = |part: &str| format!("{}/{part}", setup.name);
        let x = size as f64;
        let mut rows = vec![
            Row::new(name("radius"), "spectral radius", "radius")
                .about(radius.mean, TOLERANCE, if uniform { universal } else { reason })
                .claim(
                    "The spectral radius of a large Xavier recurrent matrix is about 1.",
                    Rule::about(1.0, 0.1),
                    "it holds; the mean lies above 1 and comes down slowly, 1.057 at 64 and 1.030 at 512",
                )
                .at("radius", if uniform { "uniform weights" } else { "normal weights" }, x),
            Row::new(name("norm"), "spectral norm", "norm")
                .about(norm, TOLERANCE, "1 %: the Tracy–Widom mean with half-integer centring")
                .at("norm", if uniform { "uniform weights" } else { "normal weights" }, x),
        ];
        if !uniform {
            rows.push(
                Row::new(name("control"), "spectral norm, if it were the radius", "norm")
                    .about(radius.mean, TOLERANCE, "a normal matrix would have it so")
                    .control(),
            );
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Matrix>, draw: &mut Draw<'_>) -> Result<()> {
        let size = match setup.of {
            Matrix::Spectrum { size, .. } => size,
            Matrix::Running => self.running_size,
        };
        let layer = Layer::Recurrent { input: size, hidden: size, gates: 1 };
        let weight = draw.weight("weight", &layer, setup.of.init())?;
        if setup.of == Matrix::Running {
            return self.run(&weight, draw);
        }
        // The draws are parallel; one matrix is not.
        faer::set_global_parallelism(Par::Seq);
        let entries = values(&weight)?;
        let matrix = Mat::<f64>::from_fn(size, size, |i, j| entries[i * size + j]);
        let eigenvalues =
            matrix.eigenvalues().map_err(|_| Error::Diverged { what: "eigenvalues", draw: draw.number })?;
        let singular = matrix
            .singular_values()
            .map_err(|_| Error::Diverged { what: "singular values", draw: draw.number })?;
        draw.record("radius", eigenvalues.iter().map(|z| z.re.hypot(z.im)).fold(0.0, f64::max))?;
        draw.record("norm", singular.into_iter().fold(0.0, f64::max))
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("radius", "Spectral radius by width", "width", "spectral radius").log_x(),
            Figure::new("norm", "Spectral norm by width", "width", "spectral norm").log_x(),
            Figure::new("state", "State without input", "step", "|h_t|² over |h_0|²").log_x().log_y(),
        ]
    }
}

impl RnnSpectralRadius {
    fn run(&self, weight: &Tensor, draw: &mut Draw<'_>) -> Result<()> {
        // f64: the state may grow as 2^t.
        let weight = weight.t()?.to_dtype(DType::F64)?;
        let mut h = draw.normal("state", &[self.batch, self.running_size], 1.0)?.to_dtype(DType::F64)?;
        let start = second_moment(&h)?;
        for t in 1..=self.times.last().copied().unwrap_or(0) {
            h = h.matmul(&weight)?;
            if self.times.contains(&t) {
                draw.record(&format!("state.{t}"), second_moment(&h)? / start)?;
            }
        }
        Ok(())
    }
}
