//! What an experiment is.

use serde::Serialize;
use serde::de::DeserializeOwned;
use xexp_report::lab::{Figure, Looks, Row};

use crate::{Draw, Result};

/// What a reader is told about an experiment, independent of its parameters.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct About {
    /// Kebab-case name.
    pub id: &'static str,
    /// Short heading.
    pub title: &'static str,
    /// The question in one sentence, in words of somebody who has not read the theory.
    pub question: &'static str,
    /// Where the claim stands in the document, and where the exact form comes from.
    pub source: &'static str,
    /// How it is measured: a paragraph that says what is built, what is fed in, what one draw is, what the control is.
    pub method: &'static str,
    /// About how long it takes on two cores, such as `5 s`.
    pub cost: &'static str,
}

/// One thing that is built and measured, with the draws that it may use.
#[derive(Clone, Debug)]
pub struct Setup<S> {
    /// Name, unique in the experiment; names its random streams.
    pub name: String,
    /// When the draws are looked at.
    pub looks: Looks,
    /// What the experiment needs to know of it.
    pub of: S,
}

impl<S> Setup<S> {
    /// A set-up with the usual looks.
    pub fn new(name: impl Into<String>, of: S) -> Self {
        Setup { name: name.into(), looks: Looks::default(), of }
    }
}

/// A set of parameters, the predictions that follow from it, and how one draw is measured.
///
/// Field names are the keys of `--set`; `Default` holds the usual sizes. Deserialization should deny unknown fields.
pub trait Experiment: Serialize + DeserializeOwned + Default + Send + Sync + 'static {
    /// What distinguishes one set-up from the next.
    type Setup: Send + Sync;

    /// What it is.
    const ABOUT: About;

    /// Larger sizes and depths, for `--full`.
    fn full() -> Self;

    /// Refuses parameters that have no meaning.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter), naming the parameter.
    fn check(&self) -> Result<()>;

    /// Its set-ups, in the order of the tables.
    ///
    /// # Errors
    /// Sizes that have no meaning.
    fn setups(&self) -> Result<Vec<Setup<Self::Setup>>>;

    /// What is predicted for a set-up: no device and no randomness. Row names begin with the set-up's name.
    ///
    /// # Errors
    /// A formula outside its domain.
    fn predict(&self, setup: &Setup<Self::Setup>) -> Result<Vec<Row>>;

    /// Builds the set-up once with weights of its own and records what it measures.
    ///
    /// # Errors
    /// A failed tensor operation.
    fn draw(&self, setup: &Setup<Self::Setup>, draw: &mut Draw<'_>) -> Result<()>;

    /// The plots that rows ask for.
    fn figures(&self) -> Vec<Figure> {
        vec![]
    }
}
