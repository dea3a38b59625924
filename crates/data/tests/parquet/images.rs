//! Images in columns: bytes with a path, bytes alone, paths.

use xexp_data::{BadRow, Dataset, Preprocessor, Source, Viewer, parquet_holds_images, read, read_images};

use crate::{expected, labels, path};

fn look(source: &Source) -> xexp_data::Result<Dataset> {
    let text = br#"{"image_processor_type": "ViTImageProcessor", "size": 4}"#;
    let preprocessor = Preprocessor::parse("preprocessor_config.json".as_ref(), text).unwrap();
    let mut viewer = Viewer { preprocessor, channels: 3, size: 4, upright: true, budget: 1000 };
    read_images(source, true, &mut viewer)
}

/// The one grey of each image, which the fixtures count up from 10 in tens.
fn greys(data: &Dataset) -> Vec<u8> {
    let pixels =
        |example: &xexp_data::Example| example.image.as_ref().unwrap().kept.as_ref().unwrap().pixels.clone();
    data.examples
        .iter()
        .map(|example| {
            let pixels = pixels(example);
            assert!(pixels.iter().all(|value| *value == pixels[0]));
            pixels[0]
        })
        .collect()
}

#[test]
fn bytes_with_a_path_are_images_under_the_names_of_their_paths() {
    let source = Source { on_bad_row: BadRow::Skip, ..Source::new(path("images.parquet")) };
    let data = look(&source).unwrap();
    assert_eq!(greys(&data), [10, 20, 30]);
    assert_eq!(labels(&data), ["bright", "dim", "dim"]);
    assert_eq!(data.class_names.as_deref().unwrap(), ["dim", "bright"]);
    let names: Vec<&str> = data.examples.iter().map(|example| example.text.as_str()).collect();
    assert_eq!(names, ["one.png", "image 2", "three.png"]);
    let notes: Vec<(u64, bool)> =
        data.bad_rows.iter().map(|row| (row.line, row.reason.contains("holds no image"))).collect();
    assert_eq!(notes, [(3, true), (4, true), (5, false)]);
    let error = look(&Source::new(path("images.parquet"))).unwrap_err().to_string();
    assert!(error.ends_with("images.parquet:3: the column `image` holds no image"), "{error}");
}

#[test]
fn plain_bytes_and_paths_are_images_too() {
    let source = Source { text_column: Some("plain".into()), ..Source::new(path("images.parquet")) };
    assert_eq!(greys(&look(&source).unwrap()), [10, 20, 30, 10, 20, 30]);
    // Rows 1 and 2 of another file name images that are not there: the message has the row and the path.
    let source = Source {
        text_column: Some("string".into()),
        label_column: Some("truth".into()),
        ..Source::new(path("kinds.parquet"))
    };
    let error = look(&source).unwrap_err().to_string();
    assert!(error.contains("kinds.parquet:1: the image x: cannot read it"), "{error}");
    let source = Source { text_column: Some("tiny".into()), ..source };
    let error = look(&source).unwrap_err().to_string();
    assert!(error.contains("wanted for the image, holds whole numbers"), "{error}");
}

#[test]
fn whether_a_file_holds_images_is_seen_without_reading_it() {
    assert!(parquet_holds_images(&path("images.parquet")).unwrap());
    assert!(!parquet_holds_images(&path("kinds.parquet")).unwrap());
    assert_eq!(expected("images.parquet", "label").len(), 6);
    let error = read(&Source::new(path("images.parquet")), true).unwrap_err().to_string();
    assert!(error.contains("no column for the text"), "{error}");
}
