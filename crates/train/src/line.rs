//! The loss along a line through the weights, and how far it may be followed.
//!
//! For a loss of curvature `λ` along a direction `d`, a step `θ − η·d` lowers it up to `η = 2⟨∇L, d⟩/(λ|d|²)`; a search along the
//! step itself needs no second derivatives and sees what lies beyond them. Source: Kalra & Barkeshli 2024, arXiv:2406.09405
//! ("critical sharpness").

use crate::Result;
use xexp_backbones::{Params, WeightId};

/// Growths of a step from one that is sure to be too small, and halvings of the gap that is found.
const GROWTHS: usize = 20;
const HALVINGS: usize = 5;

/// A direction through the weights as they are.
pub struct Line<'a> {
    params: &'a Params,
    parts: Vec<Part>,
}

struct Part {
    id: WeightId,
    origin: Vec<f32>,
    direction: Vec<f32>,
}

impl<'a> Line<'a> {
    /// From the present weights along `directions`, each of its weight's length.
    ///
    /// # Errors
    /// None in practice: our weights can be read.
    pub fn new(params: &'a Params, directions: Vec<(WeightId, Vec<f32>)>) -> Result<Self> {
        let part = |(id, direction)| -> Result<Part> {
            Ok(Part { id, origin: params.values(id)?.to_vec(), direction })
        };
        Ok(Line { params, parts: directions.into_iter().map(part).collect::<Result<_>>()? })
    }

    /// The same line with every value of the direction changed.
    pub fn turned(mut self, turn: impl Fn(f32) -> f32) -> Self {
        self.parts.iter_mut().flat_map(|part| &mut part.direction).for_each(|d| *d = turn(*d));
        self
    }

    /// What is found at `θ − η·d`, of the parts that are `moved`; the weights are put back to the bit, whatever is found.
    ///
    /// # Errors
    /// Those of `find`.
    pub fn at<T, E: From<crate::Error>>(
        &self,
        eta: f64,
        moved: impl Fn(WeightId) -> bool,
        find: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        for Part { id, origin, direction } in self.parts.iter().filter(|part| moved(part.id)) {
            let there: Vec<f32> = origin.iter().zip(direction).map(|(w, d)| w - eta as f32 * d).collect();
            self.params.set(*id, &there).map_err(crate::Error::from)?;
        }
        let found = find();
        for Part { id, origin, .. } in self.parts.iter().filter(|part| moved(part.id)) {
            self.params.set(*id, origin).map_err(crate::Error::from)?;
        }
        found
    }
}

/// The largest step that holds, from one that does, to within a factor of `2^{1/16}`; infinite where all hold, and `first`
/// where not even four times that does.
///
/// # Errors
/// Those of `holds`.
pub fn longest<E>(
    first: f64,
    mut holds: impl FnMut(f64) -> std::result::Result<bool, E>,
) -> std::result::Result<f64, E> {
    let mut good = first;
    for _ in 0..GROWTHS {
        let mut bad = 4.0 * good;
        if !holds(bad)? {
            for _ in 0..HALVINGS {
                let middle = (good * bad).sqrt();
                if holds(middle)? { good = middle } else { bad = middle }
            }
            return Ok(good);
        }
        good = bad;
    }
    Ok(f64::INFINITY)
}

/// What a search along a line has found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent {
    /// The step that lowers the loss most, between the steps tried by a parabola in its logarithm.
    pub best: f64,
    /// The largest step that does not raise the loss, to within a factor of `2^{1/4}`; infinite where none does.
    pub limit: f64,
    /// The lowest loss of the steps tried.
    pub lowest: f64,
}

/// Doublings of the first step, which reach a thousand million times as far.
const DOUBLINGS: usize = 30;

/// Doubles a step from `first` until the loss is above `start`; `None` where it never falls below.
///
/// # Errors
/// Those of `loss`.
pub fn descend<E>(
    first: f64,
    start: f64,
    mut loss: impl FnMut(f64) -> std::result::Result<f64, E>,
) -> std::result::Result<Option<Descent>, E> {
    let mut tried: Vec<(f64, f64)> = vec![];
    let mut limit = f64::INFINITY;
    for doubling in 0..DOUBLINGS {
        let eta = first * 2f64.powi(doubling as i32);
        let found = loss(eta)?;
        tried.push((eta, found));
        // A loss that is no number is beyond the limit as well.
        if found.is_nan() || found > start {
            let mut bad = eta;
            limit = eta / 2.0;
            for _ in 0..2 {
                let middle = (limit * bad).sqrt();
                if loss(middle)? <= start { limit = middle } else { bad = middle }
            }
            break;
        }
    }
    let finite = |(_, (_, loss)): &(usize, &(f64, f64))| loss.is_finite();
    let lowest = tried.iter().enumerate().filter(finite).min_by(|a, b| a.1.1.total_cmp(&b.1.1));
    Ok(lowest.filter(|(_, (_, loss))| *loss < start).map(|(at, &(eta, lowest))| {
        let around = (at > 0).then(|| (tried[at - 1].1, tried.get(at + 1).map_or(f64::NAN, |next| next.1)));
        let best = match around {
            Some((before, after)) if after.is_finite() => {
                // The vertex, in doublings from the lowest: within half a one, since both neighbours are higher.
                let bend = before - 2.0 * lowest + after;
                eta * 2f64.powf(if bend > 0.0 { 0.5 * (before - after) / bend } else { 0.0 })
            }
            _ => eta,
        };
        Descent { best, limit, lowest }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_backbones::{Declarations, Origin, Seed};
    use xexp_init::{Init, Layer};

    #[test]
    fn the_search_ends_at_the_limit() {
        // L(η) = (1 − η)² ≤ L(0) up to η = 2.
        let found = longest(1e-3, |eta| Ok::<bool, ()>((1.0 - eta).powi(2) <= 1.0)).unwrap();
        assert!((2.0 / found).log2() <= 1.0 / 16.0 && found <= 2.0, "{found}");
        assert_eq!(longest(1.0, |_| Ok::<bool, ()>(true)), Ok(f64::INFINITY));
    }

    #[test]
    fn a_descent_finds_the_bottom_of_a_parabola_and_its_other_side() {
        for bottom in [3e-4, 1e-3, 0.7] {
            let loss = |eta: f64| Ok::<f64, ()>(1.0 - 0.3 * (2.0 * eta / bottom - (eta / bottom).powi(2)));
            let found = descend(4e-5, 1.0, loss).unwrap().unwrap();
            // The parabola is one in the step, not in its logarithm: wherever the doublings fall, off by at most 0.338 of one,
            // the supremum over their phase.
            assert!((found.best / bottom).log2().abs() < 0.34, "{bottom}: {found:?}");
            assert!(
                (2.0 * bottom / found.limit).log2() <= 1.0 / 4.0 && found.limit <= 2.0 * bottom,
                "{found:?}"
            );
            assert!(found.lowest >= 0.7 && found.lowest < 0.8);
        }
        // A loss that overflows, one that never rises, and one that never falls.
        let cliff = |eta: f64| Ok::<f64, ()>(if eta < 1e-2 { 1.0 - eta } else { f64::NAN });
        let found = descend(1e-3, 1.0, cliff).unwrap().unwrap();
        assert!(found.best == 8e-3 && (8e-3..1e-2).contains(&found.limit), "{found:?}");
        assert_eq!(
            descend(1.0, 1.0, |eta| Ok::<f64, ()>(1.0 / (1.0 + eta))).unwrap().unwrap().limit,
            f64::INFINITY
        );
        assert_eq!(descend(1.0, 1.0, |_| Ok::<f64, ()>(1.0)), Ok(None));
        assert_eq!(descend(1.0, 1.0, |_| Err::<f64, _>("lost")), Err("lost"));
    }

    #[test]
    fn a_line_is_followed_and_left_as_it_was_even_after_an_error() {
        let mut declared = Declarations::default();
        for name in ["a", "b"] {
            declared.weight(name, Layer::Vector { len: 2 }, Init::Constant(0.1), Origin::New);
        }
        let params = declared.draw(Seed(0)).unwrap();
        let [a, b] = ["a", "b"].map(|name| params.find(name).unwrap().0);
        let line = Line::new(&params, vec![(a, vec![1.0, -3.0]), (b, vec![1.0, 1.0])]).unwrap();
        let values = |id| params.values(id).unwrap().to_vec();
        let seen = line.at(0.5, |id| id == a, || Ok::<_, crate::Error>((values(a), values(b)))).unwrap();
        assert_eq!(seen, (vec![0.1 - 0.5, 0.1 + 1.5], vec![0.1, 0.1]));
        let lost =
            line.at(0.5, |_| true, || Err::<(), _>(crate::Error::NonFiniteLoss { step: 0, loss: f64::NAN }));
        assert!(lost.is_err());
        assert_eq!((values(a), values(b)), (vec![0.1; 2], vec![0.1; 2]));
        // Along the signs.
        let line = line.turned(f32::signum);
        let seen = line.at(1.0, |_| true, || Ok::<_, crate::Error>(values(a))).unwrap();
        assert_eq!(seen, [0.1 - 1.0, 0.1 + 1.0]);
    }
}
