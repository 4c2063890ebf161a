//! A tensor of the checkpoint that is wanted by name and shape.

use std::ops::Range;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::Device;

use super::Loader;
use crate::weights::checkpoint::{Header, Located};
use crate::weights::convert::Source;
use crate::weights::error::{WeightsError, REMEDY};
use crate::weights::format::Format;
use crate::weights::map::MappedFile;
use crate::weights::seeded::Seeded;
use crate::weights::{blocks, names};

/// A tensor that exists, has the right shape and can be computed with.
pub(super) struct Found<'a> {
    pub tensor: &'a Located,
    pub file: &'a Arc<MappedFile>,
    /// It lies in no file.
    pub seeded: bool,
}

impl<'a> Found<'a> {
    pub fn range(&self) -> Range<usize> {
        let entry = &self.tensor.entry;
        entry.offset..entry.offset.saturating_add(entry.info.bytes)
    }

    /// As stored.
    pub fn bytes(&self) -> &'a [u8] {
        self.file.bytes().get(self.range()).unwrap_or(&[])
    }

    pub fn source(&self) -> Result<Source<'a>, WeightsError> {
        let info = &self.tensor.entry.info;
        let numbers = info.shape.iter().product();
        if self.seeded {
            return Ok(Source::seeded(
                Seeded::new(&info.name, &info.shape),
                numbers,
            ));
        }
        Ok(Source::new(info.format, self.bytes(), numbers)?)
    }

    /// Its numbers in blocks of `dtype`, on `device`.
    ///
    /// # Errors
    /// A number that is not finite: of such a block nothing would be left, and the damage would not show.
    pub fn quantized(
        &self,
        dtype: GgmlDType,
        shape: &[usize],
        device: &Device,
    ) -> Result<QTensor, WeightsError> {
        blocks::quantize(&self.source()?, dtype, shape, device).map_err(|error| {
            let name = &self.tensor.entry.info.name;
            WeightsError::corrupt(
                self.file.path(),
                format!("tensor '{name}' cannot be quantised: {error}; {REMEDY}"),
            )
        })
    }

    /// [`Found::release`] for a part of the bytes.
    pub fn release_part(&self, part: Range<usize>) {
        let start = self.tensor.entry.offset;
        self.file.release(start + part.start..start + part.end);
    }

    /// The stored bytes were converted into memory of their own and will not be read again.
    pub fn release(&self) {
        if !self.seeded {
            self.file.release(self.range());
        }
    }
}

impl<'a> Loader<'a> {
    /// The tensor `name` (below the prefix), which must have `shape`.
    pub(super) fn find(&self, name: &str, shape: &[usize]) -> Result<Found<'a>, WeightsError> {
        let name = self.full_name(name);
        let found = self
            .checkpoint
            .find(&name)
            .and_then(|tensor| Some((tensor, self.checkpoint.file_of(tensor)?)));
        let Some((tensor, file)) = found else {
            let in_file = match self.checkpoint.header() {
                Header::Gguf(_) => names::to_gguf(&name).unwrap_or_default(),
                Header::HuggingFace(_) => String::new(),
            };
            let spelled = if in_file.is_empty() || in_file == name {
                String::new()
            } else {
                format!(" (here '{in_file}')")
            };
            return Err(WeightsError::corrupt(
                self.checkpoint.path(),
                format!("has no tensor '{name}'{spelled} of shape {shape:?}, which this architecture needs; {REMEDY}"),
            ));
        };
        let info = &tensor.entry.info;
        if info.shape != shape {
            return Err(WeightsError::corrupt(
                file.path(),
                format!(
                    "tensor '{}' has shape {:?} where the model's configuration asks for {shape:?}; {REMEDY}",
                    info.name, info.shape
                ),
            ));
        }
        if let Format::Other(kind) = info.format {
            return Err(WeightsError::unsupported(
                file.path(),
                format!(
                    "unsupported tensor type {kind} of tensor '{}'; use another quantisation of the model",
                    info.name
                ),
            ));
        }
        Ok(Found {
            tensor,
            file,
            seeded: self.checkpoint.is_synthetic(),
        })
    }
}
