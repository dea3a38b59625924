//! The images of a set, side by side to be looked at, or as raw bytes for another program.
//!
//! ```text
//! contact_sheet SET SPLIT FILE.ppm [COLUMNS]   a row for each class
//! contact_sheet SET SPLIT FILE.bin             for each image its class in one byte, then its pixels
//! ```

use std::error::Error;
use std::path::Path;
use xexp_bundled::images::{CHANNELS, Image, SIZE, image_set, images};

/// Pixels between two images of a sheet.
const GAP: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "contact_sheet SET SPLIT FILE.ppm|FILE.bin [COLUMNS]";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [set, split, file, rest @ ..] = arguments.as_slice() else { return Err(usage.into()) };
    let columns: usize = rest.first().map_or(Ok(20), |columns| columns.parse())?;
    let images = images(set, split).ok_or("no such set or split")?;
    let classes = image_set(set).ok_or("no such set")?.labels.len();
    let bytes = match Path::new(file).extension().and_then(|extension| extension.to_str()) {
        Some("ppm") => sheet(&images, classes, columns),
        Some("bin") => {
            images.into_iter().flat_map(|image| [vec![image.label as u8], image.pixels].concat()).collect()
        }
        _ => return Err(usage.into()),
    };
    std::fs::write(file, bytes)?;
    Ok(())
}

/// A portable pixmap with the first `columns` images of each class in a row.
fn sheet(images: &[Image], classes: usize, columns: usize) -> Vec<u8> {
    let pitch = SIZE + GAP;
    let width = columns * pitch;
    let mut bytes = format!("P6 {width} {} 255\n", classes * pitch).into_bytes();
    let start = bytes.len();
    bytes.resize(start + CHANNELS * width * classes * pitch, 255);
    let mut placed = vec![0; classes];
    for image in images {
        let column = placed[image.label];
        placed[image.label] += 1;
        if column >= columns {
            continue;
        }
        for (i, value) in image.pixels.iter().enumerate() {
            let (channel, row, x) = (i / (SIZE * SIZE), i / SIZE % SIZE, i % SIZE);
            let place = (image.label * pitch + row) * width + column * pitch + x;
            bytes[start + CHANNELS * place + channel] = *value;
        }
    }
    bytes
}
