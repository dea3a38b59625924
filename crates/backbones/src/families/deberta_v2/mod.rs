//! DeBERTa, versions 2 and 3. Source: He et al. 2021; He, Gao and Chen 2023; names and defaults from transformers'
//! `DebertaV2Config`.

mod distances;
mod encoder;

use super::{Family, HeadLaw, HeadSpec, Modality, Reading, initializer_range, spellings};
use crate::config::Config;
use crate::layers::{
    BlockNames, BlockSpec, Embeddings, EmbeddingsSpec, LayerNorm, Linear, Placement, Positions, PostBlock,
    Stem, Top, TopSpec,
};
use crate::{Declarations, Encoder, Origin, Result};
use distances::Scale;
use encoder::{Convolution, Deberta, DebertaBlock, DistanceTable};
use serde_json::{Value, json};
use std::sync::Arc;
use xexp_init::{Init, Layer};
use xexp_kernels::attention::Mask;
use xexp_kernels::disentangled::Disentangled;

pub(super) const FAMILY: Family = Family {
    model_type: "deberta-v2",
    modality: Modality::Text,
    frozen: false,
    summary: "DeBERTa encoders of versions 2 and 3",
    base_architecture: "DebertaV2Model",
    classifier_architecture: "DebertaV2ForSequenceClassification",
    prefix: "deberta.",
    head: HeadSpec {
        path: "classifier",
        bias: true,
        hidden: &["pooler.dense"],
        dropout: |config| {
            let hidden = config.dropout("hidden_dropout_prob", 0.1)?;
            config.dropout("cls_dropout", hidden)
        },
        law: |config, _| HeadLaw::of(config),
    },
    masked_lm: None,
    network,
};

const NAMES: BlockNames = BlockNames {
    query: "attention.self.query_proj",
    key: "attention.self.key_proj",
    value: "attention.self.value_proj",
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    mlp_norm: "output.LayerNorm",
};

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    spellings(declared, "deberta.");
    let width = config.size("hidden_size")?;
    let heads = config.divisor("num_attention_heads", "hidden_size")?;
    for (field, value) in
        [("attention_head_size", width / heads), ("embedding_size", width), ("pooler_hidden_size", width)]
    {
        config.only(field, &json!(value))?;
    }
    let positions = config.size("max_position_embeddings")?;
    let norm_eps = config.number("layer_norm_eps", 1e-7)?;
    let dropout = config.dropout("hidden_dropout_prob", 0.1)?;
    let init = Init::Normal { std: initializer_range(config)? };
    let stem = EmbeddingsSpec {
        vocabulary: config.size("vocab_size")?,
        positions: config.flag("position_biased_input", true)?.then_some(Positions::absolute(positions)),
        types: config.count("type_vocab_size", 0)?,
        width,
        norm_eps,
        dropout,
        init,
        path: "deberta.embeddings",
    };
    let terms = terms(config)?;
    // Each term of the logits has the variance of the first.
    let count = 1 + usize::from(terms.keys) + usize::from(terms.queries);
    let scale = 1.0 / ((width / heads * count) as f32).sqrt();
    let law = Disentangled { heads, head_width: width / heads, scale };
    let spec = BlockSpec {
        width,
        hidden: config.size("intermediate_size")?,
        heads,
        attention_scale: f64::from(scale),
        mask: Mask::Full,
        activation: config.activation("hidden_act", "gelu")?,
        norm: Placement::Post,
        norm_eps,
        residual_scale: (1.0, 1.0),
        dropout,
        attention_dropout: config.dropout("attention_probs_dropout_prob", 0.1)?,
        init,
    };
    let stem = Arc::new(Stem::Words(Embeddings::declare(declared, &stem)));
    let relative = config.flag("relative_attention", false)?;
    let shared = config.flag("share_att_key", false)?;
    if !relative {
        config.only("norm_rel_ebd", &json!("none"))?;
    }
    let blocks = (0..config.layers("num_hidden_layers")?).map(|i| {
        let path = format!("deberta.encoder.layer.{i}");
        let block = PostBlock::declare(declared, &path, &NAMES, &spec);
        let mut layer = |wanted: bool, name: &str, content: Linear| {
            (relative && wanted).then(|| {
                if shared {
                    return content;
                }
                let path = format!("{path}.attention.self.{name}");
                Linear::declare(declared, &path, (width, width), init, Origin::Checkpoint)
            })
        };
        let keys = layer(terms.keys, "pos_key_proj", block.key);
        let queries = layer(terms.queries, "pos_query_proj", block.query);
        DebertaBlock { block, keys, queries }
    });
    let blocks = blocks.collect();
    let distances = if relative { Some(distance_table(config, declared, &spec, positions)?) } else { None };
    let convolution = convolution(config, declared, &spec)?;
    let head = TopSpec::Hidden {
        path: "pooler.dense",
        activation: config.activation("pooler_hidden_act", "gelu")?,
        dropout: config.dropout("pooler_dropout", 0.0)?,
    };
    let top = (reading == Reading::Features).then(|| Arc::new(Top::declare(declared, &head, width, init)));
    let attention_dropout = spec.attention_dropout;
    let network =
        Deberta { stem, blocks, distances, convolution, law, attention_dropout, dropout, top, width };
    Ok(Encoder::new(network))
}

/// Which terms the logits have beside content against content.
struct Terms {
    /// Content against distance.
    keys: bool,
    /// Distance against content.
    queries: bool,
}

fn terms(config: &Config) -> Result<Terms> {
    let field = config.fields.get("pos_att_type");
    let unexpected = || config.unexpected("pos_att_type", "c2p, p2c, or both", field);
    let names: Vec<String> = match field {
        None | Some(Value::Null) => vec![],
        Some(Value::String(names)) => names.to_lowercase().split('|').map(|n| n.trim().to_string()).collect(),
        Some(Value::Array(names)) => {
            let name = |name: &Value| name.as_str().map(str::to_string).ok_or_else(unexpected);
            names.iter().map(name).collect::<Result<_>>()?
        }
        Some(_) => return Err(unexpected()),
    };
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if names.iter().any(|name| !["c2p", "p2c"].contains(&name.as_str())) {
        return Err(unexpected());
    }
    Ok(Terms { keys: has("c2p"), queries: has("p2c") })
}

fn distance_table(
    config: &Config,
    declared: &mut Declarations,
    spec: &BlockSpec,
    positions: usize,
) -> Result<DistanceTable> {
    let farthest = match config.whole("max_relative_positions", -1)? {
        farthest if farthest < 1 => positions,
        farthest => farthest as usize,
    };
    let buckets = config.whole("position_buckets", -1)?;
    let logarithmic = buckets > 0;
    if logarithmic && (buckets < 2 || farthest as i64 <= buckets / 2 + 1) {
        let expected = format!("-1, or from 2 to {}", 2 * farthest.saturating_sub(2));
        return Err(config.unexpected("position_buckets", &expected, config.fields.get("position_buckets")));
    }
    let span = if logarithmic { buckets as usize } else { farthest };
    let table = Layer::Embedding { count: 2 * span, width: spec.width };
    let name = "deberta.encoder.rel_embeddings.weight";
    let table = declared.weight(name, table, spec.init, Origin::Checkpoint);
    let normed = match config.text("norm_rel_ebd", "none")?.to_lowercase().trim() {
        "none" => false,
        "layer_norm" => true,
        _ => {
            let found = config.fields.get("norm_rel_ebd");
            return Err(config.unexpected("norm_rel_ebd", "none or layer_norm", found));
        }
    };
    let norm = normed.then(|| {
        let path = "deberta.encoder.LayerNorm";
        LayerNorm::declare(declared, path, spec.width, spec.norm_eps, Origin::Checkpoint)
    });
    Ok(DistanceTable { table, norm, scale: Scale { span, farthest, logarithmic } })
}

fn convolution(
    config: &Config,
    declared: &mut Declarations,
    spec: &BlockSpec,
) -> Result<Option<Convolution>> {
    let taps = config.count("conv_kernel_size", 0)?;
    if taps == 0 {
        return Ok(None);
    }
    if taps % 2 == 0 {
        let found = config.fields.get("conv_kernel_size");
        return Err(config.unexpected("conv_kernel_size", "an odd number", found));
    }
    config.only("conv_groups", &json!(1))?;
    let (path, width) = ("deberta.encoder.conv", spec.width);
    let layer = Layer::Conv { input: width, output: width, kernel: vec![taps], stride: vec![1], groups: 1 };
    let weight = declared.weight(format!("{path}.conv.weight"), layer, spec.init, Origin::Checkpoint);
    let zero = Init::Constant(0.0);
    let vector = Layer::Vector { len: width };
    let bias = declared.weight(format!("{path}.conv.bias"), vector, zero, Origin::Checkpoint);
    let dense = Linear { weight, bias: Some(bias), input: width * taps, output: width };
    let path = format!("{path}.LayerNorm");
    let norm = LayerNorm::declare(declared, &path, width, spec.norm_eps, Origin::Checkpoint);
    Ok(Some(Convolution { dense, taps, activation: config.activation("conv_act", "tanh")?, norm }))
}
