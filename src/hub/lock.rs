//! A lock between processes, one a blob, in the place and manner of huggingface_hub's `filelock`.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use fs4::{FileExt, TryLockError};

use super::{cache, HubError, Progress};

/// Held until dropped, or until the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock, waiting with one notice for whoever holds it.
    pub fn take(path: &Path, what: &str, progress: &dyn Progress) -> Result<Self, HubError> {
        if let Some(folder) = path.parent() {
            cache::make_dir(folder)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|e| HubError::io("open the lock", path, e))?;
        let mut told = false;
        loop {
            match FileExt::try_lock(&file) {
                Ok(()) => return Ok(Self { file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
                    progress.notice(&format!(
                        "{} does not support locks: do not pull the same model twice at a time",
                        path.display()
                    ));
                    return Ok(Self { file });
                }
                Err(TryLockError::Error(e)) => return Err(HubError::io("lock", path, e)),
            }
            if !told {
                progress.notice(&format!(
                    "another process is fetching {what}; waiting for it"
                ));
                told = true;
            }
            if progress.interrupted() {
                return Err(HubError::Interrupted);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Whether a process holds one of the locks in `folder`.
pub fn any_held(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries
        .flatten()
        .filter_map(|e| OpenOptions::new().write(true).open(e.path()).ok())
        .any(|file| matches!(FileExt::try_lock(&file), Err(TryLockError::WouldBlock)))
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file releases it as well.
        let _ = FileExt::unlock(&self.file);
    }
}
