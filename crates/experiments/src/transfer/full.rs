//! `transfer-full`: backbone and head trained together.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xexp_heads::HeadInit;
use xexp_init::Seed;
use xexp_report::lab::{Looks, Row};

use super::demands::{demand, inits, rates, sizes, slug};
use super::shelf::Shelf;
use super::signals::Given;
use super::start::{self, Predictions, Start};
use super::subject::{Places, Subject, labels};
use super::whole_model::{Course, Trained, train};
use super::{Optimiser, against, tuning};
use crate::{About, Draw, Experiment, Result, Setup};

/// Heads that are trained together with their backbone: initialization × optimiser, each at its best learning rate.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferFull {
    /// `bundled:NAME`, or a folder in Hugging Face layout.
    pub model: String,
    /// Training texts: `bundled:SET/SPLIT`, or a file.
    pub train: String,
    /// Test texts: the same.
    pub test: String,
    /// Most training texts, from which each seed draws its own.
    pub pool: usize,
    /// Training texts of a seed.
    pub examples: usize,
    /// Most test texts, on which the last weights are scored; so many others choose the learning rate.
    pub test_examples: usize,
    /// Test texts on which accuracy and features are followed over a run.
    pub curve_examples: usize,
    /// Texts on whose features heads are measured before training.
    pub start_examples: usize,
    /// Head initializations, as `finetune --head-init` takes them.
    pub inits: Vec<String>,
    /// Optimisers.
    pub optimisers: Vec<Optimiser>,
    /// Peak learning rates of AdamW to choose from.
    pub adamw_rates: Vec<f64>,
    /// Peak learning rates of gradient descent with momentum to choose from.
    pub sgd_rates: Vec<f64>,
    /// Passes over the training texts.
    pub epochs: usize,
    /// Texts a step.
    pub batch: usize,
    /// Share of the steps over which the learning rate rises.
    pub warmup: f64,
    /// Largest norm of the gradient; 0 for no limit.
    pub clip: f64,
    /// Seeds on which the learning rate is chosen, apart from those that count.
    pub tuning_seeds: usize,
    /// Runs of each cell.
    pub seeds: usize,
    /// What is computed once.
    #[serde(skip)]
    kept: Kept,
}

#[derive(Default)]
struct Kept {
    texts: Shelf<(), (Subject, Given)>,
    predictions: Predictions,
    rates: Shelf<(Optimiser, String), f64>,
    runs: Shelf<(Optimiser, String, u64), Trained>,
}

impl Default for TransferFull {
    fn default() -> Self {
        let inits = ["xavier", "he", "lecun", "zero", "normal:0.02", "normal:1", "calibrated", "hf"];
        TransferFull {
            model: "bundled:mini-text".into(),
            train: "bundled:shop-requests/train".into(),
            test: "bundled:shop-requests/test".into(),
            pool: 4000,
            examples: 1000,
            test_examples: 700,
            curve_examples: 200,
            start_examples: 256,
            inits: inits.map(str::to_owned).to_vec(),
            optimisers: vec![Optimiser::Adamw, Optimiser::Sgd],
            adamw_rates: vec![1e-4, 3e-4, 1e-3],
            sgd_rates: vec![1e-3, 1e-2, 1e-1],
            epochs: 3,
            batch: 32,
            warmup: 0.1,
            clip: 1.0,
            tuning_seeds: 1,
            seeds: 5,
            kept: Kept::default(),
        }
    }
}

/// One cell.
pub enum Cell {
    /// Before training.
    Start(Start),
    /// Trained at the learning rate that suits the head.
    Tuned(HeadInit, Optimiser),
}

impl TransferFull {
    fn rates(&self, optimiser: Optimiser) -> &[f64] {
        match optimiser {
            Optimiser::Adamw => &self.adamw_rates,
            Optimiser::Sgd => &self.sgd_rates,
        }
    }

    fn kit(&self) -> Result<Arc<(Subject, Given)>> {
        self.kept.texts.get((), || {
            let subject = Subject::open(&Places {
                experiment: Self::ABOUT.id,
                model: &self.model,
                train: &self.train,
                test: &self.test,
                pool: self.pool,
                test_examples: self.test_examples,
            })?;
            let first = &subject.pool[..self.start_examples.min(subject.pool.len())];
            let given = Given::new(subject.features(first)?, labels(first), (subject.classes, subject.hf));
            Ok((subject, given))
        })
    }

    fn course(&self, optimiser: Optimiser, rate: f64, seed: Seed) -> Course {
        Course {
            optimiser,
            rate,
            epochs: self.epochs as u64,
            batch: self.batch,
            warmup: self.warmup,
            clip: self.clip,
            followed: self.curve_examples,
            seed,
        }
    }

    /// The learning rate that suits a head, by the accuracy on texts of the pool that a run does not train on.
    fn tuned(&self, (init, optimiser): (HeadInit, Optimiser), common: Seed) -> Result<f64> {
        let kit = self.kit()?;
        let (subject, given) = &*kit;
        let score = |rate, seed| {
            let (chosen, others) = subject.choose(seed, self.examples)?;
            let enough = !others.is_empty();
            demand(Self::ABOUT.id, "examples", &self.examples, enough, "fewer than there are in the pool")?;
            let others = others.iter().take(self.test_examples);
            let scored: Vec<_> = others.map(|&i| subject.pool[i].clone()).collect();
            let course = Course { followed: 0, ..self.course(optimiser, rate, seed) };
            Ok(train((subject, given), init, &chosen, &scored, &course)?.accuracy)
        };
        let rate = self.kept.rates.get((optimiser, law(given, init)?), || {
            tuning::best_rate(self.rates(optimiser), (self.tuning_seeds, common), score)
        })?;
        Ok(*rate)
    }

    /// The run of a seed, with its learning rate tuned.
    fn run(&self, (init, optimiser): (HeadInit, Optimiser), draw: &Draw<'_>) -> Result<Arc<Trained>> {
        let (seed, common, kit) = (draw.paired_seed(), draw.common_seed(), self.kit()?);
        let (subject, given) = &*kit;
        self.kept.runs.get((optimiser, law(given, init)?, seed.0), || {
            let rate = self.tuned((init, optimiser), common)?;
            let (chosen, _) = subject.choose(seed, self.examples)?;
            train((subject, given), init, &chosen, &subject.test, &self.course(optimiser, rate, seed))
        })
    }
}

/// What an initialization draws by on these features. Two names of one law, such as `hf` and `normal:0.02` where the
/// model's configuration says so, have their runs in common.
fn law(given: &Given, init: HeadInit) -> Result<String> {
    Ok(format!("{:?}", init.resolve(&given.layer(), 1.0, given.hf, Some(&given.moments))?))
}

impl Experiment for TransferFull {
    type Setup = Cell;

    const ABOUT: About = About {
        id: "transfer-full",
        title: "New heads trained together with a real backbone",
        question: "How does a new head's initialization decide how a real backbone under it starts, learns and forgets?",
        source: "Document, \"Transfer learning\"; Kumar et al. 2022",
        method: "Before training, a draw is one head on the features of some texts: logits, loss and gradients over what \
                 theory gives for those very features, so that every ratio is 1; the control counts outputs in place of \
                 inputs. Then backbone and head are trained together, with AdamW and with momentum, warm-up, linear \
                 decay, clipping and dropout as in the model's configuration. The learning rate is chosen for each \
                 initialization on a seed apart, on texts that it does not train on, and belongs to what is compared: another \
                 such seed may choose another. A draw is a seed, which chooses texts, order, dropout and head, and is \
                 the same for all initializations.",
        cost: "20 min",
    };

    fn full() -> Self {
        TransferFull { seeds: 10, epochs: 5, ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        inits(id, &self.inits)?;
        rates(id, &self.optimisers, (&self.adamw_rates, &self.sgd_rates))?;
        sizes(
            id,
            &[
                ("pool", self.pool),
                ("examples", self.examples),
                ("test_examples", self.test_examples),
                ("curve_examples", self.curve_examples),
                ("start_examples", self.start_examples),
                ("epochs", self.epochs),
                ("batch", self.batch),
                ("tuning_seeds", self.tuning_seeds),
            ],
        )?;
        demand(id, "warmup", &self.warmup, (0.0..=1.0).contains(&self.warmup), "a share from 0 to 1")?;
        let limit = self.clip.is_finite() && self.clip >= 0.0;
        demand(id, "clip", &self.clip, limit, "a finite number of at least 0")?;
        demand(id, "seeds", &self.seeds, self.seeds >= 2, "2 or more")
    }

    fn setups(&self) -> Result<Vec<Setup<Cell>>> {
        let inits = inits(Self::ABOUT.id, &self.inits)?;
        let mut setups = start::setups(&inits, Cell::Start)?;
        let looks = Looks::at(&[self.seeds])?;
        for &optimiser in &self.optimisers {
            for &init in &inits {
                let name = format!("{}-{}", optimiser.name(), slug(init));
                setups.push(Setup { name, looks: looks.clone(), of: Cell::Tuned(init, optimiser) });
            }
        }
        Ok(setups)
    }

    fn predict(&self, setup: &Setup<Cell>) -> Result<Vec<Row>> {
        let init = match setup.of {
            Cell::Start(start) => return Ok(start::predict(&setup.name, start)),
            Cell::Tuned(init, _) => init,
        };
        let row = |part: &str, quantity: &str| Row::new(format!("{}/{part}", setup.name), quantity, part);
        let gradient =
            row("backbone-gradient", "norm of the backbone's gradient at the first step, before clipping");
        let loss = row("first-loss", "loss of the first step").unit("nats");
        let mut rows = match init {
            HeadInit::Zero => vec![
                gradient.near(0.0, 0.0, "exact: nothing passes a head of zeros"),
                row("excess-loss", "loss of the first step − ln K").unit("nats").near(
                    0.0,
                    1e-9,
                    "exact: all logits are equal; what is left is rounding in f64",
                ),
            ],
            _ => vec![gradient, loss],
        };
        rows.extend([
            row("accuracy", "test accuracy after the last step"),
            row("best", "best test accuracy over the run, on the texts that are followed"),
            row("steps", "steps to 90 % of that"),
            row("drift", "‖φ_T − φ_0‖²/‖φ_0‖² of test texts"),
            row("rate", "learning rate that suited the head"),
            row("broken-off", "share of runs that ended in numbers that are not finite"),
        ]);
        rows.extend(against::rows(&setup.name, init));
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Cell>, draw: &mut Draw<'_>) -> Result<()> {
        let (init, optimiser) = match setup.of {
            Cell::Start(start) => return start::draw(start, &self.kit()?.1, &self.kept.predictions, draw),
            Cell::Tuned(init, optimiser) => (init, optimiser),
        };
        let own = self.run((init, optimiser), draw)?;
        draw.record("backbone-gradient", own.backbone_gradient)?;
        draw.record("first-loss", own.first_loss)?;
        draw.record("excess-loss", own.first_loss - (self.kit()?.0.classes as f64).ln())?;
        draw.record("accuracy", own.accuracy)?;
        draw.record("best", own.curve.best())?;
        draw.record("steps", own.curve.steps_to_learn() as f64)?;
        draw.record("drift", own.drift)?;
        draw.record("rate", own.rate)?;
        draw.record("broken-off", f64::from(u8::from(own.broken_off)))?;
        if init != HeadInit::Xavier {
            let xavier = self.run((HeadInit::Xavier, optimiser), draw)?;
            against::record(draw, (own.accuracy, &own.curve), (xavier.accuracy, &xavier.curve))?;
        }
        Ok(())
    }
}
