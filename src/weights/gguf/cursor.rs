//! Reads the parts of a GGUF header: numbers, texts, values, tensor declarations.

use std::path::Path;

use super::super::error::{WeightsError, REMEDY};
use super::super::format::{gguf_type, TensorInfo};
use super::super::metadata::Value;

/// Values in all arrays together; a real vocabulary has a few 100,000.
const MAX_VALUES: usize = 1 << 23;
/// Arrays within arrays. No known key nests at all.
const MAX_DEPTH: usize = 4;
/// ggml's own limit (`GGML_MAX_DIMS`).
const MAX_DIMS: u32 = 4;

/// A reading position that never leaves the file.
pub(super) struct Cursor<'a> {
    file: &'a Path,
    bytes: &'a [u8],
    pos: usize,
    values_left: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`, the whole file `file`.
    pub fn new(file: &'a Path, bytes: &'a [u8]) -> Self {
        Self {
            file,
            bytes,
            pos: 0,
            values_left: MAX_VALUES,
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.pos
    }

    /// The next `n` bytes; `what` they are is for the error.
    pub fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8], WeightsError> {
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

    pub fn u32(&mut self, what: &str) -> Result<u32, WeightsError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub fn u64(&mut self, what: &str) -> Result<u64, WeightsError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A count of things of at least `min_bytes` each, if the rest of the file can hold as many.
    pub fn count(&self, n: u64, min_bytes: usize, what: &str) -> Result<usize, WeightsError> {
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
    pub fn name(&mut self, what: &str) -> Result<String, WeightsError> {
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
    pub fn value(&mut self, kind: u32, key: &str, depth: usize) -> Result<Value, WeightsError> {
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
    pub fn tensor(&mut self) -> Result<(TensorInfo, u64), WeightsError> {
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
