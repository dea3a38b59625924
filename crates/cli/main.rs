//! The `xexp` command.
fn main() {}
