//! What is pretrained: a new encoder with a vocabulary of its own, or a model to go on from.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use xexp_backbones::Seed;
use xexp_backbones::config::Config;
use xexp_backbones::families;
use xexp_data::{SPECIAL, Tokenizer, learn_word_pieces};
use xexp_heads::MaskedLm;

use super::Args;
use crate::backbone::Corpus;
use crate::failure::Failure;
use crate::places;
use crate::provenance;

/// A model before its first step.
pub struct Subject {
    /// The model.
    pub model: MaskedLm,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The tokenizer's files.
    pub files: Vec<(String, Vec<u8>)>,
    /// Its `config.json`.
    pub config: Map<String, Value>,
    /// Rows of the word table.
    pub vocabulary: usize,
    /// Longest text, in tokens.
    pub positions: usize,
    /// Where its first weights come from, in a sentence.
    pub origin: String,
    /// What makes it the same beginning.
    pub identity: Value,
}

impl Subject {
    /// The model that the arguments ask for.
    ///
    /// # Errors
    /// A model, a tokenizer or sizes that cannot be used.
    pub fn new(args: &Args, corpus: &Corpus) -> Result<Self, Failure> {
        match args.shared.model.as_deref() {
            Some(given) => {
                Self::further(&places::model("--model", given, args.shared.access())?, Seed(args.shared.seed))
            }
            None => Self::fresh(args, corpus),
        }
    }

    fn further(place: &places::Model, seed: Seed) -> Result<Self, Failure> {
        let folder = place.open()?;
        let (model, report) = MaskedLm::open(&folder, seed)?;
        let tokenizer = Tokenizer::from_bytes(&folder.path.join("tokenizer.json"), &folder.companion()?)?;
        let mut config = folder.config.fields.clone();
        config.insert("architectures".into(), json!([architecture(&model)]));
        Ok(Subject {
            tokenizer,
            files: folder.companions()?,
            vocabulary: folder.config.size("vocab_size")?,
            positions: folder.config.size("max_position_embeddings")?,
            origin: format!("It goes on from {place}: {report}."),
            identity: json!(provenance::weights_sha256(&folder.checkpoint()?)),
            config,
            model,
        })
    }

    fn fresh(args: &Args, corpus: &Corpus) -> Result<Self, Failure> {
        let sizes = &args.sizes;
        let (path, bytes) = match &sizes.tokenizer {
            Some(file) => {
                let bytes = std::fs::read(file).map_err(|error| {
                    Failure::input(format!("--tokenizer {file}: cannot read the file")).because(&error)
                })?;
                (PathBuf::from(file), bytes)
            }
            None => {
                let texts = corpus.train.iter().flat_map(|t| [Some(&t.text), t.pair.as_ref()]).flatten();
                let size = sizes.vocabulary.get();
                let bytes = learn_word_pieces(texts.map(String::as_str), size, !sizes.cased)?;
                (PathBuf::from("tokenizer.json"), bytes)
            }
        };
        let tokenizer = Tokenizer::from_bytes(&path, &bytes)?;
        let (vocabulary, positions) = (tokenizer.largest_id() as usize + 1, sizes.positions.get());
        let width = sizes.width.get();
        let config = json!({
            "model_type": "bert",
            "vocab_size": vocabulary,
            "hidden_size": width,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "intermediate_size": sizes.hidden.map_or(4 * width, usize::from),
            "hidden_act": "gelu",
            "hidden_dropout_prob": sizes.dropout,
            "attention_probs_dropout_prob": sizes.dropout,
            "max_position_embeddings": positions,
            "type_vocab_size": 2,
            "initializer_range": 0.02,
            "layer_norm_eps": 1e-12,
            "pad_token_id": tokenizer.token_id("[PAD]").unwrap_or(0),
        });
        let Value::Object(mut config) = config else { return Err(Failure::input("no configuration")) };
        let read = Config { path: PathBuf::from("the sizes given"), fields: config.clone() };
        let model = MaskedLm::untrained(families::find(&read)?, &read, Seed(args.shared.seed))?;
        config.insert("architectures".into(), json!([architecture(&model)]));
        let hash = provenance::sha256(&bytes);
        let identity = json!({ "config": config, "tokenizer": hash });
        let mut files = vec![("tokenizer.json".to_string(), bytes)];
        files.push(("tokenizer_config.json".to_string(), tokenizer_config(positions, !sizes.cased, &path)?));
        Ok(Subject {
            model,
            tokenizer,
            files,
            vocabulary,
            positions,
            origin: "Its weights were drawn at random.".to_string(),
            identity,
            config,
        })
    }

    /// Id of a special token.
    ///
    /// # Errors
    /// The tokenizer lacks it.
    pub fn special(&self, token: &str) -> Result<u32, Failure> {
        self.tokenizer.token_id(token).ok_or_else(|| {
            Failure::input(format!("the tokenizer has no {token}, which hiding words needs"))
                .hint("take another --tokenizer, or leave it away to have one learned")
        })
    }

    /// Ids that are neither hidden nor drawn, sorted; the unknown word is a word.
    ///
    /// # Errors
    /// As [`Subject::special`].
    pub fn special_ids(&self) -> Result<Vec<u32>, Failure> {
        let names = SPECIAL.iter().filter(|name| **name != "[UNK]");
        let mut ids = names.map(|name| self.special(name)).collect::<Result<Vec<u32>, Failure>>()?;
        ids.sort_unstable();
        Ok(ids)
    }
}

fn architecture(model: &MaskedLm) -> &'static str {
    model.family.masked_lm.as_ref().map_or(model.family.base_architecture, |names| names.architecture)
}

/// transformers' own settings of a tokenizer, kept from beside the one that was given.
fn tokenizer_config(positions: usize, lowercase: bool, tokenizer: &Path) -> Result<Vec<u8>, Failure> {
    let beside = tokenizer.with_file_name("tokenizer_config.json");
    if tokenizer.is_file() && beside.is_file() {
        return std::fs::read(&beside)
            .map_err(|error| Failure::input(format!("cannot read {}", beside.display())).because(&error));
    }
    let config = json!({
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lowercase,
        "model_max_length": positions,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    });
    Ok(crate::stdout::json(&config)?.into_bytes())
}
