//! A decoder of Llama's design: RMS norms in front of both sub-layers, rotary positions, grouped queries, a gated
//! feed-forward layer.

use crate::graph::{AttentionSpec, Graph, Var};
use crate::layers::{Linear, RmsNorm, Rotary, Turn};
use crate::{Declarations, Network, Origin, Outputs, Result, WeightId};
use std::sync::Arc;
use xexp_init::{Init, Layer};
use xexp_kernels::Activation;
use xexp_kernels::attention::{Attention, Mask, Queries};

/// Sizes of a decoder, and what families differ in.
pub struct DecoderSpec {
    /// Rows of the word table.
    pub vocabulary: usize,
    /// Width of the stream.
    pub width: usize,
    /// Width of the feed-forward layer.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the projection of the context has one.
    pub output_bias: bool,
    /// Whether the feed-forward layers have them.
    pub mlp_bias: bool,
    /// Whether each head's queries and keys are normalized before they are turned.
    pub head_norms: bool,
    /// Visible keys, of each block.
    pub masks: Vec<Mask>,
    /// Position embedding.
    pub rotary: Rotary,
    /// Nonlinearity of the gate.
    pub activation: Activation,
    /// ε of the norms.
    pub norm_eps: f64,
    /// Dropout on the attention weights.
    pub attention_dropout: f64,
    /// How new matrices are drawn.
    pub init: Init,
    /// The padding token, which never stands for a sequence; see [`crate::Input::last_tokens`].
    pub pad: Option<u32>,
    /// Whether features are read; else the closing norm is not declared.
    pub features: bool,
}

/// Words, blocks, and the closing norm of each sequence's last token.
pub struct Decoder {
    words: WeightId,
    blocks: Vec<Block>,
    norm: Option<RmsNorm>,
    rotary: Rotary,
    pad: Option<u32>,
    width: usize,
}

struct Block {
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    head_norms: Option<(RmsNorm, RmsNorm)>,
    output: Linear,
    law: Attention,
    dropout: f64,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
    activation: Activation,
    path: String,
}

impl Decoder {
    /// Declares all weights by Llama's names, under `model`.
    pub fn declare(declared: &mut Declarations, spec: &DecoderSpec) -> Self {
        let width = spec.width;
        let table = Layer::Embedding { count: spec.vocabulary, width };
        let words = declared.weight("model.embed_tokens.weight", table, spec.init, Origin::Checkpoint);
        let block = |(i, mask)| Block::declare(declared, format!("model.layers.{i}"), mask, spec);
        let blocks = spec.masks.iter().copied().enumerate().map(block).collect();
        let norm = || RmsNorm::declare(declared, "model.norm", width, spec.norm_eps, Origin::Checkpoint);
        let norm = spec.features.then(norm);
        Decoder { words, blocks, norm, rotary: spec.rotary.clone(), pad: spec.pad, width }
    }
}

impl Network for Decoder {
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs> {
        let input = graph.input;
        let mut hidden = graph.lookup(self.words, self.width, &input.words()?.ids, "vocabulary")?;
        graph.enter("model.embed_tokens", &hidden);
        let turn = self.rotary.turn(input)?;
        let offsets = Arc::new(input.offsets.clone());
        for block in &self.blocks {
            hidden = block.forward(graph, &hidden, &turn, &offsets)?;
        }
        let features = match &self.norm {
            Some(norm) => {
                let last = graph.gather(&hidden, Arc::new(input.last_tokens(self.pad)?));
                let features = graph.rms_norm(norm, &last)?;
                graph.show("final_norm", "", &features);
                Some(features)
            }
            None => None,
        };
        Ok(Outputs { hidden, features })
    }

    fn width(&self) -> usize {
        self.width
    }
}

impl Block {
    fn declare(declared: &mut Declarations, path: String, mask: Mask, spec: &DecoderSpec) -> Self {
        let linear = |declared: &mut Declarations, name: &str, sizes, bias| {
            let declare = if bias { Linear::declare } else { Linear::declare_without_bias };
            declare(declared, &format!("{path}.{name}"), sizes, spec.init, Origin::Checkpoint)
        };
        let norm = |declared: &mut Declarations, name: &str, width| {
            RmsNorm::declare(declared, &format!("{path}.{name}"), width, spec.norm_eps, Origin::Checkpoint)
        };
        let (width, hidden, head_width) = (spec.width, spec.hidden, spec.head_width);
        let (queries, keys) = (spec.heads * head_width, spec.kv_heads * head_width);
        let head_norms = |declared: &mut Declarations| {
            let query = norm(declared, "self_attn.q_norm", head_width);
            (query, norm(declared, "self_attn.k_norm", head_width))
        };
        Block {
            attention_norm: norm(declared, "input_layernorm", width),
            query: linear(declared, "self_attn.q_proj", (width, queries), spec.qkv_bias),
            key: linear(declared, "self_attn.k_proj", (width, keys), spec.qkv_bias),
            value: linear(declared, "self_attn.v_proj", (width, keys), spec.qkv_bias),
            head_norms: spec.head_norms.then(|| head_norms(declared)),
            output: linear(declared, "self_attn.o_proj", (queries, width), spec.output_bias),
            law: Attention {
                heads: spec.heads,
                kv_heads: spec.kv_heads,
                head_width,
                scale: (1.0 / (head_width as f64).sqrt()) as f32,
                mask,
                queries: Queries::All,
            },
            dropout: spec.attention_dropout,
            mlp_norm: norm(declared, "post_attention_layernorm", width),
            gate: linear(declared, "mlp.gate_proj", (width, hidden), spec.mlp_bias),
            up: linear(declared, "mlp.up_proj", (width, hidden), spec.mlp_bias),
            down: linear(declared, "mlp.down_proj", (hidden, width), spec.mlp_bias),
            activation: spec.activation,
            path,
        }
    }

    fn forward(
        &self,
        graph: &mut Graph<'_, '_>,
        x: &Var,
        turn: &Turn,
        offsets: &Arc<Vec<usize>>,
    ) -> Result<Var> {
        let h = graph.rms_norm(&self.attention_norm, x)?;
        let (mut query, mut key) = (graph.linear(&self.query, &h)?, graph.linear(&self.key, &h)?);
        let value = graph.linear(&self.value, &h)?;
        if let Some((of_queries, of_keys)) = &self.head_norms {
            query = graph.rms_norm(of_queries, &query)?;
            key = graph.rms_norm(of_keys, &key)?;
        }
        let (query, key) = (graph.turn(turn, &query), graph.turn(turn, &key));
        let place = format!("{}.attention", self.path);
        let spec = AttentionSpec { law: self.law, dropout: self.dropout, place: &place };
        let context = graph.attention(&spec, [&query, &key, &value], offsets, None);
        graph.show(&place, "context", &context);
        let branch = graph.linear(&self.output, &context)?;
        let x = graph.add(x, &branch);

        let h = graph.rms_norm(&self.mlp_norm, &x)?;
        let (gate, up) = (graph.linear(&self.gate, &h)?, graph.linear(&self.up, &h)?);
        let gate = graph.activation(self.activation, &gate);
        let gated = graph.multiply(&gate, &up);
        let branch = graph.linear(&self.down, &gated)?;
        let y = graph.add(&x, &branch);
        graph.stream(&self.path, &y);
        Ok(y)
    }
}
