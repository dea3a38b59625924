//! `xexp pretrain`: an encoder from raw text, by masked-language modelling.

mod args;
mod subject;

use serde_json::json;
use xexp_backbones::Seed;
use xexp_train::{MaskedWords, Masking};

pub use args::Args;

use crate::backbone::{Corpus, Job, Journey, examples};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::inputs::TextEncoder;
use crate::signals;
use subject::Subject;

/// Pretrains as the arguments say.
///
/// # Errors
/// Whatever ends the run early, with its exit code.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let job = Job::new("pretrain", &args.shared, &args.corpus)?;
    let seed = Seed(args.shared.seed);
    let corpus = Corpus::read(&args.corpus, &args.reading, &args.shared)?;
    let subject = Subject::new(args, &corpus)?;
    let stop = signals::watch()?;
    if !args.shared.quiet {
        eprintln!(
            "{} texts to learn from, {} to validate on, {} repeated ones left out; {} entries in the vocabulary\n{}",
            corpus.train.len(),
            corpus.valid.len(),
            corpus.repeats,
            subject.vocabulary,
            subject.origin
        );
    }
    let masking = Masking {
        share: args.mask,
        mask: subject.special("[MASK]")?,
        special: subject.special_ids()?,
        vocabulary: subject.vocabulary as u32,
    };
    let max_length = args.shared.max_length.map(usize::from);
    let encoder = TextEncoder::new(subject.tokenizer, subject.vocabulary, subject.positions, max_length)?;
    let ids = |texts| -> Result<Vec<Vec<u32>>, Failure> {
        let encoded = encoder.encode_texts(&examples(texts))?;
        Ok(encoded.into_iter().map(|e| e.ids).collect())
    };
    let (train, valid) = (ids(&corpus.train)?, ids(&corpus.valid)?);
    let objective = MaskedWords { model: &subject.model, masking, train: &train, valid: &valid, seed };
    let settings = args.course.settings(
        args.epochs.get(),
        (args.lr, args.lr),
        args.shared.batch_size.get(),
        args.shared.seed,
    );
    let journey = Journey {
        command: "pretrain",
        config: json!(args),
        shared: &args.shared,
        flags: &args.corpus,
        job: &job,
        corpus: &corpus,
        objective: &objective,
        settings: &settings,
        identity: vec![
            ("model", json!(subject.identity)),
            ("mask", json!(args.mask)),
            ("max-length", json!(encoder.max_length)),
        ],
        model_config: subject.config,
        tokenizer: subject.files,
        wanted: |_| true,
        summary: format!(
            "A {} trained by `xexp pretrain` to guess hidden words. {}",
            subject.model.family.model_type, subject.origin
        ),
    };
    journey.run(&stop)
}
