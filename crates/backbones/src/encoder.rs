//! A backbone: hidden states and features of a batch, and their gradients.

use crate::graph::{Graph, Place, Tape, Var};
use crate::layers::ImageShape;
use crate::{Grads, Input, Params, Pass, Result, WeightId};
use std::sync::Arc;
use xexp_kernels::Buffer;

/// What a family builds: the forward pass, written once.
pub trait Network: Send + Sync {
    /// Hidden states and features of the batch.
    ///
    /// # Errors
    /// An input of another kind, or beyond the tables.
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs>;

    /// The features alone, without what only the other hidden states need; `None` of a network that has none. In a pass
    /// that is watched nothing is left out.
    ///
    /// # Errors
    /// As [`Network::forward`].
    fn features(&self, graph: &mut Graph<'_, '_>) -> Result<Option<Var>> {
        Ok(self.forward(graph)?.features)
    }

    /// Width of the features.
    fn width(&self) -> usize;

    /// Most tokens of a sequence; `None` where nothing in the network bounds them.
    fn longest(&self) -> Option<usize> {
        None
    }

    /// The images that it takes; `None` for a network of texts.
    fn image(&self) -> Option<ImageShape> {
        None
    }
}

/// What a network gives.
pub struct Outputs {
    /// Hidden states after the last block, `(tokens, width)`.
    pub hidden: Var,
    /// Features of the sequences, `(batch, width)`; `None` of a network that is read by its hidden states.
    pub features: Option<Var>,
}

/// A network and its passes.
pub struct Encoder {
    network: Box<dyn Network>,
}

/// What a forward pass gives.
pub struct Encoded {
    /// Hidden states after the last block, `(tokens, width)`.
    pub hidden: Arc<Buffer>,
    /// Features of the sequences, `(batch, width)`; empty without a top.
    pub features: Buffer,
    /// What the backward pass needs; `None` after a pass that does not train.
    pub tape: Option<EncoderTape>,
}

/// What the backward pass needs: nothing below the lowest trainable layer.
pub struct EncoderTape {
    tape: Tape,
    hidden: Option<Place>,
    features: Option<Place>,
}

/// The gradients that come from above.
#[derive(Default)]
pub struct EncoderGradient {
    /// Of the features, `(batch, width)`.
    pub features: Option<Buffer>,
    /// Of the hidden states, `(tokens, width)`.
    pub hidden: Option<Buffer>,
}

impl Encoder {
    /// The encoder of a network.
    pub fn new(network: impl Network + 'static) -> Self {
        Encoder { network: Box::new(network) }
    }

    /// Width of the features.
    pub fn width(&self) -> usize {
        self.network.width()
    }

    /// Most tokens of a sequence; `None` where nothing in the network bounds them.
    pub fn longest(&self) -> Option<usize> {
        self.network.longest()
    }

    /// The images that it takes; `None` for a text encoder.
    pub fn image(&self) -> Option<ImageShape> {
        self.network.image()
    }

    /// Hidden states and features of a batch.
    ///
    /// # Errors
    /// An input of another kind than the network takes, or beyond its tables.
    pub fn forward(&self, params: &Params, input: &Input, pass: &mut Pass<'_>) -> Result<Encoded> {
        let mut graph = Graph::new(params, input, pass);
        let Outputs { hidden, features } = self.network.forward(&mut graph)?;
        let tape = graph.finish().map(|tape| EncoderTape {
            tape,
            hidden: Some(hidden.place()),
            features: features.as_ref().map(Var::place),
        });
        Ok(Encoded { hidden: hidden.values().clone(), features: own(features.as_ref(), pass), tape })
    }

    /// The features `(batch, width)` alone, and what the backward pass needs. Nothing is computed that only other hidden
    /// states need; a pass that is watched shows them all.
    ///
    /// # Errors
    /// As [`Encoder::forward`].
    pub fn features(
        &self,
        params: &Params,
        input: &Input,
        pass: &mut Pass<'_>,
    ) -> Result<(Buffer, Option<EncoderTape>)> {
        let mut graph = Graph::new(params, input, pass);
        let features = self.network.features(&mut graph)?;
        let tape = graph.finish().map(|tape| EncoderTape {
            tape,
            hidden: None,
            features: features.as_ref().map(Var::place),
        });
        Ok((own(features.as_ref(), pass), tape))
    }

    /// Adds the gradients of all trainable weights, from those of the features, the hidden states, or both.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn backward(
        &self,
        (params, grads): (&Params, &mut Grads),
        above: EncoderGradient,
        tape: EncoderTape,
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let hidden = tape.hidden.zip(above.hidden);
        let features = tape.features.zip(above.features);
        tape.tape.backward((params, grads), hidden.into_iter().chain(features), input, pass)
    }
}

/// A copy of the features, because a head drops values of them in place.
fn own(features: Option<&Var>, pass: &Pass<'_>) -> Buffer {
    let features = features.map_or(&[][..], |features| &features.values()[..]);
    let mut own = pass.buffer(features.len());
    own.copy_from_slice(features);
    own
}

impl EncoderTape {
    /// New values of weights that follow the data and have no gradient, such as running means: what a training step
    /// sets beside its update.
    pub fn statistics(&mut self) -> Vec<(WeightId, Vec<f32>)> {
        std::mem::take(&mut self.tape.statistics)
    }
}
