//! How fast speech is made: the language model, the codec, both together, and what cloning a voice does first.
//!
//! A [`Subject`] is a [`Model`] in one number format. [`speak`] loads what speaks and [`listen`] what reads a recording, as
//! `crane tts` does one after the other; each returns a [`Row`] for each of its [`Test`]s and each number of threads.
//! Operations are counted from the configuration (`count`), and a row says which share of the machine's arithmetic limit
//! they reached.

mod count;
mod listener;
mod model;
mod row;
mod run;
mod speaker;
mod synthetic;

use crate::weights::LoadOptions;

pub use model::Model;
pub use row::{Outcome, Part, Row, Test};
pub use run::{listen, speak};

/// A model of speech in one number format.
pub struct Subject<'a> {
    /// As typed.
    pub name: String,
    pub model: &'a Model,
    /// Of the language model; the codec takes the number type alone, and computes on the CPU.
    pub options: LoadOptions,
    /// As `--device`, `--dtype` and `--quant` spell them.
    pub device: String,
    pub dtype: String,
    pub quant: String,
}

/// How it is to be measured.
pub struct Request {
    pub threads: Vec<usize>,
    pub repetitions: usize,
}
