//! What an image encoder takes of a GPU's memory, from its headers.

use super::mmproj;
use super::namo::NamoConfig;
use super::qwen::QwenVisionConfig;
use crate::image::Wants;
use crate::kernels::cuda::{EncoderSizes, Kind};
use crate::models::part::{product, Part};
use crate::models::{self, ModelError};
use crate::nn::EncoderConfig;
use crate::weights::{is_encoder, Checkpoint, Loader, TensorInfo};

/// The shape of an encoder, as far as its memory depends on it.
pub struct Shape {
    pub(super) block: EncoderConfig,
    /// Whether queries and keys are rotated.
    pub(super) rotated: bool,
    /// Numbers of a patch.
    pub(super) row: usize,
    /// Patches that make a row of the decoder, and the row's numbers.
    pub(super) group: usize,
    pub(super) out: usize,
    /// Whether the connector takes all patches at once.
    pub(super) at_once: bool,
    pub(super) wants: Wants,
}

impl Shape {
    /// Of the encoder in `checkpoint`, which may be a model's mmproj file; None for a model that takes no images.
    ///
    /// # Errors
    /// A configuration crane does not compute.
    pub fn read(checkpoint: &Checkpoint) -> Result<Option<Self>, ModelError> {
        if !mmproj::is(checkpoint) {
            let row = models::detect(checkpoint)?;
            if !row.reads_images() {
                return Ok(None);
            }
            if row.model_type == "namo" {
                return Ok(Some(NamoConfig::read(checkpoint)?.shape()));
            }
        }
        Ok(Some(QwenVisionConfig::read(checkpoint)?.shape()))
    }

    /// What the model asks of an image.
    pub fn wants(&self) -> &Wants {
        &self.wants
    }

    /// Patches of an image that makes so many rows of the decoder.
    pub fn patches_of(&self, rows: usize) -> usize {
        rows.saturating_mul(self.group)
    }

    /// What the encoder of `loader` takes where images have up to so many patches.
    ///
    /// # Errors
    /// Heads that the GPU's kernels do not take.
    pub fn part(&self, loader: &Loader, patches: usize) -> Result<Part, ModelError> {
        let kind = loader.encoder_operand();
        let checkpoint = loader.checkpoint();
        // A file of its own holds nothing else.
        let alone = mmproj::is(checkpoint);
        let own = checkpoint.tensors();
        let own = own.filter(|info| alone || is_encoder(&info.name));
        let block = &self.block;
        let sizes = EncoderSizes {
            hidden: block.hidden,
            intermediate: block.intermediate,
            heads: block.heads_on_gpu(kind, self.rotated)?,
            row: self.row,
            group: self.group,
            out: self.out,
            at_once: self.at_once,
        };
        let work = sizes.places(kind, patches);
        Ok(Part::of(own.map(|info| held(info, kind)), work))
    }
}

/// Bytes of a tensor of an encoder whose matrices are of `kind`: all others, and the embedding of patches, whose rows are
/// filled up to a multiple of eight numbers, are f32.
fn held(info: &TensorInfo, kind: Kind) -> u64 {
    match info.shape[..] {
        [rows, width] => product(&[kind.float_bytes().unwrap_or(4), rows, width]),
        [rows, ref patch @ ..] if !patch.is_empty() => {
            let row: usize = patch.iter().product();
            product(&[4, rows, row.next_multiple_of(8)])
        }
        ref other => product(&[4, other.iter().product()]),
    }
}
