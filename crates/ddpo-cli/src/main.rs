//! The `ddpo` binary.
fn main() {}
