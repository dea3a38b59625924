//! Teacher and student: an encoder whose sentence vectors another one learns.

use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;
use xexp_backbones::config::Config;
use xexp_backbones::families::Family;
use xexp_backbones::folder::Folder;
use xexp_backbones::layers::Linear;
use xexp_backbones::{
    Declarations, Encoder, EncoderGradient, EncoderTape, Grads, Input, Mode, Origin, Params, Pass, Seed,
};
use xexp_init::{Init, Layer};
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
    params: Params,
    pooling: Pooling,
}

impl Teacher {
    /// The folder's encoder.
    ///
    /// # Errors
    /// A configuration or checkpoint that cannot be used.
    pub fn open(folder: &Folder, pooling: Pooling) -> Result<Self> {
        let mut declared = Declarations::default();
        let encoder = folder.family.declare(&folder.config, &mut declared)?;
        let (params, _) = declared.load(&folder.checkpoint()?, Seed(0))?;
        Ok(Teacher { encoder, params, pooling })
    }

    /// Width of its vectors.
    pub fn width(&self) -> usize {
        self.encoder.width()
    }

    /// Vectors of the batch's sequences, `(batch, width)`, each of norm 1.
    ///
    /// # Errors
    /// Words that the teacher has no row for.
    pub fn vectors(&self, input: &Input, pool: &Pool) -> Result<Vec<f32>> {
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
        Ok(vectors)
    }

    /// Its weights, for a student that begins with some of them.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

/// Divides by the norm; a vector of zeros stays.
pub fn normalize(vector: &mut [f32]) {
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

/// What a student makes of a batch.
pub struct Imitation {
    /// `(batch, width of the teacher)`.
    pub vectors: Buffer,
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
        let encoder = family.declare(config, &mut declared)?;
        let width = encoder.width();
        let map = (width != target).then(|| {
            Linear::declare(&mut declared, MAP, (width, target), Init::xavier_normal(), Origin::New)
        });
        Ok(Student { encoder, params: declared.draw(seed)?, map })
    }

    /// Begins as the teacher: block `i` as its block `take[i]`, word `j` as its word `words[j]`, positions as its
    /// first ones. The pooler begins as the identity, so that the features are near the first token's hidden state.
    /// Source: the initialization of Sanh et al. 2019, §3.
    ///
    /// # Errors
    /// [`Error::Shape`] for a weight that is of another shape than the teacher's.
    pub fn begin_as(&self, teacher: &Teacher, take: &[usize], words: &[u32]) -> Result<()> {
        for (id, weight) in self.params.iter().filter(|(_, weight)| !weight.name.starts_with(MAP)) {
            let shape = weight.layer.shape();
            let refused = |found: Vec<usize>| Error::Shape {
                name: weight.name.clone(),
                expected: shape.clone(),
                found,
            };
            if let (true, Layer::Linear { input, output }) = (weight.name.contains("pooler"), &weight.layer) {
                let identity = (0..input * output).map(|i| if i / input == i % input { 1.0 } else { 0.0 });
                self.params.set(id, &identity.collect::<Vec<f32>>())?;
                continue;
            }
            let Some((from, lent)) = teacher.params.find(&renamed(&weight.name, take)) else {
                return Err(refused(vec![]));
            };
            let (values, theirs) = (teacher.params.values(from)?, lent.layer.shape());
            let rows = |rows: &mut dyn Iterator<Item = usize>| -> Vec<f32> {
                let width = theirs[1];
                rows.flat_map(|row| values[row * width..(row + 1) * width].to_vec()).collect()
            };
            let table = weight.name.ends_with("word_embeddings.weight");
            let new = match (&weight.layer, &lent.layer) {
                (Layer::Embedding { width, .. }, Layer::Embedding { count, width: w })
                    if table && width == w && words.iter().all(|&word| (word as usize) < *count) =>
                {
                    rows(&mut words.iter().map(|&word| word as usize))
                }
                (Layer::Embedding { count, width }, Layer::Embedding { count: c, width: w })
                    if count <= c && width == w =>
                {
                    rows(&mut (0..*count))
                }
                _ if shape == theirs => values.to_vec(),
                _ => return Err(refused(theirs)),
            };
            self.params.set(id, &new)?;
        }
        Ok(())
    }

    /// Vectors of the batch's sequences.
    ///
    /// # Errors
    /// Words that the student has no row for.
    pub fn forward(&self, input: &Input, pass: &mut Pass<'_>) -> Result<Imitation> {
        let encoded = self.encoder.forward(&self.params, input, pass)?;
        let Some(map) = &self.map else {
            let tape = encoded.tape.map(|encoder| ImitationTape { encoder, features: None });
            return Ok(Imitation { vectors: encoded.features, tape });
        };
        let mut vectors = pass.buffer(input.batch() * map.output);
        map.forward(&self.params, &encoded.features, &mut vectors)?;
        let features = Some(encoded.features);
        Ok(Imitation { vectors, tape: encoded.tape.map(|encoder| ImitationTape { encoder, features }) })
    }

    /// Adds the gradients of all weights, from the gradient of the vectors.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn backward(
        &self,
        grads: &mut Grads,
        dvectors: Buffer,
        tape: ImitationTape,
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let dfeatures = match (&self.map, &tape.features) {
            (Some(map), Some(features)) => {
                let mut dfeatures = pass.buffer(features.len());
                let dy = GradColumns::all(&dvectors, map.output);
                map.backward(&self.params, grads, features, dy, Some((&mut dfeatures, false)))?;
                dfeatures
            }
            _ => dvectors,
        };
        let above = EncoderGradient { features: Some(dfeatures), hidden: None };
        Ok(self.encoder.backward((&self.params, grads), above, tape.encoder, input, pass)?)
    }
}

/// A weight's name in the teacher: that of block `take[i]` for one of block `i`.
fn renamed(name: &str, take: &[usize]) -> String {
    let renamed = || {
        let (stem, rest) = name.split_once(".layer.")?;
        let (block, rest) = rest.split_once('.')?;
        let from = take.get(block.parse::<usize>().ok()?)?;
        Some(format!("{stem}.layer.{from}.{rest}"))
    };
    renamed().unwrap_or_else(|| name.to_string())
}
