//! From files of images to examples: every file is decoded once, before anything is trained on.

use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::columns::Columns;
use crate::dataset::{Dataset, Gallery};
use crate::error::{Error, Result};
use crate::example::{BadRowNote, Example};
use crate::fault::RowFault;
use crate::folder::Listing;
use crate::format::Format;
use crate::idx;
use crate::image::{Image, Preprocessor};
use crate::label::Label;
use crate::parquet;
use crate::picture::{Picture, Still};
use crate::source::{self, BadRow, Source};
use crate::task::Task;

/// Most values of an image on its way to the model's size: a strip one pixel high would become as long as memory is.
const LARGEST: usize = 1 << 28;

/// Looks at images as a model does.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// What becomes of pixels.
    pub preprocessor: Preprocessor,
    /// Colours that the model takes: 1 or 3.
    pub channels: usize,
    /// Height and width that it takes.
    pub size: usize,
    /// Whether EXIF orientations are followed.
    pub upright: bool,
    /// Bytes that may be kept of images in the model's size, so that they need not be decoded again.
    pub budget: usize,
}

impl Viewer {
    /// A picture in the model's size, kept or made anew.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    pub fn shaped(&self, picture: &Picture) -> std::result::Result<Image, String> {
        match &picture.kept {
            Some(image) => Ok(image.clone()),
            None => Ok(self.preprocessor.shaped(&self.decoded(picture)?)),
        }
    }

    /// A picture in its own size.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    pub fn decoded(&self, picture: &Picture) -> std::result::Result<Image, String> {
        picture.decoded(self.preprocessor.decoding(self.channels, self.upright))
    }

    /// A picture that was seen to be one that the model can take; `keep` says whether it is kept in the model's size.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn look(&self, still: Still, keep: bool) -> std::result::Result<Picture, String> {
        let (decoded, sha256) = still.decode(self.preprocessor.decoding(self.channels, self.upright))?;
        let size = (decoded.image.height, decoded.image.width);
        let (height, width) = self.preprocessor.resized_to(size.0, size.1);
        if height.min(width) == 0 || height.saturating_mul(width).saturating_mul(self.channels) > LARGEST {
            return Err(format!("{} × {} pixels are too narrow a strip", size.1, size.0));
        }
        let shaped = self.preprocessor.shaped_to(size.0, size.1);
        if shaped != (self.size, self.size) {
            return Err(format!(
                "the model takes {0} × {0} pixels; preprocessor_config.json makes {1} × {2} of it",
                self.size, shaped.1, shaped.0
            ));
        }
        let kept = keep.then(|| self.preprocessor.shaped(&decoded.image));
        Ok(Picture { still, sha256, size, turned: decoded.turned, kept })
    }

    /// Bytes of an image in the model's size.
    fn bytes(&self) -> usize {
        self.channels * self.size * self.size
    }
}

/// The images of a folder, a file, or of the rows of a table.
///
/// - A folder, or one image file: labels are the names of the folder's own folders; an image's id is its path within.
/// - An IDX file: labels are those of the file beside it.
/// - A Parquet file: a column holds the bytes of image files, alone or each with a path, or paths. The bytes stay in memory.
/// - Another table ([`source::read`]): a column holds paths, taken from the table's folder unless they begin at the root.
///
/// Every file is read and decoded. One that cannot be is bad, as a row is; [`Source::on_bad_row`] says what becomes of
/// it. Images in the model's size are kept when all of them fit the viewer's budget, which is lowered by their bytes.
///
/// # Errors
/// As [`source::read`]; a folder without images, an image without a class, an image that cannot be decoded.
pub fn read_images(source: &Source, labelled: bool, viewer: &mut Viewer) -> Result<Dataset> {
    let format = source.format.map_or_else(|| Format::of(&source.path), Ok)?;
    let wanted = source.task.unwrap_or(Task::SingleLabel);
    if labelled && wanted != Task::SingleLabel && matches!(format, Format::Images | Format::Idx) {
        let (path, found) = (source.path.clone(), Task::SingleLabel);
        return Err(Error::OtherTask { path, expected: wanted, found });
    }
    let (data, stills) = match format {
        Format::Images => listed(source, labelled)?,
        Format::Idx => idx::read(&source.path, labelled)?,
        Format::Parquet => parquet::read(&Source { images: true, ..source.clone() }, labelled)?,
        _ => {
            let source = Source { images: true, ..source.clone() };
            let data = source::read(&source, labelled)?;
            let folder = data.path.parent().unwrap_or(Path::new("")).to_path_buf();
            let stills = data.examples.iter().map(|e| Still::File(folder.join(&e.text))).collect();
            (data, stills)
        }
    };
    view(data, stills, (format == Format::Images, source.on_bad_row), viewer)
}

fn listed(source: &Source, labelled: bool) -> Result<(Dataset, Vec<Still>)> {
    let listing = Listing::of(&source.path, labelled)?;
    let (mut examples, mut stills) = (vec![], vec![]);
    for (index, entry) in listing.entries.into_iter().enumerate() {
        stills.push(Still::File(entry.path));
        examples.push(Example {
            id: entry.name.clone(),
            text: entry.name,
            pair: None,
            image: None,
            label: entry.class.map(Label::Class),
            line: index as u64 + 1,
        });
    }
    let mut data = Dataset::of_images(source.path.clone(), String::new(), examples);
    data.columns.label = labelled.then(|| "folder".into());
    data.gallery = Some(Gallery { other_files: listing.other_files, ..Gallery::default() });
    Ok((data, stills))
}

/// Looks at all images, several at a time; what comes of it does not depend on how many.
fn view(
    mut data: Dataset,
    stills: Vec<Still>,
    (of_folder, on_bad_row): (bool, BadRow),
    viewer: &mut Viewer,
) -> Result<Dataset> {
    let whole = stills.len().saturating_mul(viewer.bytes());
    let keep = whole <= viewer.budget;
    let looked: Vec<_> = stills.into_par_iter().map(|still| viewer.look(still, keep)).collect();
    let mut hash = Sha256::new();
    hash.update(&data.sha256);
    let examples = std::mem::take(&mut data.examples);
    for (mut example, looked) in examples.into_iter().zip(looked) {
        match looked {
            Ok(picture) => {
                for part in [example.text.as_bytes(), b"\0", &picture.sha256] {
                    hash.update(part);
                }
                example.image = Some(picture);
                data.examples.push(example);
            }
            Err(message) if on_bad_row == BadRow::Skip => {
                let fault = RowFault::Image { path: example.text, message };
                data.bad_rows.push(BadRowNote { line: example.line, reason: fault.to_string() });
            }
            Err(message) if of_folder => {
                let path = if data.path.is_dir() { data.path.join(&example.text) } else { data.path };
                return Err(Error::Image { path, message });
            }
            Err(message) => {
                let fault = RowFault::Image { path: example.text, message };
                return Err(Error::Row { path: data.path, line: example.line, fault });
            }
        }
    }
    data.bad_rows.sort_by_key(|row| row.line);
    if data.examples.is_empty() {
        return Err(Error::NoRows { path: data.path, bad_rows: data.bad_rows.len() });
    }
    if keep {
        viewer.budget -= whole;
    }
    data.sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let gallery = data.gallery.get_or_insert_default();
    (gallery.upright, gallery.kept) = (viewer.upright, keep);
    Ok(data)
}

/// The columns of images that no table names.
pub(crate) fn columns() -> Columns {
    Columns { text: "image".into(), pair: None, label: Some("label".into()), id: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
    use std::fs;

    fn viewer(budget: usize) -> Viewer {
        let text = br#"{"image_processor_type": "ViTImageProcessor", "size": 4}"#;
        let preprocessor = Preprocessor::parse("preprocessor_config.json".as_ref(), text).unwrap();
        Viewer { preprocessor, channels: 3, size: 4, upright: true, budget }
    }

    /// A folder of class folders with images of one grey each, and a table of the same.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, grey) in [("cat/1.png", 10), ("cat/2.png", 20), ("dog/1.png", 10)] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut bytes = vec![];
            PngEncoder::new(&mut bytes).write_image(&[grey; 48], 8, 6, ExtendedColorType::L8).unwrap();
            fs::write(path, bytes).unwrap();
        }
        fs::write(
            folder.path().join("list.csv"),
            "path,label\ncat/1.png,cat\ncat/2.png,cat\ndog/1.png,dog\n",
        )
        .unwrap();
        folder
    }

    #[test]
    fn a_folder_and_a_table_of_the_same_images_give_the_same_examples() {
        let folder = folder();
        let table = read_images(&Source::new(folder.path().join("list.csv")), true, &mut viewer(0)).unwrap();
        fs::remove_file(folder.path().join("list.csv")).unwrap();
        let listed = read_images(&Source::new(folder.path()), true, &mut viewer(0)).unwrap();
        for (a, b) in listed.examples.iter().zip(&table.examples) {
            assert_eq!((&a.text, &a.label), (&b.text, &b.label));
            let (a, b) = (a.image.as_ref().unwrap(), b.image.as_ref().unwrap());
            assert_eq!((a.size, a.sha256, &a.kept), ((6, 8), b.sha256, &None));
        }
        assert_eq!((listed.examples.len(), listed.examples[2].id.as_str()), (3, "dog/1.png"));
        assert_eq!((table.columns.text.as_str(), table.examples[2].id.as_str()), ("path", "3"));
        let changed = listed.sha256.clone();
        fs::copy(folder.path().join("cat/2.png"), folder.path().join("dog/1.png")).unwrap();
        let again = read_images(&Source::new(folder.path()), true, &mut viewer(0)).unwrap();
        assert_ne!(again.sha256, changed);
    }

    #[test]
    fn images_are_kept_when_all_of_them_fit_and_are_the_same_either_way() {
        let folder = folder();
        fs::remove_file(folder.path().join("list.csv")).unwrap();
        let source = Source::new(folder.path());
        // Three images of 3 · 4 · 4 bytes.
        for (budget, left, kept) in [(144, 0, true), (143, 143, false), (1000, 856, true)] {
            let mut viewer = viewer(budget);
            let data = read_images(&source, true, &mut viewer).unwrap();
            assert_eq!(viewer.budget, left);
            for example in &data.examples {
                let picture = example.image.as_ref().unwrap();
                assert_eq!(picture.kept.is_some(), kept);
                let grey = if example.text == "cat/2.png" { 20 } else { 10 };
                assert_eq!(&*viewer.shaped(picture).unwrap().pixels, [grey; 48]);
            }
        }
    }

    #[test]
    fn a_file_that_is_no_image_stops_the_reading_or_is_noted_with_its_path() {
        let folder = folder();
        fs::write(folder.path().join("dog/2.jpg"), "no image").unwrap();
        fs::write(folder.path().join("list.csv"), "path,label\ncat/1.png,cat\ngone.png,cat\ndog/1.png,dog\n")
            .unwrap();
        for (name, places) in
            [("", ["dog/2.jpg", "JPEG, PNG or WebP"]), ("list.csv", ["list.csv:3", "gone.png"])]
        {
            let mut source = Source::new(folder.path().join(name));
            let error = read_images(&source, true, &mut viewer(0)).unwrap_err();
            assert!(places.iter().all(|place| error.to_string().contains(place)), "{error}");
            assert!(error.hint().unwrap().contains("--on-bad-row skip"));
            source.on_bad_row = BadRow::Skip;
            let data = read_images(&source, true, &mut viewer(0)).unwrap();
            assert_eq!(data.rows_read as usize, data.examples.len() + 1);
            let reason = &data.bad_rows[0].reason;
            assert!(
                data.bad_rows.len() == 1 && reason.contains(places[0].trim_end_matches("list.csv:3")),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_processor_whose_size_is_not_the_models_is_found_at_the_first_image() {
        let folder = folder();
        let mut viewer = Viewer { size: 5, ..viewer(0) };
        let error = read_images(&Source::new(folder.path().join("cat")), false, &mut viewer).unwrap_err();
        assert!(error.to_string().contains("5 × 5") && error.to_string().contains("4 × 4"), "{error}");
    }

    #[test]
    fn a_strip_that_no_memory_holds_at_the_models_size_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![];
        PngEncoder::new(&mut bytes).write_image(&[0; 60_000], 60_000, 1, ExtendedColorType::L8).unwrap();
        fs::write(folder.path().join("strip.png"), bytes).unwrap();
        let text = br#"{"image_processor_type": "CLIPImageProcessor", "size": 224, "crop_size": 224}"#;
        let preprocessor = Preprocessor::parse("preprocessor_config.json".as_ref(), text).unwrap();
        let mut viewer = Viewer { preprocessor, size: 224, ..viewer(0) };
        let error = read_images(&Source::new(folder.path()), false, &mut viewer).unwrap_err();
        assert!(error.to_string().contains("60000 × 1"), "{error}");
    }
}
