//! Fused operations with hand-written backward passes, on pooled buffers.
//!
//! A layer calls an operation's `forward`, keeps what the backward pass will need, and later calls `backward`; both work
//! on slices that live in [`Buffer`]s of a [`Pool`], so a training step
//! allocates nothing once the pool has seen the longest batch. Weights stay candle tensors; [`values`] and
//! [`update`] lend their storage.
//!
//! Every operation is a pair whose backward is checked against candle's autograd of the composed form and
//! against central finite differences. Reductions are cut at fixed places and added in a fixed order, so a
//! result does not depend on the number of threads. This crate is the only one with `unsafe` code (the
//! matrix products' pointers and instructions, the heads of attention, which write disjoint columns, and loops
//! compiled for wide vectors).
//!
//! ```
//! use xexp_kernels::{Pool, linear};
//! let pool = Pool::default();
//! let (x, w, b) = ([1.0, 2.0], [3.0, 4.0, 5.0, 6.0], [0.5, -0.5]);
//! let mut y = pool.buffer(2);
//! linear::forward(&x, &w, Some(&b), &mut y);
//! assert_eq!(&*y, [11.5, 16.5]);
//! ```

pub mod activation;
pub mod adamw;
pub mod attention;
pub mod batch_norm;
pub mod binary_cross_entropy;
mod buffer;
pub mod convolution;
pub mod cosine;
pub mod cross_entropy;
pub mod depthwise;
pub mod disentangled;
pub mod dropout;
pub mod embedding;
mod error;
pub mod layer_norm;
pub mod linear;
pub mod linear_transposed;
pub mod pooling;
mod product;
mod reduce;
pub mod response_norm;
pub mod rms_norm;
pub mod rotary;
pub mod squared_error;
mod storage;
pub mod transposed_convolution;
mod wide;
mod window;

pub use activation::Activation;
pub use buffer::{Buffer, Pool};
pub use dropout::Dropout;
pub use error::{Error, Result};
pub use product::Precision;
pub use reduce::{add, column_sums, combine, scale, sum_of_squares, sum_of_squares_where};
pub use storage::{Values, update, values};
pub use window::{Axis, Windows};
