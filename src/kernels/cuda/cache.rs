//! Keys and values in a GPU's memory.

use std::io::{self, Read, Write};
use std::sync::Arc;

use super::error::GpuError;
use super::gpu::Gpu;
use super::memory::{Address, Buffer};
use crate::kernels::planes::Kind;

/// Tokens that the first allocation of a cache holds.
const FIRST_CAPACITY: usize = 1024;
/// Bytes on their way between a GPU and a file at a time.
const PIECE: usize = 4 << 20;

/// Keys and values of a sequence in one layer, `[capacity, kv_heads, head_dim]` each; doubled as needed up to the context.
pub struct Cache {
    gpu: Arc<Gpu>,
    keys: Option<Buffer>,
    values: Option<Buffer>,
    pub(super) capacity: usize,
    context: usize,
    /// Numbers of a token.
    width: usize,
    pub(super) kind: Kind,
}

impl Cache {
    /// An empty one for at most `context` tokens of `width` numbers, of kind F32 or F16.
    pub fn new(gpu: &Arc<Gpu>, context: usize, width: usize, kind: Kind) -> Self {
        Self {
            gpu: Arc::clone(gpu),
            keys: None,
            values: None,
            capacity: 0,
            context,
            width,
            kind,
        }
    }

    /// Room for `len` tokens, of which the first `kept` stay; whether the cache has moved.
    ///
    /// # Errors
    /// Out of memory: then the cache is as it was.
    pub fn reserve(&mut self, len: usize, kept: usize) -> Result<bool, GpuError> {
        if len <= self.capacity {
            return Ok(false);
        }
        let capacity = len
            .max(FIRST_CAPACITY)
            .next_power_of_two()
            .min(self.context.max(len));
        let token = self.token_bytes();
        let larger = |old: &Option<Buffer>| {
            let new = Buffer::new(&self.gpu, capacity * token)?;
            if let Some(old) = old {
                new.copy_from(0, old, kept.min(self.capacity) * token)?;
            }
            Ok::<_, GpuError>(new)
        };
        let (keys, values) = (larger(&self.keys)?, larger(&self.values)?);
        (self.keys, self.values) = (Some(keys), Some(values));
        self.capacity = capacity;
        Ok(true)
    }

    /// Becomes the first `len` tokens of `other`; whether it has moved.
    ///
    /// # Errors
    /// Out of memory: then the cache is as it was.
    pub fn begin_as(&mut self, other: &Self, len: usize) -> Result<bool, GpuError> {
        let moved = self.reserve(len, 0)?;
        let bytes = len.min(other.capacity) * self.token_bytes();
        let pairs = [(&self.keys, &other.keys), (&self.values, &other.values)];
        for pair in pairs {
            if let (Some(to), Some(from)) = pair {
                to.copy_from(0, from, bytes)?;
            }
        }
        Ok(moved)
    }

    /// Bytes of a token's keys, and of its values.
    fn token_bytes(&self) -> usize {
        self.width * self.kind.float_bytes().unwrap_or(4)
    }

    /// Writes the first `len` tokens: keys, then values.
    ///
    /// # Errors
    /// There are not so many; work that failed; those of `out`.
    pub fn save(&self, len: usize, out: &mut dyn Write) -> io::Result<()> {
        let bytes = len * self.token_bytes();
        let mut piece = vec![0; PIECE.min(bytes)];
        for buffer in self.held(bytes)? {
            for at in (0..bytes).step_by(PIECE) {
                let piece = &mut piece[..PIECE.min(bytes - at)];
                buffer.read(at, piece).map_err(io::Error::other)?;
                out.write_all(piece)?;
            }
        }
        Ok(())
    }

    /// Reads `len` tokens that [`Cache::save`] of the same shape wrote, in place of all that is held. The cache may move.
    ///
    /// # Errors
    /// More tokens than the context holds, out of memory, a source that ends early: then what is held is of no use.
    pub fn restore(&mut self, len: usize, source: &mut dyn Read) -> io::Result<()> {
        if len > self.context {
            let context = self.context;
            return Err(io::Error::other(format!(
                "{len} tokens do not fit a context of {context}"
            )));
        }
        self.reserve(len, 0).map_err(io::Error::other)?;
        let bytes = len * self.token_bytes();
        let mut piece = vec![0; PIECE.min(bytes)];
        for buffer in self.held(bytes)? {
            for at in (0..bytes).step_by(PIECE) {
                let piece = &mut piece[..PIECE.min(bytes - at)];
                source.read_exact(piece)?;
                buffer.write(at, piece).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Keys and values, of which so many `bytes` each are wanted; none where none are.
    fn held(&self, bytes: usize) -> io::Result<Vec<&Buffer>> {
        match (&self.keys, &self.values) {
            _ if bytes == 0 => Ok(Vec::new()),
            (Some(keys), Some(values)) => Ok(vec![keys, values]),
            _ => Err(io::Error::other("a cache without room")),
        }
    }

    /// Where keys and values lie.
    ///
    /// # Errors
    /// There was never room for any.
    pub(super) fn addresses(&self) -> Result<(Address, Address), GpuError> {
        match (&self.keys, &self.values) {
            (Some(keys), Some(values)) => Ok((keys.address(), values.address())),
            _ => Err(GpuError::Unsupported("a cache without room".into())),
        }
    }
}
