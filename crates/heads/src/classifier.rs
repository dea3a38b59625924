//! A backbone and its head.

use crate::{Error, Features, HeadInit, Moments, Result};
use xexp_backbones::checkpoint::LoadReport;
use xexp_backbones::config::Config;
use xexp_backbones::families::{Family, HeadLaw, Reading};
use xexp_backbones::folder::Folder;
use xexp_backbones::layers::{HIDDEN, Linear};
use xexp_backbones::{
    Declarations, Encoder, EncoderGradient, EncoderTape, Grads, Input, Mode, Origin, Params, Pass, Seed,
    WeightId,
};
use xexp_init::Init;
use xexp_kernels::linear::GradColumns;
use xexp_kernels::{Buffer, Pool, Precision};

/// Backbone, head and their weights.
pub struct Classifier {
    /// The family, with its conventions.
    pub family: &'static Family,
    /// The backbone.
    pub backbone: Encoder,
    /// The head's last layer.
    pub head: Linear,
    /// All weights.
    pub params: Params,
    head_dropout: f64,
    law: HeadLaw,
}

/// Logits of a batch.
pub struct Logits {
    /// `(batch, classes)`.
    pub values: Buffer,
    /// What the backward pass needs; `None` after a pass that does not train.
    pub tape: Option<LogitsTape>,
}

/// What the backward pass needs.
pub struct LogitsTape {
    encoder: EncoderTape,
    dropped: Buffer,
}

impl LogitsTape {
    /// New values of weights that follow the data; see [`EncoderTape::statistics`].
    pub fn statistics(&mut self) -> Vec<(WeightId, Vec<f32>)> {
        self.encoder.statistics()
    }
}

/// A classifier whose weights are declared and have no values yet.
struct Parts {
    family: &'static Family,
    declared: Declarations,
    unfilled: Box<dyn FnOnce(Params) -> Classifier>,
}

impl Parts {
    fn declare(family: &'static Family, config: &Config, classes: usize) -> Result<Self> {
        let mut declared = Declarations::default();
        let backbone = family.declare(config, &mut declared, Reading::Features)?;
        let sizes = (backbone.width(), classes);
        let zero = Init::Constant(0.0);
        let declare = if family.head.bias { Linear::declare } else { Linear::declare_without_bias };
        let head = declare(&mut declared, family.head.path, sizes, zero, Origin::Checkpoint);
        let (head_dropout, law) = ((family.head.dropout)(config)?, (family.head.law)(config, sizes.0)?);
        let unfilled =
            Box::new(move |params| Classifier { family, backbone, head, params, head_dropout, law });
        Ok(Parts { family, declared, unfilled })
    }

    /// The head replaces that of the checkpoint, and images may have another size than the checkpoint's.
    fn with_new_head(mut self) -> Self {
        self.declared.renew(|name| self.family.head.holds(name));
        self.declared.resample_positions();
        self
    }

    fn load(self, folder: &Folder, seed: Seed) -> Result<(Classifier, LoadReport)> {
        let (params, report) = self.declared.load(&folder.checkpoint()?, seed)?;
        Ok(((self.unfilled)(params), report))
    }
}

impl Classifier {
    /// The folder's backbone under a new head of `classes` outputs, whose last layer is zero until
    /// [`Classifier::initialize`] draws it; layers in front of it are drawn as [`HIDDEN`] says, from `(seed, name)`.
    ///
    /// # Errors
    /// A configuration or checkpoint that cannot be used.
    pub fn with_new_head(folder: &Folder, classes: usize, seed: Seed) -> Result<(Self, LoadReport)> {
        Parts::declare(folder.family, &folder.config, classes)?.with_new_head().load(folder, seed)
    }

    /// A backbone of this configuration that has learned nothing, every weight drawn from `(seed, name)`, under a new
    /// head as in [`Classifier::with_new_head`].
    ///
    /// # Errors
    /// A configuration that cannot be built.
    pub fn untrained(
        family: &'static Family,
        config: &Config,
        classes: usize,
        seed: Seed,
    ) -> Result<(Self, LoadReport)> {
        let Parts { declared, unfilled, .. } = Parts::declare(family, config, classes)?;
        let params = declared.draw(seed)?;
        let new = params.iter().map(|(_, weight)| weight.name.clone()).collect();
        Ok((unfilled(params), LoadReport { new, ..Default::default() }))
    }

    /// A saved classifier, with its label names by id. Tables of positions are resampled where the configuration's images
    /// have another size than the checkpoint's.
    ///
    /// # Errors
    /// A folder that holds no classifier: no `id2label`, or no head of that many outputs.
    pub fn open(folder: &Folder) -> Result<(Self, Vec<String>)> {
        let labels =
            |reason: &str| Error::Labels { path: folder.config.path.clone(), reason: reason.to_string() };
        let names = folder.config.labels()?.ok_or_else(|| labels("no id2label: not a saved classifier"))?;
        let mut parts = Parts::declare(folder.family, &folder.config, names.len())?;
        parts.declared.resample_positions();
        Ok((parts.load(folder, Seed(0))?.0, names))
    }

    /// A saved backbone under a head of `classes` outputs, but for the weights of these names: they are about to be set, and
    /// the folder need not have them.
    pub(crate) fn with_lent(folder: &Folder, classes: usize, lent: impl Fn(&str) -> bool) -> Result<Self> {
        let mut parts = Parts::declare(folder.family, &folder.config, classes)?;
        parts.declared.renew(lent);
        parts.declared.resample_positions();
        Ok(parts.load(folder, Seed(0))?.0)
    }

    /// Number of outputs.
    pub fn classes(&self) -> usize {
        self.head.output
    }

    /// Draws the head's layers in front of the last one from the streams `(seed, name)`, with biases of zero: under `hf`
    /// by transformers' law, else as [`HIDDEN`] says. The features are what they make of the hidden states; they come first.
    ///
    /// # Errors
    /// As [`Params::draw`].
    pub fn initialize_hidden(&mut self, init: HeadInit, seed: Seed) -> Result<()> {
        let law = if init == HeadInit::Hf { self.law.weight } else { HIDDEN };
        for path in self.family.head.hidden {
            for (name, law) in [("weight", law), ("bias", Init::Constant(0.0))] {
                let found = self.params.find(&format!("{path}.{name}")).map(|(id, _)| id);
                if let Some(id) = found {
                    self.params.draw(id, law, seed)?;
                }
            }
        }
        Ok(())
    }

    /// Draws the weights of the head's last layer from the stream `(seed, name)`, sets its bias to zero (draws it too where `hf` does), and
    /// returns the standard deviation drawn with. `moments` are those of the features, which `calibrated` needs.
    ///
    /// # Errors
    /// As [`HeadInit::resolve`].
    pub fn initialize(
        &mut self,
        init: HeadInit,
        scale: f64,
        moments: Option<&Moments>,
        seed: Seed,
    ) -> Result<f64> {
        let layer = &self.params.weight(self.head.weight).layer;
        let drawn = init.resolve(layer, scale, self.law.weight, moments)?;
        let std = drawn.std(layer)?;
        self.params.draw(self.head.weight, drawn, seed)?;
        if let Some(bias) = self.head.bias {
            let drawn = if init == HeadInit::Hf { self.law.bias.times(scale) } else { Init::Constant(0.0) };
            self.params.draw(bias, drawn, seed)?;
        }
        Ok(std)
    }

    /// Whether a weight belongs to the head.
    pub fn in_head(&self, name: &str) -> bool {
        self.family.head.holds(name)
    }

    /// Has the backbone's dense layers round their operands so; head and loss stay in `f32`. Gives the number of these layers:
    /// none in a network of convolutions, nor in one that another library computes.
    pub fn multiply_in(&mut self, precision: Precision) -> usize {
        let (head, frozen) = (&self.family.head, self.family.frozen);
        self.params.multiply_in(precision, |name| !frozen && !head.holds(name))
    }

    /// Logits of a batch.
    ///
    /// # Errors
    /// Tokens that the backbone has no row for.
    pub fn forward(&self, input: &Input, pass: &mut Pass<'_>) -> Result<Logits> {
        let (mut features, tape) = self.backbone.features(&self.params, input, pass)?;
        if let Some(dropout) = pass.dropout(self.family.head.path, self.head_dropout) {
            dropout.apply(&mut features, self.backbone.width());
        }
        let values = self.logits(&features, pass.pool)?;
        let tape = tape.map(|encoder| LogitsTape { encoder, dropped: features });
        Ok(Logits { values, tape })
    }

    /// Logits `(rows, classes)` of features `(rows, width)`.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn logits(&self, features: &[f32], pool: &Pool) -> Result<Buffer> {
        let mut values = pool.buffer(features.len() / self.head.input * self.head.output);
        self.head.forward(&self.params, features, &mut values, &Pass::new(pool, Mode::Eval))?;
        Ok(values)
    }

    /// Adds the gradients of all trainable weights, from the gradient of the logits.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn backward(
        &self,
        grads: &mut Grads,
        dlogits: &[f32],
        tape: LogitsTape,
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let mut dfeatures = pass.buffer(tape.dropped.len());
        let dlogits = GradColumns::all(dlogits, self.head.output);
        let dx = Some((&mut dfeatures[..], false));
        self.head.backward(&self.params, grads, &tape.dropped, dlogits, dx, pass)?;
        if let Some(dropout) = pass.dropout(self.family.head.path, self.head_dropout) {
            dropout.apply(&mut dfeatures, self.backbone.width());
        }
        let above = EncoderGradient { features: Some(dfeatures), hidden: None };
        self.backbone.backward((&self.params, grads), above, tape.encoder, input, pass)?;
        Ok(())
    }

    /// Adds the features of a batch to `features`, without dropout.
    ///
    /// # Errors
    /// As [`Classifier::forward`].
    pub fn collect_features(&self, input: &Input, pool: &Pool, features: &mut Features) -> Result<()> {
        let (found, _) = self.backbone.features(&self.params, input, &mut Pass::new(pool, Mode::Eval))?;
        features.values.extend_from_slice(&found);
        Ok(())
    }
}
