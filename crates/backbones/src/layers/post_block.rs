//! The Post-LN block of operations, for families whose attention is their own.

use crate::graph::{Graph, Var};
use crate::layers::{BlockNames, BlockSpec, LayerNorm, Linear};
use crate::{Declarations, Origin, Result};
use xexp_kernels::Activation;

/// `y = LN(x + output(attention(x)))`, `z = LN(y + down(φ(up(y))))`, dropout on both branches; what the attention makes of
/// queries, keys and values is the caller's. Source: Vaswani et al. 2017.
pub struct PostBlock {
    /// Projection to queries.
    pub query: Linear,
    /// Projection to keys.
    pub key: Linear,
    /// Projection to values.
    pub value: Linear,
    output: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    mlp_norm: LayerNorm,
    activation: Activation,
    dropout: f64,
    place: String,
}

impl PostBlock {
    /// Declares the weights under `path`. Of the spec, all but norm placement, residual factors, and what concerns the
    /// attention itself.
    pub fn declare(declared: &mut Declarations, path: &str, names: &BlockNames, spec: &BlockSpec) -> Self {
        let width = spec.width;
        let mut linear = |name: &str, sizes| {
            Linear::declare(declared, &format!("{path}.{name}"), sizes, spec.init, Origin::Checkpoint)
        };
        let [query, key, value, output] = [names.query, names.key, names.value, names.attention_output]
            .map(|name| linear(name, (width, width)));
        let (up, down) = (linear(names.up, (width, spec.hidden)), linear(names.down, (spec.hidden, width)));
        let [attention_norm, mlp_norm] = [names.attention_norm, names.mlp_norm].map(|name| {
            LayerNorm::declare(declared, &format!("{path}.{name}"), width, spec.norm_eps, Origin::Checkpoint)
        });
        PostBlock {
            query,
            key,
            value,
            output,
            attention_norm,
            up,
            down,
            mlp_norm,
            activation: spec.activation,
            dropout: spec.dropout,
            place: path.to_string(),
        }
    }

    /// Names it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Names the streams and taps of its attention.
    pub fn attention_place(&self) -> String {
        format!("{}.attention", self.place)
    }

    /// Queries, keys and values of `x`.
    pub fn projections(&self, graph: &mut Graph<'_, '_>, x: &Var) -> Result<[Var; 3]> {
        let place = self.attention_place();
        graph.show(&place, "input", x);
        Ok([graph.linear(&self.query, x)?, graph.linear(&self.key, x)?, graph.linear(&self.value, x)?])
    }

    /// The block's output from its input and the attention's.
    pub fn after(&self, graph: &mut Graph<'_, '_>, x: &Var, context: &Var) -> Result<Var> {
        let place = self.attention_place();
        graph.show(&place, "context", context);
        let branch = graph.linear(&self.output, context)?;
        graph.show(&place, "branch", &branch);
        let branch = graph.dropout(&format!("{place}.output"), self.dropout, &branch);
        let sum = graph.add(&branch, x);
        let y = graph.layer_norm(&self.attention_norm, &sum)?;

        let hidden = graph.linear(&self.up, &y)?;
        let hidden = graph.activation(self.activation, &hidden);
        let branch = graph.linear(&self.down, &hidden)?;
        graph.show(&self.place, "mlp.branch", &branch);
        let branch = graph.dropout(&format!("{}.output", self.place), self.dropout, &branch);
        let sum = graph.add(&branch, &y);
        let z = graph.layer_norm(&self.mlp_norm, &sum)?;
        Ok(z)
    }
}
