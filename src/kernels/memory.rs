//! Memory for packed weights.

use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapMut;

/// Bytes of a chunk: a whole number of large pages, so that small matrices share them.
const CHUNK: usize = 64 << 20;
/// Where matrices begin: at a cache line.
const ALIGNMENT: usize = 64;

/// Hands out memory for matrices from large chunks, in large pages where the system has them: half of the cost of
/// filling them, and no page is too short for the hardware to read ahead in.
#[derive(Default)]
pub struct Arena {
    current: Mutex<Option<(Arc<Chunk>, usize)>>,
}

struct Chunk {
    start: *mut u8,
    /// Keeps the memory.
    _map: MmapMut,
}

// SAFETY: the memory is reached through `Bytes` alone, whose ranges do not overlap.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

/// Zeroed memory of one matrix, at a multiple of 64.
pub struct Bytes {
    chunk: Arc<Chunk>,
    start: usize,
    len: usize,
}

impl Arena {
    /// `len` bytes of zeros.
    ///
    /// # Errors
    /// The system has no memory left.
    pub fn take(&self, len: usize) -> std::io::Result<Bytes> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let padded = len.next_multiple_of(ALIGNMENT);
        if let Some((chunk, used)) = current.as_mut() {
            if chunk._map.len() - *used >= padded {
                let bytes = Bytes {
                    chunk: chunk.clone(),
                    start: *used,
                    len,
                };
                *used += padded;
                return Ok(bytes);
            }
        }
        let chunk = Arc::new(Chunk::new(padded.max(CHUNK))?);
        let bytes = Bytes {
            chunk: chunk.clone(),
            start: 0,
            len,
        };
        // What is left of a large one, or of the chunk before, whichever is more.
        let left = chunk._map.len() - padded;
        let before = current
            .as_ref()
            .map_or(0, |(chunk, used)| chunk._map.len() - used);
        if left > before {
            *current = Some((chunk, padded));
        }
        Ok(bytes)
    }
}

impl Chunk {
    fn new(len: usize) -> std::io::Result<Self> {
        let mut map = MmapMut::map_anon(len)?;
        #[cfg(target_os = "linux")]
        // Only a hint: without large pages it works, slower.
        drop(map.advise(memmap2::Advice::HugePage));
        Ok(Self {
            start: map.as_mut_ptr(),
            _map: map,
        })
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: within the chunk, which `self` keeps, and written only through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.chunk.start.add(self.start), self.len) }
    }
}

impl std::ops::DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; no other `Bytes` has this range.
        unsafe { std::slice::from_raw_parts_mut(self.chunk.start.add(self.start), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_zero_aligned_and_apart() {
        let arena = Arena::default();
        let mut all: Vec<Bytes> = [1, 64, 100, CHUNK, 3 * CHUNK + 5, 7, CHUNK - 64, 0]
            .into_iter()
            .map(|len| arena.take(len).unwrap())
            .collect();
        for (i, bytes) in all.iter_mut().enumerate() {
            assert_eq!(bytes.as_ptr() as usize % ALIGNMENT, 0);
            assert!(bytes.iter().all(|&b| b == 0));
            bytes.fill(i as u8 + 1);
        }
        for (i, bytes) in all.iter().enumerate() {
            assert!(bytes.iter().all(|&b| b == i as u8 + 1));
        }
    }
}
