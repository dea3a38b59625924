//! Files that are cut off or changed end in an error or in data, never in a panic.

use std::path::Path;

use xexp_data::{BadRow, Format, Source, parquet_holds_images, read, read_images};
use xexp_data::{Preprocessor, Viewer};

use crate::path;

/// Reads a file in every way there is; what comes of it is of no interest.
fn read_anyhow(file: &Path) -> bool {
    let source = Source { format: Some(Format::Parquet), on_bad_row: BadRow::Skip, ..Source::new(file) };
    let text = br#"{"image_processor_type": "ViTImageProcessor", "size": 4}"#;
    let preprocessor = Preprocessor::parse("preprocessor_config.json".as_ref(), text).unwrap();
    let mut viewer = Viewer { preprocessor, channels: 3, size: 4, upright: true, budget: 1000 };
    let seen = parquet_holds_images(file).is_ok();
    // The column of scores takes another way through the reader than class ids do.
    let scores = Source { label_column: Some("score".into()), ..source.clone() };
    [read(&source, true), read(&source, false), read(&scores, true), read_images(&source, true, &mut viewer)]
        .into_iter()
        .any(|found| found.is_ok())
        || seen
}

const FILES: [&str; 4] =
    ["train-00000-of-00002.parquet", "kinds.parquet", "faults.parquet", "images.parquet"];

/// How many variants of each file are tried; XEXP_FUZZ asks for more.
fn rounds() -> usize {
    std::env::var("XEXP_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[test]
fn a_file_that_is_cut_off_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut");
    for name in FILES {
        let bytes = std::fs::read(path(name)).unwrap();
        assert!(read_anyhow(&path(name)));
        // Every length near the ends, where the magic, the footer's length and the pages' heads are.
        let near = |length: &usize| *length < 64 || bytes.len() - length < 64 || length.is_multiple_of(7);
        for length in (0..bytes.len()).filter(near) {
            std::fs::write(&file, &bytes[..length]).unwrap();
            assert!(!read_anyhow(&file), "{name}, {length} bytes");
        }
    }
}

#[test]
fn a_file_with_changed_bytes_is_an_error_or_data() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("changed");
    // Xorshift, from a fixed beginning.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    for name in FILES {
        let bytes = std::fs::read(path(name)).unwrap();
        let mut refused = 0;
        for _ in 0..rounds() {
            let mut changed = bytes.clone();
            for _ in 0..=below(4) {
                let at = below(changed.len());
                changed[at] = if below(2) == 0 { changed[at] ^ (1 << below(8)) } else { below(256) as u8 };
            }
            std::fs::write(&file, &changed).unwrap();
            refused += usize::from(!read_anyhow(&file));
        }
        assert!(refused > 0, "{name}: changes of the footer are errors");
    }
}
