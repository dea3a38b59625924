//! Teacher and student: an encoder whose sentence vectors another one learns.

use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use xexp_backbones::checkpoint::Checkpoint;
use xexp_backbones::config::Config;
use xexp_backbones::families::{Family, Reading};
use xexp_backbones::folder::Folder;
use xexp_backbones::layers::Linear;
use xexp_backbones::{
    Declarations, Encoder, EncoderGradient, EncoderTape, Grads, Input, Mode, Origin, Params, Pass, Seed,
};
use xexp_init::Init;
use xexp_kernels::linear::GradColumns;
use xexp_kernels::{Buffer, Pool};

/// What of a teacher is the vector of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Mean of the last hidden states, as sentence encoders have it.
    Mean,
    /// Last hidden state of the first token.
    First,
    /// What the family hands to a head, such as BERT's pooler.
    Features,
}

impl FromStr for Pooling {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "mean" => Ok(Pooling::Mean),
            "first" => Ok(Pooling::First),
            "features" => Ok(Pooling::Features),
            other => Err(Error::UnknownPooling { found: other.to_string() }),
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pooling::Mean => "mean",
            Pooling::First => "first",
            Pooling::Features => "features",
        })
    }
}

/// A pretrained encoder, read only.
pub struct Teacher {
    encoder: Encoder,
    pub(crate) params: Params,
    pooling: Pooling,
}

impl Teacher {
    /// The folder's encoder.
    ///
    /// # Errors
    /// A configuration or checkpoint that cannot be used.
    pub fn open(folder: &Folder, pooling: Pooling) -> Result<Self> {
        let mut declared = Declarations::default();
        // Features may need a head's layers, which a bare encoder lacks.
        let reading = if pooling == Pooling::Features { Reading::Features } else { Reading::Hidden };
        let encoder = folder.family.declare(&folder.config, &mut declared, reading)?;
        let (params, _) = declared.load(&folder.checkpoint()?, Seed(0))?;
        Ok(Teacher { encoder, params, pooling })
    }

    /// Width of its vectors.
    pub fn width(&self) -> usize {
        self.encoder.width()
    }

    /// Vectors of the batch's sequences, `(batch, width)`, each of norm 1, and its hidden states, `(tokens, width)`.
    ///
    /// # Errors
    /// Words that the teacher has no row for.
    pub fn vectors(&self, input: &Input, pool: &Pool) -> Result<(Vec<f32>, Arc<Buffer>)> {
        let (width, mut pass) = (self.width(), Pass::new(pool, Mode::Eval));
        let encoded = self.encoder.forward(&self.params, input, &mut pass)?;
        let mut vectors = match self.pooling {
            Pooling::Features => encoded.features.to_vec(),
            Pooling::First => {
                let first = |&start: &usize| encoded.hidden[start * width..(start + 1) * width].to_vec();
                input.offsets[..input.batch()].iter().flat_map(first).collect()
            }
            Pooling::Mean => {
                let mean = |ends: &[usize]| {
                    let mut sum = vec![0.0f32; width];
                    for row in encoded.hidden[ends[0] * width..ends[1] * width].chunks_exact(width) {
                        sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
                    }
                    sum
                };
                input.offsets.windows(2).flat_map(mean).collect()
            }
        };
        vectors.chunks_exact_mut(width).for_each(normalize);
        Ok((vectors, encoded.hidden))
    }
}

/// Divides by the norm; a vector of zeros stays.
fn normalize(vector: &mut [f32]) {
    let norm = xexp_kernels::sum_of_squares(vector).sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
    }
}

/// An encoder that learns: its features are to be the teacher's vectors, through a linear map where the widths differ.
pub struct Student {
    /// The encoder.
    pub encoder: Encoder,
    /// All weights, those of the map too.
    pub params: Params,
    map: Option<Linear>,
}

/// Path of the map between widths; it is no part of the saved model.
pub const MAP: &str = "distil.map";

fn declare(
    family: &Family,
    config: &Config,
    target: usize,
    declared: &mut Declarations,
) -> Result<(Encoder, Option<Linear>)> {
    let encoder = family.declare(config, declared, Reading::Features)?;
    let width = encoder.width();
    let map = (width != target)
        .then(|| Linear::declare(declared, MAP, (width, target), Init::xavier_normal(), Origin::New));
    Ok((encoder, map))
}

/// What a student makes of a batch.
pub struct Imitation {
    /// `(batch, width of the teacher)`.
    pub vectors: Buffer,
    /// `(tokens, width of the student)`.
    pub hidden: Arc<Buffer>,
    /// What the backward pass needs; `None` after a pass that does not train.
    pub tape: Option<ImitationTape>,
}

/// What the backward pass needs.
pub struct ImitationTape {
    encoder: EncoderTape,
    /// The map's input.
    features: Option<Buffer>,
}

impl Student {
    /// A student of this configuration for vectors of width `target`, every weight drawn from `(seed, name)`.
    ///
    /// # Errors
    /// A configuration that cannot be built.
    pub fn untrained(family: &Family, config: &Config, target: usize, seed: Seed) -> Result<Self> {
        let mut declared = Declarations::default();
        let (encoder, map) = declare(family, config, target, &mut declared)?;
        Ok(Student { encoder, params: declared.draw(seed)?, map })
    }

    /// A student of this configuration with the checkpoint's weights, those of the map between widths drawn anew.
    ///
    /// # Errors
    /// A configuration or checkpoint that cannot be used.
    pub fn open(
        family: &Family,
        config: &Config,
        checkpoint: &Checkpoint,
        target: usize,
        seed: Seed,
    ) -> Result<Self> {
        let mut declared = Declarations::default();
        let (encoder, map) = declare(family, config, target, &mut declared)?;
        let (params, _) = declared.load(checkpoint, seed)?;
        Ok(Student { encoder, params, map })
    }

    /// Vectors of the batch's sequences.
    ///
    /// # Errors
    /// Words that the student has no row for.
    pub fn forward(&self, input: &Input, pass: &mut Pass<'_>) -> Result<Imitation> {
        let encoded = self.encoder.forward(&self.params, input, pass)?;
        let (features, hidden) = (encoded.features, encoded.hidden);
        let (vectors, features) = match &self.map {
            None => (features, None),
            Some(map) => {
                let mut vectors = pass.buffer(input.batch() * map.output);
                map.forward(&self.params, &features, &mut vectors, pass)?;
                (vectors, Some(features))
            }
        };
        Ok(Imitation {
            vectors,
            hidden,
            tape: encoded.tape.map(|encoder| ImitationTape { encoder, features }),
        })
    }

    /// Adds the gradients of all weights, from those of the vectors and, where they are learned too, the hidden states.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn backward(
        &self,
        grads: &mut Grads,
        (dvectors, hidden): (Buffer, Option<Buffer>),
        tape: ImitationTape,
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let dfeatures = match (&self.map, &tape.features) {
            (Some(map), Some(features)) => {
                let mut dfeatures = pass.buffer(features.len());
                let dy = GradColumns::all(&dvectors, map.output);
                map.backward(&self.params, grads, features, dy, Some((&mut dfeatures, false)), pass)?;
                dfeatures
            }
            _ => dvectors,
        };
        let above = EncoderGradient { features: Some(dfeatures), hidden };
        Ok(self.encoder.backward((&self.params, grads), above, tape.encoder, input, pass)?)
    }
}
