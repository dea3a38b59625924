//! What predict, evaluate and serve begin with: a saved model, and of the first two a file, perhaps an output folder.

use std::path::{Path, PathBuf};

use xexp_data::Labels;
use xexp_heads::Classifier;

use crate::args::{Access, Reading, Shared};
use crate::device::Precision;
use crate::failure::Failure;
use crate::inputs::{Encoder, Terms};
use crate::output::{self, Existing};
use crate::{device, hub, image_size, places};

/// A saved model that was named, not opened yet.
pub struct Named {
    place: places::Model,
    access: Access,
}

/// Where everything is, once the arguments have been held against this machine.
pub struct Job {
    /// The saved model.
    pub model: Named,
    /// The data.
    pub data: places::Data,
    /// The folder for results; without it they are only printed.
    pub output: Option<PathBuf>,
}

/// A saved model, ready to label texts or images.
pub struct Model {
    /// Backbone and head.
    pub classifier: Classifier,
    /// What it answers with: its task, and label names by id.
    pub labels: Labels,
    /// The tokenizer or preprocessor.
    pub encoder: Encoder,
    /// As it lies in its folder.
    pub saved: places::Saved,
}

impl Named {
    /// The model that `--model` names.
    ///
    /// # Errors
    /// None is named, or it is not there.
    pub fn new(given: Option<&str>, access: Access) -> Result<Self, Failure> {
        let given = given.ok_or_else(|| {
            Failure::input("no model").hint("give the --output of a finished run: --model DIR")
        })?;
        Ok(Named { place: places::model("--model", given, access)?, access })
    }

    /// The model's folder on this machine; `None` of a bundled one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            places::Model::Folder(path) | places::Model::Hub(hub::Model { folder: path, .. }) => Some(path),
            places::Model::Bundled(_) => None,
        }
    }

    /// Opens the model.
    ///
    /// # Errors
    /// A folder that holds no classifier that can be used.
    pub fn open(&self, precision: Precision, terms: Terms) -> Result<Model, Failure> {
        let mut saved = self.place.open_saved(None, self.access)?;
        image_size::agree(&mut saved.folder, self.access.quiet)?;
        let (mut classifier, names) = saved.classifier()?;
        let labels = saved.labels(names)?;
        precision.settle(&mut classifier, self.access.quiet)?;
        let encoder = Encoder::new(&saved.folder, classifier.backbone.image(), terms)?;
        Ok(Model { classifier, labels, encoder, saved })
    }
}

impl Job {
    /// Checks what can be checked before any file is opened. `flag` names the data file.
    ///
    /// # Errors
    /// A model, a file, a device or an output folder that is not there or not usable.
    pub fn new(shared: &Shared, flag: &str, given: Option<&str>) -> Result<Self, Failure> {
        let model = Named::new(shared.model.as_deref(), shared.access())?;
        let data = given.ok_or_else(|| {
            let hint = format!(
                "give a .csv, .tsv, .jsonl, .json or .parquet file, or a folder of images: {flag} DATA"
            );
            Failure::input(format!("no {flag}")).hint(hint)
        })?;
        let data = places::data(flag, data, "test", shared)?;
        device::choose(shared.device, shared.quiet)?;
        let output = shared.output.as_deref().map(PathBuf::from);
        if let Some(folder) = &output {
            output::prepare(folder, if shared.overwrite { Existing::Overwrite } else { Existing::Refuse })?;
        }
        Ok(Job { model, data, output })
    }

    /// Opens the model.
    ///
    /// # Errors
    /// As [`Named::open`].
    pub fn open(&self, shared: &Shared, reading: &Reading) -> Result<Model, Failure> {
        self.model.open(shared.precision, Terms::new(shared, reading))
    }
}
