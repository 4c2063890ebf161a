//! A read-only memory map of one weight file.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::error::{WeightsError, REMEDY};

/// A mapped file. Pages are read from disk when they are touched, so opening costs nothing.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl MappedFile {
    /// Maps `path`; an empty file is an error.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => WeightsError::missing(
                path,
                "no such file; fetch the model with 'crane pull MODEL'",
            ),
            _ => WeightsError::io(path, e),
        })?;
        let meta = file.metadata().map_err(|e| WeightsError::io(path, e))?;
        if !meta.is_file() {
            return Err(WeightsError::unsupported(
                path,
                "not a regular file; weights are memory-mapped and cannot be read from a pipe or device",
            ));
        }
        if meta.len() == 0 {
            return Err(WeightsError::corrupt(
                path,
                format!("the file is empty; {REMEDY}"),
            ));
        }
        // SAFETY: the map is read-only and private to this process's view; weight files are replaced by
        // rename, never rewritten in place, so the bytes do not change under the slice.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| WeightsError::io(path, e))?;
        Ok(Self {
            path: path.to_path_buf(),
            map,
        })
    }

    /// A map of no file, for a checkpoint that has none; `label` stands where errors name a file.
    pub fn nothing(label: &Path) -> Result<Self, WeightsError> {
        let map = memmap2::MmapMut::map_anon(1).and_then(|map| map.make_read_only());
        Ok(Self {
            path: label.to_path_buf(),
            map: map.map_err(|e| WeightsError::io(label, e))?,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Tells the system that the whole file will be read soon, so that it reads ahead from the disk.
    pub fn prefetch(&self) {
        #[cfg(unix)]
        {
            // Only a hint: a system that refuses it still works.
            drop(self.map.advise(memmap2::Advice::WillNeed));
        }
    }

    /// Tells the system that `range` was copied out and need not stay resident, so that a conversion
    /// at load does not count the model twice. Reading it again is still correct.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        {
            // SAFETY: a read-only map of a file has no dirty pages to lose; a later read faults the
            // page in again with the same content.
            let advised = unsafe {
                self.map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.len(),
                )
            };
            // Only a hint: a system that refuses it still works.
            drop(advised);
        }
        #[cfg(not(unix))]
        drop(range);
    }
}
