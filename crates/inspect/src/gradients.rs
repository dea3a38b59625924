//! Gradients by block and weight of a loss that needs no labels: a random linear function of the last hidden states.

use xexp_backbones::{Encoder, EncoderGradient, Grads, Input, Mode, Params, Pass};
use xexp_init::Seed;
use xexp_kernels::{Buffer, Pool, sum_of_squares};

use crate::Result;
use crate::expected::Expected;
use crate::sheet::{Column, Reading, Row, Sheet, Value};
use crate::structure::Structure;
use crate::watch::Watch;

const COLUMNS: &[Column] = &[
    Column {
        name: "stream_gradient",
        what: "second moment of the gradient behind the block, over that behind the last; expected: the mean-field recursion",
        brief: true,
    },
    Column {
        name: "ratio",
        what: "‖∂L/∂W‖/‖W‖ of all matrices of the block, over the median block's",
        brief: true,
    },
    Column { name: "least", what: "the matrix with the smallest ‖∂L/∂W‖/‖W‖", brief: false },
    Column { name: "least_ratio", what: "its ratio, over the median block's", brief: false },
    Column { name: "zero", what: "share of values of the matrices whose gradient is 0", brief: false },
    Column {
        name: "adam_step",
        what: "what one step of Adam moves the block's matrices by, relative to their norm: lr/rms(W), as every value moves by about lr (Kingma & Ba 2015, §2.1)",
        brief: true,
    },
];

/// Examples that gradients are taken of, at most, and of a batch.
const EXAMPLES: usize = 16;
const BATCH: usize = 8;

/// The gradients of `L = Σ_t ⟨g_t, h_t⟩/√T` over the last hidden states `h`, `g` standard normal: block by block, so that no
/// more than a block's are in memory. `lr` is the learning rate of the last column.
///
/// # Errors
/// A network that cannot compute the input.
pub fn sheet(
    encoder: &Encoder,
    params: &mut Params,
    structure: &Structure,
    samples: &[xexp_train::Sample],
    expected: Option<&[Expected]>,
    lr: f64,
) -> Result<Sheet> {
    let mut sheet = Sheet::new("gradients", "Gradients", COLUMNS);
    let inputs: Vec<Input> = samples[..samples.len().min(EXAMPLES)]
        .chunks(BATCH)
        .map(|part| Ok(xexp_train::pack(part.iter())?.0))
        .collect::<Result<_>>()?;
    let tokens: usize = inputs.iter().map(Input::tokens).sum();
    let (mut moments, mut found) = (vec![], vec![]);
    for block in 0..structure.blocks.len() {
        params.train_only(|name| structure.layer(name) == Some(block));
        let mut grads = Grads::new(params);
        let watch = Watch::new(params, structure);
        for (number, input) in inputs.iter().enumerate() {
            backward(encoder, (params, &mut grads), input, number, tokens, (block == 0).then_some(&watch))?;
        }
        if block == 0 {
            let seen = watch.finish().gradients;
            let of = |place: &String| seen.get(place).map(|(sum, count)| sum / (*count).max(1) as f64);
            moments = structure.blocks.iter().map(|block| of(&block.place)).collect();
        }
        found.push(Block::of(params, &grads, lr));
    }
    params.train_only(|_| false);
    let mut ratios: Vec<f64> =
        found.iter().map(|block| block.ratio).filter(|ratio| ratio.is_finite()).collect();
    ratios.sort_by(f64::total_cmp);
    let middle = ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN);
    let last = moments.last().copied().flatten();
    for (index, (block, found)) in structure.blocks.iter().zip(&found).enumerate() {
        let moment = moments.get(index).copied().flatten().zip(last).map(|(own, last)| own / last);
        let reading = moment.map(|value| match expected.and_then(|all| all.get(index)) {
            Some(expected) if index + 1 < structure.blocks.len() => {
                Reading::against(value, expected.gradient, expected.gradient_spread)
            }
            _ => Reading::of(value),
        });
        sheet.rows.push(Row {
            layer: Some(index),
            head: None,
            name: block.place.clone(),
            values: vec![
                reading.into(),
                Reading::of(found.ratio / middle).into(),
                found.least.as_ref().map_or(Value::None, |(name, _)| Value::Text(name.clone())),
                found.least.as_ref().map(|(_, ratio)| Reading::of(ratio / middle)).into(),
                Reading::of(found.zero).into(),
                Reading::of(found.step).into(),
            ],
        });
    }
    Ok(sheet)
}

fn backward(
    encoder: &Encoder,
    (params, grads): (&Params, &mut Grads),
    input: &Input,
    number: usize,
    tokens: usize,
    watch: Option<&Watch<'_>>,
) -> Result<()> {
    let pool = Pool::default();
    let mut pass = Pass::new(&pool, Mode::Trace);
    // Only the gradients are watched: the pass itself has been.
    let tap = watch.map(Backward);
    pass.tap = tap.as_ref().map(|tap| tap as &dyn xexp_backbones::Tap);
    let encoded = encoder.forward(params, input, &mut pass)?;
    let Some(tape) = encoded.tape else { return Ok(()) };
    let mut stream = Seed(0).stream(&format!("inspect/gradient/{number}"));
    let scale = 1.0 / (tokens as f64).sqrt();
    let gradient: Vec<f32> = (0..encoded.hidden.len()).map(|_| (scale * stream.normal()) as f32).collect();
    let above = EncoderGradient { hidden: Some(Buffer::from(gradient)), features: None };
    encoder.backward((params, grads), above, tape, input, &pass)?;
    Ok(())
}

/// Shows gradients alone.
struct Backward<'a>(&'a Watch<'a>);

impl xexp_backbones::Tap for Backward<'_> {
    fn gradient(&self, place: &str, gradient: &[f32], width: usize) {
        self.0.gradient(place, gradient, width);
    }
}

/// What the matrices of a block have.
struct Block {
    ratio: f64,
    least: Option<(String, f64)>,
    zero: f64,
    step: f64,
}

impl Block {
    fn of(params: &Params, grads: &Grads, lr: f64) -> Self {
        let (mut gradient, mut weight, mut values, mut zeros) = (0.0, 0.0, 0, 0);
        let mut least: Option<(String, f64)> = None;
        for (id, of) in params.iter().filter(|(_, weight)| weight.decays()) {
            let (Some(own), Ok(now)) = (grads.get(id), params.values(id)) else { continue };
            let (g, w) = (sum_of_squares(own), sum_of_squares(&now));
            gradient += g;
            weight += w;
            values += own.len();
            zeros += own.iter().filter(|g| **g == 0.0).count();
            let ratio = (g / w).sqrt();
            if ratio.is_finite() && least.as_ref().is_none_or(|(_, smallest)| ratio < *smallest) {
                least = Some((of.name.clone(), ratio));
            }
        }
        Block {
            ratio: (gradient / weight).sqrt(),
            least,
            zero: zeros as f64 / values.max(1) as f64,
            step: lr / (weight / values.max(1) as f64).sqrt(),
        }
    }
}
