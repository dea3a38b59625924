//! The instruments on a pass over real input.

mod attention;
mod products;
mod stream;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use xexp_backbones::{Attended, Input, Params, Product, Tap};

pub use attention::{Attention, Head};
pub use products::Multiplied;
pub use stream::Stream;

use crate::structure::Structure;

/// Watches passes over one batch after another.
pub struct Watch<'a> {
    params: &'a Params,
    structure: &'a Structure,
    /// Ids of the tokens that a tokenizer puts around texts.
    special: BTreeSet<u32>,
    /// Weights that new models draw by another law than the declared one.
    foreign: BTreeSet<String>,
    state: RefCell<State>,
}

/// What has been seen so far, each list in the order of the pass.
#[derive(Default)]
pub struct State {
    /// Products with weights.
    pub products: Vec<Multiplied>,
    /// Attentions.
    pub attentions: Vec<Attention>,
    /// The stream, behind the stem and behind blocks.
    pub streams: Vec<Stream>,
    /// Second moments of the stream's gradients, by place: sum of squares, and count.
    pub gradients: BTreeMap<String, (f64, usize)>,
    /// Tokens seen, and how many of them are special.
    pub tokens: (usize, usize),
    batch: Batch,
}

/// The batch under way, and how far the pass has come in it.
#[derive(Default)]
struct Batch {
    offsets: Vec<usize>,
    special: Vec<bool>,
    products: usize,
    attentions: usize,
    streams: usize,
    block: usize,
}

impl<'a> Watch<'a> {
    /// Of a network with these weights.
    pub fn new(params: &'a Params, structure: &'a Structure) -> Self {
        let (special, foreign) = (BTreeSet::new(), BTreeSet::new());
        Watch { params, structure, special, foreign, state: RefCell::default() }
    }

    /// With ids of tokens that a tokenizer puts around texts, and names of weights that new models draw by another law than
    /// the declared one.
    pub fn knowing(self, special: BTreeSet<u32>, foreign: BTreeSet<String>) -> Self {
        Watch { special, foreign, ..self }
    }

    /// Begins another batch. Special tokens are those that the tokenizer adds, or those in front of an image's square of
    /// patches.
    pub fn begin(&self, input: &Input) {
        let mut state = self.state.borrow_mut();
        let special: Vec<bool> = match input.words() {
            Ok(words) => words.ids.iter().map(|id| self.special.contains(id)).collect(),
            Err(_) => {
                let image = |range: &[usize]| {
                    let count = range[1] - range[0];
                    let before = count - count.isqrt().pow(2);
                    // What is far from a square is no square with a few tokens in front.
                    let before = if before <= 16 { before } else { 0 };
                    (0..count).map(move |token| token < before)
                };
                input.offsets.windows(2).flat_map(image).collect()
            }
        };
        state.tokens.0 += special.len();
        state.tokens.1 += special.iter().filter(|special| **special).count();
        state.batch = Batch { offsets: input.offsets.clone(), special, ..Batch::default() };
    }

    /// What has been seen.
    pub fn finish(self) -> State {
        self.state.into_inner()
    }

    fn stream(&self, place: &str, values: &[f32], width: usize, layer: Option<usize>) {
        let mut state = self.state.borrow_mut();
        let State { streams, batch, .. } = &mut *state;
        if batch.streams == streams.len() {
            streams.push(Stream::new(place, layer, width));
        }
        streams[batch.streams].add(values, &batch.offsets, &batch.special);
        batch.streams += 1;
    }
}

impl Tap for Watch<'_> {
    fn enter(&self, place: &str, values: &[f32], width: usize) {
        self.stream(place, values, width, None);
    }

    fn stream(&self, place: &str, values: &[f32], width: usize) {
        let block = self.state.borrow().batch.block;
        Watch::stream(self, place, values, width, Some(block));
        self.state.borrow_mut().batch.block += 1;
    }

    fn product(&self, seen: Product<'_>) {
        let mut state = self.state.borrow_mut();
        let State { products, batch, .. } = &mut *state;
        if batch.products == products.len() {
            let weight = self.params.weight(seen.weight);
            let layer = self.structure.layer(&weight.name).map(|_| batch.block);
            let own_law = !self.foreign.contains(&weight.name);
            products.push(Multiplied::new(weight, layer, own_law, &seen));
        }
        products[batch.products].add(&seen);
        batch.products += 1;
    }

    fn attention(&self, seen: Attended<'_>) {
        let mut state = self.state.borrow_mut();
        let State { attentions, batch, .. } = &mut *state;
        if batch.attentions == attentions.len() {
            attentions.push(Attention::new(seen.place, batch.block, &seen));
        }
        attentions[batch.attentions].add(&seen, &batch.special);
        batch.attentions += 1;
    }

    fn gradient(&self, place: &str, gradient: &[f32], _: usize) {
        let mut state = self.state.borrow_mut();
        let (sum, count) = state.gradients.entry(place.to_string()).or_default();
        *sum += xexp_kernels::sum_of_squares(gradient);
        *count += gradient.len();
    }
}
