//! What a user types and sees.

pub mod environment;
pub mod progress;
pub mod pull;
pub mod store;
