//! From the reading flags to the data crate's terms.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use xexp_bundled::images::{CHANNELS, SIZE, image_set, images};
use xexp_data::{BadRow, Dataset, Delimiter, Example, Format, Image, Picture, Source, Viewer};

use crate::args::{DataFormat, OnBadRow, Reading};
use crate::failure::Failure;
use crate::places::Data;
use crate::provenance;

/// Reads a file or folder as the flags say, or a bundled set as it is; with a viewer, images rather than texts.
///
/// # Errors
/// Whatever is wrong with the file, with its line.
pub fn read(
    place: &Data,
    flags: &Reading,
    labelled: bool,
    viewer: Option<&mut Viewer>,
) -> Result<Dataset, Failure> {
    match place {
        Data::File(path) | Data::Folder { path, .. } => {
            let source = source(path, flags)?;
            match viewer {
                Some(viewer) => Ok(xexp_data::read_images(&source, labelled, viewer)?),
                None => Ok(xexp_data::read(&source, labelled)?),
            }
        }
        Data::Bundled { set, split, images: true } => drawn(place, set, split),
        Data::Bundled { set, split, .. } => {
            let gone = || Failure::input(format!("{place}: no such set"));
            let bytes = xexp_bundled::texts(set).and_then(|set| set.split(split)).ok_or_else(gone)?;
            let source = Source { format: Some(Format::Csv), ..Source::new(place.to_string()) };
            Ok(xexp_data::read_bytes(&source, bytes, labelled)?)
        }
    }
}

/// A split of a set that is drawn by code.
fn drawn(place: &Data, set: &str, split: &str) -> Result<Dataset, Failure> {
    let gone = || Failure::input(format!("{place}: no such set"));
    let names = image_set(set).ok_or_else(gone)?.labels;
    let drawn = images(set, split).ok_or_else(gone)?;
    let mut hash = Sha256::new();
    drawn.iter().for_each(|image| hash.update(&image.pixels));
    let example = |(index, image): (usize, xexp_bundled::images::Image)| Example {
        text: format!("{set}/{}", image.id),
        id: image.id,
        pair: None,
        label: names.get(image.label).cloned(),
        image: Some(Picture::of_pixels(Image {
            channels: CHANNELS,
            height: SIZE,
            width: SIZE,
            pixels: Arc::from(image.pixels),
        })),
        line: index as u64 + 1,
    };
    let examples = drawn.into_iter().enumerate().map(example).collect();
    Ok(Dataset::of_images(place.to_string().into(), provenance::hex(&hash.finalize()), examples))
}

fn source(path: &Path, flags: &Reading) -> Result<Source, Failure> {
    let format = flags.data_format.map(|format| match format {
        DataFormat::Csv => Format::Csv,
        DataFormat::Tsv => Format::Tsv,
        DataFormat::Jsonl => Format::Jsonl,
        DataFormat::Json => Format::Json,
        DataFormat::Txt => Format::Txt,
        DataFormat::Images => Format::Images,
        DataFormat::Idx => Format::Idx,
    });
    Ok(Source {
        path: path.to_path_buf(),
        format,
        delimiter: flags.delimiter.map(|c| c.to_string().parse::<Delimiter>()).transpose()?,
        columns: flags.columns.clone(),
        images: false,
        text_column: flags.image_column.clone().or_else(|| flags.text_column.clone()),
        pair_column: flags.pair_column.clone(),
        label_column: flags.label_column.clone(),
        on_bad_row: match flags.on_bad_row {
            OnBadRow::Error => BadRow::Error,
            OnBadRow::Skip => BadRow::Skip,
        },
    })
}
