//! One test binary for everything that a user would check.

mod text;
