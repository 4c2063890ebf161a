//! A tiny Spark-TTS folder against the numbers that the published code computed from it (tests/reference says how).

mod cli;
mod folder;
mod parity;
pub mod talker;
