//! An image of a data set as the training loop asks for it.

use std::sync::Arc;

use xexp_data::{Example, Picture, Viewer};
use xexp_train::{Error, Pixels, Visit};

/// An image of an example, and how the model looks at it.
#[derive(Debug)]
pub struct Photo {
    name: String,
    picture: Picture,
    viewer: Arc<Viewer>,
}

impl Photo {
    /// The image of an example; `None` where it has none.
    pub fn of(example: &Example, viewer: &Arc<Viewer>) -> Option<Self> {
        let picture = example.image.clone()?;
        Some(Photo { name: example.text.clone(), picture, viewer: viewer.clone() })
    }
}

impl Pixels for Photo {
    fn pixels(&self, _: Option<Visit>) -> xexp_train::Result<Arc<[f32]>> {
        let failed = |message| Error::Image { name: self.name.clone(), message };
        let Viewer { preprocessor, channels, size, .. } = &*self.viewer;
        let image = self.viewer.shaped(&self.picture).map_err(failed)?;
        preprocessor.values(&self.name, &image, *channels, *size).map_err(|error| failed(error.to_string()))
    }
}
