//! A model that reads images, its headers read.

use std::path::Path;

use super::synthetic;
use crate::models;
use crate::vision::VisionError;
use crate::weights::{Checkpoint, Format};

/// Language model and image encoder.
pub struct Model {
    pub(super) decoder: Checkpoint,
    /// The file of its own that holds the encoder, where there is one.
    pub(super) projector: Option<Checkpoint>,
}

impl Model {
    /// The model at `path`: a folder, or a GGUF file with its `projector`.
    ///
    /// # Errors
    /// A model that takes no images, a projector that is missing, a file that is damaged.
    pub fn open(path: &Path, projector: Option<&Path>) -> Result<Self, VisionError> {
        let decoder = Checkpoint::open(path)?;
        if !models::detect(&decoder)?.reads_images() {
            return Err(VisionError::TextOnly(path.display().to_string()));
        }
        let projector = match (decoder.config(), projector) {
            (Some(_), _) => None,
            (None, Some(file)) => Some(Checkpoint::open(file)?),
            (None, None) => {
                return Err(VisionError::NoProjector {
                    model: path.display().to_string(),
                })
            }
        };
        Ok(Self { decoder, projector })
    }

    /// Seeded weights in the sizes of the published model `alias`, stored as bf16 like there.
    ///
    /// # Errors
    /// A name that is none of [`super::names`].
    pub fn synthetic(alias: &str) -> Result<Self, VisionError> {
        Ok(Self {
            decoder: synthetic::checkpoint(alias, Format::BF16)?,
            projector: None,
        })
    }

    /// What holds the encoder.
    pub(super) fn encoder(&self) -> &Checkpoint {
        self.projector.as_ref().unwrap_or(&self.decoder)
    }

    /// The language model.
    pub fn decoder(&self) -> &Checkpoint {
        &self.decoder
    }

    /// The file or folder of the language model.
    pub fn file(&self) -> String {
        self.decoder.path().display().to_string()
    }
}
