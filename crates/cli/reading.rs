//! From the reading flags to the data crate's terms.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use xexp_bundled::images::{CHANNELS, SIZE, image_set, images};
use xexp_data::{BadRow, Dataset, Delimiter, Example, Format, Image, Label, Picture, Source, Task, Viewer};

use crate::args::{DataFormat, OnBadRow, Reading};
use crate::failure::Failure;
use crate::places::{Data, Table};
use crate::provenance;

/// What is read of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    Nothing,
    /// Those of a task, or of the one that they look like.
    Labels(Option<Task>),
}

impl Wanted {
    fn task(self) -> Option<Task> {
        match self {
            Wanted::Nothing => Some(Task::SingleLabel),
            Wanted::Labels(task) => task,
        }
    }
}

/// Reads a file or folder as the flags say, or a bundled set as it is; with a viewer, images rather than texts.
///
/// # Errors
/// Whatever is wrong with the file, with its line.
pub fn read(
    place: &Data,
    flags: &Reading,
    wanted: Wanted,
    viewer: Option<&mut Viewer>,
) -> Result<Dataset, Failure> {
    let (labelled, task) = (wanted != Wanted::Nothing, wanted.task());
    let looked_at = |source: Source, viewer| looked_at(&Source { task, ..source }, labelled, viewer);
    match place {
        Data::File(path) | Data::Folder { path, .. } => looked_at(source(path, flags)?, viewer),
        Data::Table(Table { name, files, .. }) => looked_at(shards(name.clone(), files, flags)?, viewer),
        Data::Hub(split) => looked_at(shards(place.to_string().into(), &split.files, flags)?, viewer),
        Data::Bundled { images: true, .. } if task.is_some_and(|task| task != Task::SingleLabel) => {
            Err(Failure::input(format!("{place}: an example of this set has one class"))
                .hint("leave --task away"))
        }
        Data::Bundled { set, split, images: true } => drawn(place, set, split),
        Data::Bundled { set, split, .. } => {
            let gone = || Failure::input(format!("{place}: no such set"));
            let bytes = xexp_bundled::texts(set).and_then(|set| set.split(split)).ok_or_else(gone)?;
            let source = Source { format: Some(Format::Csv), task, ..Source::new(place.to_string()) };
            Ok(xexp_data::read_bytes(&source, bytes, labelled)?)
        }
    }
}

/// Whether a place keeps its labels back, as the test splits of contests do.
///
/// # Errors
/// A file that cannot be read; a column that is not found.
pub fn labels_are_hidden(place: &Data, flags: &Reading, images: bool) -> Result<bool, Failure> {
    let source = match place {
        Data::Table(Table { name, files, .. }) => shards(name.clone(), files, flags)?,
        Data::Hub(split) => shards(place.to_string().into(), &split.files, flags)?,
        Data::File(_) | Data::Folder { .. } | Data::Bundled { .. } => return Ok(false),
    };
    Ok(xexp_data::labels_are_hidden(&Source { images, ..source })?)
}

/// Reads images where there is a viewer, else texts.
fn looked_at(source: &Source, labelled: bool, viewer: Option<&mut Viewer>) -> Result<Dataset, Failure> {
    match viewer {
        Some(viewer) => Ok(xexp_data::read_images(source, labelled, viewer)?),
        None => Ok(xexp_data::read(source, labelled)?),
    }
}

/// Parquet files that are one table under a name.
fn shards(name: PathBuf, files: &[PathBuf], flags: &Reading) -> Result<Source, Failure> {
    let source = source(&name, flags)?;
    Ok(Source { shards: files.to_vec(), format: Some(Format::Parquet), ..source })
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
        label: names.get(image.label).cloned().map(Label::Class),
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
        DataFormat::Parquet => Format::Parquet,
    });
    Ok(Source {
        path: path.to_path_buf(),
        shards: vec![],
        format,
        delimiter: flags.delimiter.map(|c| c.to_string().parse::<Delimiter>()).transpose()?,
        columns: flags.columns.clone(),
        images: false,
        text_column: flags.image_column.clone().or_else(|| flags.text_column.clone()),
        pair_column: flags.pair_column.clone(),
        label_column: flags.label_column.clone(),
        task: Some(Task::SingleLabel),
        label_separator: flags.label_separator,
        on_bad_row: match flags.on_bad_row {
            OnBadRow::Error => BadRow::Error,
            OnBadRow::Skip => BadRow::Skip,
        },
    })
}
