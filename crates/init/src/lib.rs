//! Layer kinds and their fans, initialization schemes, corrections and counter-based random streams.
//!
//! **The idea.** A linear map `y = W x` with independent zero-mean weights multiplies second moments:
//! `E[y²] = fan_in · Var(w) · E[x²]` forward and `E[dx²] = fan_out · Var(w) · E[dy²]` backward. Everything here
//! follows from counting those products right. A [`Layer`] is declared once, and from it come its shape, its exact
//! [`Fan`], what other libraries read off the shape instead, the standard deviation that an [`Init`] gives it and
//! its initial values. Where a network is not a chain of such maps (dropout, branches, residual sums,
//! concatenation) the [`correction`] module says by which factor the sum is off.
//!
//! **Second moments, not variances.** `E[x²]` is what propagates; it equals the variance at zero mean alone. Features
//! after a ReLU have a mean, and a classification head on them spends a share of its logits' energy on a constant
//! preference for some classes: see [`head_theory`].
//!
//! **Randomness is addressed by name.** A [`Seed`] and a name give a [`Stream`]: word `i` of a stream is a function
//! of `(seed, name, i)` and of nothing else, so values do not depend on the order in which a model is built, on
//! threads, or on the device. A stream's whole state is its [`position`](Stream::position), which is what a
//! checkpoint stores.
//!
//! The crate is pure mathematics on `f64` and slices: no tensors, no devices, no files. Transcendental functions
//! come from `libm`, so that the same bits come out on every platform.
//!
//! ```
//! use xexp_init::{Activation, Init, Layer, Seed};
//!
//! // A depthwise 3×3 convolution: each output sums 9 products, each input feeds 9.
//! let depthwise = Layer::Conv { input: 64, output: 64, kernel: vec![3, 3], stride: vec![1, 1], groups: 64 };
//! let fan = depthwise.fan().expect("a convolution has fans");
//! assert_eq!((fan.input, fan.output), (9.0, 9.0));
//! // The rule that reads fans off the shape (64, 1, 3, 3) is 64 times off on one side.
//! let rule = depthwise.shape_rule_fan().expect("four dimensions");
//! assert_eq!((rule.input, rule.output), (9.0, 576.0));
//!
//! let init = Init::he(Activation::Relu);
//! assert!((init.std(&depthwise)? - (2.0_f64 / 9.0).sqrt()).abs() < 1e-12);
//!
//! // The values depend on the seed and on the weight's name, not on what was drawn before.
//! let weights = init.fill(&depthwise, &mut Seed(42).stream("features.0.weight"))?;
//! assert_eq!(weights.len(), 64 * 9);
//! # Ok::<(), xexp_init::Error>(())
//! ```

mod activation;
pub mod correction;
mod distribution;
mod error;
mod fan;
pub mod head_theory;
mod layer;
mod orthogonal;
pub mod philox;
mod scheme;
mod siphash;
mod stream;

pub use activation::Activation;
pub use distribution::Dist;
pub use error::{Error, Result};
pub use fan::Fan;
pub use layer::Layer;
pub use scheme::{Init, Mode};
pub use stream::{Seed, Stream};
