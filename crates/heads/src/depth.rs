//! How far up the network each weight is.

use crate::Classifier;
use std::collections::BTreeMap;
use xexp_backbones::Params;

/// The depth of each weight: 0 for what stands below the blocks, then the blocks from 1, then the rest with the head.
///
/// Source of the grouping: Bao et al. 2022 (BEiT), `get_num_layer_for_vit` of its fine-tuning code.
#[derive(Clone, Debug)]
pub struct Depths {
    by_name: BTreeMap<String, usize>,
    /// Number of blocks; the head's depth is one more.
    pub blocks: usize,
}

/// What stands in front of a block's number in the families' names.
const CONTAINERS: [&str; 5] = ["layer", "layers", "h", "stages", "albert_layer_groups"];
/// The same of a number inside a stage.
const INNER: [&str; 2] = ["layers", "blocks"];

/// The numbers by which a name belongs to a block: of a stage, and within it.
fn place(name: &str) -> Option<(usize, Option<usize>)> {
    let parts: Vec<&str> = name.split('.').collect();
    let number = |at: usize, names: &[&str]| {
        parts.get(at)?.parse::<usize>().ok().filter(|_| names.contains(&parts[at - 1]))
    };
    let at = (1..parts.len()).find(|at| number(*at, &CONTAINERS).is_some())?;
    Some((number(at, &CONTAINERS)?, number(at + 2, &INNER)))
}

impl Depths {
    /// Of a model's weights, which are declared from the input to the output; `in_head` are those of its head.
    fn of(params: &Params, in_head: impl Fn(&str) -> bool) -> Self {
        let mut by_name = BTreeMap::new();
        // Blocks by their place, so that adapters, which are declared last, find theirs again.
        let (mut seen, mut waiting) = (BTreeMap::new(), vec![]);
        let names = || params.iter().map(|(_, weight)| weight.name.as_str());
        let staged = names().filter_map(place).any(|(_, inner)| inner.is_some());
        for name in names().filter(|name| !in_head(name)) {
            let next = seen.len() + 1;
            let depth = match place(name) {
                // Where stages hold blocks, what a stage has beside them goes with the nearest one.
                Some((stage, None)) if staged => {
                    let before = seen.iter().filter(|((of, _), _)| *of == stage).map(|(_, block)| *block);
                    before.max().unwrap_or(next)
                }
                Some(place) => *seen.entry(place).or_insert(next),
                None => {
                    waiting.push((name.to_string(), seen.is_empty() || name.contains("embed")));
                    continue;
                }
            };
            by_name.insert(name.to_string(), depth);
        }
        let blocks = seen.len();
        by_name.extend(waiting.into_iter().map(|(name, below)| (name, if below { 0 } else { blocks + 1 })));
        let head = names().filter(|name| in_head(name)).map(|name| (name.to_string(), blocks + 1));
        by_name.extend(head.collect::<Vec<_>>());
        Depths { by_name, blocks }
    }

    /// All of them.
    pub fn by_name(&self) -> &BTreeMap<String, usize> {
        &self.by_name
    }

    /// A weight's depth; that of the head for a name that is none.
    pub fn of_weight(&self, name: &str) -> usize {
        self.by_name.get(name).copied().unwrap_or(self.blocks + 1)
    }
}

impl Classifier {
    /// How far up its weights are. An adapter's are where the weight is that it adapts.
    pub fn depths(&self) -> Depths {
        Depths::of(&self.params, |name| self.in_head(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_backbones::{Declarations, Origin, Seed};
    use xexp_init::{Init, Layer};

    fn depths(names: &[&str]) -> Vec<usize> {
        let mut declared = Declarations::default();
        for name in names {
            declared.weight(*name, Layer::Vector { len: 1 }, Init::Constant(0.0), Origin::New);
        }
        let params = declared.draw(Seed(0)).unwrap();
        let depths = Depths::of(&params, |name| name.starts_with("classifier") || name.starts_with("score"));
        names.iter().map(|name| depths.of_weight(name)).collect()
    }

    #[test]
    fn blocks_are_numbered_from_the_input() {
        let bert = [
            "bert.embeddings.word_embeddings.weight",
            "bert.encoder.layer.0.attention.self.query.weight",
            "bert.encoder.layer.0.output.dense.bias",
            "bert.encoder.layer.1.output.dense.bias",
            "bert.pooler.dense.weight",
            "classifier.weight",
            "bert.encoder.layer.0.attention.self.query.lora_A.weight",
        ];
        assert_eq!(depths(&bert), [0, 1, 1, 2, 3, 3, 1]);
        let gpt2 = [
            "transformer.wte.weight",
            "transformer.h.0.ln_1.weight",
            "transformer.h.10.ln_1.weight",
            "transformer.ln_f.weight",
            "score.weight",
        ];
        assert_eq!(depths(&gpt2), [0, 1, 2, 3, 3]);
        let deberta = [
            "deberta.embeddings.w",
            "deberta.encoder.layer.0.w",
            "deberta.encoder.rel_embeddings.weight",
            "pooler.dense.weight",
        ];
        assert_eq!(depths(&deberta), [0, 1, 0, 2]);
    }

    #[test]
    fn stages_are_cut_into_their_blocks() {
        let swin = [
            "swin.embeddings.norm.weight",
            "swin.encoder.layers.0.blocks.0.w",
            "swin.encoder.layers.0.blocks.1.w",
            "swin.encoder.layers.0.downsample.reduction.weight",
            "swin.encoder.layers.1.blocks.0.w",
            "swin.layernorm.weight",
            "classifier.weight",
        ];
        assert_eq!(depths(&swin), [0, 1, 2, 2, 3, 4, 4]);
        let convnext = [
            "convnext.embeddings.w",
            "convnext.encoder.stages.0.layers.0.w",
            "convnext.encoder.stages.1.downsampling_layer.0.w",
            "convnext.encoder.stages.1.layers.0.w",
            "convnext.encoder.stages.1.layers.1.layer.0.w",
            "classifier.weight",
        ];
        assert_eq!(depths(&convnext), [0, 1, 2, 2, 3, 4]);
    }
}
