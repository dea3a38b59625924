//! The rows: how a head is drawn, and what is predicted of its logits.

use crate::Result;
use crate::manifest::Manifest;
use xexp_heads::{HeadInit, Moments};
use xexp_init::{Init, Layer};

/// One row.
pub struct Law {
    /// Name of the row.
    pub name: String,
    /// Name of the heads' streams; rows of the same one judge the same heads.
    pub stream: String,
    /// Number of classes.
    pub classes: usize,
    /// How the heads are drawn.
    pub drawn: Init,
    /// Standard deviation that the prediction supposes.
    pub std: f64,
    /// `E[z²]`, predicted.
    pub predicted: f64,
    /// Half of the width that the interval must lie within.
    pub tolerance: f64,
    /// A prediction that is wrong on purpose.
    pub control: bool,
    /// What the document says `E[z²]` is.
    pub claim: Option<f64>,
}

impl Law {
    /// The head.
    pub fn layer(&self, width: usize) -> Layer {
        Layer::Linear { input: width, output: self.classes }
    }
}

/// All rows: each initialization for each number of classes, then the controls.
///
/// Xavier's rule is the same for a matrix and its transpose, so a swapped fan would not show. The wrong fan of the
/// controls is that of a layer from classes to classes: once in the prediction only, for the very heads of the
/// xavier row, and once in the heads only.
pub fn all(manifest: &Manifest, moments: &Moments) -> Result<Vec<Law>> {
    let width = moments.width;
    let mut laws = vec![];
    for &classes in &manifest.classes {
        let layer = Layer::Linear { input: width, output: classes };
        let law = |name: &str, drawn: Init, std: f64, control: bool, claim: Option<f64>| {
            let predicted = width as f64 * std * std * moments.second_moment;
            Law {
                name: format!("{name}, {classes} classes"),
                stream: format!("{}/{name}/{classes}", manifest.id),
                classes,
                drawn,
                std,
                predicted,
                tolerance: manifest.tolerance * predicted,
                control,
                claim,
            }
        };
        for name in &manifest.inits {
            let init = name.parse::<HeadInit>()?;
            // The last two arguments are for `hf` and `calibrated`, which have no rows here.
            let drawn = init.resolve(&layer, 1.0, 0.0, None)?;
            let claim = (init == HeadInit::Xavier).then(|| 2.0 * width as f64 / (width + classes) as f64);
            laws.push(law(name, drawn, drawn.std(&layer)?, false, claim));
        }
        let xavier = HeadInit::Xavier.resolve(&layer, 1.0, 0.0, None)?;
        let square = Layer::Linear { input: classes, output: classes };
        let wrong = HeadInit::Xavier.resolve(&square, 1.0, 0.0, None)?;
        let predicted_wrong = law("xavier", xavier, wrong.std(&square)?, true, None);
        laws.push(Law {
            name: format!("xavier predicted by a wrong fan, {classes} classes"),
            ..predicted_wrong
        });
        laws.push(law("xavier drawn by a wrong fan", wrong, xavier.std(&layer)?, true, None));
    }
    Ok(laws)
}
