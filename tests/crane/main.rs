//! What a user would check, one binary for all files.

mod weights;
mod weights_faults;
