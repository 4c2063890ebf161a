//! The header of a GGUF file, version 2 or 3, little endian (specification: ggml's docs/gguf.md).
//!
//! Nothing that the header says is believed: each count, length, offset and product is checked against
//! the bytes that are there before it is used, so a damaged file costs an error and no memory.

use std::collections::HashSet;
use std::path::Path;

use super::error::{WeightsError, REMEDY};
use super::format::{gguf_type, Entry, TensorInfo};
use super::metadata::{Metadata, Value};

/// Values in all arrays together; a real vocabulary has a few 100,000.
const MAX_VALUES: usize = 1 << 23;
/// Arrays within arrays. No known key nests at all.
const MAX_DEPTH: usize = 4;
/// ggml's own limit (`GGML_MAX_DIMS`).
const MAX_DIMS: u32 = 4;
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
    let mut cursor = Cursor {
        file,
        bytes,
        pos: 0,
        values_left: MAX_VALUES,
    };
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
                format!("GGUF version {v}, which crane does not read (it reads 2 and 3)"),
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
    let tensors = place(file, bytes.len(), cursor.pos, alignment, declared)?;
    Ok(Gguf { metadata, tensors })
}

/// Says what a file is that is not GGUF: the usual cases are a web page and a git-lfs pointer.
fn check_magic(file: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    let start = &bytes[..bytes.len().min(64)];
    if start.starts_with(b"GGUF") {
        return Ok(());
    }
    if start.len() < 4 && b"GGUF".starts_with(start) {
        return Err(WeightsError::cut_short(
            file,
            "the magic number",
            bytes.len(),
            4,
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
    Ok(declared
        .into_iter()
        .map(|(info, offset)| Entry {
            info,
            // Fits: it is at most `len`, which is a usize.
            offset: (data_start + u128::from(offset)) as usize,
        })
        .collect())
}

/// A reading position that never leaves the file.
struct Cursor<'a> {
    file: &'a Path,
    bytes: &'a [u8],
    pos: usize,
    values_left: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8], WeightsError> {
        let end = self.pos.checked_add(n);
        let Some(taken) = end.and_then(|end| self.bytes.get(self.pos..end)) else {
            return Err(self.overrun(n as u128, what));
        };
        self.pos += n;
        Ok(taken)
    }

    /// The header wants `n` more bytes than the file has. Cut short or a damaged length: the header
    /// alone cannot tell, so the message says both.
    fn overrun(&self, n: u128, what: &str) -> WeightsError {
        WeightsError::corrupt(
            self.file,
            format!(
                "the file is cut short or damaged: its header wants {n} bytes for {what} at byte {} of {}; {REMEDY}",
                self.pos,
                self.bytes.len()
            ),
        )
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], WeightsError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, what)?);
        Ok(out)
    }

    fn u32(&mut self, what: &str) -> Result<u32, WeightsError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, WeightsError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A count of things of at least `min_bytes` each, if the rest of the file can hold as many.
    fn count(&self, n: u64, min_bytes: usize, what: &str) -> Result<usize, WeightsError> {
        let left = self.bytes.len() - self.pos;
        match usize::try_from(n) {
            Ok(n) if n <= left / min_bytes => Ok(n),
            _ => Err(WeightsError::corrupt(
                self.file,
                format!(
                    "the file is cut short or damaged: its header declares {n} {what}, more than the {left} bytes after byte {} can hold; {REMEDY}",
                    self.pos
                ),
            )),
        }
    }

    fn text(&mut self, what: &str) -> Result<&'a [u8], WeightsError> {
        let n = self.u64(what)?;
        let left = self.bytes.len() - self.pos;
        match usize::try_from(n) {
            Ok(n) if n <= left => self.take(n, what),
            _ => Err(self.overrun(u128::from(n), what)),
        }
    }

    /// A key or tensor name: UTF-8, or the file is damaged.
    fn name(&mut self, what: &str) -> Result<String, WeightsError> {
        let at = self.pos;
        let text = self.text(what)?;
        match std::str::from_utf8(text) {
            Ok(name) => Ok(name.to_string()),
            Err(_) => Err(WeightsError::corrupt(
                self.file,
                format!("{what} at byte {at} is not UTF-8 text; {REMEDY}"),
            )),
        }
    }

    /// A value of type `kind` for `key`.
    fn value(&mut self, kind: u32, key: &str, depth: usize) -> Result<Value, WeightsError> {
        Ok(match kind {
            0 => Value::Unsigned(u8::from_le_bytes(self.array(key)?).into()),
            1 => Value::Signed(i8::from_le_bytes(self.array(key)?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.array(key)?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.array(key)?).into()),
            4 => Value::Unsigned(u32::from_le_bytes(self.array(key)?).into()),
            5 => Value::Signed(i32::from_le_bytes(self.array(key)?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array(key)?).into()),
            7 => Value::Bool(self.array::<1>(key)? != [0]),
            // Free text may hold stray bytes without harm, unlike a name that is looked up.
            8 => Value::String(String::from_utf8_lossy(self.text(key)?).into_owned()),
            9 => self.list(key, depth)?,
            10 => Value::Unsigned(u64::from_le_bytes(self.array(key)?)),
            11 => Value::Signed(i64::from_le_bytes(self.array(key)?)),
            12 => Value::Float(f64::from_le_bytes(self.array(key)?)),
            other => {
                return Err(WeightsError::corrupt(
                    self.file,
                    format!(
                    "metadata key '{key}' has the unknown value type {other} at byte {}; {REMEDY}",
                    self.pos
                ),
                ))
            }
        })
    }

    fn list(&mut self, key: &str, depth: usize) -> Result<Value, WeightsError> {
        if depth >= MAX_DEPTH {
            return Err(WeightsError::corrupt(
                self.file,
                format!("metadata key '{key}' nests arrays deeper than {MAX_DEPTH}; {REMEDY}"),
            ));
        }
        let kind = self.u32(key)?;
        let n = self.u64(key)?;
        let min_bytes = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            _ => 12,
        };
        let n = self.count(n, min_bytes, &format!("values of '{key}'"))?;
        self.values_left = self.values_left.checked_sub(n).ok_or_else(|| {
            WeightsError::corrupt(
                self.file,
                format!("its metadata holds more than {MAX_VALUES} values (at '{key}'); {REMEDY}"),
            )
        })?;
        let mut values = Vec::with_capacity(n);
        for _ in 0..n {
            values.push(self.value(kind, key, depth + 1)?);
        }
        Ok(Value::Array(values))
    }

    /// A tensor's declaration and the offset of its data from the start of the data part.
    fn tensor(&mut self) -> Result<(TensorInfo, u64), WeightsError> {
        let file = self.file;
        let name = self.name("a tensor's name")?;
        let corrupt = |reason: String| {
            WeightsError::corrupt(file, format!("tensor '{name}': {reason}; {REMEDY}"))
        };
        let n_dims = u32::from_le_bytes(self.array(&name)?);
        if n_dims > MAX_DIMS {
            return Err(corrupt(format!(
                "{n_dims} dimensions, GGUF has {MAX_DIMS} at most"
            )));
        }
        let mut shape = Vec::new();
        for _ in 0..n_dims {
            let dim = self.u64(&name)?;
            match usize::try_from(dim) {
                Ok(d) if d > 0 => shape.push(d),
                _ => return Err(corrupt(format!("a dimension of {dim}"))),
            }
        }
        // GGUF lists the contiguous dimension first.
        shape.reverse();
        let id = self.u32(&name)?;
        let offset = self.u64(&name)?;
        let layout = gguf_type(id).ok_or_else(|| {
            WeightsError::unsupported(
                self.file,
                format!("unsupported tensor type {id} of tensor '{name}'; use another quantisation of the model"),
            )
        })?;
        let bytes = layout.size_of(&shape).map_err(corrupt)?;
        let info = TensorInfo {
            name: name.clone(),
            shape,
            format: layout.format,
            bytes,
        };
        Ok((info, offset))
    }
}
