//! What a user would check, one binary for all files.

mod text;
mod weights;
mod weights_faults;
