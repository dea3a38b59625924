//! How the stream is expected to grow and its tokens to become alike in a network with new weights, and how a gradient comes
//! back: the laboratory's mean-field recursion, with the family's own initializers and nonlinearity.
//!
//! A block is followed by two numbers, the stream's second moment `v` and the mean product `c = ρv` of two tokens. A product
//! multiplies both by `fan_in·Var(w)`; new attention is uniform, so it keeps the common part and averages the rest; a
//! nonlinearity maps them by Gaussian integrals; a norm divides by `v`. Backward, the token gradient's second moment `Γ` and
//! its correlation `r` between tokens go through the same sub-layers the other way.
//!
//! Sources: Poole et al. 2016, eq. 3 to 5; Noci et al. 2022 for attention; the laboratory's `mean_field`.

use xexp_backbones::{Params, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::Activation;

use crate::structure::{Block, Event, Placement, Structure};

/// Places of the Gaussian integrals along an axis, from −6 to 6, and none at 0, where some slopes jump: the midpoint rule is exact to rounding for analytic
/// functions, and to 1e-4 for those with a bend.
const PLACES: usize = 48;

/// What is expected behind a block.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Second moment of the stream.
    pub second_moment: f64,
    /// Its relative standard deviation over draws.
    pub spread: f64,
    /// Cosine of two tokens.
    pub cosine: f64,
    /// Its standard deviation over draws.
    pub cosine_spread: f64,
    /// Second moment of the stream's gradient, over that behind the last block.
    pub gradient: f64,
    /// Its relative standard deviation over draws.
    pub gradient_spread: f64,
}

/// What goes through a branch: second moment and mean product of two tokens.
#[derive(Clone, Copy)]
struct Signal {
    v: f64,
    c: f64,
}

/// A sub-layer as the way back needs it.
struct Sublayer {
    /// `∂out/∂in` of the branch: its gain for independent gradients, and for the part that is common to tokens.
    own: f64,
    common: f64,
    /// Second moment of the stream in front, if a norm divides the branch's input by it.
    input: f64,
    /// That of the sum, if a norm divides it.
    sum: f64,
    /// That of the sum over that of the stream in front.
    growth: f64,
    /// The attention's `E Σp²` and overlap of two rows, if it is one.
    attention: Option<(f64, f64)>,
}

/// Points and weights of the standard normal law.
fn gaussian() -> impl Iterator<Item = (f64, f64)> {
    let step = 12.0 / PLACES as f64;
    let point = move |i: usize| -6.0 + step * (i as f64 + 0.5);
    let norm = step / (2.0 * std::f64::consts::PI).sqrt();
    (0..PLACES).map(move |i| (point(i), (-0.5 * point(i) * point(i)).exp() * norm))
}

/// `E φ(a)φ(b)` of normal `a`, `b` of variance `q` and correlation `ρ`, and the same of `φ'`.
fn kernel(activation: Activation, q: f64, rho: f64) -> (f64, f64) {
    let (rho, size) = (rho.clamp(-1.0, 1.0), q.max(0.0).sqrt());
    let across = (1.0 - rho * rho).sqrt();
    let (mut a, mut b, mut weights) = (vec![], vec![], vec![]);
    for (x, wx) in gaussian() {
        for (y, wy) in gaussian() {
            a.push((size * x) as f32);
            b.push((size * (rho * x + across * y)) as f32);
            weights.push(wx * wy);
        }
    }
    let values = |x: &[f32]| {
        let mut y = vec![0.0; x.len()];
        activation.forward(x, &mut y);
        y
    };
    let slopes = |x: &[f32]| {
        let mut y = vec![1.0; x.len()];
        activation.backward(x, &mut y);
        y
    };
    let mean = |f: Vec<f32>, g: Vec<f32>| {
        let terms = f.iter().zip(&g).zip(&weights).map(|((f, g), w)| f64::from(*f) * f64::from(*g) * w);
        terms.sum::<f64>()
    };
    (mean(values(&a), values(&b)), mean(slopes(&a), slopes(&b)))
}

/// `fan·Var(w)` forward and backward of a dense layer's own initializer.
fn gains(params: &Params, weight: WeightId) -> Option<(f64, f64)> {
    let weight = params.weight(weight);
    let std = weight.init.std(&weight.layer).ok()?;
    match weight.layer {
        Layer::Linear { input, output } | Layer::Transposed { input, output } => {
            Some((input as f64 * std * std, output as f64 * std * std))
        }
        _ => None,
    }
}

/// The square of a constant initializer.
fn square(params: &Params, weight: WeightId) -> Option<f64> {
    match params.weight(weight).init {
        Init::Constant(value) => Some(value * value),
        _ => None,
    }
}

/// `E Σp²` of a uniform attention over `n` tokens, and the mean of `Σp p'` over two different rows.
fn uniform(n: f64, causal: bool) -> (f64, f64) {
    if !causal || n < 2.0 {
        return (1.0 / n, 1.0 / n);
    }
    let harmonic = (1..=n.round() as usize).map(|i| 1.0 / i as f64).sum::<f64>();
    (harmonic / n, 2.0 * (n - harmonic) / (n * (n - 1.0)))
}

/// Follows a stack of attention blocks from the stream in front of it, for sequences of `n` tokens; `None` where a block is
/// of another kind.
pub fn follow(params: &Params, structure: &Structure, (v, rho): (f64, f64), n: f64) -> Option<Vec<Expected>> {
    let placement = structure.placement();
    if !matches!(placement, Placement::Pre | Placement::Post)
        || structure.blocks.iter().skip(1).any(|b| b.begins)
    {
        return None;
    }
    let mut stream = Signal { v, c: rho * v };
    let (mut sublayers, mut forward): (Vec<Sublayer>, Vec<(Signal, usize)>) = (vec![], vec![]);
    for block in &structure.blocks {
        through(params, block, placement, &mut stream, n, &mut sublayers)?;
        forward.push((stream, sublayers.len()));
    }
    let width = structure.width as f64;
    let heads = structure.blocks.first().and_then(Block::attention).map_or(1, |(law, _)| law.heads) as f64;
    let ((gradients, growths), total) = (backward(&sublayers, placement, n, width), sublayers.len());
    let spread = |count: usize| (2.0 * count as f64 / width).sqrt();
    let one = |(signal, count): &(Signal, usize)| {
        let cosine = signal.c / signal.v;
        // What branches have brought in so far, as a share of the sums, forward and on the way back.
        let grown: f64 = sublayers[..*count].iter().map(|sublayer| sublayer.growth).product();
        let branches = if placement == Placement::Post { 0.0 } else { 1.0 - 1.0 / grown };
        let back = 1.0 - 1.0 / growths[*count];
        // A sub-layer leaves out terms of order 1/d_k. Tokens' differences are multiplied by a random factor in each, a
        // walk whose steps spread by √(2/d).
        let left_out = *count as f64 * heads / width / 2.0;
        Expected {
            second_moment: signal.v,
            spread: branches * spread(*count) + 0.01,
            cosine,
            cosine_spread: (1.0 - cosine) * (1.0 - 1.0 / grown) * (spread(*count) + left_out) + 0.005,
            gradient: gradients[*count],
            gradient_spread: back * (spread(total - count) + left_out) + 0.01,
        }
    };
    Some(forward.iter().map(one).collect())
}

/// A block: what it makes of the stream, and its sub-layers.
fn through(
    params: &Params,
    block: &Block,
    placement: Placement,
    stream: &mut Signal,
    n: f64,
    sublayers: &mut Vec<Sublayer>,
) -> Option<()> {
    let split = block.events.iter().position(|event| matches!(event, Event::Attention(..)))?;
    let (before, after) = (&block.events[..split], &block.events[split + 1..]);
    let products = |events: &[Event]| -> Vec<WeightId> {
        events.iter().filter_map(|e| if let Event::Product(id) = e { Some(*id) } else { None }).collect()
    };
    let Event::Attention(law, true) = block.events[split] else { return None };
    let made = products(before);
    // A fused layer makes queries, keys and values by one law.
    let value = *made.get(2).or(made.first())?;
    let mut after = after.iter();
    let Event::Product(output) = after.next()? else { return None };
    let (value, output) = (gains(params, value)?, gains(params, *output)?);
    // Of a fused layer only the values' share of the outputs comes back.
    let back = if made.len() == 1 {
        value.1 * (law.kv_heads * law.head_width) as f64 / law.packed() as f64
    } else {
        value.1
    };
    let mut rest: Vec<Event> = after.copied().collect();
    let mut scale = 1.0;
    if let Some(Event::Scale(factors)) = rest.first() {
        scale = square(params, *factors)?;
        rest.remove(0);
    }
    let (own, overlap) = uniform(n, block.is_causal());
    let input = normed(*stream, placement);
    let (forward, backward) = (value.0 * output.0 * scale, back * output.1 * scale);
    let branch = Signal {
        v: forward * (input.c + (input.v - input.c) * own),
        c: forward * (input.c + (input.v - input.c) * overlap),
    };
    sublayers.push(add(stream, branch, placement, (backward, backward), Some((own, overlap))));

    // The norm between the sub-layers stands in front of this one or behind that one, and is counted there.
    if !matches!(rest.first(), Some(Event::Norm(_))) {
        return None;
    }
    rest.remove(0);
    let bend = rest.iter().position(|event| matches!(event, Event::Activation(_)))?;
    let Event::Activation(activation) = rest[bend] else { return None };
    let ups = products(&rest[..bend]);
    let up = gains(params, *ups.first()?)?;
    let gated = rest.iter().any(|event| matches!(event, Event::Gate));
    let down = gains(params, *products(&rest[bend..]).first()?)?;
    let scale = match rest.iter().find(|event| matches!(event, Event::Scale(_))) {
        Some(Event::Scale(factors)) => square(params, *factors)?,
        _ => 1.0,
    };
    let input = normed(*stream, placement);
    let (q, c) = (up.0 * input.v, up.0 * input.c);
    let (same, slope) = kernel(activation, q, 1.0);
    let (two, slope_of_two) = kernel(activation, q, c / q);
    let gate = if gated { (q, c) } else { (1.0, 1.0) };
    let forward = down.0 * scale;
    let branch = Signal { v: forward * same * gate.0, c: forward * two * gate.1 };
    // A fused pair of gate and value has twice the outputs of each.
    let up_back = if gated && ups.len() == 1 { up.1 / 2.0 } else { up.1 };
    let back = |slope: f64, value: f64, (q, _): (f64, f64)| {
        let through_gate = if gated { slope * q + value } else { slope };
        down.1 * up_back * scale * through_gate
    };
    let own = back(slope, same, gate);
    let common = back(slope_of_two, two, (gate.1, gate.1));
    sublayers.push(add(stream, branch, placement, (own, common), None));
    Some(())
}

/// What a branch is given.
fn normed(stream: Signal, placement: Placement) -> Signal {
    match placement {
        Placement::Pre => Signal { v: 1.0, c: stream.c / stream.v },
        _ => stream,
    }
}

/// Adds a branch to the stream.
fn add(
    stream: &mut Signal,
    branch: Signal,
    placement: Placement,
    (own, common): (f64, f64),
    attention: Option<(f64, f64)>,
) -> Sublayer {
    let input = if placement == Placement::Pre { stream.v } else { 1.0 };
    let mut sum = Signal { v: stream.v + branch.v, c: stream.c + branch.c };
    let growth = sum.v / stream.v;
    let divided = if placement == Placement::Post { sum.v } else { 1.0 };
    if placement == Placement::Post {
        sum = Signal { v: 1.0, c: sum.c / sum.v };
    }
    *stream = sum;
    Sublayer { own, common, input, sum: divided, growth, attention }
}

/// Second moments of the gradient in front of each sub-layer and behind the last, where it is 1; and by how much branches
/// have added to it until there.
///
/// A norm takes out two of the `d` directions, the mean and its own output; what the norm above it has taken out already is
/// missing but for what the branch between the two has added.
fn backward(sublayers: &[Sublayer], placement: Placement, n: f64, width: f64) -> (Vec<f64>, Vec<f64>) {
    let mut lost = 2.0;
    let (mut gamma, mut r, mut growth) = (1.0, 0.0, 1.0);
    let (mut all, mut growths) = (vec![gamma], vec![growth]);
    for sublayer in sublayers.iter().rev() {
        if placement == Placement::Post {
            gamma *= (1.0 - lost / width) / sublayer.sum;
        }
        let (mean, off) = match sublayer.attention {
            None => (sublayer.own, sublayer.common * r),
            Some((own, overlap)) => {
                let mean = own + r * (n - 1.0) * overlap;
                let off = if n > 1.0 { (1.0 - own) / (n - 1.0) + r * (1.0 - overlap) } else { 0.0 };
                (sublayer.own * mean, sublayer.own * off)
            }
        };
        let kept = if placement == Placement::Pre { 1.0 - 2.0 / width } else { 1.0 };
        let (mean, off) = (kept * mean / sublayer.input, kept * off / sublayer.input);
        let (a, b) = (sublayer.growth - 1.0, mean);
        lost = (b + a / (1.0 + a) + b) / (1.0 + b);
        gamma *= 1.0 + mean;
        growth *= 1.0 + mean;
        r = (r + off) / (1.0 + mean);
        all.push(gamma);
        growths.push(growth);
    }
    all.reverse();
    growths.reverse();
    (all, growths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    #[test]
    fn kernels_have_their_known_values() {
        // ReLU: E φ² = q/2, and Cho & Saul's cosine 1/π at ρ = 0; slopes ½ and ¼.
        let (same, slope) = kernel(Activation::Relu, 2.0, 1.0);
        assert!((same - 1.0).abs() < 1e-3 && (slope - 0.5).abs() < 1e-6, "{same} {slope}");
        let (apart, slope) = kernel(Activation::Relu, 2.0, 0.0);
        assert!((apart - 2.0 / (2.0 * PI)).abs() < 2e-3 && (slope - 0.25).abs() < 1e-6, "{apart} {slope}");
        // GELU: E φ² = q/4 + q²/(2π(1 + q)√(1 + 2q))… by series near 0: q/4 + 3q²/(2π).
        let (same, _) = kernel(Activation::Gelu, 1e-4, 1.0);
        assert!((same / (1e-4 / 4.0 + 3e-8 / (2.0 * PI)) - 1.0).abs() < 1e-3, "{same}");
    }

    #[test]
    fn uniform_attention_is_counted_by_hand() {
        assert_eq!(uniform(4.0, false), (0.25, 0.25));
        // Rows see 1, 2, 3 keys: Σp² is 1, ½, ⅓; two rows share the larger row's weights: ½, ⅓, ⅓.
        let (own, overlap) = uniform(3.0, true);
        assert!((own - 11.0 / 18.0).abs() < 1e-12 && (overlap - 7.0 / 18.0).abs() < 1e-12);
    }
}
