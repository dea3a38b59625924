//! What is written down before anything is measured.

use xexp_report::lab::{Manifest, PlannedSetup, Prediction, parameter_table, seed_value};

use crate::{Opened, Planned, Result};

/// An experiment's set-ups and predictions, in the form in which they are recorded.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What `manifest.toml` holds.
    pub manifest: Manifest,
    /// What `predicted.csv` holds.
    pub predictions: Vec<Prediction>,
    /// The set-ups, to be measured.
    pub setups: Vec<Planned>,
}

impl Plan {
    /// The plan for a seed, with at most `draws` draws a set-up if that is given.
    ///
    /// # Errors
    /// A formula outside its domain; less than two draws.
    pub fn new(opened: &dyn Opened, seed: u64, draws: Option<usize>) -> Result<Plan> {
        let about = opened.about();
        let setups = opened.plan()?;
        let predictions: Vec<Prediction> = setups
            .iter()
            .flat_map(|planned| {
                planned.rows.iter().map(|row| Prediction { setup: planned.name.clone(), row: row.clone() })
            })
            .collect();
        let looks = |planned: &Planned| -> Result<PlannedSetup> {
            let looks = match draws {
                Some(draws) => planned.looks.within(draws)?,
                None => planned.looks.clone(),
            };
            Ok(PlannedSetup { name: planned.name.clone(), looks })
        };
        let manifest = Manifest {
            experiment: about.id.to_owned(),
            title: about.title.to_owned(),
            question: about.question.to_owned(),
            source: about.source.to_owned(),
            method: about.method.to_owned(),
            seed: seed_value(seed),
            draws,
            controls: vec![],
            parameters: parameter_table(&opened.parameters()?)?,
            setups: setups.iter().map(looks).collect::<Result<_>>()?,
            tolerances: vec![],
            claims: vec![],
            announced: vec![],
            figures: opened.figures(),
        };
        Ok(Plan { manifest: manifest.with(&predictions), predictions, setups })
    }
}
