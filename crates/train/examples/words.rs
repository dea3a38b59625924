//! What the masked-language-modelling head of a model says of every token of given sentences, for
//! `tests/parity/backbones.py` to hold against transformers.
//!
//! ```text
//! words MODEL_DIR TEXTS.txt OUT.safetensors
//! ```
//! A text is a line. Written are `logits (tokens, vocabulary)`, text after text, and `lengths (texts)` in tokens.

use safetensors::tensor::{Dtype, TensorView};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use xexp_backbones::folder::Folder;
use xexp_backbones::{Input, Mode, Pass, Seed};
use xexp_data::Tokenizer;
use xexp_heads::MaskedLm;
use xexp_kernels::Pool;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("words: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, texts, out] = &arguments[..] else {
        return Err("expected MODEL_DIR TEXTS.txt OUT.safetensors".into());
    };
    let folder = Folder::open(Path::new(model))?;
    let (model, report) = MaskedLm::open(&folder, Seed(0))?;
    if !report.new.is_empty() {
        return Err(format!("the checkpoint lacks {}", report.new.join(", ")).into());
    }
    let tokenizer = Tokenizer::from_bytes(&folder.path.join("tokenizer.json"), &folder.companion()?)?;
    let limit = folder.config.size("max_position_embeddings")?;
    let (pool, mut logits, mut lengths) = (Pool::default(), vec![], vec![]);
    for text in std::fs::read_to_string(texts)?.lines() {
        let encoded = tokenizer.encode(text, None, limit)?;
        let input = Input::pack([(&encoded.ids[..], &encoded.type_ids[..])])?;
        let places: Vec<usize> = (0..encoded.ids.len()).collect();
        let found = model.forward(&input, &places, &mut Pass::new(&pool, Mode::Eval))?;
        logits.extend_from_slice(&found.values);
        lengths.push(encoded.ids.len() as f32);
    }
    let raw = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let (shape, logits) = (vec![logits.len() / model.vocabulary(), model.vocabulary()], raw(&logits));
    let count = vec![lengths.len()];
    let lengths = raw(&lengths);
    let views = [
        ("logits", TensorView::new(Dtype::F32, shape, &logits)?),
        ("lengths", TensorView::new(Dtype::F32, count, &lengths)?),
    ];
    std::fs::write(out, safetensors::serialize(views, None)?)?;
    Ok(())
}
