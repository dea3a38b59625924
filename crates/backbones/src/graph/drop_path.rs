//! Stochastic depth: whole branches dropped, example by example.

use super::{Graph, Var};
use std::sync::Arc;
use xexp_kernels::{Buffer, scale};

impl Graph<'_, '_> {
    /// `x`, whose rows are those of `examples` in equal parts, with all rows of an example dropped by the stream of
    /// `place` with probability `p`, the others scaled by `1/(1 − p)`; `x` itself in a pass without dropout.
    /// Source: Huang et al. 2016, eq. 2, one draw an example.
    pub fn drop_path(&mut self, place: &str, p: f64, x: &Var, examples: usize) -> Var {
        let Some(dropout) = self.pass.dropout(place, p) else { return x.clone() };
        let mut factors = vec![1.0; examples];
        dropout.apply(&mut factors, 1);
        let factors = Arc::new(factors);
        let mut y = self.pass.buffer(x.values().len());
        y.copy_from_slice(x.values());
        by_example(&mut y, &factors);
        let to = x.place();
        self.record(y, x.width(), self.wants(&[x], []), move |descent, mut dy| {
            by_example(&mut dy, &factors);
            descent.give(to, dy);
            Ok(())
        })
    }
}

/// Multiplies the part of each example by its factor.
fn by_example(x: &mut Buffer, factors: &[f32]) {
    let part = x.len() / factors.len().max(1);
    for (x, &factor) in x.chunks_exact_mut(part.max(1)).zip(factors) {
        scale(x, factor);
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::Graph;
    use crate::{Declarations, Grads, Input, Mode, Origin, Pass, Seed};
    use xexp_init::{Init, Layer};
    use xexp_kernels::{Buffer, Pool};

    /// Rows of ones from a table, dropped, and the gradient of their sum.
    fn dropped(examples: usize, p: f64, mode: Mode) -> (Vec<f32>, Vec<f32>) {
        let mut declared = Declarations::default();
        let layer = Layer::Embedding { count: examples * 2, width: 3 };
        let table = declared.weight("table", layer, Init::Constant(1.0), Origin::New);
        let params = declared.draw(Seed(1)).unwrap();
        let (pool, input) = (Pool::default(), Input::pack([(&[0u32][..], &[0u32][..])]).unwrap());
        let mut pass = Pass::new(&pool, mode);
        let mut graph = Graph::new(&params, &input, &mut pass);
        let rows: Vec<u32> = (0..examples as u32 * 2).collect();
        let x = graph.lookup(table, 3, &rows, "rows").unwrap();
        let y = graph.drop_path("branch", p, &x, examples);
        let mut grads = Grads::new(&params);
        if let Some(tape) = graph.finish() {
            let ones = Buffer::from(vec![1.0; y.values().len()]);
            tape.backward((&params, &mut grads), [(y.place(), ones)], &input, &pass).unwrap();
        }
        (y.values().to_vec(), grads.get(table).unwrap().to_vec())
    }

    #[test]
    fn an_example_is_dropped_as_a_whole_at_the_rate_asked_for() {
        let (examples, p) = (4000, 0.3);
        let (y, gradient) = dropped(examples, p, Mode::Train { seed: Seed(2), step: 5 });
        assert!(y.chunks_exact(6).all(|rows| rows.iter().all(|v| *v == rows[0])));
        let gone = y.chunks_exact(6).filter(|rows| rows[0] == 0.0).count() as f64;
        // Five standard deviations of a binomial share.
        assert!((gone - p * examples as f64).abs() < 5.0 * (examples as f64 * p * (1.0 - p)).sqrt());
        assert!(y.iter().all(|v| *v == 0.0 || (v - 1.0 / 0.7).abs() < 1e-6));
        // The gradient of the sum is the factor of each row.
        assert_eq!(gradient, y);
    }

    #[test]
    fn nothing_is_dropped_where_nothing_is_to_be() {
        assert!(dropped(9, 0.9, Mode::Eval).0.iter().all(|v| *v == 1.0));
        assert!(dropped(9, 0.0, Mode::Train { seed: Seed(2), step: 5 }).0.iter().all(|v| *v == 1.0));
    }
}
