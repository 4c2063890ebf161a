//! crane's binary.

fn main() {}
