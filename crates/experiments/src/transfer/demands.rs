//! Checks of parameters that both experiments have.

use std::fmt::Debug;

use xexp_heads::HeadInit;

use super::Optimiser;
use crate::{Error, Result};

/// Refuses a parameter unless `fine`.
pub fn demand(
    experiment: &'static str,
    parameter: &'static str,
    found: &dyn Debug,
    fine: bool,
    expected: &'static str,
) -> Result<()> {
    if fine {
        Ok(())
    } else {
        Err(Error::Parameter { experiment, parameter, found: format!("{found:?}"), expected })
    }
}

/// Sizes that must be 1 or more.
pub fn sizes(experiment: &'static str, sizes: &[(&'static str, usize)]) -> Result<()> {
    sizes.iter().try_for_each(|(name, size)| demand(experiment, name, size, *size > 0, "1 or more"))
}

/// Head initializations by name.
pub fn inits(experiment: &'static str, names: &[String]) -> Result<Vec<HeadInit>> {
    let expected = "one or more of xavier, he, lecun, zero, orthogonal, normal:STD, calibrated, hf";
    demand(experiment, "inits", &names, !names.is_empty(), expected)?;
    names.iter().map(|name| Ok(name.parse::<HeadInit>()?)).collect()
}

/// Optimisers with their learning rates.
pub fn rates(
    experiment: &'static str,
    optimisers: &[Optimiser],
    (adamw, sgd): (&[f64], &[f64]),
) -> Result<()> {
    demand(experiment, "optimisers", &optimisers, !optimisers.is_empty(), "one or more of adamw, sgd")?;
    let fine = |rates: &[f64]| !rates.is_empty() && rates.iter().all(|rate| rate.is_finite() && *rate > 0.0);
    let expected = "one or more finite rates above 0";
    demand(experiment, "adamw_rates", &adamw, fine(adamw), expected)?;
    demand(experiment, "sgd_rates", &sgd, fine(sgd), expected)
}

/// A name as part of a set-up's name, which may become a file's: `normal:0.02` becomes `normal-0.02`.
pub fn slug(init: HeadInit) -> String {
    init.to_string().replace(':', "-")
}
