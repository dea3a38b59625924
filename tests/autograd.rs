//! The hand-written backward passes, held against candle's autograd of the same model composed in double precision.

use candle_core::{Device, Tensor, Var};
use std::sync::Arc;
use xexp_backbones::checkpoint::Checkpoint;
use xexp_backbones::layers::{Block, BlockNames, BlockSpec, Placement};
use xexp_backbones::{Declarations, Grads, Input, Mode, Params, Pass, Seed};
use xexp_init::Init;
use xexp_kernels::attention::{Mask, Queries};
use xexp_kernels::{Activation, Buffer, Pool};
use xexp_train::Sample;

use crate::gradients::{TRAIN, classifier, gradients, packed, samples};
use crate::support::composed::{Composed, Padded, cross_entropy, hidden};
use crate::support::slopes;
use crate::support::tiny_bert::{HEADS, HIDDEN, LAYERS, TinyBert, WIDTH, safetensors};

/// BERT's own block.
const SPEC: BlockSpec = BlockSpec {
    width: WIDTH,
    hidden: HIDDEN,
    heads: HEADS,
    attention_scale: 0.353_553_390_593_273_8,
    mask: Mask::Full,
    activation: Activation::Gelu,
    norm: Placement::Post,
    norm_eps: 1e-12,
    residual_scale: (1.0, 1.0),
    dropout: 0.0,
    attention_dropout: 0.0,
    init: Init::Constant(0.0),
};

const NAMES: BlockNames = BlockNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    mlp_norm: "output.LayerNorm",
};

/// Relative difference of two gradients of one tensor. A gradient below a hundredth of the model's largest counts as
/// that much: a tensor whose gradient is zero in exact arithmetic holds the roundings of larger ones.
fn distance(ours: &[f32], theirs: &[f64], largest: f64) -> f64 {
    let difference: f64 = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    difference.sqrt() / (norm(theirs) + 1e-2 * largest)
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// A gradient in f32 goes through some sixty operations, each with roundings of 6e-8 that add up like a random walk,
/// and through GELU's slope, which is known to 1e-6.
const TOLERANCE: f64 = 5e-6;

/// Largest distance between our gradients and those of autograd over all weights.
fn assert_gradients(params: &Params, grads: &Grads, expected: impl Fn(&str) -> Vec<f64>) {
    let largest = params.iter().map(|(_, weight)| norm(&expected(&weight.name))).fold(0.0, f64::max);
    for (id, weight) in params.iter() {
        let distance = distance(grads.get(id).unwrap(), &expected(&weight.name), largest);
        assert!(distance < TOLERANCE, "{}: {distance}", weight.name);
    }
}

fn sequence(sample: &Sample) -> (Vec<u32>, Vec<u32>) {
    let (ids, type_ids) = sample.tokens();
    (ids.to_vec(), type_ids.to_vec())
}

#[test]
fn logits_and_all_gradients_are_those_of_autograd_however_the_batch_is_padded() {
    let classifier = classifier(0.0);
    let composed = Composed::new(&classifier.params).unwrap();
    let samples = samples();
    let sequences: Vec<_> = samples.iter().map(sequence).collect();
    let (_, labels) = packed(&samples);
    for (in_front, length) in [(0, 12), (0, 20), (5, 19)] {
        let padded = Padded::new(&sequences, in_front, length);
        let logits = composed.logits(&SPEC, LAYERS, &padded).unwrap();
        let autograd = cross_entropy(&logits, &labels).unwrap().backward().unwrap();

        let input = Input::from_padded(&padded.ids, &padded.type_ids, &padded.mask, length).unwrap();
        let pool = Pool::default();
        let ours = classifier.forward(&input, &mut Pass::new(&pool, Mode::Eval)).unwrap();
        let theirs = logits.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for (a, b) in ours.values.iter().zip(&theirs) {
            // Logits of order 1 after some thirty roundings of 6e-8.
            assert!((f64::from(*a) - b).abs() < 5e-6, "{in_front}, {length}: {a} and {b}");
        }
        let grads = gradients(&classifier, &(input, labels.clone()), TRAIN);
        assert_gradients(&classifier.params, &grads, |name| composed.gradient(&autograd, name));
    }
}

#[test]
fn padding_behind_changes_nothing_at_all() {
    let samples = samples();
    let sequences: Vec<_> = samples.iter().map(sequence).collect();
    let padded = Padded::new(&sequences, 0, 20);
    let unpadded = Input::from_padded(&padded.ids, &padded.type_ids, &padded.mask, 20).unwrap();
    let (packed, _) = packed(&samples);
    assert_eq!(unpadded, packed);
}

/// Two blocks of a kind on a batch of three sequences, with a random linear function of the output as the loss.
struct Blocks {
    spec: BlockSpec,
    blocks: Vec<Block>,
    params: Params,
    input: Input,
    padded: Padded,
    /// `(tokens, width)`.
    x: Vec<f32>,
    /// Gradient of the output, `(tokens, width)`.
    dy: Vec<f32>,
}

impl Blocks {
    fn new(spec: BlockSpec) -> Self {
        let mut declared = Declarations::default();
        let tiny = TinyBert::default();
        let paths = ["block.0", "block.1"];
        let blocks = paths.map(|path| Block::declare(&mut declared, path, &NAMES, &spec)).into();
        let mut weights: Vec<_> = paths.iter().flat_map(|path| tiny.block(path)).collect();
        if spec.norm == Placement::Peri {
            let norms =
                |path| [NAMES.attention_norm, NAMES.mlp_norm].map(|norm| format!("{path}.{norm}.inner"));
            weights.extend(paths.iter().flat_map(norms).flat_map(|norm| tiny.norm(&norm)));
        }
        let checkpoint = Checkpoint::from_bytes("blocks".as_ref(), safetensors(&weights)).unwrap();
        let (params, _) = declared.load(&checkpoint, Seed(0)).unwrap();

        let sequences: Vec<_> = [4, 7, 1].map(|n| (vec![0; n], vec![0; n])).into();
        let padded = Padded::new(&sequences, 0, 7);
        let input = Input::from_padded(&padded.ids, &padded.type_ids, &padded.mask, 7).unwrap();
        let mut stream = Seed(2).stream("blocks");
        let mut normal =
            |size: f64| -> Vec<f32> { (0..12 * WIDTH).map(|_| (size * stream.normal()) as f32).collect() };
        // The loss is of order 1 whatever the number of tokens.
        let (x, dy) = (normal(1.0), normal(0.05));
        Blocks { spec, blocks, params, input, padded, x, dy }
    }

    fn loss(&self, x: &[f32]) -> f64 {
        let pool = Pool::default();
        let mut pass = Pass::new(&pool, TRAIN);
        let mut y = Arc::new(Buffer::from(x.to_vec()));
        for block in &self.blocks {
            y = block.forward(&self.params, &y, &self.input, Queries::All, &mut pass).unwrap().0;
        }
        y.iter().zip(&self.dy).map(|(y, d)| f64::from(*y) * f64::from(*d)).sum()
    }

    /// The weights' gradients, and that of `x`.
    fn gradients(&self) -> (Grads, Vec<f32>) {
        let pool = Pool::default();
        let (mut pass, mut grads) = (Pass::new(&pool, TRAIN), Grads::new(&self.params));
        let mut y = Arc::new(Buffer::from(self.x.clone()));
        let mut tapes = vec![];
        for block in &self.blocks {
            let (next, tape) = block.forward(&self.params, &y, &self.input, Queries::All, &mut pass).unwrap();
            (y, _) = (next, tapes.push(tape));
        }
        let mut d = Buffer::from(self.dy.clone());
        for (block, tape) in self.blocks.iter().zip(tapes).rev() {
            d = block.backward((&self.params, &mut grads), d, tape, &self.input, &pass).unwrap();
        }
        (grads, d.into_vec())
    }

    /// `(tokens, width)` values as a padded `(batch, length, width)` tensor, zero in the padding.
    fn spread(&self, values: &[f32]) -> Tensor {
        let mut rows = values.chunks(WIDTH);
        let row = |mask: &u32| if *mask == 1 { rows.next().unwrap().to_vec() } else { vec![0.0; WIDTH] };
        let all: Vec<f64> = self.padded.mask.iter().flat_map(row).map(f64::from).collect();
        Tensor::from_vec(all, (self.padded.batch(), self.padded.length, WIDTH), &Device::Cpu).unwrap()
    }

    fn assert_slopes(&self) {
        let (grads, dx) = self.gradients();
        for (name, slope) in slopes::check(&self.params, &grads, || self.loss(&self.x)) {
            let nothing = name.ends_with("key.bias");
            assert!(nothing || slope > 10.0 * slopes::TOLERANCE, "{name}: a slope of {slope} shows nothing");
        }
        let direction = slopes::direction(&self.x, "x");
        let measured = slopes::slope(|t| self.loss(&slopes::moved(&self.x, &direction, t)));
        let claimed = slopes::along(&dx, &direction);
        assert!(
            (measured - claimed).abs() < slopes::TOLERANCE,
            "x: slope {measured}, gradient says {claimed}"
        );
    }

    fn assert_autograd(&self) {
        let composed = Composed::new(&self.params).unwrap();
        let x = Var::from_tensor(&self.spread(&self.x)).unwrap();
        let hidden = hidden(self.spec.mask, &self.padded).unwrap();
        let mut y = x.as_tensor().clone();
        for path in ["block.0", "block.1"] {
            y = composed.block(path, &self.spec, &y, &hidden).unwrap();
        }
        let loss = (y * self.spread(&self.dy)).unwrap().sum_all().unwrap();
        let autograd = loss.backward().unwrap();
        // A loss of order 1 out of 400 terms, each known to 1e-6.
        assert!((self.loss(&self.x) - loss.to_scalar::<f64>().unwrap()).abs() < 1e-5);
        let (grads, dx) = self.gradients();
        assert_gradients(&self.params, &grads, |name| composed.gradient(&autograd, name));
        let theirs = autograd.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let seen = self.padded.mask.iter().flat_map(|mask| [*mask == 1; WIDTH]);
        let theirs: Vec<f64> =
            theirs.into_iter().zip(seen).filter(|(_, seen)| *seen).map(|(d, _)| d).collect();
        let distance = distance(&dx, &theirs, norm(&theirs));
        assert!(distance < TOLERANCE, "x: {distance}");
    }
}

fn kinds() -> [BlockSpec; 6] {
    [
        SPEC,
        BlockSpec { norm: Placement::Pre, activation: Activation::GeluTanh, ..SPEC },
        BlockSpec { norm: Placement::Pre, mask: Mask::Causal, residual_scale: (0.9, 0.6), ..SPEC },
        BlockSpec { mask: Mask::Causal, activation: Activation::Silu, residual_scale: (1.2, 0.7), ..SPEC },
        BlockSpec { norm: Placement::None, residual_scale: (0.8, 0.5), ..SPEC },
        BlockSpec { norm: Placement::Peri, activation: Activation::Tanh, residual_scale: (0.9, 0.6), ..SPEC },
    ]
}

#[test]
fn blocks_of_every_kind_have_the_gradients_of_autograd() {
    for spec in kinds() {
        Blocks::new(spec).assert_autograd();
    }
}

#[test]
fn blocks_of_every_kind_have_the_slopes_of_their_loss_with_and_without_dropout() {
    for spec in kinds() {
        for dropout in [0.0, 0.2] {
            Blocks::new(BlockSpec { dropout, attention_dropout: dropout, ..spec.clone() }).assert_slopes();
        }
    }
}
