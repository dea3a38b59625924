//! Pretrained backbones: parameters, layers, families and Hugging Face checkpoints.
//!
//! A family's file declares its weights once: name on the Hub, layer kind, initializer. From the declaration
//! follow a weight's shape, its fans, its key in the checkpoint and its values where the checkpoint has none.
//! [`Params`] holds the weights, [`Grads`] their gradients; layers hold only the weights' ids.
//!
//! A family is a [`Network`]: its forward pass, written once over the coarse operations of a [`graph`], from which the
//! backward pass follows. Batches are
//! packed: sequences lie end to end and there is no padding to compute or to mask ([`Input`]). A [`Pass`] says
//! whether dropout acts and a tape is wanted, and carries an optional tap through which the laboratory watches
//! the very forward pass that training uses.
//!
//! ```no_run
//! use xexp_backbones::{Declarations, Input, Mode, Pass, Seed, families::Reading, folder::Folder};
//! # fn main() -> xexp_backbones::Result<()> {
//! let folder = Folder::open("minilm".as_ref())?;
//! let mut declared = Declarations::default();
//! let backbone = folder.family.declare(&folder.config, &mut declared, Reading::Features)?;
//! let (params, report) = declared.load(&folder.checkpoint()?, Seed(42))?;
//! let input = Input::pack([(&[101, 7592, 102][..], &[0, 0, 0][..])])?;
//! let pool = xexp_kernels::Pool::default();
//! let encoded = backbone.forward(&params, &input, &mut Pass::new(&pool, Mode::Eval))?;
//! assert_eq!(encoded.features.len(), backbone.width());
//! # Ok(()) }
//! ```

mod adapter;
pub mod checkpoint;
pub mod config;
mod declarations;
mod encoder;
mod error;
pub mod families;
pub mod folder;
mod grads;
pub mod graph;
mod input;
pub mod layers;
mod params;
mod pass;
mod tap;

pub use adapter::AdapterLaw;
pub use declarations::{Declarations, Origin};
pub use encoder::{Encoded, Encoder, EncoderGradient, EncoderTape, Network, Outputs};
pub use error::{Error, Result};
pub use grads::{Grads, Touched};
pub use input::{Content, Input, Words};
pub use params::{Params, Weight, WeightId};
pub use pass::{Mode, Pass};
pub use tap::{Attended, Product, Rows, Tap};
pub use xexp_init::Seed;
