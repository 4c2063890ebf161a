//! A tiny Spark-TTS folder against the numbers that the published code computed from it (tests/reference says how).

mod cli;
mod faults;
mod folder;
mod parity;
mod place;
pub mod talker;
