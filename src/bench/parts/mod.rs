//! How fast the parts of a model are that is more than a language model: each test is asked of an [`Instrument`], loaded
//! as a user would load it, and becomes a [`Row`] beside the machine's limits.

mod row;
mod run;

use crate::weights::LoadOptions;

pub use row::{Outcome, Part, Row};
pub use run::{measured, Expected, Instrument, Need, Taken};

/// A model of many parts in one number format.
pub struct Subject<'a, M> {
    /// As typed.
    pub name: String,
    /// What stands for it on the disk.
    pub file: String,
    pub model: &'a M,
    /// Of the language model; other parts take what they can of it.
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
