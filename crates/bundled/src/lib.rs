//! Data sets that the program draws by itself, so that it can be tried without a download.
//!
//! Everything here is a function of a name: the same bytes on every machine, in any order, on any number of threads.

pub mod images;
