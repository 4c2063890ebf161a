//! The header of a safetensors file: a length, then JSON, then the data.
//!
//! The format's own crate reads the same header but does not say which tensor does not fit, nor keep the
//! file's order, nor notice a name that comes twice; the JSON is small enough to read here.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::Deserialize;

use super::error::{WeightsError, REMEDY};
use super::format::{safetensors_type, Entry, TensorInfo};

/// The limit of the format's own crate.
const MAX_HEADER: u64 = 100_000_000;
/// More than any tensor library handles.
const MAX_DIMS: usize = 16;

/// Reads the header of `bytes`, the whole file `file`. In the order of the data.
pub(crate) fn parse(file: &Path, bytes: &[u8]) -> Result<Vec<Entry>, WeightsError> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(WeightsError::cut_short(
            file,
            "the header's length",
            bytes.len(),
            8,
        ));
    };
    let length = u64::from_le_bytes(*length);
    if bytes.starts_with(b"version ") || bytes.starts_with(b"<") {
        return Err(WeightsError::corrupt(
            file,
            format!("not a safetensors file but a git-lfs pointer or a web page; {REMEDY}"),
        ));
    }
    if length > MAX_HEADER {
        return Err(WeightsError::corrupt(
            file,
            format!("not a sound safetensors file: it declares a header of {length} bytes ({MAX_HEADER} at most); {REMEDY}"),
        ));
    }
    // At most MAX_HEADER, so it fits in any usize.
    let Some((header, data)) = rest.split_at_checked(length as usize) else {
        return Err(WeightsError::cut_short(
            file,
            "the header",
            bytes.len(),
            u128::from(length) + 8,
        ));
    };
    let Declared(declared) = serde_json::from_slice(header).map_err(|e| {
        WeightsError::corrupt(
            file,
            format!("the safetensors header is damaged: {e}; {REMEDY}"),
        )
    })?;
    place(file, data.len(), bytes.len() - data.len(), declared)
}

/// One tensor as the JSON declares it.
#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The tensors of the header in its own order, names possibly repeated.
struct Declared(Vec<(String, RawTensor)>);

impl<'de> Deserialize<'de> for Declared {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Declared;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Declared, A::Error> {
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        tensors.push((name, map.next_value()?));
                    }
                }
                Ok(Declared(tensors))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Checks every declared range against the type, the shape and the file.
fn place(
    file: &Path,
    data_len: usize,
    data_start: usize,
    declared: Vec<(String, RawTensor)>,
) -> Result<Vec<Entry>, WeightsError> {
    let mut names = HashSet::new();
    let mut entries = Vec::new();
    let mut total = 0u128;
    for (name, raw) in declared {
        let corrupt = |reason: String| {
            WeightsError::corrupt(file, format!("tensor '{name}': {reason}; {REMEDY}"))
        };
        if !names.insert(name.clone()) {
            return Err(corrupt("is there twice".to_string()));
        }
        let layout = safetensors_type(&raw.dtype).ok_or_else(|| {
            WeightsError::unsupported(
                file,
                format!(
                    "unsupported tensor type '{}' of tensor '{name}'; use another copy of the model",
                    raw.dtype.escape_debug()
                ),
            )
        })?;
        if raw.shape.len() > MAX_DIMS {
            return Err(corrupt(format!("{} dimensions", raw.shape.len())));
        }
        let shape = raw
            .shape
            .iter()
            .map(|&d| usize::try_from(d).map_err(|_| corrupt(format!("a dimension of {d}"))))
            .collect::<Result<Vec<_>, _>>()?;
        let bytes = layout.size_of(&shape).map_err(corrupt)?;
        let (begin, end) = raw.data_offsets;
        if end.checked_sub(begin) != Some(bytes as u64) {
            return Err(corrupt(format!(
                "the data range {begin}..{end} is not the {bytes} bytes of {} {shape:?}",
                raw.dtype
            )));
        }
        total += bytes as u128;
        let info = TensorInfo {
            name,
            shape,
            format: layout.format,
            bytes,
        };
        entries.push((info, begin));
    }
    entries.sort_by_key(|(_, begin)| *begin);
    let mut outside = None;
    let mut needed = 0u128;
    for (info, begin) in &entries {
        let end = u128::from(*begin) + info.bytes as u128;
        if end > total {
            return Err(WeightsError::corrupt(
                file,
                format!(
                    "tensor '{}' ends at byte {end} of the data, past the {total} bytes that all tensors take; {REMEDY}",
                    info.name
                ),
            ));
        }
        needed = needed.max(end);
        if end > data_len as u128 && outside.is_none() {
            outside = Some(&info.name);
        }
    }
    if let Some(name) = outside {
        let what = format!("tensor '{name}' reaches past the end");
        let start = data_start as u128;
        return Err(WeightsError::cut_short(
            file,
            &what,
            data_start + data_len,
            start + needed,
        ));
    }
    Ok(entries
        .into_iter()
        .map(|(info, begin)| Entry {
            info,
            // Fits: it was just checked to lie within the file.
            offset: data_start + begin as usize,
        })
        .collect())
}
