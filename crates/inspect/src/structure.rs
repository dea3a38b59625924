//! How a network is built, found out by watching one small pass: its blocks, where their norms stand, and which weights make
//! queries and keys.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use xexp_backbones::{Attended, Encoder, Input, Mode, Params, Pass, Product, Tap, WeightId};
use xexp_init::Layer;
use xexp_kernels::attention::{Attention, Mask};
use xexp_kernels::{Activation, Pool};

use crate::Result;

/// What happens in a block, in order.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A product with this weight.
    Product(WeightId),
    /// A norm with this gain.
    Norm(WeightId),
    /// A nonlinearity.
    Activation(Activation),
    /// A product of two matrices.
    Gate,
    /// Learned factors of the columns.
    Scale(WeightId),
    /// Queries or keys turned by the angles of their places.
    Turn,
    /// An attention, and whether its logits are queries on keys alone.
    Attention(Attention, bool),
}

/// Where a block's norms stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Nowhere.
    None,
    /// In front of each branch.
    Pre,
    /// Behind each sum.
    Post,
    /// In front of and behind each branch.
    Peri,
    /// Inside the branch, as batch norms stand.
    Inside,
}

impl Placement {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Placement::None => "none",
            Placement::Pre => "pre (in front of each branch)",
            Placement::Post => "post (behind each sum)",
            Placement::Peri => "peri (in front of and behind each branch)",
            Placement::Inside => "inside the branches",
        }
    }

    fn of(events: &[Event]) -> Self {
        let norm = |event: Option<&Event>| matches!(event, Some(Event::Norm(_)));
        let attends = events.iter().any(|event| matches!(event, Event::Attention(..)));
        let any = events.iter().any(|event| norm(Some(event)));
        match (norm(events.first()), norm(events.last())) {
            _ if !any => Placement::None,
            _ if !attends => Placement::Inside,
            (true, true) => Placement::Peri,
            (true, false) => Placement::Pre,
            (false, true) => Placement::Post,
            (false, false) => Placement::Inside,
        }
    }
}

/// Rows of a dense layer's weight that make one part of an attention's input.
#[derive(Clone, Debug)]
pub struct Projection {
    /// The weight.
    pub weight: WeightId,
    /// Which of its outputs.
    pub outputs: Range<usize>,
}

/// A block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its name.
    pub place: String,
    /// What happens in it, in order.
    pub events: Vec<Event>,
    /// Queries and keys of its attention.
    pub projections: Option<[Projection; 2]>,
    /// Whether a stage begins with it: its stream is not that of the block before.
    pub begins: bool,
}

impl Block {
    /// Its attention.
    pub fn attention(&self) -> Option<(Attention, bool)> {
        self.events.iter().find_map(|event| match event {
            Event::Attention(law, plain) => Some((*law, *plain)),
            _ => None,
        })
    }

    /// Whether its attention sees earlier keys alone.
    pub fn is_causal(&self) -> bool {
        self.attention().is_some_and(|(law, _)| matches!(law.mask, Mask::Causal | Mask::Recent(_)))
    }
}

/// How a network is built.
#[derive(Clone, Debug, Default)]
pub struct Structure {
    /// The blocks, in order.
    pub blocks: Vec<Block>,
    /// The block in which each weight is used first.
    layers: BTreeMap<String, usize>,
    /// The width of the stream in front of the first block.
    pub width: usize,
}

#[derive(Default)]
struct Trace {
    events: RefCell<Vec<Event>>,
    blocks: RefCell<Vec<Block>>,
    width: RefCell<usize>,
    begins: RefCell<bool>,
}

impl Trace {
    fn push(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }
}

impl Tap for Trace {
    fn enter(&self, _: &str, _: &[f32], width: usize) {
        self.events.borrow_mut().clear();
        if self.blocks.borrow().is_empty() {
            self.width.replace(width);
        }
        self.begins.replace(true);
    }

    fn stream(&self, place: &str, _: &[f32], _: usize) {
        let events = self.events.take();
        let block =
            Block { place: place.to_string(), events, projections: None, begins: self.begins.replace(false) };
        self.blocks.borrow_mut().push(block);
    }

    fn product(&self, seen: Product<'_>) {
        self.push(Event::Product(seen.weight));
    }

    fn norm(&self, gain: WeightId) {
        self.push(Event::Norm(gain));
    }

    fn activation(&self, activation: Activation) {
        self.push(Event::Activation(activation));
    }

    fn gate(&self) {
        self.push(Event::Gate);
    }

    fn scale(&self, factors: WeightId) {
        self.push(Event::Scale(factors));
    }

    fn turn(&self) {
        self.push(Event::Turn);
    }

    fn attention(&self, seen: Attended<'_>) {
        self.push(Event::Attention(seen.law, seen.plain));
    }
}

/// Outputs of a dense layer; none of another kind.
fn outputs(layer: &Layer) -> Option<usize> {
    match layer {
        Layer::Linear { output, .. } | Layer::Transposed { output, .. } => Some(*output),
        _ => None,
    }
}

/// Queries and keys: the first product of the block makes both and the values besides, or the first three make one each.
fn projections(params: &Params, events: &[Event]) -> Option<[Projection; 2]> {
    let before = events.iter().take_while(|event| !matches!(event, Event::Attention(..)));
    let products: Vec<WeightId> = before
        .filter_map(|event| match event {
            Event::Product(weight) => Some(*weight),
            _ => None,
        })
        .collect();
    let law = events.iter().find_map(|event| match event {
        Event::Attention(law, _) => Some(*law),
        _ => None,
    })?;
    let (queries, keys) = (law.heads * law.head_width, law.kv_heads * law.head_width);
    let width = |index: usize| products.get(index).and_then(|weight| outputs(&params.weight(*weight).layer));
    let part = |index: usize, outputs: Range<usize>| Projection { weight: products[index], outputs };
    if width(0) == Some(law.packed()) {
        return Some([part(0, 0..queries), part(0, queries..queries + keys)]);
    }
    let fits = width(0) == Some(queries) && width(1) == Some(keys) && products.len() >= 3;
    fits.then(|| [part(0, 0..queries), part(1, 0..keys)])
}

impl Structure {
    /// Watches a pass over one short text or one black image.
    ///
    /// # Errors
    /// A network that cannot compute even that.
    pub fn of(encoder: &Encoder, params: &Params) -> Result<Self> {
        let input = match encoder.image() {
            Some(image) => {
                let pixels = vec![0.0; image.channels * image.size * image.size];
                Input::pack_images([&pixels[..]], image.tokens)?
            }
            None => Input::pack([(&[1u32, 2, 0, 1][..], &[0; 4][..])])?,
        };
        let (trace, pool) = (Trace::default(), Pool::default());
        let mut pass = Pass::new(&pool, Mode::Eval);
        pass.tap = Some(&trace);
        encoder.forward(params, &input, &mut pass)?;
        let mut blocks = trace.blocks.take();
        let mut layers = BTreeMap::new();
        for (index, block) in blocks.iter_mut().enumerate() {
            block.projections = projections(params, &block.events);
            for event in &block.events {
                if let Event::Product(id) | Event::Norm(id) | Event::Scale(id) = event {
                    layers.entry(stem(&params.weight(*id).name).to_string()).or_insert(index);
                }
            }
        }
        Ok(Structure { blocks, layers, width: trace.width.take() })
    }

    /// The block that a weight belongs to: the one that uses it, or the weight beside it, or is called as its name begins.
    pub fn layer(&self, name: &str) -> Option<usize> {
        let named =
            |block: &Block| name.strip_prefix(&block.place[..]).is_some_and(|rest| rest.starts_with('.'));
        self.layers.get(stem(name)).copied().or_else(|| self.blocks.iter().position(named))
    }

    /// Where most blocks have their norms.
    pub fn placement(&self) -> Placement {
        let all: Vec<Placement> = self.blocks.iter().map(|block| Placement::of(&block.events)).collect();
        let count = |placement: &Placement| all.iter().filter(|other| *other == placement).count();
        all.iter().copied().max_by_key(count).unwrap_or(Placement::None)
    }
}

/// A weight's name without its last part: that of its layer.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// The rows of a dense layer that make some outputs, `(outputs, input)`, whichever way round it is stored.
pub fn rows_of(layer: &Layer, values: &[f32], outputs: &Range<usize>) -> Option<(Vec<f32>, usize)> {
    match layer {
        Layer::Linear { input, .. } => {
            Some((values[outputs.start * input..outputs.end * input].to_vec(), *input))
        }
        Layer::Transposed { input, output } => {
            let of = |row: usize| values.iter().skip(row).step_by(*output).copied();
            Some((outputs.clone().flat_map(of).collect(), *input))
        }
        _ => None,
    }
}
