//! The backbone and the texts of a run.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use xexp_backbones::families::Modality;
use xexp_backbones::folder::Folder;
use xexp_data::{Dataset, Format, Labels, Source, Tokenizer, stratified_sample};
use xexp_heads::{Classifier, Features};
use xexp_init::{Init, Seed};
use xexp_train::{Sample, predict};

use crate::{Error, Result};

/// What the names of the program's own models and texts begin with.
const BUNDLED: &str = "bundled:";
/// Most tokens kept of a text.
const MAX_LENGTH: usize = 256;
/// Texts run through the backbone at once.
const BATCH: usize = 32;
/// Chooses the pool and the test texts, which are the same in every run on the same files.
const CHOICE: Seed = Seed(0);

/// Where a run's backbone and texts are, and how many texts it takes.
pub struct Places<'a> {
    /// Id of the experiment, for messages.
    pub experiment: &'static str,
    /// `bundled:NAME` or a folder in Hugging Face layout.
    pub model: &'a str,
    /// `bundled:SET/SPLIT` or a file.
    pub train: &'a str,
    /// The same.
    pub test: &'a str,
    /// Most training texts, from which each seed draws its own.
    pub pool: usize,
    /// Most test texts.
    pub test_examples: usize,
}

/// A backbone with its texts as tokens.
pub struct Subject {
    /// The backbone.
    pub folder: Folder,
    /// Number of classes.
    pub classes: usize,
    /// The law of `hf`.
    pub hf: Init,
    /// Training texts from which seeds draw, in random order.
    pub pool: Vec<Sample>,
    /// Test texts, in random order.
    pub test: Vec<Sample>,
}

impl Subject {
    /// Reads everything.
    ///
    /// # Errors
    /// A model or data that cannot be read, or is of no use here.
    pub fn open(places: &Places<'_>) -> Result<Self> {
        let folder = folder(places)?;
        let (train, test) = (read(places, "train", places.train)?, read(places, "test", places.test)?);
        let labels = Labels::from_training(&train, &[])?;
        let limit = folder.config.size("max_position_embeddings")?.min(MAX_LENGTH);
        let name = folder.path.join(Modality::Text.companion());
        let tokenizer = Tokenizer::from_bytes(&name, &folder.companion()?)?;
        let samples = |data: Dataset, purpose: &str, most: usize| -> Result<Vec<Sample>> {
            let ids = labels.ids(&data)?;
            let mut stream = CHOICE.stream(purpose);
            let mut chosen = stratified_sample(&ids, most.min(ids.len()), &mut |s| stream.shuffle(s))?;
            stream.shuffle(&mut chosen);
            let encoded = tokenizer.encode_examples(&data.subset(&chosen).examples, limit)?;
            let sample =
                |(e, i): (xexp_data::Encoded, &usize)| Sample::text(e.ids, e.type_ids, ids[*i] as u32);
            Ok(encoded.into_iter().zip(&chosen).map(sample).collect())
        };
        let width = folder.config.size("hidden_size")?;
        Ok(Subject {
            pool: samples(train, "pool", places.pool)?,
            test: samples(test, "test", places.test_examples)?,
            classes: labels.len(),
            hf: (folder.family.head.law)(&folder.config, width)?.weight,
            folder,
        })
    }

    /// The backbone under a head of zeros.
    ///
    /// # Errors
    /// A checkpoint that cannot be used.
    pub fn classifier(&self, seed: Seed) -> Result<Classifier> {
        Ok(Classifier::with_new_head(&self.folder, self.classes, seed)?.0)
    }

    /// What the backbone as it is makes of some texts.
    ///
    /// # Errors
    /// Tokens that the backbone has no row for.
    pub fn features(&self, samples: &[Sample]) -> Result<Features> {
        let go_on = AtomicBool::new(false);
        let features = predict::features(&self.classifier(CHOICE)?, samples, BATCH, &go_on, |_| ())?;
        features.ok_or(Error::Interrupted)
    }

    /// Which texts of the pool the run `seed` trains on, `examples` of them with the classes' shares, and the others.
    ///
    /// # Errors
    /// More than there are.
    pub fn choose(&self, seed: Seed, examples: usize) -> Result<(Vec<usize>, Vec<usize>)> {
        let labels: Vec<usize> = labels(&self.pool).into_iter().map(|label| label as usize).collect();
        let mut stream = seed.stream("examples");
        let mut chosen = stratified_sample(&labels, examples, &mut |s| stream.shuffle(s))?;
        chosen.sort_unstable();
        let others = (0..labels.len()).filter(|i| chosen.binary_search(i).is_err()).collect();
        Ok((chosen, others))
    }
}

/// The labels of some samples.
pub fn labels(samples: &[Sample]) -> Vec<u32> {
    samples.iter().filter_map(|sample| sample.target.class()).collect()
}

fn folder(places: &Places<'_>) -> Result<Folder> {
    let refused = |expected| Error::Parameter {
        experiment: places.experiment,
        parameter: "model",
        found: places.model.to_owned(),
        expected,
    };
    let folder = match places.model.strip_prefix(BUNDLED) {
        Some(name) => {
            let model = xexp_bundled::model(name)
                .ok_or_else(|| refused("a model that the program carries, such as bundled:mini-text"))?;
            Folder::in_memory(places.model, model.files)?
        }
        None => Folder::open(Path::new(places.model))?,
    };
    match folder.family.modality {
        Modality::Text => Ok(folder),
        Modality::Image => Err(refused("a text model")),
    }
}

fn read(places: &Places<'_>, parameter: &'static str, given: &str) -> Result<Dataset> {
    let Some(name) = given.strip_prefix(BUNDLED) else {
        return Ok(xexp_data::read(&Source::new(given), true)?);
    };
    let (set, split) = name.split_once('/').unwrap_or((name, parameter));
    let bytes =
        xexp_bundled::texts(set).and_then(|set| set.split(split)).ok_or_else(|| Error::Parameter {
            experiment: places.experiment,
            parameter,
            found: given.to_owned(),
            expected: "texts that the program carries, such as bundled:shop-requests/train, or a file",
        })?;
    let source = Source { format: Some(Format::Csv), ..Source::new(given) };
    Ok(xexp_data::read_bytes(&source, bytes, true)?)
}
