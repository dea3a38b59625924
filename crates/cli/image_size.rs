//! The size at which a model sees images, which its preprocessor says and its configuration may not.

use serde_json::Value;
use xexp_backbones::Declarations;
use xexp_backbones::families::{Modality, Reading};
use xexp_backbones::folder::Folder;
use xexp_data::Preprocessor;

use crate::failure::Failure;

/// The field of `config.json` with the size.
const FIELD: &str = "image_size";

/// Gives an image model the size that its preprocessor makes of every image; one line on stderr says so, unless `quiet`.
///
/// Networks of convolutions have no size of their own, and tables of positions were often learned at another: the DINOv2
/// checkpoints say 518 pixels and come with a preprocessor for 224. Such tables are resampled, as transformers does.
///
/// # Errors
/// A configuration or preprocessor that cannot be read.
pub fn agree(folder: &mut Folder, quiet: bool) -> Result<(), Failure> {
    if folder.family.modality != Modality::Image {
        return Ok(());
    }
    let path = folder.path.join(folder.family.modality.companion());
    let Some(side) = Preprocessor::parse(&path, &folder.companion()?)?.side() else { return Ok(()) };
    let declared =
        folder.family.declare(&folder.config, &mut Declarations::default(), Reading::Hidden)?.image();
    if let Some(shape) = declared.filter(|shape| shape.size != side) {
        folder.config.fields.insert(FIELD.to_string(), Value::from(side));
        if !quiet && folder.config.fields.contains_key("patch_size") {
            eprintln!(
                "images of {side} pixels, as the preprocessor makes them; the model was made for {}",
                shape.size
            );
        }
    }
    Ok(())
}
