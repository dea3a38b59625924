//! Features of real backbones against the assumption that they are standard normal.

use serde::{Deserialize, Serialize};
use xexp_backbones::folder::Folder;
use xexp_heads::{Features, Moments};
use xexp_init::head_theory;
use xexp_init::{Init, Layer};
use xexp_kernels::linear;
use xexp_report::lab::{Looks, Row, Rule, Statistic};

use super::bundled_features as bundled;
use super::demand::demand;
use super::spectrum::{largest_of, second_moments, wishart_edge};
use crate::{About, Draw, Experiment, Result, Setup};

/// Bundled backbones on bundled data, and heads on top.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadFeaturesReal {
    /// `[backbone, data set]` by their bundled names.
    pub pairs: Vec<[String; 2]>,
    /// The split of the data sets.
    pub split: String,
    /// Examples of a draw, chosen anew without repetition.
    pub examples: usize,
    /// Classes of a head.
    pub classes: usize,
    /// Heads of a draw.
    pub heads: usize,
}

impl Default for HeadFeaturesReal {
    fn default() -> Self {
        let pairs = [["mini-text", "shop-requests"], ["mini-vision", "symbols"]];
        HeadFeaturesReal {
            pairs: pairs.map(|pair| pair.map(str::to_owned)).to_vec(),
            split: "train".into(),
            examples: 192,
            classes: 10,
            heads: 200,
        }
    }
}

/// A backbone and its data.
pub struct Real {
    folder: Folder,
    set: String,
    width: usize,
    count: usize,
}

impl HeadFeaturesReal {
    fn layer(&self, width: usize) -> Layer {
        Layer::Linear { input: width, output: self.classes }
    }
}

impl Experiment for HeadFeaturesReal {
    type Setup = Real;

    const ABOUT: About = About {
        id: "head-features-real",
        title: "What real backbones hand to a new head",
        question: "Are a pretrained backbone's features about N(0, 1), and what do the logits of a Xavier head on them really look like?",
        source: "Document, \"Transfer learning\"; the logits' variance is exact for any features",
        method: "The backbones that the program carries read texts and images that it carries. A draw takes new examples and \
                 some hundred new Xavier heads. Measured are the features' moments over examples: each one's mean and \
                 variance, the mean vector's share of the energy, the largest eigenvalues and the effective dimension; and \
                 the heads' logits, whose mean square and share that differs between examples follow from those moments for \
                 any features. The control takes the features' second moment for 1.",
        cost: "6 s",
    };

    fn full() -> Self {
        let pairs = [["mini-text", "shop-requests"], ["mini-vision", "symbols"], ["mini-vision", "shapes"]];
        let pairs = pairs.map(|pair| pair.map(str::to_owned)).to_vec();
        HeadFeaturesReal { pairs, examples: 512, heads: 1000, ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        for [model, set] in &self.pairs {
            let folder = bundled::open(model)?;
            demand(id, "pairs", model, folder.is_some(), "the name of a bundled backbone")?;
            let count = bundled::count(set, &self.split)?;
            demand(
                id,
                "pairs, split",
                (set, &self.split),
                count.is_some(),
                "a bundled set that has this split",
            )?;
            let images =
                folder.is_some_and(|f| f.family.modality == xexp_backbones::families::Modality::Image);
            let fits = images == bundled::is_images(set);
            demand(id, "pairs", (model, set), fits, "a backbone that reads data of this kind")?;
            let valid = self.examples >= 16 && count.is_some_and(|count| self.examples <= count);
            demand(id, "examples", self.examples, valid, "16 or more, but no more than the split has")?;
        }
        let distinct = self.pairs.iter().enumerate().all(|(i, pair)| !self.pairs[..i].contains(pair));
        demand(id, "pairs", &self.pairs, distinct && !self.pairs.is_empty(), "one or more, none twice")?;
        demand(
            id,
            "classes",
            self.classes,
            (2..=10_000).contains(&self.classes),
            "a number from 2 to 10000",
        )?;
        let valid = (1..=100_000 / self.classes.max(1)).contains(&self.heads);
        demand(id, "heads", self.heads, valid, "1 or more, no more than 100000 rows of weights in all")
    }

    fn setups(&self) -> Result<Vec<Setup<Real>>> {
        let mut setups = vec![];
        for [model, set] in &self.pairs {
            let (Some(folder), Some(count)) = (bundled::open(model)?, bundled::count(set, &self.split)?)
            else {
                continue;
            };
            let width = folder.config.size("hidden_size")?;
            let real = Real { folder, set: set.clone(), width, count };
            setups.push(Setup { looks: Looks::at(&[10, 20])?, ..Setup::new(format!("{model}-{set}"), real) });
        }
        Ok(setups)
    }

    fn predict(&self, setup: &Setup<Real>) -> Result<Vec<Row>> {
        let name = |part: &str| format!("{}/{part}", setup.name);
        let (d, n) = (setup.of.width as f64, self.examples as f64);
        let unit = |row: Row| {
            let why = "nothing in a backbone's training asks for it: the scale is set by its last normalization or pooling";
            row.claim("A pretrained backbone's features have unit variance.", Rule::about(1.0, 0.1), why)
        };
        let centred = |row: Row, most: f64| {
            let why = "features have a common mean, which is the same vector for every example";
            row.claim("A pretrained backbone's features have zero mean.", Rule::AtMost { value: most }, why)
        };
        let apart = |row: Row, rule: Rule| {
            let why = "few directions hold most of the variance";
            row.claim("A pretrained backbone's features vary independently of each other.", rule, why)
        };
        let std = Init::xavier_normal().std(&self.layer(setup.of.width))?;
        let edge = wishart_edge(self.examples, setup.of.width) / n;
        let exact = "5 %: exact for any features; a draw averages over `heads` heads";
        let row = |part: &str, quantity: &str| Row::new(name(part), quantity, part);
        Ok(vec![
            unit(row("second-moment", "E[φ²] over examples and features")),
            unit(row("variance", "variance over examples, averaged over the features")),
            centred(
                row("with-mean", "share of features whose mean is above a quarter of their standard deviation"),
                0.05,
            ),
            centred(row("mean-share", "share of the features' energy in their mean vector, ‖E φ‖²/E‖φ‖²"), 0.1),
            row("spread", "largest variance of a feature, over the mean variance"),
            apart(
                row("eigenvalue", "λ_max of the covariance, over the mean variance (N(0, 1): the Marchenko–Pastur edge)"),
                Rule::about(edge, 0.2),
            ),
            apart(
                row("dimension", "effective dimension of the covariance, (tr C)²/tr C² (N(0, 1): d n/(d + n))"),
                Rule::about(d * n / (d + n), 0.1),
            ),
            row("rate", "learning rate gained by centring, λ_max of the second moments over λ_max of the covariance"),
            row("rayleigh", "λ_max of the second moments, over ‖E φ‖²")
                .at_least(1.0, "exact: λ_max is at least what the mean direction has"),
            row("logits", "mean square of a Xavier head's logits, over d·Var(w)·E[φ²]").about(1.0, 0.05, exact),
            row("logit-scale", "mean square of a Xavier head's logits").claim(
                "With Xavier weights the logits of a new head have the variance that N(0, 1) features give, within a quarter.",
                Rule::about(d * std * std, 0.25),
                "the logits' mean square is d·Var(w)·E[φ²], and E[φ²] is the backbone's, not 1",
            ),
            row("control", "the same, over d·Var(w): if E[φ²] were 1").near(1.0, 0.05, exact).control(),
            Row::new(name("between"), "share of the logits' mean square that differs between examples, over the features' share", "")
                .by(Statistic::RatioOfMeans { of: "logit-share".into(), over: "feature-share".into() })
                .about(1.0, 0.05, exact),
            row("logit-share", "share of the logits' mean square that differs between examples").claim(
                "The logits of a new head tell examples apart: nine tenths of their mean square and more differ between examples.",
                Rule::AtLeast { value: 0.9 },
                "the mean vector gives every example the same preference for some classes",
            ),
        ])
    }

    fn draw(&self, setup: &Setup<Real>, draw: &mut Draw<'_>) -> Result<()> {
        let Real { folder, set, count, .. } = &setup.of;
        let mut order: Vec<usize> = (0..*count).collect();
        draw.stream("examples").shuffle(&mut order);
        order.truncate(self.examples);
        let Features { values, width } = bundled::features(folder, set, &self.split, &order)?;
        let (n, d) = ((values.len() / width) as f64, width as f64);

        let moments = Moments::of(&values, width);
        let mut second = second_moments(&values, width);
        let raw = largest_of(&second, width);
        let mut means = vec![0.0; width];
        for row in values.chunks_exact(width) {
            means.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / n);
        }
        for (a, line) in means.iter().zip(second.chunks_exact_mut(width)) {
            line.iter_mut().zip(&means).for_each(|(c, b)| *c -= a * b);
        }
        let variances: Vec<f64> = second.iter().step_by(width + 1).copied().collect();
        let far = means.iter().zip(&variances).filter(|(m, v)| m.abs() > 0.25 * v.max(0.0).sqrt()).count();
        let covariance = largest_of(&second, width);
        let (trace, squares) = (variances.iter().sum::<f64>(), second.iter().map(|c| c * c).sum::<f64>());
        draw.record("second-moment", moments.second_moment)?;
        draw.record("variance", moments.variance)?;
        draw.record("with-mean", far as f64 / d)?;
        draw.record("mean-share", moments.mean_share)?;
        draw.record("spread", variances.iter().copied().fold(0.0, f64::max) / moments.variance)?;
        draw.record("eigenvalue", covariance / moments.variance)?;
        draw.record("dimension", trace * trace / squares)?;
        draw.record("rate", raw / covariance)?;
        draw.record("rayleigh", raw / means.iter().map(|m| m * m).sum::<f64>())?;

        let layer = self.layer(width);
        let rows = self.classes * self.heads;
        let std = Init::xavier_normal().std(&layer)?;
        let heads = Init::Normal { std };
        let weights = heads.fill(&Layer::Linear { input: width, output: rows }, &mut draw.stream("heads"))?;
        let mut logits = vec![0.0; order.len() * rows];
        linear::forward(&values, &weights, None, &mut logits);
        let square = xexp_kernels::sum_of_squares(&logits) / logits.len() as f64;
        let logit = Moments::of(&logits, rows);
        let features =
            head_theory::Features { width, second_moment: moments.second_moment, variance: moments.variance };
        draw.record("logits", square / features.logit_variance(std)?.total)?;
        draw.record("logit-scale", square)?;
        draw.record("control", square / (d * std * std))?;
        draw.record("logit-share", logit.variance / logit.second_moment)?;
        draw.record("feature-share", moments.variance / moments.second_moment)
    }
}
