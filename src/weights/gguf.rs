//! The header of a GGUF file, version 2 or 3, little endian (specification: ggml's docs/gguf.md).
//!
//! Nothing that the header says is believed: each count, length, offset and product is checked against
//! the bytes that are there before it is used, so a damaged file costs an error and no memory.

mod cursor;

use std::collections::HashSet;
use std::path::Path;

use super::error::{WeightsError, REMEDY};
use super::format::{Entry, TensorInfo};
use super::metadata::{Metadata, Value};
use cursor::Cursor;

const DEFAULT_ALIGNMENT: usize = 32;
/// The smallest possible pair: an empty key's length, a type, one byte.
const MIN_PAIR_BYTES: usize = 8 + 4 + 1;
/// The smallest possible tensor: an empty name's length, no dimension, type, offset.
const MIN_TENSOR_BYTES: usize = 8 + 4 + 4 + 8;

/// A parsed header.
#[derive(Debug)]
pub(crate) struct Gguf {
    pub metadata: Metadata,
    /// In file order; every data range lies within the file.
    pub tensors: Vec<Entry>,
}

/// Reads the header of `bytes`, the whole file `file`.
pub(crate) fn parse(file: &Path, bytes: &[u8]) -> Result<Gguf, WeightsError> {
    let mut cursor = Cursor::new(file, bytes);
    check_magic(file, bytes)?;
    cursor.take(4, "the magic number")?;
    let version = cursor.u32("the version")?;
    match version {
        2 | 3 => {}
        1 => {
            return Err(WeightsError::unsupported(
                file,
                "GGUF version 1, which crane does not read (it reads 2 and 3); use a newer conversion of the model",
            ))
        }
        v if (1..=3).contains(&v.swap_bytes()) => {
            return Err(WeightsError::unsupported(
                file,
                "a big-endian GGUF file, which crane does not read; use the little-endian one",
            ))
        }
        v => {
            return Err(WeightsError::unsupported(
                file,
                format!("GGUF version {v}, which crane does not read (it reads 2 and 3); use another conversion of the model"),
            ))
        }
    }
    let n_tensors = cursor.u64("the number of tensors")?;
    let n_pairs = cursor.u64("the number of metadata keys")?;
    let n_tensors = cursor.count(n_tensors, MIN_TENSOR_BYTES, "tensors")?;
    let n_pairs = cursor.count(n_pairs, MIN_PAIR_BYTES, "metadata keys")?;

    let mut metadata = Metadata::default();
    for _ in 0..n_pairs {
        let key = cursor.name("a metadata key")?;
        let kind = cursor.u32(&key)?;
        let value = cursor.value(kind, &key, 0)?;
        if !metadata.push(key.clone(), value) {
            return Err(WeightsError::corrupt(
                file,
                format!("metadata key '{key}' is there twice; {REMEDY}"),
            ));
        }
    }
    let alignment = alignment(file, &metadata)?;
    let declared = (0..n_tensors)
        .map(|_| cursor.tensor())
        .collect::<Result<Vec<_>, _>>()?;
    let mut names = HashSet::with_capacity(declared.len());
    for (info, _) in &declared {
        if !names.insert(info.name.as_str()) {
            return Err(WeightsError::corrupt(
                file,
                format!("tensor '{}' is there twice; {REMEDY}", info.name),
            ));
        }
    }
    let tensors = place(file, bytes.len(), cursor.position(), alignment, declared)?;
    Ok(Gguf { metadata, tensors })
}

/// Says what a file is that is not GGUF: the usual cases are a web page and a git-lfs pointer.
fn check_magic(file: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    let start = &bytes[..bytes.len().min(64)];
    if start.starts_with(b"GGUF") {
        return Ok(());
    }
    if b"GGUF".starts_with(start) {
        return Err(WeightsError::corrupt(
            file,
            format!(
                "the file is cut short: {} bytes hold not even the magic number; {REMEDY}",
                start.len()
            ),
        ));
    }
    let what = if start.starts_with(b"version https://git-lfs") {
        "it is a git-lfs pointer, not the file itself".to_string()
    } else if start.first() == Some(&b'<') {
        "it is a web page, not a model".to_string()
    } else {
        let magic: String = start
            .iter()
            .take(4)
            .map(|b| format!("{b:02x}"))
            .collect::<Vec<_>>()
            .join(" ");
        format!("it begins with the bytes {magic} instead of 'GGUF'")
    };
    Err(WeightsError::corrupt(
        file,
        format!("not a GGUF file: {what}; {REMEDY}"),
    ))
}

/// `general.alignment`: a power of two, 8 at least as the specification says, 1 MiB at most.
fn alignment(file: &Path, metadata: &Metadata) -> Result<usize, WeightsError> {
    let Some(value) = metadata.get("general.alignment") else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    match value.as_usize() {
        Some(a) if a.is_power_of_two() && (8..=1 << 20).contains(&a) => Ok(a),
        _ => Err(WeightsError::corrupt(
            file,
            format!(
                "general.alignment is {}, which is no power of two from 8 to 1048576; {REMEDY}",
                match value {
                    Value::Unsigned(v) => v.to_string(),
                    Value::Signed(v) => v.to_string(),
                    _ => "no integer".to_string(),
                }
            ),
        )),
    }
}

/// Turns offsets relative to the data part into checked places in the file.
fn place(
    file: &Path,
    len: usize,
    header_end: usize,
    alignment: usize,
    declared: Vec<(TensorInfo, u64)>,
) -> Result<Vec<Entry>, WeightsError> {
    // In u128 none of these sums can overflow: fewer than 2^64 tensors of less than 2^64 bytes.
    let align = |n: u128| n.div_ceil(alignment as u128) * alignment as u128;
    let data_start = align(header_end as u128);
    let total: u128 = declared
        .iter()
        .map(|(info, _)| align(info.bytes as u128))
        .sum();
    let mut needed = 0u128;
    let mut first_outside: Option<&str> = None;
    for (info, offset) in &declared {
        if offset % alignment as u64 != 0 {
            return Err(WeightsError::corrupt(
                file,
                format!(
                    "tensor '{}' begins at byte {offset} of the data, no multiple of the alignment {alignment}; {REMEDY}",
                    info.name
                ),
            ));
        }
        let end = u128::from(*offset) + info.bytes as u128;
        if end > total {
            return Err(WeightsError::corrupt(
                file,
                format!(
                    "tensor '{}' ends at byte {end} of the data, past the {total} bytes that all tensors take; {REMEDY}",
                    info.name
                ),
            ));
        }
        let end = data_start + end;
        needed = needed.max(end);
        if end > len as u128 && first_outside.is_none() {
            first_outside = Some(&info.name);
        }
    }
    if let Some(name) = first_outside {
        let what = format!("tensor '{name}' reaches past the end");
        return Err(WeightsError::cut_short(file, &what, len, needed));
    }
    // Some writers pad the last tensor and some do not; none stops within the padding.
    let (len, padded) = (len as u128, align(needed));
    if needed < len && len < padded {
        let what = "the padding after the last tensor";
        return Err(WeightsError::cut_short(file, what, len as usize, padded));
    }
    Ok(declared
        .into_iter()
        .map(|(info, offset)| Entry {
            info,
            // Fits: it is at most `len`, which is a usize.
            offset: (data_start + u128::from(offset)) as usize,
        })
        .collect())
}
