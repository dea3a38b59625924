//! The IDX files that MNIST comes in.
//!
//! Source: LeCun, Cortes and Burges, the MNIST database's page: a magic number of two zero bytes, the kind of the values
//! (8 for bytes) and the number of dimensions, then each dimension in four bytes, the highest first, then the values.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::example::Example;
use crate::image::Image;
use crate::label::Label;
use crate::picture::Still;

/// Most bytes of a file, unpacked: beyond them, a number in its head is wrong.
const LARGEST: u64 = 1 << 33;

/// The images of a file such as `train-images-idx3-ubyte.gz`, with the labels of `train-labels-idx1-ubyte.gz` beside it.
pub(crate) fn read(path: &Path, labelled: bool) -> Result<(Dataset, Vec<Still>)> {
    let images = values(path)?;
    let [count, height, width] = images.shape[..] else {
        return Err(wrong(path, format!("expected images in 3 dimensions, found {}", images.shape.len())));
    };
    let labels = if labelled { Some(labels(path, count)?) } else { None };
    let (mut examples, mut stills) = (vec![], vec![]);
    for (index, pixels) in images.bytes.chunks_exact((height * width).max(1)).enumerate() {
        stills.push(Still::Pixels(Image { channels: 1, height, width, pixels: pixels.into() }));
        examples.push(Example {
            id: (index + 1).to_string(),
            text: format!("image {}", index + 1),
            pair: None,
            image: None,
            label: labels.as_ref().map(|labels| Label::Class(labels[index].to_string())),
            line: index as u64 + 1,
        });
    }
    if examples.is_empty() {
        return Err(Error::NoRows { path: path.into(), bad_rows: 0 });
    }
    let sha256: String = Sha256::digest(&images.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((Dataset::of_images(path.into(), sha256, examples), stills))
}

/// The labels of as many images.
fn labels(images: &Path, count: usize) -> Result<Vec<u8>> {
    let name = images.file_name().unwrap_or_default().to_string_lossy();
    let named = name.replace("images", "labels").replace("idx3", "idx1");
    // One of the two files may be packed and the other not.
    let plain = named.strip_suffix(".gz").unwrap_or(&named);
    let beside: Vec<PathBuf> =
        [plain.to_string(), format!("{plain}.gz")].iter().map(|name| images.with_file_name(name)).collect();
    let Some(path) = beside.iter().find(|path| path.is_file() && **path != images) else {
        return Err(wrong(images, format!("expected its labels in {named} beside it, found no such file")));
    };
    let labels = values(path)?;
    if labels.shape != [count] {
        return Err(wrong(path, format!("expected {count} labels, found the shape {:?}", labels.shape)));
    }
    Ok(labels.bytes)
}

struct Values {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn values(path: &Path) -> Result<Values> {
    let failed = |source| Error::Read { path: path.into(), source };
    let mut start = [0; 2];
    let packed =
        File::open(path).map_err(failed)?.read(&mut start).map_err(failed)? == 2 && start == [0x1f, 0x8b];
    let file = BufReader::new(File::open(path).map_err(failed)?);
    let mut reader: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut number = || -> Result<[u8; 4]> {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes)
    };
    let dimensions = match number()? {
        [0, 0, 8, dimensions @ 1..=3] => dimensions,
        magic => {
            return Err(wrong(
                path,
                format!("expected an IDX file of bytes, found the beginning {magic:02x?}"),
            ));
        }
    };
    let mut shape = vec![];
    for _ in 0..dimensions {
        shape.push(u32::from_be_bytes(number()?) as usize);
    }
    let size = shape.iter().try_fold(1u64, |size, &n| size.checked_mul(n as u64)).filter(|&n| n <= LARGEST);
    let Some(size) = size else { return Err(wrong(path, format!("the shape {shape:?} is beyond reason"))) };
    let mut bytes = vec![];
    reader.take(size + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 != size {
        let more = if bytes.len() as u64 > size { "more" } else { "fewer" };
        return Err(wrong(path, format!("expected {size} values of the shape {shape:?}, found {more}")));
    }
    Ok(Values { shape, bytes })
}

fn wrong(path: &Path, message: String) -> Error {
    Error::Idx { path: path.into(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn write(path: &Path, bytes: &[u8], packed: bool) {
        let file = File::create(path).unwrap();
        if packed {
            GzEncoder::new(file, Compression::fast()).write_all(bytes).unwrap();
        } else {
            (&file).write_all(bytes).unwrap();
        }
    }

    /// Two images of 1 × 3 and their labels.
    const IMAGES: &[u8] = &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];
    const LABELS: &[u8] = &[0, 0, 8, 1, 0, 0, 0, 2, 7, 0];

    #[test]
    fn images_and_labels_are_read_packed_or_not() {
        for (images, labels) in [(true, true), (true, false), (false, true), (false, false)] {
            let folder = tempfile::tempdir().unwrap();
            let name = |what: &str, packed| {
                folder.path().join(format!("{what}-ubyte{}", if packed { ".gz" } else { "" }))
            };
            write(&name("train-images-idx3", images), IMAGES, images);
            write(&name("train-labels-idx1", labels), LABELS, labels);
            let (data, stills) = read(&name("train-images-idx3", images), true).unwrap();
            assert_eq!(data.examples.iter().map(|e| e.class().unwrap()).collect::<Vec<_>>(), ["7", "0"]);
            let pixels = [4, 5, 6].into();
            assert_eq!(stills[1], Still::Pixels(Image { channels: 1, height: 1, width: 3, pixels }));
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_by_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a-images-idx3-ubyte");
        let longer = [IMAGES, &[0]].concat();
        let mut huge = IMAGES.to_vec();
        huge[4..16].fill(0xff);
        for (bytes, message) in [
            (LABELS, "3 dimensions"),
            (&IMAGES[..20], "fewer"),
            (&longer, "more"),
            (&huge, "beyond reason"),
            (b"text", "IDX"),
            (IMAGES, "a-labels-idx1-ubyte"),
        ] {
            write(&path, bytes, false);
            let error = read(&path, true).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
