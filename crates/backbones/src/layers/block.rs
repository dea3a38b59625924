//! The transformer block: written once, for every family and for the experiments.

use crate::layers::{
    Linear, Mlp, MlpTape, Placement, Residual, ResidualSpec, ResidualTape, SelfAttention, SelfAttentionTape,
    first_rows,
};
use crate::{Declarations, Grads, Input, Origin, Params, Pass, Result, WeightId};
use std::sync::Arc;
use xexp_init::Init;
use xexp_kernels::attention::{Attention, Mask, Queries};
use xexp_kernels::{Activation, Buffer};

/// What a block is.
#[derive(Clone, Debug)]
pub struct BlockSpec {
    /// Width of the stream.
    pub width: usize,
    /// Width of the feed-forward layer.
    pub hidden: usize,
    /// Number of heads.
    pub heads: usize,
    /// Factor on the attention logits.
    pub attention_scale: f64,
    /// Visible keys.
    pub mask: Mask,
    /// Nonlinearity of the feed-forward layer.
    pub activation: Activation,
    /// Where the norms stand.
    pub norm: Placement,
    /// ε of the norms.
    pub norm_eps: f64,
    /// Factors on skip and branch of each sum; (1, 1) is the plain residual.
    pub residual_scale: (f64, f64),
    /// Dropout on each branch.
    pub dropout: f64,
    /// Dropout on the attention weights.
    pub attention_dropout: f64,
    /// How a new block's matrices are drawn.
    pub init: Init,
}

/// A family's names for a block's parts, relative to the block.
#[derive(Clone, Copy, Debug)]
pub struct BlockNames {
    /// Projection to queries.
    pub query: &'static str,
    /// Projection to keys.
    pub key: &'static str,
    /// Projection to values.
    pub value: &'static str,
    /// Projection of the context.
    pub attention_output: &'static str,
    /// Norm of the attention sub-layer; see [`Residual::declare`] for the second norm of Peri.
    pub attention_norm: &'static str,
    /// First feed-forward matrix.
    pub up: &'static str,
    /// Second feed-forward matrix.
    pub down: &'static str,
    /// Norm of the feed-forward sub-layer.
    pub mlp_norm: &'static str,
}

/// Attention and feed-forward sub-layers, each with its residual sum and norm.
#[derive(Clone)]
pub struct Block {
    attention: SelfAttention,
    attention_sum: Residual,
    mlp: Mlp,
    mlp_sum: Residual,
    width: usize,
    place: String,
}

/// What the backward pass needs.
pub struct BlockTape {
    attention: SelfAttentionTape,
    attention_sum: ResidualTape,
    mlp: MlpTape,
    mlp_sum: ResidualTape,
    queries: Queries,
}

impl Block {
    /// Declares the weights under `path`.
    pub fn declare(declared: &mut Declarations, path: &str, names: &BlockNames, spec: &BlockSpec) -> Self {
        let linear = |declared: &mut Declarations, name: &str, sizes| {
            Linear::declare(declared, &format!("{path}.{name}"), sizes, spec.init, Origin::Checkpoint)
        };
        let width = spec.width;
        let around = ResidualSpec {
            width,
            placement: spec.norm,
            eps: spec.norm_eps,
            scale: spec.residual_scale,
            dropout: spec.dropout,
        };
        let sum = |declared: &mut Declarations, norm: &str, place: &str| {
            Residual::declare(declared, &format!("{path}.{norm}"), format!("{path}.{place}"), &around)
        };
        let head_width = width / spec.heads;
        let scale = spec.attention_scale as f32;
        let square = (width, width);
        Block {
            attention: SelfAttention {
                law: Attention {
                    heads: spec.heads,
                    kv_heads: spec.heads,
                    head_width,
                    scale,
                    mask: spec.mask,
                    queries: Queries::All,
                },
                query: linear(declared, names.query, square),
                key: linear(declared, names.key, square),
                value: linear(declared, names.value, square),
                output: linear(declared, names.attention_output, square),
                dropout: spec.attention_dropout,
                place: format!("{path}.attention"),
            },
            attention_sum: sum(declared, names.attention_norm, "attention.output"),
            mlp: Mlp {
                up: linear(declared, names.up, (width, spec.hidden)),
                down: linear(declared, names.down, (spec.hidden, width)),
                activation: spec.activation,
            },
            mlp_sum: sum(declared, names.mlp_norm, "output"),
            width,
            place: path.to_string(),
        }
    }

    /// Other dropout on the two branches than [`BlockSpec::dropout`] on both: families that drop one of them alone.
    pub fn with_dropout(mut self, attention: f64, mlp: f64) -> Self {
        self.attention_sum.dropout = attention;
        self.mlp_sum.dropout = mlp;
        self
    }

    /// The same weights at another place of the network, where dropout draws from streams of its own.
    pub fn at(&self, place: &str) -> Self {
        let mut block = self.clone();
        block.attention.place = format!("{place}.attention");
        block.attention_sum.place = format!("{place}.attention.output");
        block.mlp_sum.place = format!("{place}.output");
        block.place = place.to_string();
        block
    }

    /// Names it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// `(tokens, width)` from `(tokens, width)`, and the tape. With [`Queries::First`] the output of each sequence's first token
    /// alone, `(batch, width)`, to rounding the same as among all: what a model needs of its last block if it is read there.
    pub fn forward(
        &self,
        params: &Params,
        x: &Arc<Buffer>,
        input: &Input,
        queries: Queries,
        pass: &mut Pass<'_>,
    ) -> Result<(Arc<Buffer>, BlockTape)> {
        let places = (queries == Queries::First).then(|| input.starts());
        let (h, mut attention_sum) = self.attention_sum.before(params, x, pass)?;
        pass.show(&self.place, "attention.input", &h, self.width);
        let (f, attention) = self.attention.forward(params, &h, input, queries, pass)?;
        pass.show(&self.place, "attention.branch", &f, self.width);
        let first = places.map(|_| first_rows::take(x, self.width, input, pass.pool));
        let skip = (&first.as_ref().unwrap_or(x)[..], places);
        let y = Arc::new(self.attention_sum.after(params, skip, f, &mut attention_sum, pass)?);

        let (h, mut mlp_sum) = self.mlp_sum.before(params, &y, pass)?;
        let (f, mlp) = self.mlp.forward(params, &h, pass)?;
        pass.show(&self.place, "mlp.branch", &f, self.width);
        let z = self.mlp_sum.after(params, (&y, places), f, &mut mlp_sum, pass)?;
        Ok((Arc::new(z), BlockTape { attention, attention_sum, mlp, mlp_sum, queries }))
    }

    /// The gradient of `x` from that of the output.
    pub fn backward(
        &self,
        (params, grads): (&Params, &mut Grads),
        dy: Buffer,
        tape: BlockTape,
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<Buffer> {
        let BlockTape { attention, attention_sum, mlp, mlp_sum, queries } = tape;
        let places = (queries == Queries::First).then(|| input.starts());
        let branch = |grads: &mut Grads, df: &[f32], dx: (&mut [f32], bool)| {
            self.mlp.backward((params, grads), df, mlp, dx, pass)
        };
        let dy = self.mlp_sum.backward((params, grads), (dy, places), &mlp_sum, branch, pass)?;
        let branch = |grads: &mut Grads, df: &[f32], dx: (&mut [f32], bool)| {
            self.attention.backward((params, grads), df, attention, input, dx, pass)
        };
        match queries {
            Queries::All => {
                self.attention_sum.backward((params, grads), (dy, None), &attention_sum, branch, pass)
            }
            Queries::First => {
                let around = (input, pass);
                self.attention_sum.backward_of_first((params, grads), dy, &attention_sum, branch, around)
            }
        }
    }

    /// Its weights.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> + '_ {
        let sums = self.attention_sum.ids().chain(self.mlp_sum.ids());
        self.attention.ids().chain(self.mlp.ids()).chain(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, Seed};
    use xexp_kernels::Pool;

    const NAMES: BlockNames = BlockNames {
        query: "query",
        key: "key",
        value: "value",
        attention_output: "context",
        attention_norm: "attention_norm",
        up: "up",
        down: "down",
        mlp_norm: "mlp_norm",
    };

    /// A block with weights of its own, its input, and a random linear function of its output as the loss.
    struct Case {
        block: Block,
        params: Params,
        input: Input,
        x: Vec<f32>,
        dy: Vec<f32>,
        mode: Mode,
        queries: Queries,
    }

    impl Case {
        fn new(norm: Placement, dropout: f64, queries: Queries) -> Case {
            let spec = BlockSpec {
                width: 8,
                hidden: 12,
                heads: 2,
                attention_scale: 0.5,
                mask: Mask::Full,
                activation: Activation::Tanh,
                norm,
                norm_eps: 1e-6,
                residual_scale: (0.9, 0.7),
                dropout,
                attention_dropout: 0.0,
                init: Init::xavier_normal(),
            };
            let mut declared = Declarations::default();
            let block = Block::declare(&mut declared, "block", &NAMES, &spec);
            let params = declared.draw(Seed(4)).unwrap();
            // Gains and biases as after training: neither 1 nor 0.
            for (id, weight) in params.iter() {
                if !weight.decays() {
                    let mut stream = Seed(5).stream(&weight.name);
                    let mut values = params.values(id).unwrap().to_vec();
                    values.iter_mut().for_each(|v| *v += 0.2 * stream.normal() as f32);
                    params.set(id, &values).unwrap();
                }
            }
            let mut stream = Seed(6).stream("input");
            let mut normal = || (0..7 * 8).map(|_| stream.normal() as f32).collect::<Vec<f32>>();
            let (x, dy) = (normal(), normal());
            let sequences: [&[u32]; 2] = [&[0; 4], &[0; 3]];
            let input = Input::pack(sequences.map(|ids| (ids, ids))).unwrap();
            Case { block, params, input, x, dy, mode: Mode::Train { seed: Seed(7), step: 3 }, queries }
        }

        fn loss(&self, x: &[f32]) -> f64 {
            let pool = Pool::default();
            let mut pass = Pass::new(&pool, self.mode);
            let x = Arc::new(Buffer::from(x.to_vec()));
            let (y, _) = self.block.forward(&self.params, &x, &self.input, self.queries, &mut pass).unwrap();
            y.iter().zip(&self.dy).map(|(y, d)| f64::from(*y) * f64::from(*d)).sum()
        }

        fn gradients(&self) -> (Grads, Buffer) {
            let pool = Pool::default();
            let (mut pass, mut grads) = (Pass::new(&pool, self.mode), Grads::new(&self.params));
            let x = Arc::new(Buffer::from(self.x.clone()));
            let (y, tape) =
                self.block.forward(&self.params, &x, &self.input, self.queries, &mut pass).unwrap();
            let dy = Buffer::from(self.dy[..y.len()].to_vec());
            let dx = self.block.backward((&self.params, &mut grads), dy, tape, &self.input, &pass).unwrap();
            (grads, dx)
        }
    }

    const ALL: [Placement; 4] = [Placement::None, Placement::Pre, Placement::Post, Placement::Peri];

    /// The five-point rule in f32 with a step of 2⁻⁶: the loss is of order 10 and read to some 5e-6, so a slope is known to
    /// about `1.1 · 5e-6/h = 4e-4`; the rule's own error is `h⁴/30 = 2e-9` of a fifth derivative.
    /// Source: Abramowitz and Stegun 25.3.6.
    #[test]
    fn every_placement_has_the_slopes_of_its_loss() {
        const STEP: f32 = 1.0 / 64.0;
        let near = |name: &str, at: usize, slope: f64, gradient: f32| {
            let off = (slope - f64::from(gradient)).abs();
            assert!(off < 2e-3, "{name}[{at}]: slope {slope}, gradient {gradient}");
        };
        let settings = ALL.into_iter().flat_map(|norm| [(norm, 0.0), (norm, 0.3)]);
        for ((norm, dropout), queries) in settings.flat_map(|s| [(s, Queries::All), (s, Queries::First)]) {
            let case = Case::new(norm, dropout, queries);
            let (grads, dx) = case.gradients();
            let slope = |at: usize, values: &[f32], loss: &dyn Fn(&[f32]) -> f64| {
                let moved = |step: f32| {
                    let mut values = values.to_vec();
                    values[at] += step;
                    loss(&values)
                };
                let (near, far) = (moved(STEP) - moved(-STEP), moved(2.0 * STEP) - moved(-2.0 * STEP));
                (8.0 * near - far) / f64::from(12.0 * STEP)
            };
            for at in (0..case.x.len()).step_by(5) {
                near(&format!("{norm:?} x"), at, slope(at, &case.x, &|x| case.loss(x)), dx[at]);
            }
            for (id, weight) in case.params.iter() {
                let values = case.params.values(id).unwrap().to_vec();
                for at in (0..values.len()).step_by(7) {
                    let found = slope(at, &values, &|values| {
                        case.params.set(id, values).unwrap();
                        case.loss(&case.x)
                    });
                    case.params.set(id, &values).unwrap();
                    near(&format!("{norm:?} {}", weight.name), at, found, grads.get(id).unwrap()[at]);
                }
            }
        }
    }

    #[test]
    fn the_first_tokens_alone_are_what_they_are_among_all() {
        for norm in ALL {
            let [all, first] = [Queries::All, Queries::First].map(|queries| Case::new(norm, 0.3, queries));
            let run = |case: &Case| {
                let pool = Pool::default();
                let x = Arc::new(Buffer::from(case.x.clone()));
                let mut pass = Pass::new(&pool, case.mode);
                case.block.forward(&case.params, &x, &case.input, case.queries, &mut pass).unwrap().0
            };
            let (of_all, of_first) = (run(&all), run(&first));
            assert_eq!(of_first.len(), 2 * 8);
            for (row, &start) in of_first.chunks_exact(8).zip(all.input.starts()) {
                for (a, b) in row.iter().zip(&of_all[start * 8..(start + 1) * 8]) {
                    // Some sixty terms of size one, summed in another order: 60 · 2⁻²⁴ = 4e-6.
                    assert!((a - b).abs() < 1e-5, "{norm:?}: {a} and {b}");
                }
            }
        }
    }

    #[test]
    fn norms_are_declared_where_they_stand_and_nowhere_else() {
        for (norm, expected) in ALL.into_iter().zip([0, 4, 4, 8]) {
            let case = Case::new(norm, 0.0, Queries::All);
            // Six matrices with their biases, and the norms' gains and biases.
            assert_eq!(case.params.len(), 12 + expected, "{norm:?}");
            assert_eq!(case.block.ids().count(), case.params.len(), "{norm:?}");
        }
    }
}
