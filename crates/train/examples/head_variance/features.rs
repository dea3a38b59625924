//! Features of real sentences, computed once and kept.

use crate::Result;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use xexp_backbones::folder::Folder;
use xexp_data::{Source, Tokenizer, read};
use xexp_heads::{Classifier, Features};
use xexp_init::Seed;
use xexp_kernels::linear::{self, GradColumns};
use xexp_kernels::sum_of_squares;
use xexp_train::{Sample, predict};

/// The backbone's features of `count` sentences of the file, drawn without replacement.
pub fn of(model: &Path, data: &Path, count: usize, seed: Seed) -> Result<Features> {
    let folder = Folder::open(model)?;
    let (classifier, _) = Classifier::with_new_head(&folder, 2, seed)?;
    let dataset = read(&Source::new(data), false)?;
    // Files are often sorted by label: the first sentences would be of one class.
    let mut order: Vec<usize> = (0..dataset.examples.len()).collect();
    seed.stream("sentences").shuffle(&mut order);
    if order.len() < count {
        return Err(format!("{}: {} sentences, {count} are needed", data.display(), order.len()).into());
    }
    let tokenizer = Tokenizer::from_file(&folder.tokenizer()?)?;
    let samples = order[..count]
        .iter()
        .map(|&i| {
            let encoded =
                tokenizer.encode(&dataset.examples[i].text, None, classifier.backbone.max_length())?;
            Ok(Sample { ids: encoded.ids, type_ids: encoded.type_ids, label: 0 })
        })
        .collect::<Result<Vec<_>>>()?;
    let features = predict::features(&classifier, &samples, 32, &AtomicBool::new(false), |_| ())?;
    Ok(features.ok_or("interrupted")?)
}

/// `tr S² / (tr S)²` of `S = E[φφᵀ]`: 1 when all features lie along one direction, `1/d` when along all alike.
pub fn concentration(features: &Features) -> f64 {
    let mut second = vec![0.0; features.width * features.width];
    linear::backward_weight(
        GradColumns::all(&features.values, features.width),
        &features.values,
        &mut second,
    );
    let trace = sum_of_squares(&features.values);
    sum_of_squares(&second) / (trace * trace)
}
