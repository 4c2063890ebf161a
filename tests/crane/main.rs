//! What a user would check, one binary for all files.

mod cli;
mod parity;
mod text;
mod weights;
mod weights_faults;
