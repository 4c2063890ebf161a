//! Keys and values of the tokens that a layer has seen.

mod convert;
mod element;
mod layout;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;
use std::sync::Arc;

use half::f16;

use self::convert::Convert;
pub(crate) use self::element::{Element, SCALE_GROUP};
pub(crate) use self::layout::{Chunk, Head, Shape, CHUNK};
use super::pool;
use super::simd::{Simd, LANES};

/// How keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheType {
    F32,
    #[default]
    F16,
    /// Signed bytes; 32 dimensions of a token share an f32 scale.
    Q8_0,
}

impl CacheType {
    /// All of them, the most exact first.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Q8_0];

    /// Bytes of a number, scales included.
    pub fn bytes(self) -> f64 {
        match self {
            Self::F32 => 4.0,
            Self::F16 => 2.0,
            // A scale of four bytes for 32 numbers.
            Self::Q8_0 => 1.125,
        }
    }

    /// As `--cache-type` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        }
    }

    /// Bytes of a number, without scales.
    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Q8_0 => 1,
        }
    }
}

impl fmt::Display for CacheType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Not one of [`CacheType::ALL`].
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no cache type; use f32, f16 or q8_0")]
pub struct UnknownCacheType(String);

impl FromStr for CacheType {
    type Err = UnknownCacheType;

    fn from_str(name: &str) -> Result<Self, UnknownCacheType> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownCacheType(name.to_owned()))
    }
}

/// Why tokens could not be appended; the cache is as it was.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    #[error("{needed} tokens do not fit a context of {limit}")]
    Full { needed: usize, limit: usize },
    #[error("no memory for the keys and values of {tokens} tokens ({bytes} bytes a layer)")]
    Memory { tokens: usize, bytes: usize },
}

/// The cache of one layer for one sequence. It grows by chunks of tokens, and nothing moves when it does. Sequences
/// that begin alike share the chunks of their beginning until one of them writes there.
pub struct KvCache {
    shape: Shape,
    context: usize,
    kind: CacheType,
    len: usize,
    chunks: Vec<Arc<Chunk>>,
}

impl KvCache {
    /// Tokens that it grows by.
    pub const GROWTH: usize = CHUNK;

    /// An empty cache for at most `context` tokens.
    pub fn new(kv_heads: usize, head_dim: usize, context: usize, kind: CacheType) -> Self {
        Self {
            shape: Shape::new(kv_heads, head_dim, kind),
            context,
            kind,
            len: 0,
            chunks: Vec::new(),
        }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How the numbers are stored.
    pub fn kind(&self) -> CacheType {
        self.kind
    }

    /// Bytes allocated, shared ones included.
    pub fn bytes(&self) -> usize {
        self.chunks.len() * self.shape.chunk_bytes()
    }

    /// Forgets all but the first `len` tokens; their memory stays for the next ones.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Writes the first `len` tokens of what is held as they lie in memory, in whole chunks.
    pub fn save(&self, len: usize, out: &mut dyn Write) -> io::Result<()> {
        let held = self.chunks.iter().take(self.len.min(len).div_ceil(CHUNK));
        held.map(|chunk| chunk.bytes())
            .try_for_each(|bytes| out.write_all(bytes))
    }

    /// Reads `len` tokens that a cache of the same shape and type saved, in place of what is held. On an error the cache
    /// is empty.
    ///
    /// # Errors
    /// A source that ends early, more tokens than the context holds, no memory for them.
    pub fn restore(&mut self, len: usize, source: &mut dyn Read) -> io::Result<()> {
        self.len = 0;
        if len > self.context {
            let limit = self.context;
            return Err(io::Error::other(CacheError::Full { needed: len, limit }));
        }
        // Chunks of its own: others may read the ones that are there.
        self.chunks.clear();
        self.reserve(len).map_err(io::Error::other)?;
        for chunk in self.chunks.iter_mut().filter_map(Arc::get_mut) {
            source.read_exact(chunk.bytes_mut())?;
        }
        self.len = len;
        Ok(())
    }

    /// Becomes the first `len` tokens of `other`, a cache of the same shape and type; no number is copied yet.
    ///
    /// # Panics
    /// Another shape or type, or fewer tokens in `other`.
    pub fn begin_as(&mut self, other: &Self, len: usize) {
        assert!(self.shape == other.shape && self.kind == other.kind && len <= other.len);
        self.chunks.clear();
        let shared = &other.chunks[..len.div_ceil(CHUNK)];
        self.chunks.extend(shared.iter().cloned());
        self.len = len;
    }

    /// Adds `tokens` keys and values, each `[tokens, kv_heads · head_dim]` with rows `stride` numbers apart (they may
    /// lie in a wider matrix).
    ///
    /// # Errors
    /// More tokens than the context holds, or no memory for them.
    ///
    /// # Panics
    /// A slice that is too short for its shape.
    pub fn append(
        &mut self,
        simd: Simd,
        k: &[f32],
        v: &[f32],
        stride: usize,
        tokens: usize,
    ) -> Result<(), CacheError> {
        if tokens == 0 {
            return Ok(());
        }
        let width = self.shape.kv_heads * self.shape.head_dim;
        assert!(width <= stride, "rows that overlap");
        let extent = (tokens - 1) * stride + width;
        assert!(k.len() >= extent && v.len() >= extent, "too few numbers");
        let needed = self.len.saturating_add(tokens);
        if needed > self.context {
            let limit = self.context;
            return Err(CacheError::Full { needed, limit });
        }
        self.reserve(needed)?;
        // A task is one block of keys: no two write to the same block.
        let (from, first) = (self.len, self.len / LANES);
        let cache = &*self;
        pool::run(needed.div_ceil(LANES) - first, |task| {
            let start = ((first + task) * LANES).max(from);
            let end = ((first + task + 1) * LANES).min(needed);
            match cache.kind {
                CacheType::F32 => cache.convert::<f32>(simd, k, v, stride, from, start..end),
                CacheType::F16 => cache.convert::<f16>(simd, k, v, stride, from, start..end),
                CacheType::Q8_0 => cache.convert::<i8>(simd, k, v, stride, from, start..end),
            }
        });
        self.len = needed;
        Ok(())
    }

    /// Stores the tokens at `positions`, all of one block; row 0 of `k` and `v` is the token at position `from`.
    fn convert<E: Element>(
        &self,
        simd: Simd,
        k: &[f32],
        v: &[f32],
        stride: usize,
        from: usize,
        positions: std::ops::Range<usize>,
    ) {
        let dim = self.shape.head_dim;
        for kv_head in 0..self.shape.kv_heads {
            let head = self.head::<E>(positions.start / CHUNK, kv_head);
            for position in positions.clone() {
                let at = (position - from) * stride + kv_head * dim;
                simd.run(Convert {
                    shape: &self.shape,
                    head,
                    slot: position % CHUNK,
                    k: &k[at..at + dim],
                    v: &v[at..at + dim],
                });
            }
        }
    }

    /// Allocates what `len` tokens need, and makes what will be written this cache's own.
    fn reserve(&mut self, len: usize) -> Result<(), CacheError> {
        let (chunks, bytes) = (len.div_ceil(CHUNK), self.shape.chunk_bytes());
        let error = CacheError::Memory {
            tokens: len,
            bytes: chunks.saturating_mul(bytes),
        };
        if self.chunks.len() < chunks {
            let more = chunks - self.chunks.len();
            if self.chunks.try_reserve(more).is_err() {
                return Err(error);
            }
        }
        for chunk in self.chunks.iter_mut().take(chunks).skip(self.len / CHUNK) {
            if Arc::get_mut(chunk).is_none() {
                *chunk = match chunk.copy() {
                    Some(own) => Arc::new(own),
                    None => return Err(error),
                };
            }
        }
        while self.chunks.len() < chunks {
            match Chunk::new(bytes) {
                Some(chunk) => self.chunks.push(Arc::new(chunk)),
                None => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// One head's part of a chunk; `E` must be the type of [`KvCache::kind`].
    pub(crate) fn head<E: Element>(&self, chunk: usize, kv_head: usize) -> Head<'_, E> {
        // SAFETY: every chunk was made for this shape.
        unsafe { self.shape.head(&self.chunks[chunk], kv_head) }
    }
}
