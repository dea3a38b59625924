//! What a freshly initialized classification head does, before any training step.
//!
//! A head `z = W φ` with independent weights of variance `Var(w)` gives, for features of width `d`, logits of second
//! moment `d · Var(w) · E[φ²]` ([`LogitVariance`]); for given features they are independent normals over the classes,
//! from which the initial loss follows ([`initial_cross_entropy`]); and the features' second moments bound the learning
//! rate ([`guaranteed_learning_rate`]).

mod cross_entropy;
mod learning_rate;
mod variance;

pub use cross_entropy::{initial_cross_entropy, initial_cross_entropy_closed_form};
pub use learning_rate::guaranteed_learning_rate;
pub use variance::{Features, LogitVariance};
