//! What training makes of attention logits that initialization set to order 1.

use serde::{Deserialize, Serialize};
use xexp_backbones::{Grads, Origin, Params, WeightId};
use xexp_init::{Init, Layer, Seed, head_theory};
use xexp_kernels::adamw::AdamW;
use xexp_kernels::{cross_entropy, embedding, linear};
use xexp_report::lab::{Figure, Looks, Row, Rule, Statistic};

use super::ln_placement_forward::check_sizes;
use super::stack::{Kind, Seen, Sizes, Stack};
use crate::{About, Draw, Error, Experiment, Result, Setup};

/// Small transformers that learn to copy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LnPlacementTraining {
    /// `[stack, steps of warm-up]` of each run: `none`, `none-scaled`, `pre`, `post`, `post-scaled`, `peri`.
    pub runs: Vec<(Kind, usize)>,
    /// Counts of updates after which logits are looked at, from 0; the last one ends the run.
    pub steps: Vec<usize>,
    /// Learning rate after the warm-up, constant.
    pub rate: f64,
    /// Blocks.
    pub depth: usize,
    /// Width of the stream.
    pub width: usize,
    /// Width of the feed-forward layer.
    pub hidden: usize,
    /// Heads; divides the width.
    pub heads: usize,
    /// Tokens of a sequence, an even number: symbols, and as many blanks in which to repeat them.
    pub tokens: usize,
    /// Symbols to copy.
    pub symbols: usize,
    /// Sequences of a batch.
    pub batch: usize,
    /// Seeds of a run.
    pub draws: usize,
}

impl Default for LnPlacementTraining {
    fn default() -> Self {
        LnPlacementTraining {
            runs: vec![(Kind::Pre, 0), (Kind::Pre, 100), (Kind::Post, 0), (Kind::Post, 100), (Kind::None, 0)],
            steps: vec![0, 50, 250],
            rate: 3e-3,
            depth: 8,
            width: 64,
            hidden: 256,
            heads: 4,
            tokens: 32,
            symbols: 64,
            batch: 16,
            draws: 8,
        }
    }
}

/// One way to train.
pub struct Run {
    kind: Kind,
    warm_up: usize,
}

/// The largest row variance that still counts as of order 1.
const ORDER_ONE: f64 = 4.0;

/// A stack between embeddings and a linear head.
struct Model {
    stack: Stack,
    symbols: WeightId,
    positions: WeightId,
    head: WeightId,
}

/// Moments of AdamW, by weight.
struct Moments {
    first: Vec<Vec<f32>>,
    second: Vec<Vec<f32>>,
}

/// Ids of the tokens, and the symbols that belong in the blanks.
struct Batch {
    ids: Vec<u32>,
    labels: Vec<u32>,
}

/// A number that became infinite or none counts as the largest of f32: a run that has blown up.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::from(f32::MAX) }
}

impl LnPlacementTraining {
    fn sizes(&self) -> Sizes {
        Sizes { width: self.width, hidden: self.hidden, heads: self.heads, tokens: self.tokens }
    }

    /// Embeddings and positions add up to a second moment of 1.
    fn model(&self, kind: Kind, seed: Seed) -> Result<Model> {
        let shape = kind.shape(self.sizes(), self.depth, 1.0)?;
        let mut ids = vec![];
        let stack = Stack::draw(&shape, self.batch, seed, |declared| {
            let half = Init::Normal { std: core::f64::consts::FRAC_1_SQRT_2 };
            let table = |count| Layer::Embedding { count, width: self.width };
            let head = Layer::Linear { input: self.width, output: self.symbols };
            // The blank is one more symbol.
            for (name, layer, init) in [
                ("symbols", table(self.symbols + 1), half),
                ("positions", table(self.tokens), half),
                ("head", head, Init::xavier_normal()),
            ] {
                ids.push(declared.weight(name, layer, init, Origin::New));
            }
        })?;
        Ok(Model { stack, symbols: ids[0], positions: ids[1], head: ids[2] })
    }

    fn batch(&self, stream: &mut xexp_init::Stream) -> Batch {
        let (mut ids, mut labels) = (vec![], vec![]);
        for _ in 0..self.batch {
            let symbols: Vec<u32> =
                (0..self.tokens / 2).map(|_| stream.below(self.symbols as u64) as u32).collect();
            ids.extend(&symbols);
            ids.extend(symbols.iter().map(|_| self.symbols as u32));
            labels.extend(symbols);
        }
        Batch { ids, labels }
    }

    /// The loss, what the blocks showed if asked for, and the gradients.
    fn step(&self, model: &Model, batch: &Batch, watch: bool, grads: &mut Grads) -> Result<(f64, Vec<Seen>)> {
        let (width, half) = (self.width, self.tokens / 2);
        let params = &model.stack.params;
        let positions: Vec<u32> = (0..batch.ids.len()).map(|i| (i % self.tokens) as u32).collect();
        let mut x = vec![0.0; batch.ids.len() * width];
        embedding::forward(&batch.ids, &params.values(model.symbols)?, width, &mut x, false);
        embedding::forward(&positions, &params.values(model.positions)?, width, &mut x, true);
        let (y, seen, tape) = model.stack.forward(x, watch)?;
        // The blanks of each sequence, which are its second half.
        let blanks: Vec<f32> =
            y.chunks_exact(self.tokens * width).flat_map(|all| &all[half * width..]).copied().collect();
        let mut logits = vec![0.0; batch.labels.len() * self.symbols];
        linear::forward(&blanks, &params.values(model.head)?, None, &mut logits);
        let mut dlogits = vec![0.0; logits.len()];
        let weight = 1.0 / batch.labels.len() as f64;
        let loss = cross_entropy::forward_backward(&logits, &batch.labels, weight, &mut dlogits);

        let dlogits = linear::GradColumns::all(&dlogits, self.symbols);
        let mut dblanks = vec![0.0; blanks.len()];
        linear::backward_input(dlogits, &params.values(model.head)?, &mut dblanks, false);
        if let Some(dhead) = grads.slot(model.head) {
            linear::backward_weight(dlogits, &blanks, dhead);
        }
        let mut dy = vec![0.0; y.len()];
        for (dy, dblanks) in dy.chunks_exact_mut(self.tokens * width).zip(dblanks.chunks_exact(half * width))
        {
            dy[half * width..].copy_from_slice(dblanks);
        }
        let (dx, _) = model.stack.backward(dy, tape, grads)?;
        for (ids, weight) in [(&batch.ids, model.symbols), (&positions, model.positions)] {
            if let Some(slot) = grads.slot(weight) {
                embedding::backward(ids, &dx, width, slot);
            }
        }
        Ok((loss, seen))
    }

    /// One AdamW update without decay.
    fn update(
        &self,
        params: &Params,
        grads: &Grads,
        moments: &mut Moments,
        step: usize,
        warm_up: usize,
    ) -> Result<()> {
        let lr = self.rate * if step < warm_up { step as f64 / warm_up as f64 } else { 1.0 };
        let adam = AdamW { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, step: step as u64 };
        for (index, (id, weight)) in params.iter().enumerate() {
            let Some(gradient) = grads.get(id) else { continue };
            let (first, second) = (&mut moments.first[index], &mut moments.second[index]);
            xexp_kernels::update(&weight.var, |values| adam.update(values, first, second, gradient, 1.0))
                .map_err(xexp_backbones::Error::from)?;
        }
        Ok(())
    }

    fn last(&self) -> usize {
        self.steps.last().copied().unwrap_or(0)
    }
}

impl Experiment for LnPlacementTraining {
    type Setup = Run;

    const ABOUT: About = About {
        id: "ln-placement-training",
        title: "Norm placement: logits after training",
        question: "Do the attention logits of a Pre-LN transformer stay of order 1 once it is trained?",
        source: "Document, \"Recurrence and attention\"; no closed form: the theory of initialization does not bind after it",
        method: "Transformers that repeat random symbols in as many blanks, embeddings and positions learned, AdamW without \
                 decay at a constant rate, with and without a linear warm-up. A draw is a seed: weights and data. Looked at \
                 after some counts of updates: the variance of logits within a row (largest and smallest over the blocks), \
                 what enters W_Q, the entropy, the loss. Predicted is the loss before the first update; the control is that \
                 the largest row variance stays what it was.",
        cost: "2 min",
    };

    fn full() -> Self {
        LnPlacementTraining { steps: vec![0, 50, 250, 1000], ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        check_sizes(Self::ABOUT.id, self.sizes(), &[self.depth], self.draws)?;
        let refuse = |parameter, found: String, expected| {
            Err(Error::Parameter { experiment: Self::ABOUT.id, parameter, found, expected })
        };
        if self.runs.is_empty() || self.runs.iter().any(|(kind, _)| *kind == Kind::PostRaw) {
            return refuse("runs", format!("{:?}", self.runs), "one or more pairs, without `post-raw`");
        }
        if self.steps.first() != Some(&0)
            || self.steps.windows(2).any(|pair| pair[0] >= pair[1])
            || self.last() == 0
        {
            return refuse(
                "steps",
                format!("{:?}", self.steps),
                "rising counts that begin with 0, two or more",
            );
        }
        if !(self.rate > 0.0 && self.rate <= 10.0) {
            return refuse("rate", self.rate.to_string(), "above 0 and at most 10");
        }
        if !self.tokens.is_multiple_of(2) {
            return refuse("tokens", self.tokens.to_string(), "an even number");
        }
        if !(2..=1 << 16).contains(&self.symbols) {
            return refuse("symbols", self.symbols.to_string(), "2 to 65536");
        }
        if !(1..=4096).contains(&self.batch) {
            return refuse("batch", self.batch.to_string(), "1 to 4096");
        }
        Ok(())
    }

    fn setups(&self) -> Result<Vec<Setup<Run>>> {
        let looks = Looks::at(&[self.draws])?;
        let setup = |&(kind, warm_up): &(Kind, usize)| {
            let name = format!("{}-warmup{warm_up}", kind.name());
            Setup { name, looks: looks.clone(), of: Run { kind, warm_up } }
        };
        Ok(self.runs.iter().map(setup).collect())
    }

    fn predict(&self, setup: &Setup<Run>) -> Result<Vec<Row>> {
        let kind = setup.of.kind;
        let explodes = kind == Kind::None;
        let mut rows = vec![];
        for &step in &self.steps {
            let row = |part: &str, quantity: &str| {
                let of = format!("{step}/{part}");
                let row = Row::new(format!("{}/step {step}/{part}", setup.name), quantity, &of);
                // Without norms the seeds differ by orders of magnitude.
                if explodes { row.by(Statistic::Median { of }) } else { row }
            };
            let mut loss = row("loss", "cross-entropy of the copied symbols").unit("nats");
            if step == 0 && !matches!(kind, Kind::None | Kind::NoneScaled) {
                // The head's input has a second moment of 1.
                let gain = 2.0 * self.width as f64 / (self.width + self.symbols) as f64;
                let expected = head_theory::initial_cross_entropy(self.symbols, gain)?;
                let spread = 5.0 * (gain.exp_m1() / (self.symbols * self.draws) as f64).sqrt();
                let reason = "five standard errors of the seeds: tokens are so alike that one set of logits serves all";
                loss = loss.near(expected, spread, reason);
            }
            rows.push(loss.at("loss", &setup.name, step as f64));
            let mut most =
                row("max row", "variance of the logits within a row, in the block where it is largest");
            if step == self.last() && kind == Kind::Pre {
                let why = "the norm holds what enters W_Q, but nothing holds W_Q and W_K: they grow, and within some hundred \
                           updates the logits' variance is far from 1, warm-up or not";
                most = most.claim(
                    "The O(1) logits that Pre-LN has at initialization keep training stable: they stay O(1).",
                    Rule::AtMost { value: ORDER_ONE },
                    why,
                );
            }
            rows.push(most.at("row", &setup.name, step as f64));
            rows.push(row("min row", "the same, in the block where it is smallest"));
            rows.push(row("input", "second moment of what enters W_Q, in the block where it is largest"));
            rows.push(row("entropy", "mean entropy of attention rows over all blocks").unit("nats"));
            rows.push(row("rms logit", "root of E s² of the logits, in the block where it is largest"));
            // A weight moves by at most about the rate in an update: the control needs a run that can leave its beginning.
            let reach = self.rate * self.last().saturating_sub(setup.of.warm_up / 2) as f64;
            if step == self.last() && kind == Kind::Pre && reach >= 0.5 {
                let control =
                    row("control", "largest variance within a row, if it stayed that of new weights");
                let control = control.by(Statistic::Mean { of: format!("{step}/max row") });
                rows.push(
                    control.near(1.0, 0.5, "0.5, more than any correction to independent tokens").control(),
                );
            }
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Run>, draw: &mut Draw<'_>) -> Result<()> {
        let model = self.model(setup.of.kind, draw.seed("weights"))?;
        let params = &model.stack.params;
        let zeros: Vec<Vec<f32>> = params.iter().map(|(_, w)| vec![0.0; w.var.elem_count()]).collect();
        let mut moments = Moments { first: zeros.clone(), second: zeros };
        let mut grads = Grads::new(params);
        let mut stream = draw.stream("data");
        for step in 0..=self.last() {
            let watch = self.steps.contains(&step);
            grads.clear();
            let batch = self.batch(&mut stream);
            let (loss, seen) = self.step(&model, &batch, watch, &mut grads)?;
            if watch {
                let over = |f: &dyn Fn(&Seen) -> f64, g: fn(f64, f64) -> f64, from: f64| {
                    finite(seen.iter().map(f).map(finite).fold(from, g))
                };
                let entropy = seen.iter().map(|s| finite(s.logits.entropy)).sum::<f64>() / seen.len() as f64;
                for (part, value) in [
                    ("loss", finite(loss)),
                    ("max row", over(&|s| s.logits.row, f64::max, 0.0)),
                    ("min row", over(&|s| s.logits.row, f64::min, f64::INFINITY)),
                    ("input", over(&|s| s.input, f64::max, 0.0)),
                    ("entropy", finite(entropy)),
                    ("rms logit", over(&|s| s.logits.total, f64::max, 0.0).sqrt()),
                ] {
                    draw.record(&format!("{step}/{part}"), value)?;
                }
            }
            if step < self.last() {
                self.update(params, &grads, &mut moments, step + 1, setup.of.warm_up)?;
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("row", "Largest variance of logits within a row", "updates", "variance").log_y(),
            Figure::new("loss", "Loss", "updates", "nats").log_y(),
        ]
    }
}
