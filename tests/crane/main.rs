//! What a user would check, one binary for all files.

mod parity;
mod weights;
mod weights_faults;
