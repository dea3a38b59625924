//! A running average of the weights.

use crate::{Error, Result};
use std::path::Path;
use xexp_backbones::Params;
use xexp_backbones::checkpoint::Checkpoint;

/// `a ← decay·a + (1 − decay)·w` after every step, from the weights at the beginning on.
///
/// Source: Polyak and Juditsky 1992 for averaging; this form is that of Tarvainen and Valpola 2017, "Mean teachers".
pub struct Average {
    decay: f64,
    /// Of each trainable weight.
    values: Vec<Option<Vec<f32>>>,
}

impl Average {
    /// Of the weights as they are.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn new(params: &Params, decay: f64) -> Result<Self> {
        let values = params
            .iter()
            .map(|(id, w)| w.trainable.then(|| params.values(id).map(|values| values.to_vec())).transpose());
        Ok(Average { decay, values: values.collect::<std::result::Result<_, _>>()? })
    }

    /// Takes the weights after a step in.
    ///
    /// # Errors
    /// As [`Average::new`].
    pub fn follow(&mut self, params: &Params) -> Result<()> {
        let new = (1.0 - self.decay) as f32;
        for ((id, _), average) in params.iter().zip(&mut self.values) {
            let Some(average) = average else { continue };
            // In this form an average of equal weights stays what they are.
            average.iter_mut().zip(params.values(id)?.iter()).for_each(|(a, w)| *a += new * (w - *a));
        }
        Ok(())
    }

    /// Puts the average in the weights' place, and the weights in its own.
    ///
    /// # Errors
    /// As [`Average::new`].
    pub fn swap(&mut self, params: &Params) -> Result<()> {
        for ((id, _), average) in params.iter().zip(&mut self.values) {
            let Some(average) = average else { continue };
            let weights = params.values(id)?.to_vec();
            params.set(id, average)?;
            *average = weights;
        }
        Ok(())
    }

    /// The averages by their weights' names.
    pub fn by_name<'a>(&'a self, params: &'a Params) -> impl Iterator<Item = (&'a str, &'a [f32])> {
        params.iter().zip(&self.values).filter_map(|((_, w), a)| Some((w.name.as_str(), a.as_deref()?)))
    }

    /// Puts saved averages in place of these.
    ///
    /// # Errors
    /// A tensor that is missing or of another size.
    pub fn restore(&mut self, params: &Params, saved: &Checkpoint) -> Result<()> {
        for ((_, weight), average) in params.iter().zip(&mut self.values) {
            let Some(average) = average else { continue };
            let values = saved.values(&weight.name)?;
            if values.len() != average.len() {
                let reason = format!("{} has {} values, not {}", weight.name, values.len(), average.len());
                return Err(Error::Checkpoint { path: Path::new(saved.path()).into(), reason });
            }
            *average = values;
        }
        Ok(())
    }
}
