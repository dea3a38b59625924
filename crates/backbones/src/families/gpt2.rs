//! GPT-2. Source: Radford et al. 2019; names and defaults from transformers' `GPT2Config`.
//!
//! Positions are learned and absolute, counted by column in a padded batch: transformers' classifier gives a text padded
//! on the left the positions behind its padding, hence other logits than alone. Packed texts start at position 0, as
//! texts alone and texts padded on the right do; [`crate::Input::from_padded`] keeps the columns, hence transformers'
//! logits on either side.

use super::{Family, Modality, Reading, decoder, initializer_range};
use crate::config::Config;
use crate::graph::{AttentionSpec, Graph, Var};
use crate::layers::{LayerNorm, Transposed};
use crate::{Declarations, Encoder, Network, Origin, Outputs, Result, WeightId};
use serde_json::json;
use std::sync::Arc;
use xexp_init::{Init, Layer};
use xexp_kernels::Activation;
use xexp_kernels::attention::{Attention, Mask, Queries};

pub(super) const FAMILY: Family = Family {
    model_type: "gpt2",
    modality: Modality::Text,
    frozen: false,
    summary: "GPT-2 and DistilGPT2 decoders",
    base_architecture: "GPT2Model",
    classifier_architecture: "GPT2ForSequenceClassification",
    prefix: "transformer.",
    head: decoder::HEAD,
    masked_lm: None,
    network,
};

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    config.only("is_causal", &json!(true))?;
    config.only("add_cross_attention", &json!(false))?;
    let spec = Spec {
        vocabulary: config.size("vocab_size")?,
        positions: config.size("n_positions")?,
        width: config.size("n_embd")?,
        hidden: config.size_or("n_inner", 4 * config.size("n_embd")?)?,
        heads: config.divisor("n_head", "n_embd")?,
        blocks: config.layers("n_layer")?,
        scaled: config.flag("scale_attn_weights", true)?,
        scaled_by_depth: config.flag("scale_attn_by_inverse_layer_idx", false)?,
        activation: config.activation("activation_function", "gelu_new")?,
        norm_eps: config.number("layer_norm_epsilon", 1e-5)?,
        embedding_dropout: config.dropout("embd_pdrop", 0.1)?,
        residual_dropout: config.dropout("resid_pdrop", 0.1)?,
        attention_dropout: config.dropout("attn_pdrop", 0.1)?,
        std: initializer_range(config)?,
        pad: decoder::pad(config)?,
    };
    // Bare checkpoints have no prefix.
    declared.alias(|name| name.strip_prefix("transformer.").map(str::to_string));
    Ok(Encoder::new(Gpt2::declare(declared, spec, reading)))
}

struct Spec {
    vocabulary: usize,
    positions: usize,
    width: usize,
    hidden: usize,
    heads: usize,
    blocks: usize,
    scaled: bool,
    scaled_by_depth: bool,
    activation: Activation,
    norm_eps: f64,
    embedding_dropout: f64,
    residual_dropout: f64,
    attention_dropout: f64,
    std: f64,
    pad: Option<u32>,
}

struct Gpt2 {
    words: WeightId,
    positions: WeightId,
    blocks: Vec<Block>,
    norm: Option<LayerNorm>,
    spec: Spec,
}

struct Block {
    attention_norm: LayerNorm,
    qkv: Transposed,
    output: Transposed,
    law: Attention,
    mlp_norm: LayerNorm,
    up: Transposed,
    down: Transposed,
    path: String,
}

impl Gpt2 {
    fn declare(declared: &mut Declarations, spec: Spec, reading: Reading) -> Self {
        let width = spec.width;
        let mut table = |name: &str, count: usize| {
            let (layer, init) = (Layer::Embedding { count, width }, Init::Normal { std: spec.std });
            declared.weight(format!("transformer.{name}.weight"), layer, init, Origin::Checkpoint)
        };
        let (words, positions) = (table("wte", spec.vocabulary), table("wpe", spec.positions));
        let blocks = (0..spec.blocks).map(|i| Block::declare(declared, i, &spec)).collect();
        let path = "transformer.ln_f";
        let norm = || LayerNorm::declare(declared, path, width, spec.norm_eps, Origin::Checkpoint);
        let norm = (reading == Reading::Features).then(norm);
        Gpt2 { words, positions, blocks, norm, spec }
    }
}

impl Network for Gpt2 {
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs> {
        let (input, width) = (graph.input, self.spec.width);
        let tokens = input.words()?;
        let words = graph.lookup(self.words, width, &tokens.ids, "vocabulary")?;
        let positions = graph.lookup(self.positions, width, &tokens.positions, "position table")?;
        let sum = graph.add(&words, &positions);
        let mut hidden = graph.dropout("transformer.wte", self.spec.embedding_dropout, &sum);
        graph.enter("transformer.wte", &hidden);
        let offsets = Arc::new(input.offsets.clone());
        for block in &self.blocks {
            hidden = block.forward(graph, &hidden, &offsets, &self.spec)?;
        }
        let features = match &self.norm {
            Some(norm) => {
                let last = graph.gather(&hidden, Arc::new(input.last_tokens(self.spec.pad)?));
                let features = graph.layer_norm(norm, &last)?;
                graph.show("final_norm", "", &features);
                Some(features)
            }
            None => None,
        };
        Ok(Outputs { hidden, features })
    }

    fn width(&self) -> usize {
        self.spec.width
    }

    fn longest(&self) -> Option<usize> {
        Some(self.spec.positions)
    }
}

impl Block {
    fn declare(declared: &mut Declarations, index: usize, spec: &Spec) -> Self {
        let path = format!("transformer.h.{index}");
        let (width, head_width) = (spec.width, spec.width / spec.heads);
        let norm = |declared: &mut Declarations, name: &str| {
            LayerNorm::declare(declared, &format!("{path}.{name}"), width, spec.norm_eps, Origin::Checkpoint)
        };
        let dense = |declared: &mut Declarations, name: &str, sizes, std| {
            let init = Init::Normal { std };
            Transposed::declare(declared, &format!("{path}.{name}"), sizes, init, Origin::Checkpoint)
        };
        // The 2·blocks branches are drawn so that the sum on the stream does not grow with depth. Source: Radford et al.
        // 2019, section 2.3.
        let branch = spec.std / (2.0 * spec.blocks as f64).sqrt();
        let scale = if spec.scaled { 1.0 / (head_width as f64).sqrt() } else { 1.0 };
        let depth = if spec.scaled_by_depth { (index + 1) as f64 } else { 1.0 };
        Block {
            attention_norm: norm(declared, "ln_1"),
            qkv: dense(declared, "attn.c_attn", (width, 3 * width), spec.std),
            output: dense(declared, "attn.c_proj", (width, width), branch),
            law: Attention {
                heads: spec.heads,
                kv_heads: spec.heads,
                head_width,
                scale: (scale / depth) as f32,
                mask: Mask::Causal,
                queries: Queries::All,
            },
            mlp_norm: norm(declared, "ln_2"),
            up: dense(declared, "mlp.c_fc", (width, spec.hidden), spec.std),
            down: dense(declared, "mlp.c_proj", (spec.hidden, width), branch),
            path,
        }
    }

    fn forward(
        &self,
        graph: &mut Graph<'_, '_>,
        x: &Var,
        offsets: &Arc<Vec<usize>>,
        spec: &Spec,
    ) -> Result<Var> {
        let h = graph.layer_norm(&self.attention_norm, x)?;
        let qkv = graph.transposed(&self.qkv, &h)?;
        let [query, key, value] = [0, 1, 2].map(|part| graph.columns(&qkv, part * spec.width, spec.width));
        let place = format!("{}.attention", self.path);
        let law = AttentionSpec { law: self.law, dropout: spec.attention_dropout, place: &place };
        let context = graph.attention(&law, [&query, &key, &value], offsets, None);
        graph.show(&place, "context", &context);
        let branch = graph.transposed(&self.output, &context)?;
        let branch =
            graph.dropout(&format!("{}.attention.output", self.path), spec.residual_dropout, &branch);
        let x = graph.add(x, &branch);

        let h = graph.layer_norm(&self.mlp_norm, &x)?;
        let up = graph.transposed(&self.up, &h)?;
        let up = graph.activation(spec.activation, &up);
        let branch = graph.transposed(&self.down, &up)?;
        let branch = graph.dropout(&format!("{}.output", self.path), spec.residual_dropout, &branch);
        let y = graph.add(&x, &branch);
        graph.stream(&self.path, &y);
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_field_that_cannot_be_built_is_named() {
        for (field, value) in [
            ("add_cross_attention", json!(true)),
            ("n_head", json!(3)),
            ("n_positions", Value::Null),
            ("activation_function", json!("mish")),
            ("scale_attn_weights", json!(1)),
            ("attn_pdrop", json!(1)),
        ] {
            let mut fields =
                json!({ "vocab_size": 7, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 5 });
            fields[field] = value;
            let config = Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() };
            let found = FAMILY.declare(&config, &mut Declarations::default(), Reading::Features);
            let error = found.err().unwrap().to_string();
            assert!(error.contains(field) && error.contains("expected"), "{field}: {error}");
        }
    }
}
