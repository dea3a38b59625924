//! A BERT with random weights, in the Hub's layout, small enough for a training run of a second.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use xexp_init::Seed;

use super::sentences::{FILLERS, TOPICS};

/// Sizes of the tiny model; the two that tests vary are the fields of [`TinyBert`].
pub const WIDTH: usize = 32;
pub const HEADS: usize = 4;
pub const HIDDEN: usize = 64;
pub const LAYERS: usize = 2;
pub const POSITIONS: usize = 64;

/// What may differ between tiny models.
pub struct TinyBert {
    /// Dropout of hidden states and of attention weights.
    pub dropout: f64,
    /// Seed of the weights.
    pub seed: u64,
}

impl Default for TinyBert {
    fn default() -> Self {
        TinyBert { dropout: 0.1, seed: 5 }
    }
}

/// One tensor of a checkpoint.
#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// The tokens by id: special tokens, letters and digits alone and inside words, marks, and all words.
pub fn vocabulary() -> Vec<String> {
    let mut tokens: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from).into();
    let signs: Vec<char> = ('a'..='z').chain('0'..='9').collect();
    tokens.extend(signs.iter().map(char::to_string));
    tokens.extend(signs.iter().map(|sign| format!("##{sign}")));
    tokens.extend([".", ",", "?", "!", "\""].map(String::from));
    tokens.extend(FILLERS.iter().filter(|word| word.len() > 1).map(|word| (*word).to_owned()));
    tokens.extend(TOPICS.iter().flat_map(|(_, words)| words).map(|word| (*word).to_owned()));
    tokens
}

impl TinyBert {
    /// `config.json`.
    pub fn config(&self) -> Value {
        json!({
            "architectures": ["BertModel"],
            "attention_probs_dropout_prob": self.dropout,
            "hidden_act": "gelu",
            "hidden_dropout_prob": self.dropout,
            "hidden_size": WIDTH,
            "initializer_range": 0.02,
            "intermediate_size": HIDDEN,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": POSITIONS,
            "model_type": "bert",
            "num_attention_heads": HEADS,
            "num_hidden_layers": LAYERS,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "type_vocab_size": 2,
            "vocab_size": vocabulary().len(),
        })
    }

    /// The weights under the Hub's names of a bare `BertModel`.
    pub fn weights(&self) -> Vec<Tensor> {
        let mut weights = vec![];
        // Words far apart and layers that keep variance: activations of order 1 everywhere, as in a trained model.
        for (name, count, std) in
            [("word", vocabulary().len(), 0.5), ("position", POSITIONS, 0.1), ("token_type", 2, 0.1)]
        {
            let name = format!("embeddings.{name}_embeddings.weight");
            weights.push(self.tensor(name, vec![count, WIDTH], 0.0, std));
        }
        self.gather_topics(&mut weights[0]);
        weights.extend(self.norm("embeddings.LayerNorm"));
        for layer in 0..LAYERS {
            weights.extend(self.block(&format!("encoder.layer.{layer}")));
        }
        weights.extend(self.linear("pooler.dense", WIDTH, WIDTH));
        weights
    }

    /// Moves the words of a topic to a common place, as pretraining does: it is what a new head can learn from.
    fn gather_topics(&self, words: &mut Tensor) {
        let vocabulary = vocabulary();
        for (topic, own) in TOPICS {
            let centre = self.tensor(topic.to_owned(), vec![WIDTH], 0.0, 0.5).values;
            for (token, row) in vocabulary.iter().zip(words.values.chunks_mut(WIDTH)) {
                if own.contains(&token.as_str()) {
                    row.iter_mut().zip(&centre).for_each(|(value, shift)| *value += shift);
                }
            }
        }
    }

    /// The weights of one block.
    pub fn block(&self, path: &str) -> Vec<Tensor> {
        let squares = ["self.query", "self.key", "self.value", "output.dense"];
        let mut weights: Vec<Tensor> = squares
            .iter()
            .flat_map(|name| self.linear(&format!("{path}.attention.{name}"), WIDTH, WIDTH))
            .collect();
        weights.extend(self.norm(&format!("{path}.attention.output.LayerNorm")));
        weights.extend(self.linear(&format!("{path}.intermediate.dense"), WIDTH, HIDDEN));
        weights.extend(self.linear(&format!("{path}.output.dense"), HIDDEN, WIDTH));
        weights.extend(self.norm(&format!("{path}.output.LayerNorm")));
        weights
    }

    fn linear(&self, path: &str, input: usize, output: usize) -> [Tensor; 2] {
        let std = (input as f64).sqrt().recip();
        [
            self.tensor(format!("{path}.weight"), vec![output, input], 0.0, std),
            self.tensor(format!("{path}.bias"), vec![output], 0.0, 0.1),
        ]
    }

    /// The weights of one norm.
    pub fn norm(&self, path: &str) -> [Tensor; 2] {
        [
            self.tensor(format!("{path}.weight"), vec![WIDTH], 1.0, 0.1),
            self.tensor(format!("{path}.bias"), vec![WIDTH], 0.0, 0.1),
        ]
    }

    fn tensor(&self, name: String, shape: Vec<usize>, mean: f64, std: f64) -> Tensor {
        let mut stream = Seed(self.seed).stream(&name);
        let count = shape.iter().product();
        let values = (0..count).map(|_| (mean + std * stream.normal()) as f32).collect();
        Tensor { name, shape, values }
    }

    /// Writes the whole model folder.
    pub fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
        write("config.json", self.config().to_string());
        write("tokenizer.json", tokenizer().to_string());
        write("tokenizer_config.json", tokenizer_config().to_string());
        write("special_tokens_map.json", special_tokens().to_string());
        write("vocab.txt", vocabulary().join("\n") + "\n");
        std::fs::write(folder.join("model.safetensors"), safetensors(&self.weights())).unwrap();
    }
}

/// The tensors as the bytes of a safetensors file.
pub fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let raw: Vec<Vec<u8>> =
        tensors.iter().map(|t| t.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&raw).map(|(tensor, raw)| {
        (tensor.name.clone(), TensorView::new(Dtype::F32, tensor.shape.clone(), raw).unwrap())
    });
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::serialize(views, Some(metadata)).unwrap()
}

/// `tokenizer.json` as a published BERT has it, with the padding and truncation of its last use still in it.
fn tokenizer() -> Value {
    let vocabulary = vocabulary();
    let id = |token: &str| vocabulary.iter().position(|t| t == token).unwrap();
    let special = |token: &str| {
        json!({
            "id": id(token), "content": token, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    let specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(special);
    let mark = |token: &str, segment: u32| json!({ "SpecialToken": { "id": token, "type_id": segment } });
    let text = |which: &str, segment: u32| json!({ "Sequence": { "id": which, "type_id": segment } });
    let known = |token: &str| json!({ "id": token, "ids": [id(token)], "tokens": [token] });
    let by_token: serde_json::Map<String, Value> =
        vocabulary.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    json!({
        "version": "1.0",
        "truncation": { "max_length": 16, "strategy": "LongestFirst", "stride": 0, "direction": "Right" },
        "padding": {
            "strategy": { "Fixed": 16 }, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
        },
        "added_tokens": specials,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true,
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [mark("[CLS]", 0), text("A", 0), mark("[SEP]", 0)],
            "pair": [mark("[CLS]", 0), text("A", 0), mark("[SEP]", 0), text("B", 1), mark("[SEP]", 1)],
            "special_tokens": { "[CLS]": known("[CLS]"), "[SEP]": known("[SEP]") },
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": by_token,
        },
    })
}

fn tokenizer_config() -> Value {
    let mut config = special_tokens();
    config["do_lower_case"] = json!(true);
    config["model_max_length"] = json!(POSITIONS);
    config["tokenizer_class"] = json!("BertTokenizer");
    config
}

fn special_tokens() -> Value {
    json!({
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]",
        "cls_token": "[CLS]", "mask_token": "[MASK]",
    })
}
