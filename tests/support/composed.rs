//! The same BERT again, composed from candle's operations in double precision and differentiated by its autograd:
//! padded batches with a mask, nothing fused, nothing shared with the code under test.
//!
//! Only operations whose gradients candle has right are used: no fused norm, no fused softmax.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Result, Tensor, Var};
use xexp_backbones::Params;
use xexp_backbones::layers::{BlockSpec, Placement};
use xexp_kernels::Activation;
use xexp_kernels::attention::Mask;

/// A padded batch, every list `(batch · length)`.
pub struct Padded {
    pub length: usize,
    pub ids: Vec<u32>,
    pub type_ids: Vec<u32>,
    pub mask: Vec<u32>,
}

impl Padded {
    /// Sequences of (ids, type ids), each with so many columns of padding in front of it, then behind it up to
    /// `length`.
    pub fn new(sequences: &[(Vec<u32>, Vec<u32>)], in_front: usize, length: usize) -> Self {
        let mut padded = Padded { length, ids: vec![], type_ids: vec![], mask: vec![] };
        for (ids, type_ids) in sequences {
            let behind = length - in_front - ids.len();
            let row = |values: &[u32]| [&vec![0; in_front], values, &vec![0; behind]].concat();
            padded.ids.extend(row(ids));
            padded.type_ids.extend(row(type_ids));
            padded.mask.extend(row(&vec![1; ids.len()]));
        }
        padded
    }

    pub fn batch(&self) -> usize {
        self.ids.len() / self.length
    }
}

/// The weights, each a variable in double precision.
pub struct Composed {
    vars: BTreeMap<String, Var>,
}

impl Composed {
    pub fn new(params: &Params) -> Result<Self> {
        let var = |(name, weight): (&str, &xexp_backbones::Weight)| {
            Ok((name.to_owned(), Var::from_tensor(&weight.var.as_tensor().to_dtype(DType::F64)?)?))
        };
        Ok(Composed { vars: params.by_name().map(var).collect::<Result<_>>()? })
    }

    /// A weight's gradient, all zeros where autograd came by no path.
    pub fn gradient(&self, grads: &GradStore, name: &str) -> Vec<f64> {
        match grads.get(self.weight(name)) {
            Some(gradient) => gradient.flatten_all().and_then(|g| g.to_vec1()).unwrap(),
            None => vec![0.0; self.weight(name).elem_count()],
        }
    }

    fn weight(&self, name: &str) -> &Tensor {
        self.vars[name].as_tensor()
    }

    /// `x Wᵀ + b` over the last of three dimensions.
    fn linear(&self, path: &str, x: &Tensor) -> Result<Tensor> {
        let (batch, length, width) = x.dims3()?;
        let y = x.reshape((batch * length, width))?.matmul(&self.weight(&format!("{path}.weight")).t()?)?;
        y.broadcast_add(self.weight(&format!("{path}.bias")))?.reshape((batch, length, ()))
    }

    fn norm(&self, path: &str, x: &Tensor, eps: f64) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let y = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
        let scaled = y.broadcast_mul(self.weight(&format!("{path}.weight")))?;
        scaled.broadcast_add(self.weight(&format!("{path}.bias")))
    }

    /// `x (batch, length, width)` through a block by BERT's names; `hidden (batch, 1, length, length)` is added to
    /// the attention logits.
    pub fn block(&self, path: &str, spec: &BlockSpec, x: &Tensor, hidden: &Tensor) -> Result<Tensor> {
        let x = self.sum(&format!("{path}.attention.output.LayerNorm"), spec, x, |x| {
            self.attention(path, spec, x, hidden)
        })?;
        self.sum(&format!("{path}.output.LayerNorm"), spec, &x, |x| {
            let up = self.linear(&format!("{path}.intermediate.dense"), x)?;
            let up = match spec.activation {
                Activation::Gelu => up.gelu_erf(),
                Activation::GeluTanh => up.gelu(),
                Activation::Relu => up.relu(),
                Activation::Relu6 => up.clamp(0.0, 6.0),
                Activation::Silu => up.silu(),
                Activation::Tanh => up.tanh(),
            };
            self.linear(&format!("{path}.output.dense"), &up?)
        })
    }

    fn sum(
        &self,
        norm: &str,
        spec: &BlockSpec,
        x: &Tensor,
        branch: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (skip, factor) = spec.residual_scale;
        match spec.norm {
            Placement::None => (x * skip)? + (branch(x)? * factor)?,
            Placement::Peri => {
                let inner = branch(&self.norm(norm, x, spec.norm_eps)?)?;
                let inner = self.norm(&format!("{norm}.inner"), &inner, spec.norm_eps)?;
                (x * skip)? + (inner * factor)?
            }
            Placement::Pre => (x * skip)? + (branch(&self.norm(norm, x, spec.norm_eps)?)? * factor)?,
            Placement::Post => self.norm(norm, &((x * skip)? + (branch(x)? * factor)?)?, spec.norm_eps),
        }
    }

    fn attention(&self, path: &str, spec: &BlockSpec, x: &Tensor, hidden: &Tensor) -> Result<Tensor> {
        let (batch, length, width) = x.dims3()?;
        let split = |name: &str| {
            let y = self.linear(&format!("{path}.attention.self.{name}"), x)?;
            y.reshape((batch, length, spec.heads, width / spec.heads))?.transpose(1, 2)?.contiguous()
        };
        let (q, k, v) = (split("query")?, split("key")?, split("value")?);
        let logits = (q.matmul(&k.transpose(2, 3)?.contiguous()?)? * spec.attention_scale)?;
        let logits = logits.broadcast_add(hidden)?;
        // The largest logit is a constant that cancels.
        let powers = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let shares = powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?;
        let context = shares.matmul(&v)?.transpose(1, 2)?.contiguous()?.reshape((batch, length, width))?;
        self.linear(&format!("{path}.attention.output.dense"), &context)
    }

    /// Logits `(batch, classes)` of a classifier with the weights' names of `BertForSequenceClassification`, whose
    /// blocks are as `spec` says.
    pub fn logits(&self, spec: &BlockSpec, layers: usize, padded: &Padded) -> Result<Tensor> {
        let (batch, length) = (padded.batch(), padded.length);
        let rows = |name: &str, indices: &[u32]| {
            let indices = Tensor::new(indices, &Device::Cpu)?;
            self.weight(&format!("bert.embeddings.{name}_embeddings.weight")).index_select(&indices, 0)
        };
        let columns: Vec<u32> = (0..batch).flat_map(|_| 0..length as u32).collect();
        let sum = (rows("word", &padded.ids)? + rows("position", &columns)?)?;
        let sum = (sum + rows("token_type", &padded.type_ids)?)?.reshape((batch, length, spec.width))?;
        let mut x = self.norm("bert.embeddings.LayerNorm", &sum, spec.norm_eps)?;
        let hidden = hidden(spec.mask, padded)?;
        for layer in 0..layers {
            x = self.block(&format!("bert.encoder.layer.{layer}"), spec, &x, &hidden)?;
        }
        // The first token that is not padding.
        let firsts = padded.mask.chunks(length).map(|row| row.iter().position(|m| *m == 1).unwrap());
        let firsts: Vec<Tensor> = firsts
            .enumerate()
            .map(|(row, column)| x.narrow(0, row, 1)?.narrow(1, column, 1))
            .collect::<Result<_>>()?;
        let features = self.linear("bert.pooler.dense", &Tensor::cat(&firsts, 0)?)?.tanh()?;
        self.linear("classifier", &features)?.squeeze(1)
    }
}

/// What is added to attention logits, `(batch, 1, length, length)`: 0 where a key is seen, a number that leaves
/// nothing of it where it is padding or, in a causal law, comes later.
pub fn hidden(mask: Mask, padded: &Padded) -> Result<Tensor> {
    let length = padded.length;
    let mut values = vec![];
    for row in padded.mask.chunks(length) {
        for query in 0..length {
            let seen = |key: usize| row[key] == 1 && (mask == Mask::Full || key <= query);
            values.extend((0..length).map(|key| if seen(key) { 0.0 } else { -1e9 }));
        }
    }
    Tensor::from_vec(values, (padded.batch(), 1, length, length), &Device::Cpu)
}

/// Mean cross-entropy of `logits (batch, classes)`.
pub fn cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let chosen = logits.gather(&Tensor::new(labels, &Device::Cpu)?.unsqueeze(1)?, 1)?.squeeze(1)?;
    (logits.exp()?.sum(1)?.log()? - chosen)?.mean_all()
}
