//! Pictures and a conversation → what a decoder reads, and back: [`Viewer`] looks at pictures, [`Form`] puts a prompt
//! together, [`boxes`] brings places that the model names back into the picture as it was.

mod boxes;
mod prompt;
mod viewer;

pub use boxes::boxes;
pub use prompt::{Composed, Form};
pub use viewer::{Glance, Look, Unseen, Viewer};

use crate::image::{ImageError, ProcessorError};
use crate::models::ModelError;
use crate::text::TextError;
use crate::weights::WeightsError;

/// Why pictures are not read.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(
        "{0} takes no images: it is a text model; 'crane list --catalogue' names vision models"
    )]
    TextOnly(String),
    #[error("{model} needs the file that reads its images (mmproj-….gguf), which is not beside it; name it with --mmproj FILE")]
    NoProjector { model: String },
    #[error("{file} gives rows of {found} numbers where the model reads {wanted}: it belongs to another model")]
    Width {
        file: String,
        found: usize,
        wanted: usize,
    },
    #[error("{label} alone is {tokens} tokens for the model, and the context holds {context}; set a smaller --max-pixels, or a larger --ctx-size as far as the model goes")]
    Context {
        label: String,
        tokens: usize,
        context: usize,
    },
    #[error("the prompt has {places} places for images where {images} images are given; a prompt cannot contain the model's own image marker, and a chat template may not know images")]
    Places { places: usize, images: usize },
}
