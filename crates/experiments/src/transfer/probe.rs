//! `transfer-probe`: the backbone runs once, heads are trained on its features.

use serde::{Deserialize, Serialize};
use xexp_heads::{Features, HeadInit};
use xexp_init::Seed;
use xexp_report::lab::{Figure, Looks, Row};

use super::curve::Curve;
use super::demands::{demand, inits, rates, sizes, slug};
use super::linear_head::{Course, Texts, train};
use super::shelf::Shelf;
use super::signals::Given;
use super::start::{self, Predictions, Start};
use super::subject::{Places, Subject, labels};
use super::{Optimiser, against, tuning};
use crate::{About, Draw, Experiment, Result, Setup};

/// Heads on the fixed features of a backbone: initialization × optimiser × learning rate.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferProbe {
    /// `bundled:NAME`, or a folder in Hugging Face layout.
    pub model: String,
    /// Training texts: `bundled:SET/SPLIT`, or a file.
    pub train: String,
    /// Test texts: the same.
    pub test: String,
    /// Most training texts whose features are kept; each seed draws its own from them.
    pub pool: usize,
    /// Training texts of a seed.
    pub examples: usize,
    /// Most test texts.
    pub test_examples: usize,
    /// Texts on whose features heads are measured before training.
    pub start_examples: usize,
    /// Head initializations, as `finetune --head-init` takes them.
    pub inits: Vec<String>,
    /// Optimisers.
    pub optimisers: Vec<Optimiser>,
    /// Peak learning rates of AdamW.
    pub adamw_rates: Vec<f64>,
    /// Peak learning rates of gradient descent with momentum.
    pub sgd_rates: Vec<f64>,
    /// Steps of a run.
    pub steps: usize,
    /// Texts a step.
    pub batch: usize,
    /// Share of the steps over which the learning rate rises.
    pub warmup: f64,
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
    texts: Shelf<(), Kit>,
    predictions: Predictions,
    rates: Shelf<(Optimiser, String), f64>,
}

/// The features of all texts.
struct Kit {
    subject: Subject,
    pool: (Features, Vec<u32>),
    test: (Features, Vec<u32>),
    given: Given,
}

impl Default for TransferProbe {
    fn default() -> Self {
        let inits = ["xavier", "he", "lecun", "zero", "normal:0.02", "normal:1", "calibrated", "hf"];
        TransferProbe {
            model: "bundled:mini-text".into(),
            train: "bundled:shop-requests/train".into(),
            test: "bundled:shop-requests/test".into(),
            pool: 4000,
            examples: 1000,
            test_examples: 700,
            start_examples: 256,
            inits: inits.map(str::to_owned).to_vec(),
            optimisers: vec![Optimiser::Adamw, Optimiser::Sgd],
            adamw_rates: vec![1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
            sgd_rates: vec![0.1, 0.3, 1.0, 3.0, 10.0],
            steps: 320,
            batch: 32,
            warmup: 0.1,
            tuning_seeds: 5,
            seeds: 5,
            kept: Kept::default(),
        }
    }
}

/// One cell.
pub enum Cell {
    /// Before training.
    Start(Start),
    /// Trained at one learning rate.
    At(HeadInit, Optimiser, f64),
    /// Trained at the learning rate that suits the head.
    Tuned(HeadInit, Optimiser),
}

impl TransferProbe {
    fn rates(&self, optimiser: Optimiser) -> &[f64] {
        match optimiser {
            Optimiser::Adamw => &self.adamw_rates,
            Optimiser::Sgd => &self.sgd_rates,
        }
    }

    fn kit(&self) -> Result<std::sync::Arc<Kit>> {
        self.kept.texts.get((), || {
            let subject = Subject::open(&Places {
                experiment: Self::ABOUT.id,
                model: &self.model,
                train: &self.train,
                test: &self.test,
                pool: self.pool,
                test_examples: self.test_examples,
            })?;
            let pool = (subject.features(&subject.pool)?, labels(&subject.pool));
            let test = (subject.features(&subject.test)?, labels(&subject.test));
            let first = self.start_examples.min(pool.1.len());
            let width = pool.0.width;
            let features = Features { values: pool.0.values[..first * width].to_vec(), width };
            let given = Given::new(features, pool.1[..first].to_vec(), (subject.classes, subject.hf));
            Ok(Kit { subject, pool, test, given })
        })
    }

    /// One run on the test texts, or, without `test`, on those of the pool that it does not train on.
    fn run(&self, kit: &Kit, cell: (HeadInit, Optimiser, f64), seed: Seed, test: bool) -> Result<Curve> {
        let (init, optimiser, rate) = cell;
        let (chosen, others) = kit.subject.choose(seed, self.examples)?;
        let layer = kit.given.layer();
        let law = init.resolve(&layer, 1.0, kit.given.hf, Some(&kit.given.moments))?;
        let head = law.fill(&layer, &mut seed.stream("head"))?;
        let pool = Texts { features: &kit.pool.0, labels: &kit.pool.1 };
        let course =
            Course { optimiser, rate, steps: self.steps as u64, batch: self.batch, warmup: self.warmup };
        if test {
            let scored: Vec<usize> = (0..kit.test.1.len()).collect();
            let test = Texts { features: &kit.test.0, labels: &kit.test.1 };
            return train(head, (pool, &chosen), (test, &scored), &course, seed);
        }
        demand(
            Self::ABOUT.id,
            "examples",
            &self.examples,
            !others.is_empty(),
            "fewer than there are in the pool",
        )?;
        let scored = &others[..others.len().min(self.test_examples)];
        train(head, (pool, &chosen), (pool, scored), &course, seed)
    }

    fn tuned(&self, kit: &Kit, (init, optimiser): (HeadInit, Optimiser), common: Seed) -> Result<f64> {
        let rate = self.kept.rates.get((optimiser, init.to_string()), || {
            let score = |rate, seed| Ok(self.run(kit, (init, optimiser, rate), seed, false)?.last());
            tuning::best_rate(self.rates(optimiser), (self.tuning_seeds, common), score)
        })?;
        Ok(*rate)
    }
}

impl Experiment for TransferProbe {
    type Setup = Cell;

    const ABOUT: About = About {
        id: "transfer-probe",
        title: "New heads on fixed features of a real backbone",
        question: "How does a new head's initialization decide how it starts and how it learns on the features of a \
                   real backbone?",
        source: "Document, \"Transfer learning\"; LeCun et al. 1998; Kumar et al. 2022",
        method: "The backbone runs once over the texts. Before training, a draw is one head on the features of some \
                 texts: logits, loss and gradients over what theory gives for those very features, so that every ratio \
                 is 1; the control counts outputs in place of inputs. Then heads are trained on the kept features with \
                 AdamW and with momentum, at each learning rate and at the one that suited the head on other \
                 seeds; a draw is a seed, which chooses texts, order and head, and is the same for all initializations.",
        cost: "1 min",
    };

    fn full() -> Self {
        TransferProbe { seeds: 20, steps: 1000, ..Self::default() }
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
                ("start_examples", self.start_examples),
                ("steps", self.steps),
                ("batch", self.batch),
                ("tuning_seeds", self.tuning_seeds),
            ],
        )?;
        demand(id, "warmup", &self.warmup, (0.0..=1.0).contains(&self.warmup), "a share from 0 to 1")?;
        demand(id, "seeds", &self.seeds, self.seeds >= 2, "2 or more")
    }

    fn setups(&self) -> Result<Vec<Setup<Cell>>> {
        let inits = inits(Self::ABOUT.id, &self.inits)?;
        let mut setups = start::setups(&inits, Cell::Start)?;
        let seeds = Looks::at(&[self.seeds])?;
        for &optimiser in &self.optimisers {
            for &init in &inits {
                let name = format!("{}-{}", optimiser.name(), slug(init));
                for &rate in self.rates(optimiser) {
                    let of = Cell::At(init, optimiser, rate);
                    setups.push(Setup { name: format!("{name}-{rate}"), looks: seeds.clone(), of });
                }
                let of = Cell::Tuned(init, optimiser);
                setups.push(Setup { name: format!("{name}-tuned"), looks: seeds.clone(), of });
            }
        }
        Ok(setups)
    }

    fn predict(&self, setup: &Setup<Cell>) -> Result<Vec<Row>> {
        let row = |part: &str, quantity: &str, measure: &str| {
            Row::new(format!("{}/{part}", setup.name), quantity, measure)
        };
        let mut rows = vec![
            row("accuracy", "test accuracy after the last step", "accuracy"),
            row("steps", "steps to 90 % of the run's best test accuracy", "steps"),
        ];
        Ok(match setup.of {
            Cell::Start(start) => start::predict(&setup.name, start),
            Cell::At(init, optimiser, rate) => {
                let (figure, init) = (format!("accuracy-{}", optimiser.name()), init.to_string());
                let accuracy = rows.remove(0).at(&figure, &init, rate);
                let figure = format!("steps-{}", optimiser.name());
                vec![accuracy, rows.remove(0).at(&figure, &init, rate)]
            }
            Cell::Tuned(init, _) => {
                rows.push(row("best", "best test accuracy of the run", "best"));
                rows.push(row("rate", "learning rate that suited the head", "rate"));
                rows.extend(against::rows(&setup.name, init));
                rows
            }
        })
    }

    fn draw(&self, setup: &Setup<Cell>, draw: &mut Draw<'_>) -> Result<()> {
        let kit = self.kit()?;
        let (cell, tuned) = match setup.of {
            Cell::Start(start) => return start::draw(start, &kit.given, &self.kept.predictions, draw),
            Cell::At(init, optimiser, rate) => ((init, optimiser, rate), false),
            Cell::Tuned(init, optimiser) => {
                ((init, optimiser, self.tuned(&kit, (init, optimiser), draw.common_seed())?), true)
            }
        };
        let seed = draw.paired_seed();
        let curve = self.run(&kit, cell, seed, true)?;
        draw.record("accuracy", curve.last())?;
        draw.record("steps", curve.steps_to_learn() as f64)?;
        if tuned {
            draw.record("best", curve.best())?;
            draw.record("rate", cell.2)?;
        }
        if tuned && cell.0 != HeadInit::Xavier {
            let (xavier, optimiser) = (HeadInit::Xavier, cell.1);
            let rate = self.tuned(&kit, (xavier, optimiser), draw.common_seed())?;
            let other = self.run(&kit, (xavier, optimiser, rate), seed, true)?;
            against::record(draw, (curve.last(), &curve), (other.last(), &other))?;
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        let figure = |optimiser: &Optimiser| {
            let name = optimiser.name();
            let x = "peak learning rate";
            let accuracy = Figure::new(
                &format!("accuracy-{name}"),
                &format!("Test accuracy of a head trained by {name}"),
                x,
                "test accuracy",
            );
            let steps = Figure::new(
                &format!("steps-{name}"),
                &format!("Steps to 90 % of the best accuracy by {name}"),
                x,
                "steps",
            );
            [accuracy.log_x(), steps.log_x().log_y()]
        };
        self.optimisers.iter().flat_map(figure).collect()
    }
}
