//! The examples of a run: read, split, labelled, tokenised, and the receipt of it all.

use xexp_backbones::Seed;
use xexp_backbones::folder::Folder;
use xexp_backbones::layers::ImageShape;
use xexp_data::{Augment, Dataset, Labels, Receipt, SplitInput, stratified_sample, stratified_split};
use xexp_train::Sample;

use super::args::UnseenLabels;
use super::{Args, Plan};
use crate::failure::Failure;
use crate::inputs::{Encoder, Terms};
use crate::places::Data;
use crate::reading::{Wanted, labels_are_hidden};

/// One split, ready for the model.
pub struct Part {
    /// The rows.
    pub data: Dataset,
    /// The samples, in the rows' order.
    pub samples: Vec<Sample>,
}

/// All that a run learns from its files.
pub struct Examples {
    /// The label table.
    pub labels: Labels,
    /// Trained on.
    pub train: Part,
    /// Chooses the best weights.
    pub valid: Part,
    /// Scored once, at the end.
    pub test: Option<Part>,
    /// What was read, used, cut and found twice.
    pub receipt: Receipt,
}

impl Examples {
    /// Reads everything; `image` are the images that the backbone takes, if it takes any.
    ///
    /// # Errors
    /// Whatever is wrong with a file, with its line.
    pub fn read(
        args: &Args,
        plan: &Plan,
        folder: &Folder,
        image: Option<ImageShape>,
    ) -> Result<Self, Failure> {
        let seed = Seed(args.shared.seed);
        let given = args.test.is_some();
        let hidden = |place: &Data| -> Result<bool, Failure> {
            Ok(!given && labels_are_hidden(place, &args.reading, image.is_some())?)
        };
        let test = match &plan.test {
            Some(place) if hidden(place)? => {
                if !args.shared.quiet {
                    eprintln!("{place}: its labels are kept back; no test split");
                }
                None
            }
            test => test.as_ref(),
        };
        let mut encoder = Encoder::new(folder, image, Terms::new(&args.shared, &args.reading))?;
        let all = encoder.read(&plan.train, &args.reading, Wanted::Labels(args.tasks.task.said()))?;
        args.tasks.fit(all.task, args)?;
        if let Some(reason) =
            args.tasks.reason(&all, args.reading.label_separator).filter(|_| !args.shared.quiet)
        {
            eprintln!("{reason}");
        }
        let wanted = Wanted::Labels(Some(all.task));
        let mut read = |place: &Data| encoder.read(place, &args.reading, wanted);
        let valid = plan.valid.as_ref().map(&mut read).transpose()?;
        let test = test.map(&mut read).transpose()?;
        let labels = labels(args, folder, &all, [&valid, &test])?;

        let (train, valid) = match valid {
            Some(valid) => (all, valid),
            None => {
                let mut stream = seed.stream("data/split");
                let split = stratified_split(&labels.strata(&all)?, args.split, &mut |s| stream.shuffle(s))?;
                (all.subset(&split.train), all.subset(&split.valid))
            }
        };
        let train = match args.limit_train {
            Some(count) => {
                let mut stream = seed.stream("data/limit");
                let ids = labels.strata(&train)?;
                train.subset(&stratified_sample(&ids, count.get(), &mut |s| stream.shuffle(s))?)
            }
            None => train,
        };

        let splits = [("train", Some(train)), ("valid", Some(valid)), ("test", test)];
        let mut parts = vec![];
        for (name, data) in splits.into_iter().filter_map(|(name, data)| Some((name, data?))) {
            let augment = if name == "train" { args.augmentation.augment() } else { Augment::default() };
            parts.push((name, encoder.prepare(&data, augment)?, data));
        }
        let inputs: Vec<SplitInput<'_>> = parts
            .iter()
            .map(|(name, prepared, data)| SplitInput { name, data, encoded: prepared.encoded.as_deref() })
            .collect();
        let receipt = Receipt::new(&inputs, Some(&labels), encoder.max_length())?;
        let mut parts = parts.into_iter().map(|(_, prepared, data)| -> Result<Part, Failure> {
            Ok(Part { samples: prepared.labelled(&data, &labels)?, data })
        });
        let mut next = || parts.next().transpose();
        let missing = || Failure::input("no examples to train and validate on");
        let (train, valid) = (next()?.ok_or_else(missing)?, next()?.ok_or_else(missing)?);
        let test = next()?;
        Ok(Examples { train, valid, test, labels, receipt })
    }
}

/// The label table: training's labels, those of the other files too where `--unseen-labels union` says so, in
/// the order of the base model's own table when it has the same names.
fn labels(
    args: &Args,
    folder: &Folder,
    train: &Dataset,
    others: [&Option<Dataset>; 2],
) -> Result<Labels, Failure> {
    let others: Vec<&Dataset> = others.into_iter().flatten().collect();
    let union = args.unseen_labels == UnseenLabels::Union;
    let labels = Labels::from_training(train, if union { &others } else { &[] })?;
    // A label that training lacks ends the run here, before anything is computed.
    for data in &others {
        labels.check(data)?;
    }
    let base = folder.config.labels()?;
    Ok(base.and_then(|names| labels.in_order_of(&names)).unwrap_or(labels))
}
