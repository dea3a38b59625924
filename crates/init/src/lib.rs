//! Layer kinds and their fans, initialization schemes, corrections and counter-based random streams.
