//! Masked-language modelling: an encoder, and what guesses the words that were hidden from it.

use crate::{Error, Result};
use xexp_backbones::checkpoint::LoadReport;
use xexp_backbones::config::Config;
use xexp_backbones::families::{Family, Reading};
use xexp_backbones::folder::Folder;
use xexp_backbones::layers::{LayerNorm, Linear};
use xexp_backbones::{
    Declarations, Encoder, EncoderGradient, EncoderTape, Grads, Input, Origin, Params, Pass, Seed, WeightId,
};
use xexp_init::{Init, Layer};
use xexp_kernels::linear::{self, GradColumns};
use xexp_kernels::{Activation, Buffer, add};

/// `logits = LN(φ(dense(hidden))) · Tᵀ + b` at chosen tokens, `T` the word table itself.
/// Source: Devlin et al. 2019, §3.1; the head's layout is that of transformers' `BertLMPredictionHead`.
pub struct MaskedLm {
    /// The family, with its names.
    pub family: &'static Family,
    /// The encoder, without pooler.
    pub encoder: Encoder,
    /// All weights.
    pub params: Params,
    parts: Parts,
}

struct Parts {
    dense: Linear,
    activation: Activation,
    norm: LayerNorm,
    table: WeightId,
    bias: WeightId,
    vocabulary: usize,
}

/// Logits at the chosen tokens.
pub struct WordLogits {
    /// `(places, vocabulary)`.
    pub values: Buffer,
    /// What the backward pass needs; `None` after a pass that does not train.
    pub tape: Option<WordLogitsTape>,
}

/// What the backward pass needs.
pub struct WordLogitsTape {
    encoder: EncoderTape,
    chosen: Buffer,
    before: Buffer,
    after: Buffer,
    stats: Buffer,
    normed: Buffer,
}

impl MaskedLm {
    /// A model of this configuration that has learned nothing, every weight drawn from `(seed, name)`.
    ///
    /// # Errors
    /// A configuration that cannot be built, or a family without such a head.
    pub fn untrained(family: &'static Family, config: &Config, seed: Seed) -> Result<Self> {
        let (declared, encoder, parts) = declare(family, config)?;
        Ok(MaskedLm { family, encoder, parts, params: declared.draw(seed)? })
    }

    /// A folder's model, to be trained further; a head that its checkpoint lacks is drawn new.
    ///
    /// # Errors
    /// A configuration or checkpoint that cannot be used, or a family without such a head.
    pub fn open(folder: &Folder, seed: Seed) -> Result<(Self, LoadReport)> {
        let family = folder.family;
        let (declared, encoder, parts) = declare(family, &folder.config)?;
        let (params, report) = declared.load(&folder.checkpoint()?, seed)?;
        Ok((MaskedLm { family, encoder, parts, params }, report))
    }

    /// Number of words.
    pub fn vocabulary(&self) -> usize {
        self.parts.vocabulary
    }

    /// Logits at `places`, numbers of tokens in the packed batch.
    ///
    /// # Errors
    /// Words that the table has no row for.
    pub fn forward(&self, input: &Input, places: &[usize], pass: &mut Pass<'_>) -> Result<WordLogits> {
        let (params, parts, width) = (&self.params, &self.parts, self.encoder.width());
        let encoded = self.encoder.forward(params, input, pass)?;
        let size = places.len() * width;
        let mut chosen = pass.buffer(size);
        for (row, &place) in chosen.chunks_exact_mut(width).zip(places) {
            row.copy_from_slice(&encoded.hidden[place * width..(place + 1) * width]);
        }
        let (mut before, mut after) = (pass.buffer(size), pass.buffer(size));
        parts.dense.forward(params, &chosen, &mut before, pass)?;
        parts.activation.forward(&before, &mut after);
        let (normed, stats) = parts.norm.forward(params, &after, pass.pool)?;
        let mut values = pass.buffer(places.len() * parts.vocabulary);
        if !places.is_empty() {
            let (table, bias) = (params.values(parts.table)?, params.values(parts.bias)?);
            linear::forward(&normed, &table, Some(&bias), &mut values);
        }
        let tape =
            encoded.tape.map(|encoder| WordLogitsTape { encoder, chosen, before, after, stats, normed });
        Ok(WordLogits { values, tape })
    }

    /// Adds the gradients of all trainable weights, from the gradient of the logits.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn backward(
        &self,
        grads: &mut Grads,
        dlogits: &[f32],
        (tape, places): (WordLogitsTape, &[usize]),
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let (params, parts, width) = (&self.params, &self.parts, self.encoder.width());
        let dy = GradColumns::all(dlogits, parts.vocabulary);
        if let Some(slot) = grads.slot(parts.table) {
            linear::backward_weight(dy, &tape.normed, slot);
        }
        if let Some(slot) = grads.slot(parts.bias) {
            linear::backward_bias(dy, slot);
        }
        let mut dnormed = pass.buffer(tape.normed.len());
        linear::backward_input(dy, &params.values(parts.table)?, &mut dnormed, false);
        let saved = (&tape.after[..], &tape.stats[..]);
        let mut dbefore = parts.norm.backward(params, grads, &dnormed, saved, pass.pool)?;
        parts.activation.backward(&tape.before, &mut dbefore);
        let mut dchosen = pass.buffer(tape.chosen.len());
        let dy = GradColumns::all(&dbefore, width);
        parts.dense.backward(params, grads, &tape.chosen, dy, Some((&mut dchosen, false)), pass)?;
        let mut dhidden = pass.pool.zeros(input.tokens() * width);
        for (row, &place) in dchosen.chunks_exact(width).zip(places) {
            add(&mut dhidden[place * width..(place + 1) * width], row);
        }
        let above = EncoderGradient { features: None, hidden: Some(dhidden) };
        Ok(self.encoder.backward((params, grads), above, tape.encoder, input, pass)?)
    }
}

fn declare(family: &'static Family, config: &Config) -> Result<(Declarations, Encoder, Parts)> {
    let names = family.masked_lm.as_ref().ok_or(Error::NoMaskedLm { family: family.model_type })?;
    let mut declared = Declarations::default();
    let encoder = family.declare(config, &mut declared, Reading::Hidden)?;
    let (width, vocabulary) = (encoder.width(), config.size("vocab_size")?);
    let init = (family.head.law)(config, width)?.weight;
    // Checkpoints of bare encoders have no such head.
    let origin = Origin::CheckpointOrNew;
    let dense = Linear::declare(&mut declared, names.dense, (width, width), init, origin);
    let eps = config.number("layer_norm_eps", 1e-12)?;
    let norm = LayerNorm::declare(&mut declared, names.norm, width, eps, origin);
    let bias = declared.weight(names.bias, Layer::Vector { len: vocabulary }, Init::Constant(0.0), origin);
    let table = declared.find(names.table).ok_or(Error::NoMaskedLm { family: family.model_type })?;
    let activation = config.activation("hidden_act", "gelu")?;
    Ok((declared, encoder, Parts { dense, activation, norm, table, bias, vocabulary }))
}
