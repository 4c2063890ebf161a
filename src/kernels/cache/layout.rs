//! Where the numbers of a chunk lie.

use std::alloc::{alloc_zeroed, dealloc, Layout};
use std::marker::PhantomData;

use super::element::SCALE_GROUP;
use super::CacheType;
use crate::kernels::simd::LANES;

/// Tokens of a chunk: the cache grows by this many, and attention works through one at a time.
pub(crate) const CHUNK: usize = 256;
/// Chunks begin on a line of the CPU's cache.
const ALIGNMENT: usize = 64;

/// The shape of a chunk. For each kv head follow each other:
/// - keys `[CHUNK / 16][head_dim][16]`: sixteen keys side by side, so that a vector holds one dimension of sixteen keys;
/// - values `[padded / 16][CHUNK][16]`: a vector holds sixteen dimensions of one value;
/// - where there are scales, those of the keys `[CHUNK / 16][groups][16]` and of the values `[groups][CHUNK]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub kv_heads: usize,
    pub head_dim: usize,
    /// `head_dim` rounded up to whole vectors.
    pub padded: usize,
    /// Groups of [`SCALE_GROUP`] dimensions, the last perhaps smaller.
    pub groups: usize,
    kind: CacheType,
}

impl Shape {
    pub fn new(kv_heads: usize, head_dim: usize, kind: CacheType) -> Self {
        Self {
            kv_heads,
            head_dim,
            padded: head_dim.next_multiple_of(LANES),
            groups: head_dim.div_ceil(SCALE_GROUP),
            kind,
        }
    }

    /// Bytes of one kv head's part of a chunk, a multiple of [`ALIGNMENT`].
    fn head_bytes(&self) -> usize {
        let scales = match self.kind {
            CacheType::Q8_0 => 2 * self.groups * size_of::<f32>(),
            CacheType::F32 | CacheType::F16 => 0,
        };
        CHUNK * ((self.head_dim + self.padded) * self.kind.size() + scales)
    }

    /// Bytes of a chunk.
    pub fn chunk_bytes(&self) -> usize {
        self.kv_heads * self.head_bytes()
    }

    /// One head's part of a chunk.
    ///
    /// # Safety
    /// The chunk has this shape, and `E` is its type.
    #[inline(always)]
    pub unsafe fn head<'a, E>(&self, chunk: &'a Chunk, kv_head: usize) -> Head<'a, E> {
        debug_assert!(kv_head < self.kv_heads && size_of::<E>() == self.kind.size());
        let keys: *mut E = chunk.start.add(kv_head * self.head_bytes()).cast();
        let values = keys.add(CHUNK * self.head_dim);
        let key_scales: *mut f32 = values.add(CHUNK * self.padded).cast();
        Head {
            keys,
            values,
            key_scales,
            value_scales: key_scales.wrapping_add(CHUNK * self.groups),
            chunk: PhantomData,
        }
    }
}

/// One kv head's part of a chunk; see [`Shape`].
#[derive(Clone, Copy)]
pub(crate) struct Head<'a, E> {
    pub keys: *mut E,
    pub values: *mut E,
    pub key_scales: *mut f32,
    pub value_scales: *mut f32,
    chunk: PhantomData<&'a Chunk>,
}

/// Memory for the keys and values of [`CHUNK`] tokens.
pub(crate) struct Chunk {
    start: *mut u8,
    layout: Layout,
}

// SAFETY: memory of its own; who writes where is decided by `KvCache::append`, which borrows the cache exclusively and
// writes no chunk that another cache holds.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// Zeros; `None` where there is no memory.
    pub fn new(bytes: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes.max(1), ALIGNMENT).ok()?;
        // SAFETY: the size is not 0.
        let start = unsafe { alloc_zeroed(layout) };
        (!start.is_null()).then_some(Self { start, layout })
    }

    /// All of it, whatever the numbers are.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: zeroed when it was allocated, and nobody writes while the cache is borrowed.
        unsafe { std::slice::from_raw_parts(self.start, self.layout.size()) }
    }

    /// The same, to be written over.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and any byte is part of a number.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.layout.size()) }
    }

    /// The same numbers in memory of their own; `None` where there is none.
    pub fn copy(&self) -> Option<Self> {
        let copy = Self::new(self.layout.size())?;
        // SAFETY: both have that many bytes, and nobody writes a chunk that others read.
        unsafe {
            copy.start
                .copy_from_nonoverlapping(self.start, self.layout.size())
        };
        Some(copy)
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `new`.
        unsafe { dealloc(self.start, self.layout) }
    }
}
