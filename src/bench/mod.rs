//! What is measured and how: speed beside the machine's limit, with spread, load time, memory and quality.
//!
//! A [`Subject`] is one model in one number format on one device; [`measure`] runs the [`Test`]s of a [`Request`] on it,
//! repetitions in turn over tests and thread counts, between two measurements of the machine's [`Limits`]. Every
//! combination becomes a [`Row`], with its figures or with the reason why there are none; `report` writes rows,
//! [`compare`] and [`gate`] hold them against those of another run. [`speech`] and [`vision`] do the
//! same for models of several parts.

mod cell;
pub mod compare;
mod count;
pub mod gate;
mod limits;
mod measure;
pub mod memory;
pub mod parts;
mod passes;
mod plan;
mod quality;
pub mod report;
mod row;
pub mod speech;
mod statistics;
mod subject;
pub mod synthetic;
pub mod threads;
pub mod vision;

pub use count::Counts;
pub use limits::{Book, Limits};
pub use measure::measure;
pub use plan::{tests, Test};
pub use row::{Outcome, Row};
pub use subject::{Request, Subject, Text, Watch};

use crate::generate::GenerateError;
use crate::models::ModelError;
use crate::text::TextError;
use crate::vision::VisionError;
use crate::weights::{Quant, WeightsError};

/// Why something was not measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("{test} needs a context of {needed} tokens; the model's is {limit}")]
    Context {
        test: String,
        needed: usize,
        limit: usize,
    },
    #[error("{quant} does not fit a width of {width}: a block has 32 numbers")]
    Width { quant: Quant, width: usize },
    #[error("needs about {needed} of memory; {available} are free")]
    Memory { needed: String, available: String },
    #[error("{threads} threads could not be started: {reason}")]
    Threads { threads: usize, reason: String },
    #[error("no memory to measure the machine's bandwidth with: {source}")]
    Buffer { source: std::io::Error },
    #[error("the tokens of one sequence could not be given to another: {source}")]
    Cache { source: std::io::Error },
    #[error("the text has {tokens} tokens, the first of which is never scored; two are needed")]
    ShortText { tokens: usize },
    #[error("the model has no folder wav2vec2-large-xlsr-53, so that it reads no recordings")]
    NoListener,
    #[error("the image was not encoded")]
    NoImage,
    #[error("wav2vec2 makes {made} features where the codec reads {read}")]
    Widths { made: usize, read: usize },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Vision(#[from] VisionError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error("interrupted")]
    Interrupted,
}
