//! ModernBERT's layers: norms in front, a gated feed-forward layer in one matrix, blocks that see all or only what is near.

use crate::graph::{AttentionSpec, Graph, Var};
use crate::layers::{LayerNorm, Linear, Rotary, Turn};
use crate::{Declarations, Network, Origin, Outputs, Result, WeightId};
use std::sync::Arc;
use xexp_init::{Init, Layer};
use xexp_kernels::Activation;
use xexp_kernels::attention::{Attention, Mask, Queries};

/// Which hidden states a text is read by.
pub enum Pooling {
    /// The first token's.
    First,
    /// The mean of all.
    Mean,
}

pub struct Spec {
    pub vocabulary: usize,
    pub width: usize,
    pub hidden: usize,
    pub heads: usize,
    pub blocks: Vec<(Mask, Rotary)>,
    pub activation: Activation,
    pub norm_eps: f64,
    pub norm_bias: bool,
    pub attention_bias: bool,
    pub mlp_bias: bool,
    pub top_bias: bool,
    pub top_activation: Activation,
    pub pooling: Pooling,
    pub embedding_dropout: f64,
    pub attention_dropout: f64,
    pub mlp_dropout: f64,
    /// How matrices that read the stream are drawn.
    pub inner: Init,
    /// How matrices that write to the stream, and the top's, are drawn.
    pub outer: Init,
    pub features: bool,
}

pub struct ModernBert {
    words: WeightId,
    norm: LayerNorm,
    blocks: Vec<Block>,
    top: Option<Top>,
    spec: Spec,
}

struct Block {
    /// The first block has none: its input is normalized already.
    attention_norm: Option<LayerNorm>,
    qkv: Linear,
    output: Linear,
    law: Attention,
    rotary: Rotary,
    mlp_norm: LayerNorm,
    up: Linear,
    down: Linear,
    path: String,
}

struct Top {
    final_norm: LayerNorm,
    dense: Linear,
    norm: LayerNorm,
}

impl Spec {
    fn norm(&self, declared: &mut Declarations, path: &str, origin: Origin) -> LayerNorm {
        let declare = if self.norm_bias { LayerNorm::declare } else { LayerNorm::declare_without_bias };
        declare(declared, path, self.width, self.norm_eps, origin)
    }
}

fn linear(
    declared: &mut Declarations,
    path: &str,
    sizes: (usize, usize),
    bias: bool,
    (init, origin): (Init, Origin),
) -> Linear {
    let declare = if bias { Linear::declare } else { Linear::declare_without_bias };
    declare(declared, path, sizes, init, origin)
}

impl ModernBert {
    pub fn declare(declared: &mut Declarations, spec: Spec) -> Self {
        let width = spec.width;
        let table = Layer::Embedding { count: spec.vocabulary, width };
        let name = "model.embeddings.tok_embeddings.weight";
        let words = declared.weight(name, table, spec.inner, Origin::Checkpoint);
        let norm = spec.norm(declared, "model.embeddings.norm", Origin::Checkpoint);
        let blocks = (0..spec.blocks.len()).map(|i| Block::declare(declared, i, &spec)).collect();
        let top = spec.features.then(|| {
            // The layers under the classifier are those of the masked-language model; the bare one has none.
            let origin = Origin::CheckpointOrNew;
            Top {
                final_norm: spec.norm(declared, "model.final_norm", Origin::Checkpoint),
                dense: linear(declared, "head.dense", (width, width), spec.top_bias, (spec.outer, origin)),
                norm: spec.norm(declared, "head.norm", origin),
            }
        });
        ModernBert { words, norm, blocks, top, spec }
    }
}

impl Network for ModernBert {
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs> {
        let (input, width) = (graph.input, self.spec.width);
        let words = graph.lookup(self.words, width, &input.words()?.ids, "vocabulary")?;
        let normed = graph.layer_norm(&self.norm, &words)?;
        let mut hidden = graph.dropout("model.embeddings", self.spec.embedding_dropout, &normed);
        graph.enter("model.embeddings", &hidden);
        let offsets = Arc::new(input.offsets.clone());
        // Two kinds of blocks turn by two kinds of angles.
        let mut turns: Vec<(&Rotary, Turn)> = vec![];
        for block in &self.blocks {
            let known =
                turns.iter().find(|(rotary, _)| **rotary == block.rotary).map(|(_, turn)| turn.clone());
            let turn = match known {
                Some(turn) => turn,
                None => {
                    let turn = block.rotary.turn(input)?;
                    turns.push((&block.rotary, turn.clone()));
                    turn
                }
            };
            hidden = block.forward(graph, &hidden, &turn, &offsets, &self.spec)?;
        }
        let features = self.top.as_ref().map(|top| self.features(graph, top, &hidden)).transpose()?;
        Ok(Outputs { hidden, features })
    }

    fn width(&self) -> usize {
        self.spec.width
    }
}

impl ModernBert {
    fn features(&self, graph: &mut Graph<'_, '_>, top: &Top, hidden: &Var) -> Result<Var> {
        let offsets = &graph.input.offsets;
        let pooled = match self.spec.pooling {
            Pooling::First => {
                let first = offsets[..offsets.len() - 1].iter().map(|row| *row as u32).collect();
                let first = graph.gather(hidden, Arc::new(first));
                graph.layer_norm(&top.final_norm, &first)?
            }
            Pooling::Mean => {
                let normed = graph.layer_norm(&top.final_norm, hidden)?;
                graph.mean_rows(&normed, offsets)
            }
        };
        graph.show("final_norm", "", &pooled);
        let dense = graph.linear(&top.dense, &pooled)?;
        let dense = graph.activation(self.spec.top_activation, &dense);
        let features = graph.layer_norm(&top.norm, &dense)?;
        graph.show("head", "", &features);
        Ok(features)
    }
}

impl Block {
    fn declare(declared: &mut Declarations, index: usize, spec: &Spec) -> Self {
        let path = format!("model.layers.{index}");
        let (width, hidden, head_width) = (spec.width, spec.hidden, spec.width / spec.heads);
        let (mask, rotary) = spec.blocks[index].clone();
        let norm = |declared: &mut Declarations, name: &str| {
            spec.norm(declared, &format!("{path}.{name}"), Origin::Checkpoint)
        };
        let dense = |declared: &mut Declarations, name: &str, sizes, bias, init| {
            linear(declared, &format!("{path}.{name}"), sizes, bias, (init, Origin::Checkpoint))
        };
        let (attention, mlp) = (spec.attention_bias, spec.mlp_bias);
        Block {
            attention_norm: (index > 0).then(|| norm(declared, "attn_norm")),
            qkv: dense(declared, "attn.Wqkv", (width, 3 * width), attention, spec.inner),
            output: dense(declared, "attn.Wo", (width, width), attention, spec.outer),
            law: Attention {
                heads: spec.heads,
                kv_heads: spec.heads,
                head_width,
                scale: (1.0 / (head_width as f64).sqrt()) as f32,
                mask,
                queries: Queries::All,
            },
            rotary,
            mlp_norm: norm(declared, "mlp_norm"),
            up: dense(declared, "mlp.Wi", (width, 2 * hidden), mlp, spec.inner),
            down: dense(declared, "mlp.Wo", (hidden, width), mlp, spec.outer),
            path,
        }
    }

    fn forward(
        &self,
        graph: &mut Graph<'_, '_>,
        x: &Var,
        turn: &Turn,
        offsets: &Arc<Vec<usize>>,
        spec: &Spec,
    ) -> Result<Var> {
        let h = match &self.attention_norm {
            Some(norm) => graph.layer_norm(norm, x)?,
            None => x.clone(),
        };
        let qkv = graph.linear(&self.qkv, &h)?;
        let [query, key, value] = [0, 1, 2].map(|part| graph.columns(&qkv, part * spec.width, spec.width));
        let (query, key) = (graph.turn(turn, &query), graph.turn(turn, &key));
        let place = format!("{}.attention", self.path);
        let law = AttentionSpec { law: self.law, dropout: spec.attention_dropout, place: &place };
        let context = graph.attention(&law, [&query, &key, &value], offsets, None);
        graph.show(&place, "context", &context);
        let branch = graph.linear(&self.output, &context)?;
        // transformers drops by the same probability here and on the attention weights.
        let branch = graph.dropout(&format!("{place}.output"), spec.attention_dropout, &branch);
        let x = graph.add(x, &branch);

        let h = graph.layer_norm(&self.mlp_norm, &x)?;
        let both = graph.linear(&self.up, &h)?;
        let (up, gate) =
            (graph.columns(&both, 0, spec.hidden), graph.columns(&both, spec.hidden, spec.hidden));
        let up = graph.activation(spec.activation, &up);
        let gated = graph.multiply(&up, &gate);
        let gated = graph.dropout(&format!("{}.mlp", self.path), spec.mlp_dropout, &gated);
        let branch = graph.linear(&self.down, &gated)?;
        let y = graph.add(&x, &branch);
        graph.stream(&self.path, &y);
        Ok(y)
    }
}
