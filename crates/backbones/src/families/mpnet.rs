//! MPNet: BERT's blocks with a learned bias of the attention logits for each distance. Source: Song et al. 2020; names and
//! defaults from transformers' `MPNetConfig`.

use super::{Family, HeadLaw, HeadSpec, Modality, Reading, initializer_range, plain_encoder, spellings};
use crate::config::Config;
use crate::graph::{AttentionBias, AttentionSpec, Graph};
use crate::layers::{
    BlockNames, BlockSpec, Embeddings, EmbeddingsSpec, Placement, Positions, PostBlock, Stem, Top, TopSpec,
};
use crate::{Declarations, Encoder, Network, Origin, Outputs, Result, WeightId};
use serde_json::json;
use std::sync::Arc;
use xexp_init::{Init, Layer};
use xexp_kernels::Activation;
use xexp_kernels::attention::{Attention, Mask, Queries};

pub(super) const FAMILY: Family = Family {
    model_type: "mpnet",
    modality: Modality::Text,
    frozen: false,
    summary: "MPNet encoders, and sentence encoders of that layout",
    base_architecture: "MPNetModel",
    classifier_architecture: "MPNetForSequenceClassification",
    prefix: "mpnet.",
    head: HeadSpec {
        path: "classifier.out_proj",
        bias: true,
        hidden: &["classifier.dense"],
        dropout: |config| config.dropout("hidden_dropout_prob", 0.1),
        law: |config, _| HeadLaw::of(config),
    },
    masked_lm: None,
    network,
};

const NAMES: BlockNames = BlockNames {
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    attention_output: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    mlp_norm: "output.LayerNorm",
};

/// Buckets of distances, half of them for keys behind the query.
const BUCKETS: usize = 32;

/// Words, places, blocks, and the table of distances that they share.
struct MpNet {
    stem: Arc<Stem>,
    blocks: Vec<PostBlock>,
    /// `(BUCKETS, heads)`.
    distances: WeightId,
    law: Attention,
    attention_dropout: f64,
    top: Option<Arc<Top>>,
    width: usize,
}

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    plain_encoder(config)?;
    // transformers reads the size of the table from the configuration, and looks distances up in 32 buckets.
    config.only("relative_attention_num_buckets", &json!(BUCKETS))?;
    spellings(declared, "mpnet.");
    let width = config.size("hidden_size")?;
    let heads = config.divisor("num_attention_heads", "hidden_size")?;
    let norm_eps = config.number("layer_norm_eps", 1e-12)?;
    let dropout = config.dropout("hidden_dropout_prob", 0.1)?;
    let init = Init::Normal { std: initializer_range(config)? };
    let stem = EmbeddingsSpec {
        vocabulary: config.size("vocab_size")?,
        // The padding's row is 1 whatever the configuration says.
        positions: Some(Positions { rows: config.size("max_position_embeddings")?, first: Some(2) }),
        types: 0,
        width,
        norm_eps,
        dropout,
        init,
        path: "mpnet.embeddings",
    };
    let law = Attention {
        heads,
        kv_heads: heads,
        head_width: width / heads,
        scale: 1.0 / ((width / heads) as f32).sqrt(),
        mask: Mask::Full,
        queries: Queries::All,
    };
    let block = BlockSpec {
        width,
        hidden: config.size("intermediate_size")?,
        heads,
        attention_scale: f64::from(law.scale),
        mask: law.mask,
        activation: config.activation("hidden_act", "gelu")?,
        norm: Placement::Post,
        norm_eps,
        residual_scale: (1.0, 1.0),
        dropout,
        attention_dropout: config.dropout("attention_probs_dropout_prob", 0.1)?,
        init,
    };
    let stem = Arc::new(Stem::Words(Embeddings::declare(declared, &stem)));
    let blocks = (0..config.layers("num_hidden_layers")?)
        .map(|i| PostBlock::declare(declared, &format!("mpnet.encoder.layer.{i}"), &NAMES, &block))
        .collect();
    let table = Layer::Embedding { count: BUCKETS, width: heads };
    let name = "mpnet.encoder.relative_attention_bias.weight";
    let distances = declared.weight(name, table, init, Origin::Checkpoint);
    let head = TopSpec::Hidden { path: "classifier.dense", activation: Activation::Tanh, dropout };
    let top = (reading == Reading::Features).then(|| Arc::new(Top::declare(declared, &head, width, init)));
    let attention_dropout = block.attention_dropout;
    Ok(Encoder::new(MpNet { stem, blocks, distances, law, attention_dropout, top, width }))
}

impl Network for MpNet {
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs> {
        let mut hidden = graph.stem(&self.stem, self.width)?;
        graph.enter(self.stem.place(), &hidden);
        let offsets = Arc::new(graph.input.offsets.clone());
        let n = offsets.windows(2).map(|range| range[1] - range[0]).max().unwrap_or(0);
        let buckets = (0..n * n).map(|pair| bucket((pair % n) as i64 - (pair / n) as i64)).collect();
        let heads = graph.table_bias(self.distances, self.law.heads, buckets, n)?;
        let bias = AttentionBias { n, heads: Some(heads), sequences: None };
        for block in &self.blocks {
            let [q, k, v] = block.projections(graph, &hidden)?;
            let place = block.attention_place();
            let spec = AttentionSpec { law: self.law, dropout: self.attention_dropout, place: &place };
            let context = graph.attention(&spec, [&q, &k, &v], &offsets, Some(&bias));
            hidden = block.after(graph, &hidden, &context)?;
            graph.stream(block.place(), &hidden);
        }
        let first = graph.first_tokens(&hidden);
        let features = self.top.as_ref().map(|top| graph.top(top, &first)).transpose()?;
        Ok(Outputs { hidden, features })
    }

    fn width(&self) -> usize {
        self.width
    }

    fn longest(&self) -> Option<usize> {
        self.stem.longest()
    }
}

/// The bucket of a key so many places behind its query: one for each distance below 8, then eight that grow by powers of
/// √2, 16 further on where the key comes later. Source: Raffel et al. 2020, §2.1 (T5), on both sides; in `f32`, as
/// transformers rounds it.
fn bucket(behind: i64) -> u32 {
    const HALF: u32 = BUCKETS as u32 / 2;
    const EXACT: u32 = HALF / 2;
    const FAR: f32 = 128.0;
    let distance = behind.unsigned_abs() as f32;
    let bucket = if distance < EXACT as f32 {
        distance as u32
    } else {
        let share = (distance / EXACT as f32).ln() / (FAR / EXACT as f32).ln();
        (EXACT + (share * (HALF - EXACT) as f32) as u32).min(HALF - 1)
    };
    if behind > 0 { HALF + bucket } else { bucket }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first distance of each bucket by transformers' `MPNetEncoder.relative_position_bucket`.
    #[test]
    fn buckets_begin_where_those_of_transformers_do() {
        let first = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91];
        for distance in 0..600i64 {
            let expected = first.iter().rposition(|&first| first <= distance).unwrap() as u32;
            assert_eq!(bucket(-distance), expected, "{distance}");
            assert_eq!(bucket(distance), if distance > 0 { 16 + expected } else { 0 }, "{distance}");
        }
    }
}
