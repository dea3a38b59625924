//! What this engine computes on given sentences with a given head, for `tests/parity/numerics.py` to hold
//! against PyTorch. Dropout is off.
//!
//! ```text
//! parity forward  --model DIR --texts FILE.jsonl --head FILE --out FILE [--padded]
//! parity backward --model DIR --texts FILE.jsonl --head FILE --out FILE
//! parity steps    --model DIR --texts FILE.jsonl --head FILE --out FILE --steps N --batch-size N --lr X
//! ```
//! A text is a line `{"text": …, "label": class id}`; the head's safetensors file holds the weight and the bias
//! by their Hub names. `forward` writes `hidden (tokens, width)`, `lengths (n)`, `pooled (n, width)` and
//! `logits (n, classes)`; `backward` the `loss` and the gradient of each weight by its name; `steps` the
//! `losses` of AdamW steps at a constant rate, batches in the file's order, wrapping around.

use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use xexp_backbones::checkpoint::Checkpoint;
use xexp_backbones::folder::Folder;
use xexp_backbones::{Grads, Input, Mode, Pass, Seed};
use xexp_data::Tokenizer;
use xexp_heads::Classifier;
use xexp_kernels::Pool;
use xexp_train::{Optimizer, OptimizerSettings, Sample, StepSettings, Supervised, gradients, pack, step};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
/// Shape and values of what is written, by name.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("parity: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = Arguments::read()?;
    let mode = arguments.mode.clone();
    let (classifier, texts) = subject(&mut arguments)?;
    let out = PathBuf::from(arguments.value("out")?);
    let tensors = match mode.as_str() {
        "forward" => forward(&classifier, &texts, arguments.flag("padded"))?,
        "backward" => backward(&classifier, &texts)?,
        "steps" => {
            let (count, batch) = (arguments.number("steps")?, arguments.number("batch-size")?);
            steps(&classifier, &texts, count, batch, arguments.number("lr")?)?
        }
        other => return Err(format!("expected forward, backward or steps, found {other:?}").into()),
    };
    arguments.finish()?;
    write(&out, &tensors)
}

/// The mode and the options, taken out one by one so that what is left over is an error.
struct Arguments {
    mode: String,
    options: BTreeMap<String, Option<String>>,
}

impl Arguments {
    fn read() -> Result<Self> {
        let mut words = std::env::args().skip(1).peekable();
        let mode = words.next().ok_or("expected a mode: forward, backward or steps")?;
        let mut options = BTreeMap::new();
        while let Some(word) = words.next() {
            let name =
                word.strip_prefix("--").ok_or_else(|| format!("expected an option, found {word:?}"))?;
            options.insert(name.to_string(), words.next_if(|next| !next.starts_with("--")));
        }
        Ok(Arguments { mode, options })
    }

    fn value(&mut self, name: &str) -> Result<String> {
        let given = self.options.remove(name).flatten();
        given.ok_or_else(|| format!("{} needs --{name} VALUE", self.mode).into())
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str) -> Result<T> {
        let text = self.value(name)?;
        text.parse().map_err(|_| format!("--{name}: expected a number, found {text:?}").into())
    }

    fn flag(&mut self, name: &str) -> bool {
        self.options.remove(name).is_some()
    }

    fn finish(self) -> Result<()> {
        match self.options.into_keys().next() {
            Some(name) => Err(format!("{} has no option --{name}", self.mode).into()),
            None => Ok(()),
        }
    }
}

/// The classifier with the head of the file, and the tokenised texts.
fn subject(arguments: &mut Arguments) -> Result<(Classifier, Vec<Sample>)> {
    let mut folder = Folder::open(Path::new(&arguments.value("model")?))?;
    for probability in ["hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"] {
        folder.config.fields.insert(probability.to_string(), 0.0.into());
    }
    let head = Checkpoint::open(Path::new(&arguments.value("head")?))?;
    let classes = head.shape("classifier.weight").and_then(|shape| shape.first().copied());
    let (classifier, _) =
        Classifier::with_new_head(&folder, classes.ok_or("the head has no classifier.weight")?, Seed(0))?;
    for id in classifier.head.ids() {
        classifier.params.set(id, &head.values(&classifier.params.weight(id).name)?)?;
    }
    let tokenizer = Tokenizer::from_bytes(&folder.path.join("tokenizer.json"), &folder.companion()?)?;
    let mut samples = vec![];
    for line in std::fs::read_to_string(arguments.value("texts")?)?.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        let text = record["text"].as_str().ok_or_else(|| format!("no text in {line}"))?;
        let label = record["label"].as_u64().ok_or_else(|| format!("no label in {line}"))?;
        let encoded = tokenizer.encode(text, None, folder.config.size("max_position_embeddings")?)?;
        samples.push(Sample::text(encoded.ids, encoded.type_ids, u32::try_from(label)?));
    }
    Ok((classifier, samples))
}

fn forward(classifier: &Classifier, texts: &[Sample], padded: bool) -> Result<Tensors> {
    let input = if padded { right_padded(texts)? } else { pack(texts.iter())?.0 };
    let (pool, width, batch) = (Pool::default(), classifier.backbone.width(), input.batch());
    let encoded =
        classifier.backbone.forward(&classifier.params, &input, &mut Pass::new(&pool, Mode::Eval))?;
    let logits = classifier.forward(&input, &mut Pass::new(&pool, Mode::Eval))?;
    let lengths = input.offsets.windows(2).map(|ends| (ends[1] - ends[0]) as f32).collect();
    Ok(BTreeMap::from([
        ("hidden".to_string(), (vec![input.tokens(), width], encoded.hidden.to_vec())),
        ("lengths".to_string(), (vec![batch], lengths)),
        ("pooled".to_string(), (vec![batch, width], encoded.features.to_vec())),
        ("logits".to_string(), (vec![batch, classifier.classes()], logits.values.to_vec())),
    ]))
}

/// The batch as other libraries build it: rows filled up to the longest, and a mask.
fn right_padded(texts: &[Sample]) -> Result<Input> {
    let length = texts.iter().map(|text| text.tokens().0.len()).max().unwrap_or(0);
    let (mut ids, mut type_ids, mut mask) = (vec![], vec![], vec![]);
    for (row, text) in texts.iter().enumerate() {
        let (words, segments) = text.tokens();
        let ends = (row + 1) * length;
        ids.extend_from_slice(words);
        type_ids.extend_from_slice(segments);
        mask.resize(row * length + words.len(), 1);
        for column in [&mut ids, &mut type_ids, &mut mask] {
            column.resize(ends, 0);
        }
    }
    Ok(Input::from_padded(&ids, &type_ids, &mask, length)?)
}

fn backward(classifier: &Classifier, texts: &[Sample]) -> Result<Tensors> {
    let samples: Vec<&Sample> = texts.iter().collect();
    let mut grads = Grads::new(&classifier.params);
    // Micro-batches that do not divide the batch: the sum over them has to be the gradient of the whole.
    let settings = StepSettings { micro_batch: 12, ..settings(0, samples.len(), 0.0) };
    let loss = gradients(classifier, &samples, &settings, &mut grads, &Pool::default())?;
    let mut tensors = Tensors::from([("loss".to_string(), (vec![1], vec![loss as f32]))]);
    for (id, weight) in classifier.params.iter().filter(|(id, _)| grads.reached(*id)) {
        if let Some(grad) = grads.get(id) {
            tensors.insert(weight.name.clone(), (weight.layer.shape(), grad.to_vec()));
        }
    }
    Ok(tensors)
}

fn steps(classifier: &Classifier, texts: &[Sample], count: u64, batch: usize, lr: f64) -> Result<Tensors> {
    let settings_of = OptimizerSettings { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
    let mut optimizer = Optimizer::new(&classifier.params, settings_of);
    let (mut grads, pool) = (Grads::new(&classifier.params), Pool::default());
    let objective = Supervised::new(classifier, texts, &[]);
    let mut order = (0..texts.len()).cycle();
    let mut losses = vec![];
    for number in 0..count {
        let chosen: Vec<usize> = order.by_ref().take(batch).collect();
        let memory = (&mut grads, &mut optimizer);
        let outcome = step(&objective, &chosen, &settings(number, batch, lr), memory, &pool)?;
        losses.push(outcome.loss as f32);
    }
    Ok(Tensors::from([("losses".to_string(), (vec![losses.len()], losses))]))
}

fn settings(step: u64, micro_batch: usize, lr: f64) -> StepSettings {
    StepSettings { step, epoch: 0, seed: Seed(0), micro_batch, accumulate: 1, lr, head_lr: lr, clip: 0.0 }
}

fn write(path: &Path, tensors: &Tensors) -> Result<()> {
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let raw: Vec<_> = tensors.iter().map(|(name, (shape, values))| (name, shape, bytes(values))).collect();
    let views =
        raw.iter().map(|(name, shape, raw)| Ok((name, TensorView::new(Dtype::F32, shape.to_vec(), raw)?)));
    let views = views.collect::<Result<Vec<_>>>()?;
    std::fs::write(path, safetensors::serialize(views, None)?)?;
    Ok(())
}
