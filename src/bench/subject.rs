//! What is measured, and who waits for it.

use crate::models::{self, LanguageModel};
use crate::weights::{Checkpoint, LoadOptions, Loader};

use super::{BenchError, Row, Test};

/// One model in one number format on one device.
pub struct Subject<'a> {
    /// As typed.
    pub name: String,
    pub checkpoint: &'a Checkpoint,
    pub options: LoadOptions,
    /// As `--device`, `--dtype` and `--quant` spell them.
    pub device: String,
    pub dtype: String,
    pub quant: String,
}

/// What is to be measured.
pub struct Request {
    pub tests: Vec<Test>,
    pub threads: Vec<usize>,
    pub repetitions: usize,
    /// Scored for its quality.
    pub text: Option<Text>,
}

/// A text by its name.
pub struct Text {
    pub name: String,
    pub content: String,
}

/// Somebody who waits for the result.
pub trait Watch: Sync {
    /// A new part of the work begins.
    fn phase(&self, what: &str);
    /// Repetition `done` of `of` has ended.
    fn step(&self, done: usize, of: usize);
    /// What the user should know.
    fn note(&self, message: &str);
    /// Whether to stop.
    fn interrupted(&self) -> bool;
}

impl Subject<'_> {
    /// The part of a row that is known before anything is loaded.
    pub fn row(&self, threads: usize, test: &Test) -> Row {
        Row {
            model_filename: self.checkpoint.path().display().to_string(),
            model_n_params: self.checkpoint.parameters(),
            ..Row::new(
                &self.name,
                &self.device,
                (&self.dtype, &self.quant),
                threads,
                test,
            )
        }
    }

    pub(super) fn load(&self, context: usize) -> Result<Box<dyn LanguageModel>, BenchError> {
        self.load_with(&self.options, context)
    }

    pub(super) fn load_with(
        &self,
        options: &LoadOptions,
        context: usize,
    ) -> Result<Box<dyn LanguageModel>, BenchError> {
        let loader = Loader::new(self.checkpoint, options)?;
        Ok(models::load(&loader, Some(context))?)
    }
}

/// A watch that nobody sees.
#[cfg(test)]
pub(super) struct Nobody;

#[cfg(test)]
impl Watch for Nobody {
    fn phase(&self, _: &str) {}
    fn step(&self, _: usize, _: usize) {}
    fn note(&self, _: &str) {}
    fn interrupted(&self) -> bool {
        false
    }
}
