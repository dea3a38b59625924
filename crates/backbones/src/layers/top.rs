//! What turns the first token's hidden state into a sequence's features.

use crate::layers::{LayerNorm, Linear};
use crate::{Declarations, Grads, Origin, Params, Pass, Result, WeightId};
use xexp_init::Init;
use xexp_kernels::linear::GradColumns;
use xexp_kernels::{Activation, Buffer};

/// Which top, under which path.
pub enum TopSpec<'a> {
    /// `tanh(dense(first token))`, pretrained with the blocks. Source: Devlin et al. 2019.
    Pooler {
        /// Path of the dense layer.
        path: &'a str,
    },
    /// `φ(dense(dropout(first token)))`, a layer of the head. Source: Liu et al. 2019, whose φ is tanh.
    Hidden {
        /// Path of the dense layer.
        path: &'a str,
        /// `φ`.
        activation: Activation,
        /// Probability of dropping a value of the first token.
        dropout: f64,
    },
    /// `LN(first token)`, the closing norm of a Pre-LN stack. Source: Dosovitskiy et al. 2021, eq. 4.
    Norm {
        /// Path of the norm.
        path: &'a str,
        /// Its ε.
        eps: f64,
    },
}

/// How a new layer of a head in front of its last one is drawn: it keeps the second moment of what it is given.
pub const HIDDEN: Init = Init::Orthogonal { gain: 1.0 };

enum Kind {
    Dense(Linear, Activation, f64),
    Norm(LayerNorm),
}

/// The top of an encoder: `(batch, width)` from the first tokens' hidden states, of the same shape.
pub struct Top {
    kind: Kind,
    width: usize,
    place: String,
}

/// What the backward pass needs: the first tokens, and the dense layer's output or the norm's statistics.
pub struct TopTape {
    first: Buffer,
    saved: Buffer,
}

impl Top {
    /// Declares the weights.
    pub fn declare(declared: &mut Declarations, spec: &TopSpec<'_>, width: usize, init: Init) -> Self {
        let (kind, place) = match spec {
            TopSpec::Pooler { path } => {
                // Ports that were pretrained without a sentence task leave the pooler out.
                let origin = Origin::CheckpointOrNew;
                let dense = Linear::declare(declared, path, (width, width), init, origin);
                (Kind::Dense(dense, Activation::Tanh, 0.0), "pooler")
            }
            TopSpec::Hidden { path, activation, dropout } => {
                let dense = Linear::declare(declared, path, (width, width), HIDDEN, Origin::Checkpoint);
                (Kind::Dense(dense, *activation, *dropout), *path)
            }
            TopSpec::Norm { path, eps } => (
                Kind::Norm(LayerNorm::declare(declared, path, width, *eps, Origin::Checkpoint)),
                "final_norm",
            ),
        };
        Top { kind, width, place: place.to_string() }
    }

    /// Its weights.
    pub fn ids(&self) -> Vec<WeightId> {
        match &self.kind {
            Kind::Dense(dense, ..) => dense.ids().collect(),
            Kind::Norm(norm) => norm.ids().collect(),
        }
    }

    /// Features of the sequences, and the tape.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn forward(&self, params: &Params, states: &[f32], pass: &mut Pass<'_>) -> Result<(Buffer, TopTape)> {
        let width = self.width;
        // A copy of its own: values of it may be dropped.
        let mut first = pass.buffer(states.len());
        first.copy_from_slice(states);
        let (features, saved) = match &self.kind {
            Kind::Dense(dense, activation, p) => {
                if let Some(dropout) = pass.dropout(&self.place, *p) {
                    dropout.apply(&mut first, width);
                }
                let (mut pooled, mut features) = (pass.buffer(first.len()), pass.buffer(first.len()));
                dense.forward(params, &first, &mut pooled, pass)?;
                dense.show(&first, &pooled, pass);
                activation.forward(&pooled, &mut features);
                (features, pooled)
            }
            Kind::Norm(norm) => norm.forward(params, &first, pass.pool)?,
        };
        pass.show(&self.place, "", &features, width);
        Ok((features, TopTape { first, saved }))
    }

    /// Adds the weights' gradients; the gradient of the first tokens where it is wanted.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn backward(
        &self,
        (params, grads): (&Params, &mut Grads),
        mut dfeatures: Buffer,
        tape: &TopTape,
        wanted: bool,
        pass: &Pass<'_>,
    ) -> Result<Option<Buffer>> {
        let dfirst = match &self.kind {
            Kind::Dense(dense, activation, p) => {
                activation.backward(&tape.saved, &mut dfeatures);
                let mut dfirst = pass.buffer(dfeatures.len());
                let dy = GradColumns::all(&dfeatures, self.width);
                let dx = wanted.then_some((&mut dfirst[..], false));
                dense.backward(params, grads, &tape.first, dy, dx, pass)?;
                if let (true, Some(dropout)) = (wanted, pass.dropout(&self.place, *p)) {
                    dropout.apply(&mut dfirst, self.width);
                }
                dfirst
            }
            Kind::Norm(norm) => {
                norm.backward(params, grads, &dfeatures, (&tape.first, &tape.saved), pass.pool)?
            }
        };
        Ok(wanted.then_some(dfirst))
    }
}
