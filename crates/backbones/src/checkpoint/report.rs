//! What became of each tensor when a checkpoint was loaded.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which weights came from the checkpoint, which are new, which of its tensors were not used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Weights read.
    pub loaded: Vec<String>,
    /// Weights drawn.
    pub new: Vec<String>,
    /// Tensors of the checkpoint that this model has no use for.
    pub ignored: Vec<String>,
    /// Weights drawn although the checkpoint has one, of another shape: name, shape found, shape needed.
    pub wrong_shape: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Tables of positions read from others, of images of another size: name, shape found, shape needed.
    #[serde(default)]
    pub resampled: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| match names.len() {
            0 => "none".to_string(),
            n if n > 4 => format!("{} ({}, …)", n, names[..3].join(", ")),
            n => format!("{} ({})", n, names.join(", ")),
        };
        write!(f, "loaded {} tensors · new: {}", self.loaded.len(), list(&self.new))?;
        write!(f, " · ignored: {}", list(&self.ignored))?;
        for (name, found, expected) in &self.wrong_shape {
            write!(f, " · {name} replaced: the checkpoint's has shape {found:?}, needed {expected:?}")?;
        }
        for (name, found, expected) in &self.resampled {
            write!(f, " · {name} resampled to another image size: from shape {found:?} to {expected:?}")?;
        }
        Ok(())
    }
}
