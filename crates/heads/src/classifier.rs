//! A backbone and its head.

use crate::{Error, Features, HeadInit, Moments, Result};
use xexp_backbones::checkpoint::LoadReport;
use xexp_backbones::config::Config;
use xexp_backbones::families::{self, Family};
use xexp_backbones::folder::Folder;
use xexp_backbones::layers::Linear;
use xexp_backbones::{
    Declarations, EncoderTape, Grads, Input, Mode, Origin, Params, Pass, Seed, TextEncoder,
};
use xexp_init::Init;
use xexp_kernels::linear::GradColumns;
use xexp_kernels::{Buffer, Pool};

/// Backbone, head and their weights.
pub struct Classifier {
    /// The family, with its conventions.
    pub family: &'static Family,
    /// The backbone.
    pub backbone: TextEncoder,
    /// The head's last layer.
    pub head: Linear,
    /// All weights.
    pub params: Params,
    head_dropout: f64,
    hf_std: f64,
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

impl Classifier {
    /// The folder's backbone under a new head of `classes` outputs, which is zero until
    /// [`Classifier::initialize`] draws it.
    ///
    /// # Errors
    /// A configuration or checkpoint that cannot be used.
    pub fn with_new_head(folder: &Folder, classes: usize, seed: Seed) -> Result<(Self, LoadReport)> {
        Self::load(folder, classes, Origin::New, seed)
    }

    /// A saved classifier, with its label names by id.
    ///
    /// # Errors
    /// A folder that holds no classifier: no `id2label`, or no head of that many outputs.
    pub fn open(folder: &Folder) -> Result<(Self, Vec<String>)> {
        let labels =
            |reason: &str| Error::Labels { path: folder.config.path.clone(), reason: reason.to_string() };
        let names = folder.config.labels()?.ok_or_else(|| labels("no id2label: not a saved classifier"))?;
        let (classifier, _) = Self::load(folder, names.len(), Origin::Checkpoint, Seed(0))?;
        Ok((classifier, names))
    }

    fn load(folder: &Folder, classes: usize, origin: Origin, seed: Seed) -> Result<(Self, LoadReport)> {
        let config: &Config = &folder.config;
        let family = families::find(config)?;
        let mut declared = Declarations::default();
        let backbone = family.declare(config, &mut declared)?;
        let sizes = (backbone.width(), classes);
        let head = Linear::declare(&mut declared, family.head_path, sizes, Init::Constant(0.0), origin);
        let (params, report) = declared.load(&folder.checkpoint()?, seed)?;
        let (head_dropout, hf_std) = ((family.head_dropout)(config)?, (family.head_std)(config)?);
        Ok((Classifier { family, backbone, head, params, head_dropout, hf_std }, report))
    }

    /// Number of outputs.
    pub fn classes(&self) -> usize {
        self.head.output
    }

    /// Draws the head's weights from the stream `(seed, name)`, sets its bias to zero, and returns the standard
    /// deviation drawn with. `moments` are those of the features, which `calibrated` needs.
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
        let init = init.resolve(layer, scale, self.hf_std, moments)?;
        let std = init.std(layer)?;
        self.params.draw(self.head.weight, init, seed)?;
        self.params.draw(self.head.bias, Init::Constant(0.0), seed)?;
        Ok(std)
    }

    /// Whether a weight belongs to the head.
    pub fn in_head(&self, name: &str) -> bool {
        name.strip_prefix(self.family.head_path).is_some_and(|rest| rest.starts_with('.'))
    }

    /// Logits of a batch.
    ///
    /// # Errors
    /// Tokens that the backbone has no row for.
    pub fn forward(&self, input: &Input, pass: &mut Pass<'_>) -> Result<Logits> {
        let mut encoded = self.backbone.forward(&self.params, input, pass)?;
        if let Some(dropout) = pass.dropout(self.family.head_path, self.head_dropout) {
            dropout.apply(&mut encoded.features, self.backbone.width());
        }
        let values = self.logits(&encoded.features, pass.pool)?;
        let tape = encoded.tape.map(|encoder| LogitsTape { encoder, dropped: encoded.features });
        Ok(Logits { values, tape })
    }

    /// Logits `(rows, classes)` of features `(rows, width)`.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn logits(&self, features: &[f32], pool: &Pool) -> Result<Buffer> {
        let mut values = pool.buffer(features.len() / self.head.input * self.head.output);
        self.head.forward(&self.params, features, &mut values)?;
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
        self.head.backward(&self.params, grads, &tape.dropped, dlogits, Some((&mut dfeatures, false)))?;
        if let Some(dropout) = pass.dropout(self.family.head_path, self.head_dropout) {
            dropout.apply(&mut dfeatures, self.backbone.width());
        }
        self.backbone.backward((&self.params, grads), dfeatures, tape.encoder, input, pass)?;
        Ok(())
    }

    /// Adds the features of a batch to `features`, without dropout.
    ///
    /// # Errors
    /// As [`Classifier::forward`].
    pub fn collect_features(&self, input: &Input, pool: &Pool, features: &mut Features) -> Result<()> {
        let encoded = self.backbone.forward(&self.params, input, &mut Pass::new(pool, Mode::Eval))?;
        features.values.extend_from_slice(&encoded.features);
        Ok(())
    }
}
