//! Layers: each declares its weights, and has a forward and a backward pass.

mod attention;
mod block;
mod decoder;
mod embeddings;
mod layer_norm;
mod linear;
mod mlp;
mod patches;
mod post_block;
mod residual;
mod rms_norm;
mod rotary;
mod stack;
mod stem;
mod top;
mod transposed;

pub use attention::{SelfAttention, SelfAttentionTape};
pub use block::{Block, BlockNames, BlockSpec, BlockTape};
pub use decoder::{Decoder, DecoderSpec};
pub use embeddings::{Embeddings, EmbeddingsSpec, EmbeddingsTape, Positions};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use mlp::{Mlp, MlpTape};
pub use patches::{ImageShape, Patches, PatchesSpec, PatchesTape};
pub use post_block::PostBlock;
pub use residual::{Placement, Residual, ResidualSpec, ResidualTape};
pub use rms_norm::RmsNorm;
pub use rotary::{Rotary, RotaryScaling, Turn};
pub use stack::{Stack, StackSpec};
pub use stem::{Stem, StemSpec, StemTape};
pub use top::{HIDDEN, Top, TopSpec, TopTape};
pub use transposed::Transposed;
