//! An image of a data set as the training loop asks for it.

use std::sync::Arc;

use xexp_data::{Augment, Example, Image, Picture, Viewer};
use xexp_train::{Error, Pixels, Visit};

/// An image of an example, and how the model looks at it.
#[derive(Debug)]
pub struct Photo {
    name: String,
    picture: Picture,
    viewer: Arc<Viewer>,
    augment: Augment,
}

impl Photo {
    /// The image of an example, changed as `augment` says when it is trained on; `None` where there is none.
    pub fn of(example: &Example, viewer: &Arc<Viewer>, augment: Augment) -> Option<Self> {
        let picture = example.image.clone()?;
        Some(Photo { name: example.text.clone(), picture, viewer: viewer.clone(), augment })
    }

    /// The image of the model's size, as the visit sees it.
    fn seen(&self, visit: Option<Visit>) -> Result<Image, String> {
        let (viewer, augment) = (&self.viewer, &self.augment);
        let Some(Visit { seed, epoch, example }) = visit.filter(|_| !augment.is_none()) else {
            return viewer.shaped(&self.picture);
        };
        let mut stream = seed.stream(&format!("augmentation/{epoch}/{example}"));
        let shaped = match augment.crop {
            None => viewer.shaped(&self.picture)?,
            Some(least) => {
                let (whole, filter) = (viewer.decoded(&self.picture)?, viewer.preprocessor.filter());
                whole.random_piece(least, viewer.size, filter, &mut stream)
            }
        };
        Ok(augment.changed(shaped, &mut stream))
    }
}

impl Pixels for Photo {
    fn pixels(&self, visit: Option<Visit>) -> xexp_train::Result<Arc<[f32]>> {
        let failed = |message| Error::Image { name: self.name.clone(), message };
        let Viewer { preprocessor, channels, size, .. } = &*self.viewer;
        let image = self.seen(visit).map_err(failed)?;
        preprocessor.values(&self.name, &image, *channels, *size).map_err(|error| failed(error.to_string()))
    }
}
