//! Measures a checkpoint, and sets every number beside what new weights of the family's own initializer would give.
//!
//! Without data: the weights as they lie in the file, and what queries and keys can make together. With data: a watched pass
//! ([`watch`]) over real input, its features, and gradients of a loss that needs no labels. Numbers are kept in [`Sheet`]s;
//! [`findings`] says what is wrong and where, [`advice`] what to set; a sheet of one model can stand [`compare`]d with that of
//! another. Nothing is trained.

pub mod activations;
pub mod advice;
pub mod compare;
mod error;
pub mod expected;
pub mod features;
pub mod findings;
pub mod first_step;
pub mod gradients;
pub mod headroom;
pub mod heads;
pub mod report;
mod sheet;
pub mod spectral;
pub mod structure;
pub mod watch;
pub mod weights;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use xexp_backbones::families::Reading as Declaring;
use xexp_backbones::folder::Folder;
use xexp_backbones::{Declarations, Mode, Pass};
use xexp_heads::{Classifier, Features};
use xexp_init::Seed;
use xexp_kernels::Pool;
use xexp_train::Sample;

pub use error::{Error, Result};
pub use sheet::{Column, Reading, Row, Sheet, Value};

use advice::Advice;
use findings::Findings;
use structure::{Event, Structure};

/// A model under inspection.
pub struct Subject {
    folder: Folder,
    classifier: Classifier,
    structure: Structure,
    /// Weights that the checkpoint lacks and that were drawn.
    pub new: Vec<String>,
    norms: Vec<String>,
}

/// What was found.
pub struct Inspection {
    /// What the model is, a line each: what, and how it is.
    pub facts: Vec<(&'static str, String)>,
    /// The measurements.
    pub sheets: Vec<Sheet>,
    /// What is wrong.
    pub findings: Findings,
    /// What to set.
    pub advice: Vec<Advice>,
}

/// Real input for a pass.
pub struct Data<'a> {
    /// The examples.
    pub samples: &'a [Sample],
    /// Tokens that the tokenizer puts around texts.
    pub special: BTreeSet<u32>,
    /// Examples of a batch.
    pub batch: usize,
    /// Classes of a head, where they are known.
    pub classes: Option<usize>,
    /// The learning rate whose steps are compared with the weights.
    pub lr: f64,
    /// Whether the samples are labelled, and the largest first steps are to be searched for.
    pub search: bool,
}

/// Tensors with values that are not finite, with their number: a checkpoint that has some cannot compute, and only its
/// weights are measured.
///
/// # Errors
/// A checkpoint that cannot be read.
pub fn not_finite(folder: &Folder) -> Result<Vec<(String, usize)>> {
    let (declared, checkpoint) = (declared(folder)?, folder.checkpoint()?);
    let mut found = vec![];
    for (_, _, _, key) in declared.found(&checkpoint) {
        let Some(key) = key else { continue };
        let bad = checkpoint.stored(&key)?.iter().filter(|v| !v.is_finite()).count();
        if bad > 0 {
            found.push((key, bad));
        }
    }
    Ok(found)
}

/// What can be said of a checkpoint that cannot compute: its weights.
///
/// # Errors
/// A checkpoint that cannot be read.
pub fn weights_alone(folder: &Folder) -> Result<Inspection> {
    let sheet = weights::sheet(&declared(folder)?, &folder.checkpoint()?, None, &|_| None)?;
    let sheets = vec![sheet];
    let findings = findings::find(&sheets, &[]);
    Ok(Inspection {
        facts: vec![("family", folder.family.model_type.to_string())],
        sheets,
        findings,
        advice: vec![],
    })
}

fn declared(folder: &Folder) -> Result<Declarations> {
    let mut declared = Declarations::default();
    folder.family.declare(&folder.config, &mut declared, Declaring::Features)?;
    Ok(declared)
}

/// Classes of a head where nothing is asked of it: that of a saved classifier is kept then.
pub const SAVED: usize = 2;

impl Subject {
    /// Reads the weights, and finds out how the network is built; a checkpoint without a head gets one of so many classes.
    ///
    /// # Errors
    /// A configuration or checkpoint that cannot be used: an unknown family, a missing tensor, a wrong shape.
    pub fn open(folder: Folder, classes: usize) -> Result<Self> {
        // The head of a saved classifier is its own; any other gets one that nothing is read of.
        let checkpoint = folder.checkpoint()?;
        let headed = checkpoint.shape(&format!("{}.weight", folder.family.head.path)).is_some();
        drop(checkpoint);
        let (mut classifier, report) = match folder.config.labels()?.filter(|_| headed) {
            Some(_) if classes == SAVED => (Classifier::open(&folder)?.0, Default::default()),
            _ => Classifier::with_new_head(&folder, classes, Seed(0))?,
        };
        classifier.params.train_only(|_| false);
        let structure = Structure::of(&classifier.backbone, &classifier.params)?;
        let gain = |event: &Event| match event {
            Event::Norm(id) => Some(classifier.params.weight(*id).name.clone()),
            _ => None,
        };
        let norms = structure.blocks.iter().flat_map(|block| &block.events).filter_map(gain).collect();
        let head = folder.family.head.path;
        let new = report.new.into_iter().filter(|name| !name.starts_with(head)).collect();
        Ok(Subject { folder, classifier, structure, new, norms })
    }

    /// How the network is built.
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let params = &self.classifier.params;
        let outside = |name: &str| self.folder.family.head.holds(name);
        let count: usize =
            params.iter().filter(|(_, w)| !outside(&w.name)).map(|(_, w)| w.var.elem_count()).sum();
        let mut facts = vec![
            ("family", self.folder.family.model_type.to_string()),
            ("parameters", count.to_string()),
            ("blocks", self.structure.blocks.len().to_string()),
        ];
        if !self.structure.blocks.is_empty() {
            facts.push(("norms", self.structure.placement().name().to_string()));
        }
        if let Some((law, _)) = self.structure.blocks.first().and_then(structure::Block::attention) {
            let grouped =
                if law.kv_heads < law.heads { format!(", keys in {}", law.kv_heads) } else { String::new() };
            facts.push(("heads", format!("{} of width {}{grouped}", law.heads, law.head_width)));
        }
        if self.folder.family.frozen {
            facts.push(("inside", "computed by candle-transformers: blocks are not watched".into()));
        }
        if !self.new.is_empty() {
            facts.push(("new", format!("not in the checkpoint, drawn anew: {}", self.new.join(", "))));
        }
        facts
    }

    /// Measures the weights, and with data a pass over it.
    ///
    /// # Errors
    /// Input that the network does not take.
    pub fn inspect(&mut self, data: Option<&Data<'_>>) -> Result<Inspection> {
        let (declared, checkpoint) = (declared(&self.folder)?, self.folder.checkpoint()?);
        let law = (self.folder.family.head.law)(&self.folder.config, self.classifier.backbone.width())?;
        let law = |name: &str| {
            let new = if name.ends_with("bias") { law.bias } else { law.weight };
            self.folder.family.head.holds(name).then_some(new)
        };
        let mut sheets = vec![weights::sheet(&declared, &checkpoint, Some(&self.structure), &law)?];
        let keys: BTreeMap<String, String> = declared
            .found(&checkpoint)
            .filter_map(|(name, .., key)| Some((name.to_string(), key?)))
            .collect();
        let key = |name: &str| keys.get(name).cloned().unwrap_or_else(|| name.to_string());
        let mut facts = self.facts();
        let Some(data) = data.filter(|data| !data.samples.is_empty()) else {
            sheets.push(heads::sheet(&self.classifier.params, &self.structure, &[])?);
            return Ok(self.concluded(facts, sheets, vec![]));
        };
        let (state, features, lengths) = self.watched(data)?;
        let n = lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
        facts.push((
            "data",
            format!(
                "{} examples, {} tokens, {} of them special, {n:.1} a sequence",
                data.samples.len(),
                state.tokens.0,
                state.tokens.1
            ),
        ));
        let params = &self.classifier.params;
        let stem = state.streams.first().map(|stem| (stem.second_moment(), stem.cosines().0));
        let expected = stem.and_then(|stem| expected::follow(params, &self.structure, stem, n));
        sheets.push(heads::sheet(params, &self.structure, &state.attentions)?);
        sheets.push(activations::stream(&state.streams, expected.as_deref()));
        sheets.push(activations::products(&state.products, &key));
        if !self.folder.family.frozen {
            let Classifier { backbone, params, .. } = &mut self.classifier;
            let samples = data.samples;
            sheets.push(gradients::sheet(
                backbone,
                params,
                &self.structure,
                samples,
                expected.as_deref(),
                data.lr,
            )?);
        }
        let mut advised = vec![];
        if let Some(input) = features::measure(&features) {
            advised = advice::on_head(&input, data.classes)?;
            sheets.push(input.sheet);
        }
        if let Some(sheet) = sheets.iter().find(|sheet| sheet.id == "gradients") {
            advised.extend(advice::on_steps(sheet, data.lr));
        }
        if data.search {
            let Subject { classifier, structure, .. } = self;
            advised.extend(first_step::advice(classifier, structure, data.samples, &features)?);
        }
        Ok(self.concluded(facts, sheets, advised))
    }

    fn concluded(
        &self,
        facts: Vec<(&'static str, String)>,
        sheets: Vec<Sheet>,
        mut advice: Vec<Advice>,
    ) -> Inspection {
        let findings = findings::find(&sheets, &self.norms);
        advice.extend(advice::on_precision(&sheets));
        advice.extend(advice::on_blocks(&findings));
        let sheets = sheets.into_iter().filter(|sheet| !sheet.rows.is_empty()).collect();
        Inspection { facts, sheets, findings, advice }
    }

    fn watched(&self, data: &Data<'_>) -> Result<(watch::State, Features, Vec<usize>)> {
        let Classifier { backbone, params, .. } = &self.classifier;
        let foreign =
            params.iter().map(|(_, weight)| &weight.name).filter(|name| self.folder.family.head.holds(name));
        let watch = watch::Watch::new(params, &self.structure)
            .knowing(data.special.clone(), foreign.cloned().collect());
        let pool = Pool::default();
        let (mut lengths, mut features) = (vec![], Features { values: vec![], width: backbone.width() });
        for part in data.samples.chunks(data.batch.max(1)) {
            let (input, _) = xexp_train::pack(part.iter())?;
            lengths.extend(input.offsets.windows(2).map(|range| range[1] - range[0]));
            watch.begin(&input);
            let mut pass = Pass::new(&pool, Mode::Eval);
            pass.tap = Some(&watch);
            let encoded = backbone.forward(params, &input, &mut pass)?;
            features.values.extend_from_slice(&encoded.features);
        }
        Ok((watch.finish(), features, lengths))
    }
}

impl Inspection {
    /// The sheet of this name.
    pub fn sheet(&self, id: &str) -> Option<&Sheet> {
        self.sheets.iter().find(|sheet| sheet.id == id)
    }

    /// Keeps the rows and findings of these blocks alone, and what belongs to no block.
    pub fn keep(&mut self, layers: &BTreeSet<usize>) {
        let wanted = |layer: Option<usize>| layer.is_none_or(|layer| layers.contains(&layer));
        for sheet in &mut self.sheets {
            sheet.rows.retain(|row| wanted(row.layer));
        }
        self.findings.faults.retain(|finding| wanted(finding.layer));
        self.findings.behind.retain(|finding| wanted(finding.layer));
    }

    /// For programs.
    pub fn json(&self) -> Json {
        let facts: serde_json::Map<String, Json> =
            self.facts.iter().map(|(what, how)| (what.to_string(), json!(how))).collect();
        let sheets: serde_json::Map<String, Json> =
            self.sheets.iter().map(|sheet| (sheet.id.to_string(), sheet.json())).collect();
        json!({
            "facts": facts,
            "findings": self.findings.faults,
            "behind_findings": self.findings.behind,
            "advice": self.advice,
            "sheets": sheets,
        })
    }
}
