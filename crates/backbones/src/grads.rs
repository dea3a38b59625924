//! Gradients of the trainable weights, accumulated over micro-batches.

use crate::{Params, Weight, WeightId};
use xexp_init::Layer;

/// One gradient a trainable weight; frozen weights have none and cost nothing.
///
/// Of a table, the rows that were looked up are remembered: only these are cleared, and memory of the others is never
/// touched. The gradients are as if all were.
pub struct Grads {
    values: Vec<Option<Vec<f32>>>,
    touched: Vec<Option<Touched>>,
    reached: Vec<bool>,
}

/// The rows of a table that have a gradient; the others are zero.
pub struct Touched {
    width: usize,
    rows: Vec<bool>,
}

impl Touched {
    fn new(weight: &Weight) -> Option<Self> {
        match weight.layer {
            Layer::Embedding { count, width } if weight.trainable => {
                Some(Touched { width, rows: vec![false; count] })
            }
            _ => None,
        }
    }

    /// Which rows, in order.
    pub fn rows(&self) -> &[bool] {
        &self.rows
    }

    /// Whether any of the rows that these values of the table belong to was touched.
    pub fn any(&self, values: std::ops::Range<usize>) -> bool {
        self.rows[values.start / self.width..values.end.div_ceil(self.width)].contains(&true)
    }
}

impl Grads {
    /// Zero gradients for the trainable weights.
    pub fn new(params: &Params) -> Self {
        let zeros = |w: &Weight| w.trainable.then(|| vec![0.0; w.var.elem_count()]);
        Grads {
            values: params.iter().map(|(_, w)| zeros(w)).collect(),
            touched: params.iter().map(|(_, w)| Touched::new(w)).collect(),
            reached: vec![false; params.len()],
        }
    }

    /// Forgets the last step.
    pub fn clear(&mut self) {
        for (values, touched) in self.values.iter_mut().zip(&mut self.touched) {
            match (values, touched) {
                (Some(values), Some(touched)) => {
                    let rows = values.chunks_exact_mut(touched.width).zip(&mut touched.rows);
                    rows.filter(|(_, touched)| **touched).for_each(|(row, touched)| {
                        row.fill(0.0);
                        *touched = false;
                    });
                }
                (Some(values), None) => values.fill(0.0),
                (None, _) => {}
            }
        }
        self.reached.fill(false);
    }

    /// Where to add a weight's gradient; `None` when it is frozen. Asking counts as reaching the weight, all rows of it.
    pub fn slot(&mut self, id: WeightId) -> Option<&mut [f32]> {
        self.reached[id.0] = true;
        if let Some(touched) = &mut self.touched[id.0] {
            touched.rows.fill(true);
        }
        self.values[id.0].as_deref_mut()
    }

    /// [`Grads::slot`] of a table, to add to these rows alone.
    pub fn rows(&mut self, id: WeightId, rows: &[u32]) -> Option<&mut [f32]> {
        let Some(touched) = &mut self.touched[id.0] else { return self.slot(id) };
        rows.iter().for_each(|&row| touched.rows[row as usize] = true);
        self.reached[id.0] = true;
        self.values[id.0].as_deref_mut()
    }

    /// [`Grads::slot`] of two weights at once; `None` unless both are trainable.
    pub fn pair(&mut self, a: WeightId, b: WeightId) -> Option<(&mut [f32], &mut [f32])> {
        for id in [a, b] {
            self.slot(id);
        }
        let [a, b] = self.values.get_disjoint_mut([a.0, b.0]).ok()?;
        Some((a.as_deref_mut()?, b.as_deref_mut()?))
    }

    /// A weight's gradient as accumulated so far.
    pub fn get(&self, id: WeightId) -> Option<&[f32]> {
        self.values[id.0].as_deref()
    }

    /// Which rows of a trainable table have a gradient; `None` where all values of a weight may have one.
    pub fn touched(&self, id: WeightId) -> Option<&Touched> {
        self.touched[id.0].as_ref()
    }

    /// Whether a backward pass has come to this weight since [`Grads::clear`].
    pub fn reached(&self, id: WeightId) -> bool {
        self.reached[id.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::{Declarations, Origin, Seed};
    use xexp_init::Init;

    #[test]
    fn a_table_remembers_its_rows_until_it_is_cleared_and_all_of_them_when_asked_whole() {
        let mut declared = Declarations::default();
        let table = Layer::Embedding { count: 4, width: 2 };
        let id = declared.weight("table", table, Init::Constant(1.0), Origin::New);
        // A safetensors file without tensors.
        let nothing = b"\x02\0\0\0\0\0\0\0{}".to_vec();
        let nothing = Checkpoint::from_bytes("none".as_ref(), nothing).unwrap();
        let (params, _) = declared.load(&nothing, Seed(0)).unwrap();
        let mut grads = Grads::new(&params);
        let rows = |grads: &Grads| grads.touched(id).unwrap().rows().to_vec();

        grads.rows(id, &[2, 2]).unwrap()[5] = 3.0;
        assert!(grads.reached(id));
        assert_eq!(rows(&grads), [false, false, true, false]);
        let touched = grads.touched(id).unwrap();
        assert_eq!([0..4, 3..5, 5..6, 6..8].map(|values| touched.any(values)), [false, true, true, false]);

        grads.clear();
        assert_eq!((rows(&grads), grads.get(id).unwrap()), (vec![false; 4], &[0.0; 8][..]));
        assert!(!grads.reached(id));
        grads.slot(id).unwrap()[0] = 1.0;
        assert_eq!(rows(&grads), [true; 4]);
        grads.clear();
        assert_eq!(grads.get(id).unwrap(), [0.0; 8]);
    }
}
