//! Texts without labels, from several files.

use std::collections::BTreeSet;

use xexp_backbones::Seed;
use xexp_data::{Dataset, Example};

use crate::args::{self, Reading, Shared};
use crate::failure::Failure;
use crate::places::{self, Data};
use crate::reading::{Wanted, read};

/// One text, or a pair of texts where a file has pairs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text {
    /// The text, or the first of a pair.
    pub text: String,
    /// The second of a pair.
    pub pair: Option<String>,
}

/// The texts of a run.
pub struct Corpus {
    /// Texts to learn from.
    pub train: Vec<Text>,
    /// Texts to choose the best weights by.
    pub valid: Vec<Text>,
    /// Where they come from: place, SHA-256, rows.
    pub sources: Vec<(String, String, usize)>,
    /// Rows left out because their text had been there before.
    pub repeats: usize,
}

impl Corpus {
    /// Reads all files, leaves repeated texts out, and splits validation texts off where none are given.
    ///
    /// # Errors
    /// Whatever is wrong with a file, with its line; no texts at all.
    pub fn read(args: &args::Corpus, reading: &Reading, shared: &Shared) -> Result<Self, Failure> {
        if args.train.is_empty() {
            return Err(Failure::input("no texts to learn from")
                .hint("give files or bundled sets: --train FILE --train bundled:shop-requests"));
        }
        let seed = Seed(shared.seed);
        let places: Vec<Data> = args
            .train
            .iter()
            .map(|given| places::data("--train", given, "train", shared))
            .collect::<Result<_, _>>()?;
        let valid =
            args.valid.as_deref().map(|given| places::data("--valid", given, "valid", shared)).transpose()?;
        let mut corpus = Corpus { train: vec![], valid: vec![], sources: vec![], repeats: 0 };
        let mut seen = BTreeSet::new();
        // Validation texts are read first: a text that is in both must not be learned from.
        if let Some(place) = &valid {
            corpus.valid = corpus.take(place, reading, &mut seen)?;
        }
        for place in &places {
            let texts = corpus.take(place, reading, &mut seen)?;
            corpus.train.extend(texts);
        }
        if valid.is_none() {
            seed.stream("corpus/split").shuffle(&mut corpus.train);
            let count = (corpus.train.len() as f64 * args.split).ceil() as usize;
            corpus.valid = corpus.train.split_off(corpus.train.len() - count);
        }
        if corpus.train.is_empty() || corpus.valid.is_empty() {
            return Err(Failure::input("too few texts to learn from and validate on").hint("give more files"));
        }
        Ok(corpus)
    }

    fn take(
        &mut self,
        place: &Data,
        reading: &Reading,
        seen: &mut BTreeSet<Text>,
    ) -> Result<Vec<Text>, Failure> {
        let data: Dataset = read(place, reading, Wanted::Nothing, None)?;
        if data.is_images() {
            return Err(Failure::input(format!("{place} holds images, expected texts")));
        }
        self.sources.push((place.to_string(), data.sha256.clone(), data.examples.len()));
        let text = |example: Example| Text { text: example.text, pair: example.pair };
        let new: Vec<Text> =
            data.examples.into_iter().map(text).filter(|text| seen.insert(text.clone())).collect();
        self.repeats += self.sources.last().map_or(0, |(_, _, rows)| rows - new.len());
        Ok(new)
    }
}

/// Texts as examples, for the tokenizer.
pub fn examples(texts: &[Text]) -> Vec<Example> {
    let example = |(index, text): (usize, &Text)| Example {
        id: (index + 1).to_string(),
        text: text.text.clone(),
        pair: text.pair.clone(),
        image: None,
        label: None,
        line: index as u64 + 1,
    };
    texts.iter().enumerate().map(example).collect()
}
