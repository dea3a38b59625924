//! What the tests of whole runs share: a tiny model, data for it, and how the program is run on them.

/// A composed BERT in double precision, differentiated by candle.
pub mod composed;
/// A small learnable set of sentences.
pub mod sentences;
/// Slopes of a loss by finite differences.
pub mod slopes;
/// A folder with model and data, and the command lines on it.
pub mod stage;
/// A BERT small enough to be made, trained and checked within a second.
pub mod tiny_bert;
