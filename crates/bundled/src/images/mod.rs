//! Two sets of small colour pictures, drawn by code: one to pretrain on, one to transfer to.
//!
//! `shapes` shows a geometric shape with a texture, and its label names both. `symbols` shows things that are no
//! shape of the first set; few pictures a class are enough for a network that has learnt to see edges, outlines and
//! figures before a background on the first set, and too few for one that has not. Place, size, rotation,
//! proportions, colours, background, clutter, blur and noise differ from picture to picture in both, so that no pixel
//! by itself tells a class.
//!
//! ```
//! use xexp_bundled::images::{CHANNELS, SIZE, images};
//!
//! let images = images("symbols", "test").expect("a set and a split of it");
//! assert_eq!(images[17].id, "test/00017");
//! assert_eq!(images[17].pixels.len(), CHANNELS * SIZE * SIZE);
//! ```

mod canvas;
mod figure;
mod palette;
mod pattern;
mod scene;
mod set;
mod shape;
mod symbol;

pub use canvas::{CHANNELS, SIZE};
pub use set::{Image, ImageSet, NAMES, image_set, images};
