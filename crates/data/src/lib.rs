//! From files to batches: readers, labels, splits, tokens and the data receipt.
//!
//! A [`Source`] says which file, which format and which columns; [`read`] turns it into a [`Dataset`] of
//! [`Example`]s. Every row is either taken or named: a row that cannot be used stops the reading with its line, or,
//! when the source says [`BadRow::Skip`], is left out and noted in the dataset. Nothing is guessed about the values;
//! what *is* guessed (format by extension, columns by name) is listed where it is decided, and recorded.
//!
//! A row says a class, several labels or a number ([`Task`]); [`Labels`] is built once, from the training data, and maps by
//! name for ever after; [`stratified_split`] makes a
//! validation set when none is given; the [`Tokenizer`] counts every text at full length before it cuts; and the
//! [`Receipt`] says all of this back: rows, classes, lengths, truncation, duplicates, leaks between splits, bad rows.
//! [`Batches`] deals an epoch's order into index batches.
//!
//! The crate holds no randomness: whoever shuffles passes the shuffle of a named random stream.
//!
//! ```
//! use xexp_data::{Labels, Source, read, stratified_split};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("train.csv");
//! std::fs::write(&path, "text,label\nplay it again,music\nwill it rain,weather\nlouder,music\nany snow,weather\n")?;
//! let data = read(&Source::new(&path), true)?;
//! let labels = Labels::from_training(&data, &[])?;
//! assert_eq!(labels.names(), ["music", "weather"]);
//!
//! let split = stratified_split(&labels.ids(&data)?, 0.5, &mut |indices| indices.reverse())?;
//! assert_eq!(split.valid.len(), 2);
//! # Ok(())
//! # }
//! ```

mod batch;
mod columns;
mod csv;
mod dataset;
mod error;
mod example;
mod fault;
mod folder;
mod format;
mod idx;
mod image;
mod images;
mod input;
mod intake;
mod json;
mod label;
mod labels;
mod lines;
mod nearest;
mod order;
mod parquet;
mod picture;
mod receipt;
mod records;
mod source;
mod split;
mod task;
mod tokenizer;
mod word_pieces;

pub use batch::Batches;
pub use columns::{Columns, Role};
pub use dataset::{Dataset, Gallery};
pub use error::{Error, Result};
pub use example::{BadRowNote, Example};
pub use fault::RowFault;
pub use format::{Delimiter, Format};
pub use image::{Augment, Decoded, Decoding, Filter, Image, Preprocessor, RandAugment, decode};
pub use images::{Viewer, read_images};
pub use label::Label;
pub use labels::Labels;
pub use nearest::nearest;
pub use order::natural_order;
pub use parquet::{labels_are_hidden, panic_is_expected, parquet_holds_images};
pub use picture::{Picture, Still};
pub use receipt::{
    ClassCount, Conflict, Conflicts, Leak, LeakedText, Lengths, PictureSizes, Receipt, SplitInput,
    SplitReceipt, Truncation, Values,
};
pub use source::{BadRow, Source, read, read_bytes};
pub use split::{Split, stratified_sample, stratified_split};
pub use task::Task;
pub use tokenizer::{Encoded, Tokenizer};
pub use word_pieces::{SPECIAL, learn_word_pieces, prune_word_pieces, word_piece_ids};
