//! The block of later vision transformers: a pre-norm block with learned scales of its branches, relative positions,
//! windows, gated feed-forward layers and stochastic depth, each where a family has it.

use crate::graph::{AttentionBias, AttentionSpec, Graph, Var};
use crate::layers::{BlockNames, LayerNorm, Linear};
use crate::{Declarations, Origin, Result, WeightId};
use std::sync::Arc;
use xexp_init::{Init, Layer};
use xexp_kernels::Activation;
use xexp_kernels::attention::{Attention, Mask, Queries};

/// What a block is.
#[derive(Clone, Debug)]
pub struct VisionBlockSpec {
    /// Width of the stream.
    pub width: usize,
    /// Width of the feed-forward layer.
    pub hidden: usize,
    /// Number of heads; divides `width`.
    pub heads: usize,
    /// Whether the projections to queries, keys and values have biases.
    pub biases: [bool; 3],
    /// Nonlinearity of the feed-forward layer.
    pub activation: Activation,
    /// Whether the feed-forward layer is `down(φ(g) · u)`, `[g, u] = up(x)`. Source: Shazeer 2020, eq. 5.
    pub gated: bool,
    /// ε of the norms.
    pub norm_eps: f64,
    /// Names of the learned scales of the two branches, and their value when new.
    pub layer_scale: Option<([&'static str; 2], f64)>,
    /// Dropout on each branch.
    pub dropout: f64,
    /// Dropout on the attention weights.
    pub attention_dropout: f64,
    /// Probabilities of dropping each branch as a whole.
    pub drop_path: [f64; 2],
    /// How a new block's matrices are drawn.
    pub init: Init,
}

/// Which rows attend to each other.
pub struct Sequences<'a> {
    /// Number of images, each of as many rows as any other.
    pub images: usize,
    /// Where sequences begin and end, among the rows or, with windows, the places in windows.
    pub offsets: Arc<Vec<usize>>,
    /// Terms added to the attention logits.
    pub bias: Option<&'a AttentionBias>,
    /// The place of each row in the windows, and the number of these places, of which some may stay empty.
    pub windows: Option<(Arc<Vec<u32>>, usize)>,
}

/// Attention and feed-forward branches.
pub struct VisionBlock {
    attention_norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    mlp_norm: LayerNorm,
    up: Linear,
    down: Linear,
    scales: Option<[WeightId; 2]>,
    law: Attention,
    activation: Activation,
    gated: bool,
    dropout: f64,
    attention_dropout: f64,
    drop_path: [f64; 2],
    place: String,
}

impl VisionBlock {
    /// Declares the weights under `path`.
    pub fn declare(
        declared: &mut Declarations,
        path: &str,
        names: &BlockNames,
        spec: &VisionBlockSpec,
    ) -> Self {
        let width = spec.width;
        let mut linear = |name: &str, sizes, bias| {
            let declare = if bias { Linear::declare } else { Linear::declare_without_bias };
            declare(declared, &format!("{path}.{name}"), sizes, spec.init, Origin::Checkpoint)
        };
        let square = (width, width);
        let [query, key, value] = spec.biases;
        let query = linear(names.query, square, query);
        let key = linear(names.key, square, key);
        let value = linear(names.value, square, value);
        let output = linear(names.attention_output, square, true);
        let up = linear(names.up, (width, if spec.gated { 2 * spec.hidden } else { spec.hidden }), true);
        let down = linear(names.down, (spec.hidden, width), true);
        let scales = spec.layer_scale.map(|(names, value)| {
            names.map(|name| {
                let layer = Layer::Vector { len: width };
                let name = format!("{path}.{name}");
                declared.weight(name, layer, Init::Constant(value), Origin::Checkpoint)
            })
        });
        let mut norm = |name: &str| {
            LayerNorm::declare(declared, &format!("{path}.{name}"), width, spec.norm_eps, Origin::Checkpoint)
        };
        let head_width = width / spec.heads;
        VisionBlock {
            attention_norm: norm(names.attention_norm),
            mlp_norm: norm(names.mlp_norm),
            query,
            key,
            value,
            output,
            up,
            down,
            scales,
            law: Attention {
                heads: spec.heads,
                kv_heads: spec.heads,
                head_width,
                scale: (1.0 / (head_width as f64).sqrt()) as f32,
                mask: Mask::Full,
                queries: Queries::All,
            },
            activation: spec.activation,
            gated: spec.gated,
            dropout: spec.dropout,
            attention_dropout: spec.attention_dropout,
            drop_path: spec.drop_path,
            place: path.to_string(),
        }
    }

    /// `(rows, width)` from `(rows, width)`: `x + s₁·f(LN(x))`, then the same of the feed-forward layer.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn forward(&self, graph: &mut Graph<'_, '_>, x: &Var, over: &Sequences<'_>) -> Result<Var> {
        let h = graph.layer_norm(&self.attention_norm, x)?;
        let branch = self.attention(graph, &h, over)?;
        let x = self.sum(graph, x, &branch, 0, over.images)?;
        let h = graph.layer_norm(&self.mlp_norm, &x)?;
        let branch = self.feed_forward(graph, &h)?;
        let y = self.sum(graph, &x, &branch, 1, over.images)?;
        graph.stream(&self.place, &y);
        Ok(y)
    }

    fn attention(&self, graph: &mut Graph<'_, '_>, h: &Var, over: &Sequences<'_>) -> Result<Var> {
        // Empty places of windows are tokens of zeros, which are attended to like any other.
        let h = match &over.windows {
            Some((places, count)) => graph.scatter(h, places.clone(), *count),
            None => h.clone(),
        };
        let q = graph.linear(&self.query, &h)?;
        let k = graph.linear(&self.key, &h)?;
        let v = graph.linear(&self.value, &h)?;
        let place = format!("{}.attention", self.place);
        let spec = AttentionSpec { law: self.law, dropout: self.attention_dropout, place: &place };
        let context = graph.attention(&spec, [&q, &k, &v], &over.offsets, over.bias);
        let context = match &over.windows {
            Some((places, _)) => graph.gather(&context, places.clone()),
            None => context,
        };
        graph.linear(&self.output, &context)
    }

    fn feed_forward(&self, graph: &mut Graph<'_, '_>, h: &Var) -> Result<Var> {
        let up = graph.linear(&self.up, h)?;
        let hidden = if self.gated {
            let width = self.down.input;
            let gate = graph.columns(&up, 0, width);
            let gate = graph.activation(self.activation, &gate);
            let up = graph.columns(&up, width, width);
            graph.multiply(&gate, &up)
        } else {
            graph.activation(self.activation, &up)
        };
        graph.linear(&self.down, &hidden)
    }

    /// The stream and one of its branches.
    fn sum(
        &self,
        graph: &mut Graph<'_, '_>,
        x: &Var,
        branch: &Var,
        which: usize,
        images: usize,
    ) -> Result<Var> {
        let name = ["attention", "mlp"][which];
        graph.show(&self.place, &format!("{name}.branch"), branch);
        let place = format!("{}.{name}.output", self.place);
        let mut branch = graph.dropout(&place, self.dropout, branch);
        if let Some(scales) = self.scales {
            branch = graph.scale_columns(&branch, scales[which])?;
        }
        let place = format!("{}.{name}.drop_path", self.place);
        let branch = graph.drop_path(&place, self.drop_path[which], &branch, images);
        Ok(graph.add(x, &branch))
    }
}
