//! Models that are given as adapters: the model that they belong to is opened with them.

use serde_json::Value;
use xexp_backbones::folder::{ADAPTER, Folder};
use xexp_data::{Labels, Task};
use xexp_heads::{Classifier, SavedAdapter};

use super::{Model, model};
use crate::args::Access;
use crate::failure::Failure;
use crate::hub;

/// A saved model as it lies in its folder, and the adapter, if it is one.
pub struct Saved {
    /// The model's folder; of an adapter, its folder over the model's.
    pub folder: Folder,
    adapter: Option<SavedAdapter>,
}

impl Model {
    /// Opens a saved model, whole or an adapter. The model that an adapter belongs to is `base`, and else the one that it
    /// names; of the Hub it is fetched as far as the cache lacks it.
    ///
    /// # Errors
    /// A folder that is neither, or an adapter whose model cannot be had.
    pub fn open_saved(&self, base: Option<&str>, access: Access) -> Result<Saved, Failure> {
        let adapter = match self {
            Model::Folder(path) | Model::Hub(hub::Model { folder: path, .. }) => SavedAdapter::find(path)?,
            Model::Bundled(_) => None,
        };
        let Some(adapter) = adapter else { return Ok(Saved { folder: self.open()?, adapter: None }) };
        let base = match base {
            Some(base) => model("--model", base, access)?,
            None => named(&adapter, access)?,
        };
        let folder = Folder::over(&adapter.path, base.open()?)?;
        Ok(Saved { folder, adapter: Some(adapter) })
    }
}

impl Saved {
    /// Whether it is an adapter.
    pub fn is_adapter(&self) -> bool {
        self.adapter.is_some()
    }

    /// What the model answers with, given the names of its outputs: as its configuration says, and where it says nothing as
    /// transformers has it, a value from one output and a class from several.
    ///
    /// # Errors
    /// A `problem_type` that is none, or does not fit the outputs.
    pub fn labels(&self, names: Vec<String>) -> Result<Labels, Failure> {
        let config = &self.folder.config;
        let wrong = |what: &str| {
            let found = config.fields.get("problem_type").map_or("nothing".into(), ToString::to_string);
            Failure::input(format!("{}: problem_type: expected {what}, found {found}", config.path.display()))
        };
        let known = "single_label_classification, multi_label_classification or regression";
        let task = match config.fields.get("problem_type") {
            None | Some(Value::Null) if names.len() == 1 => Task::Regression,
            None | Some(Value::Null) => Task::SingleLabel,
            Some(name) => name.as_str().and_then(Task::from_problem_type).ok_or_else(|| wrong(known))?,
        };
        if (task == Task::Regression) != (names.len() == 1) {
            return Err(wrong("one output for a regression, and several for all else"));
        }
        Ok(Labels::of(task, names)?)
    }

    /// Backbone, head, and the names of the labels by id.
    ///
    /// # Errors
    /// A folder that holds no classifier that can be used.
    pub fn classifier(&self) -> Result<(Classifier, Vec<String>), Failure> {
        Ok(match &self.adapter {
            Some(adapter) => Classifier::open_adapted(&self.folder, adapter)?,
            None => Classifier::open(&self.folder)?,
        })
    }
}

/// The model that the adapter's configuration names.
fn named(adapter: &SavedAdapter, access: Access) -> Result<Model, Failure> {
    let file = adapter.path.join(ADAPTER);
    let field = format!("{}: base_model_name_or_path", file.display());
    let Some(base) = &adapter.config.base else {
        return Err(Failure::input(format!("{field}: expected the model of the adapter, found nothing"))
            .hint("set the field to the model's folder, or its ORG/NAME at the Hub"));
    };
    let given = match &adapter.config.revision {
        Some(revision) if !std::path::Path::new(base).is_dir() => format!("{base}@{revision}"),
        _ => base.clone(),
    };
    model(&field, &given, access)
        .map_err(|failure| failure.also(format!("was the model moved? Say so in {}", file.display())))
}
