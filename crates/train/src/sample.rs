//! Tokenised examples with the ids of their labels.

use crate::Result;
use xexp_backbones::Input;

/// One example.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Segment of each token.
    pub type_ids: Vec<u32>,
    /// Id of the label.
    pub label: u32,
}

/// Packs the chosen samples end to end, with their labels.
///
/// # Errors
/// A sample without tokens.
pub fn pack<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> Result<(Input, Vec<u32>)> {
    let input = Input::pack(samples.clone().map(|s| (&s.ids[..], &s.type_ids[..])))?;
    Ok((input, samples.map(|s| s.label).collect()))
}
