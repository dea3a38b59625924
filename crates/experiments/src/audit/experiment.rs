//! The experiment: every family under every tradition's head.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xexp_backbones::families::{BACKBONES, HeadLaw, Modality};
use xexp_heads::{Features, HeadInit};
use xexp_init::{Init, Layer, Seed};
use xexp_report::lab::{Looks, Row};

use super::backbones::{self, Subject};
use super::traditions::{self, TRADITIONS, Tradition};
use crate::catalogue::demand::demand;
use crate::transfer::shelf::Shelf;
use crate::transfer::signals::{Given, Predicted, Signals};
use crate::{About, Draw, Experiment, Result, Setup};

/// Families, folders and the heads on them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadAudit {
    /// Families, whose backbones are drawn anew.
    pub families: Vec<String>,
    /// Pretrained models, as folders or `bundled:NAME`.
    pub models: Vec<String>,
    /// Whose heads.
    pub traditions: Vec<Tradition>,
    /// Outputs of a head.
    pub classes: usize,
    /// Texts or images.
    pub examples: usize,
    #[serde(skip)]
    kept: Kept,
}

/// What is computed once.
#[derive(Default)]
struct Kept {
    givens: Shelf<(String, Tradition), Option<Head>>,
}

impl Default for HeadAudit {
    fn default() -> Self {
        HeadAudit {
            families: BACKBONES
                .iter()
                .filter(|family| !family.frozen)
                .map(|family| family.model_type.to_owned())
                .collect(),
            models: ["bundled:mini-text", "bundled:mini-vision"].map(str::to_owned).to_vec(),
            traditions: TRADITIONS.to_vec(),
            classes: 10,
            examples: 64,
            kept: Kept::default(),
        }
    }
}

/// A tradition's head on one backbone's features.
struct Head {
    given: Given,
    law: Init,
    std: f64,
    predicted: Predicted,
}

/// One head.
pub struct Cell {
    subject: String,
    family: &'static str,
    pretrained: bool,
    tradition: Tradition,
}

impl HeadAudit {
    /// The name of the experiment.
    pub const ID: &'static str = "head-audit";

    fn cells(&self) -> Result<Vec<Cell>> {
        let mut subjects = vec![];
        for name in &self.families {
            let family = BACKBONES.iter().find(|family| family.model_type == name);
            let known = "families that `xexp list --models` names, such as bert";
            demand(Self::ABOUT.id, "families", name, family.is_some(), known)?;
            subjects.extend(family.map(|family| (name.clone(), family, false)));
        }
        for place in &self.models {
            let family = backbones::open(place)?.family;
            subjects.push((place.clone(), family, true));
        }
        let mut cells = vec![];
        for (subject, family, pretrained) in subjects {
            for &tradition in &self.traditions {
                // timm is a library of image models.
                if tradition != Tradition::Timm || family.modality == Modality::Image {
                    let (subject, family) = (subject.clone(), family.model_type);
                    cells.push(Cell { subject, family, pretrained, tradition });
                }
            }
        }
        Ok(cells)
    }

    fn head(&self, cell: &Cell) -> Result<Arc<Option<Head>>> {
        self.kept.givens.get((cell.subject.clone(), cell.tradition), || {
            // Layers in front of the last are a part of the head, and each tradition's own.
            let hidden = match cell.tradition {
                Tradition::Transformers => HeadInit::Hf,
                _ => HeadInit::Xavier,
            };
            let Subject { features, law } = match cell.pretrained {
                true => backbones::pretrained(&cell.subject, self.examples, hidden)?,
                false => backbones::untrained(&cell.subject, self.examples, hidden)?,
            };
            let features = match cell.tradition {
                Tradition::Fastai => traditions::fastai(&features, Seed(0))?,
                _ => features,
            };
            let layer = Layer::Linear { input: features.width, output: self.classes };
            let Some(law) = cell.tradition.law(cell.family, law, &layer) else { return Ok(None) };
            self.drawn(features, &law, &layer).map(Some)
        })
    }

    fn drawn(&self, features: Features, law: &HeadLaw, layer: &Layer) -> Result<Head> {
        let std = law.weight.std(layer)?;
        let bias = law.bias.std(layer)?;
        // A bias that is drawn is a weight on a feature that is the same for all.
        let features = if bias > 0.0 { with_constant(&features, (bias / std) as f32) } else { features };
        let labels = (0..features.values.len() / features.width).map(|row| (row % self.classes) as u32);
        let given = Given::new(features, labels.collect(), (self.classes, law.weight));
        let predicted = Predicted::new(&given, std)?;
        Ok(Head { given, law: law.weight, std, predicted })
    }
}

fn with_constant(features: &Features, constant: f32) -> Features {
    let rows = features.values.chunks_exact(features.width);
    let values = rows.flat_map(|row| row.iter().copied().chain([constant])).collect();
    Features { values, width: features.width + 1 }
}

impl Experiment for HeadAudit {
    type Setup = Cell;

    const ABOUT: About = About {
        id: Self::ID,
        title: "What every library starts a new head from",
        question: "How large are the logits, and how large is the loss, under the head that transformers, timm, fastai or xexp puts on the same backbone?",
        source: "Beyond the document; laws of the heads from the libraries' sources",
        method: "For each family a backbone of a common checkpoint's width, drawn by the family's own rules, and the pretrained \
                 models that are named, read 64 texts or images. On those features a draw is one head as a library draws it, \
                 layers in front of the last included. Its logits' mean square is d·Var(w)·E φ² (and the bias's variance) and \
                 its loss the expected cross-entropy at those logits, for any features; so the ratios are 1. The control counts \
                 outputs in place of inputs. fastai's head is measured as in training, by the batch's statistics, without dropout.",
        cost: "3 min",
    };

    fn full() -> Self {
        HeadAudit { classes: 100, examples: 256, ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let classes = (2..=10_000).contains(&self.classes);
        demand(id, "classes", self.classes, classes, "a number from 2 to 10000")?;
        let examples = (2..=1024).contains(&self.examples);
        demand(id, "examples", self.examples, examples, "a number from 2 to 1024")?;
        let some = !(self.families.is_empty() && self.models.is_empty());
        demand(id, "families, models", &self.families, some, "one or more of either")?;
        demand(id, "traditions", &self.traditions, !self.traditions.is_empty(), "one or more")
    }

    fn setups(&self) -> Result<Vec<Setup<Cell>>> {
        let looks = Looks::at(&[160, 640])?;
        let setup = |cell: Cell| {
            let subject = cell.subject.rsplit(['/', ':']).next().unwrap_or(&cell.subject);
            let pretrained = if cell.pretrained { "pretrained-" } else { "" };
            let name = format!("{pretrained}{subject}-{}", cell.tradition.name());
            Setup { name, looks: looks.clone(), of: cell }
        };
        Ok(self.cells()?.into_iter().map(setup).collect())
    }

    fn predict(&self, setup: &Setup<Cell>) -> Result<Vec<Row>> {
        let row = |part: &str, quantity: &str| Row::new(format!("{}/{part}", setup.name), quantity, part);
        let why = "10 %: the mean over heads is exact for any features; ten classes and features of one direction leave a \
                   head's mean square a relative spread of √(2/10), and 640 heads resolve 4 %";
        Ok(vec![
            row("logits-ratio", "second moment of the logits, over d·Var(w)·E φ² + Var(b)")
                .about(1.0, 0.1, why),
            row("loss-ratio", "initial loss, over the expected cross-entropy at these features")
                .about(1.0, 0.1, why),
            row("control", "second moment of the logits, if outputs were counted in place of inputs")
                .about(1.0, 0.1, why)
                .control(),
            row("logits", "second moment of the logits"),
            row("loss", "initial loss").unit("nats"),
            row("std", "standard deviation of the last layer's weights"),
            row("energy", "E φ² of the features in front of it"),
        ])
    }

    fn draw(&self, setup: &Setup<Cell>, draw: &mut Draw<'_>) -> Result<()> {
        let head = self.head(&setup.of)?;
        let Some(head) = &*head else { return Ok(()) };
        let given = &head.given;
        let weights = head.law.fill(&given.layer(), &mut draw.stream("head"))?;
        let found = Signals::of(given, &weights);
        draw.record("logits", found.logits)?;
        draw.record("loss", found.loss)?;
        draw.record("logits-ratio", found.logits / head.predicted.logits)?;
        draw.record("loss-ratio", found.loss / head.predicted.loss)?;
        let swapped = given.features.width as f64 / given.classes as f64;
        draw.record("control", swapped * found.logits / head.predicted.logits)?;
        draw.record("std", head.std)?;
        draw.record("energy", given.moments.second_moment)
    }
}
