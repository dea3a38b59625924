//! Decodes and preprocesses images as `xexp` does and writes what comes of it, for comparison with other programs.
//!
//! ```sh
//! cargo run --release -p xexp-data --example preprocess -- preprocessor_config.json OUT IMAGE…
//! ```
//!
//! Of image `n`, from 0, `OUT/n.u8` holds the decoded pixels and `OUT/n.f32` the model's values, both
//! `(3, height, width)` and little-endian; `OUT/shapes.json` holds both shapes of each.

use std::error::Error;
use std::path::{Path, PathBuf};

use xexp_data::{Preprocessor, decode};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(config), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("expected: preprocess CONFIG OUT IMAGE…".into());
    };
    let preprocessor = Preprocessor::parse(&config, &std::fs::read(&config)?)?;
    let mut shapes = vec![];
    for (index, path) in arguments.enumerate() {
        shapes.push(one(&preprocessor, &path, &out.join(index.to_string()))?);
    }
    std::fs::write(out.join("shapes.json"), serde_json::to_string(&shapes)?)?;
    Ok(())
}

/// Writes the files of one image; returns its shapes, before and after.
fn one(preprocessor: &Preprocessor, path: &Path, out: &Path) -> Result<[[usize; 3]; 2], Box<dyn Error>> {
    let decoded = decode(&std::fs::read(path)?, preprocessor.decoding(3, false))?.image;
    let shaped = preprocessor.shaped(&decoded);
    let values = preprocessor.values(&path.to_string_lossy(), &shaped, 3, shaped.height)?;
    std::fs::write(out.with_extension("u8"), &decoded.pixels)?;
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(out.with_extension("f32"), bytes)?;
    Ok([&decoded, &shaped].map(|image| [image.channels, image.height, image.width]))
}
