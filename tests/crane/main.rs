//! What a user would check, in one test binary.

mod cli;
