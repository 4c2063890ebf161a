//! What `torch.save` writes: a zip archive with a pickle that names the tensors and a file of numbers for each storage.
//! candle reads the pickle (it builds no objects, so nothing is run); the numbers are stored without compression and are
//! read where they lie, like those of the other formats.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use candle_core::{pickle, DType};
use zip::{CompressionMethod, ZipArchive};

use super::error::{WeightsError, REMEDY};
use super::format::{Entry, Format, TensorInfo};

/// Reads the names and places of the tensors of `file`, which has `bytes` bytes. In the order of the data.
pub(crate) fn parse(file: &Path, bytes: usize) -> Result<Vec<Entry>, WeightsError> {
    let damaged = |reason: String| {
        WeightsError::corrupt(
            file,
            format!("not a sound PyTorch checkpoint: {reason}; {REMEDY}"),
        )
    };
    let opened = File::open(file).map_err(|e| WeightsError::io(file, e))?;
    let mut archive =
        ZipArchive::new(BufReader::new(opened)).map_err(|e| damaged(e.to_string()))?;
    let tensors =
        pickle::read_pth_tensor_info(file, false, None).map_err(|e| damaged(e.to_string()))?;
    if tensors.is_empty() {
        return Err(damaged("it names no tensors".into()));
    }
    let mut entries = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let (format, size) = match tensor.dtype {
            DType::F32 => (Format::F32, 4),
            DType::F16 => (Format::F16, 2),
            DType::BF16 => (Format::BF16, 2),
            other => (Format::Other(other.as_str()), other.size_in_bytes()),
        };
        let shape = tensor.layout.dims().to_vec();
        let needed = shape
            .iter()
            .try_fold(size, |n: usize, &d| n.checked_mul(d))
            .ok_or_else(|| damaged(format!("tensor '{}' is absurdly large", tensor.name)))?;
        if !tensor.layout.is_contiguous() {
            return Err(WeightsError::unsupported(
                file,
                format!(
                    "tensor '{}' is stored transposed; save the model again as safetensors",
                    tensor.name
                ),
            ));
        }
        let stored = archive
            .by_name(&tensor.path)
            .map_err(|e| damaged(format!("the numbers of '{}': {e}", tensor.name)))?;
        if stored.compression() != CompressionMethod::Stored {
            return Err(WeightsError::unsupported(
                file,
                "its numbers are compressed; save the model again as safetensors".to_string(),
            ));
        }
        // candle counts the start in bytes.
        let start = tensor.layout.start_offset();
        let inside = stored.data_start().and_then(|data| {
            let end = start.checked_add(needed)?;
            let offset = usize::try_from(data).ok()?.checked_add(start)?;
            let fits = end as u64 <= stored.size() && offset.checked_add(needed)? <= bytes;
            fits.then_some(offset)
        });
        let offset = inside
            .ok_or_else(|| damaged(format!("tensor '{}' ends past its numbers", tensor.name)))?;
        entries.push(Entry {
            info: TensorInfo {
                name: tensor.name,
                shape,
                format,
                bytes: needed,
            },
            offset,
        });
    }
    entries.sort_by_key(|entry| entry.offset);
    Ok(entries)
}
