//! Features of the bundled backbones on bundled data.

use std::path::Path;
use std::sync::Arc;

use xexp_backbones::folder::Folder;
use xexp_backbones::{Input, Seed};
use xexp_bundled::images::{CHANNELS, SIZE, image_set};
use xexp_data::{Example, Format, Image, Preprocessor, Source, Tokenizer, read_bytes};
use xexp_heads::{Classifier, Features};
use xexp_kernels::Pool;

use crate::Result;

/// Most tokens of a text.
const LONGEST: usize = 128;
/// Examples sent through a backbone at once.
const BATCH: usize = 32;

/// Opens a bundled backbone; `None` if there is none of this name.
pub(crate) fn open(model: &str) -> Result<Option<Folder>> {
    let Some(model) = xexp_bundled::model(model) else { return Ok(None) };
    Ok(Some(Folder::in_memory(&format!("bundled:{}", model.name), model.files)?))
}

/// Number of examples in a split of a bundled set of texts or images; `None` if there is no such split.
pub(crate) fn count(set: &str, split: &str) -> Result<Option<usize>> {
    match image_set(set) {
        Some(images) => Ok(images.len(split)),
        None => Ok(texts(set, split)?.map(|examples| examples.len())),
    }
}

/// Whether a bundled set holds images.
pub(crate) fn is_images(set: &str) -> bool {
    image_set(set).is_some()
}

fn texts(set: &str, split: &str) -> Result<Option<Vec<Example>>> {
    let Some(bytes) = xexp_bundled::texts(set).and_then(|set| set.split(split)) else { return Ok(None) };
    let source = Source { format: Some(Format::Csv), ..Source::new(format!("bundled:{set}/{split}")) };
    Ok(Some(read_bytes(&source, bytes, true)?.examples))
}

/// Features of the chosen examples, `(chosen, width)`; examples that are not there are left out.
pub(crate) fn features(folder: &Folder, set: &str, split: &str, chosen: &[usize]) -> Result<Features> {
    let (classifier, _) = Classifier::with_new_head(folder, 2, Seed(0))?;
    features_of(&classifier, folder, set, split, chosen)
}

/// The same of a classifier that has been opened from the folder.
pub(crate) fn features_of(
    classifier: &Classifier,
    folder: &Folder,
    set: &str,
    split: &str,
    chosen: &[usize],
) -> Result<Features> {
    let pool = Pool::default();
    let mut features = Features { values: vec![], width: classifier.backbone.width() };
    let companion = folder.companion()?;
    let path = folder.path.join(folder.family.modality.companion());
    if let (Some(shape), Some(images)) = (classifier.backbone.image(), image_set(set)) {
        let preprocessor = Preprocessor::parse(&path, &companion)?;
        for part in chosen.chunks(BATCH) {
            let pixels: xexp_data::Result<Vec<Arc<[f32]>>> = part
                .iter()
                .filter_map(|&index| images.image(split, index))
                .map(|image| {
                    let pixels = Arc::from(image.pixels);
                    let drawn = Image { channels: CHANNELS, height: SIZE, width: SIZE, pixels };
                    preprocessor.apply(&image.id, &drawn, shape.channels, shape.size)
                })
                .collect();
            let input = Input::pack_images(pixels?.iter().map(|image| &image[..]), shape.tokens)?;
            classifier.collect_features(&input, &pool, &mut features)?;
        }
    } else {
        let tokenizer = Tokenizer::from_bytes(Path::new(&path), &companion)?;
        let all = texts(set, split)?.unwrap_or_default();
        let examples: Vec<Example> = chosen.iter().filter_map(|&index| all.get(index)).cloned().collect();
        for part in tokenizer.encode_examples(&examples, LONGEST)?.chunks(BATCH) {
            let input = Input::pack(part.iter().map(|text| (&text.ids[..], &text.type_ids[..])))?;
            classifier.collect_features(&input, &pool, &mut features)?;
        }
    }
    Ok(features)
}
