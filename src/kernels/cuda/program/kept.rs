//! What the run-time compiler has made of the kernels, kept for the next time: it took up to a minute.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// Files that are kept: as many GPUs, compilers and versions of crane are in use side by side at most.
const FILES: usize = 4;
/// Bytes of the checksum that a file begins with.
const SUM: usize = 32;

/// A file for what is made of `parts`, all of which determine it.
pub(super) fn file(folder: &Path, parts: &[&[u8]]) -> PathBuf {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    let name: String = sum.finalize().iter().map(|b| format!("{b:02x}")).collect();
    folder.join(format!("{name}.ptx"))
}

/// What [`write()`] wrote to `file`; None where that is not there, or damaged.
pub(super) fn read(file: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(file).ok()?;
    let made = bytes.split_off(bytes.len().min(SUM));
    (Sha256::digest(&made)[..] == bytes[..]).then_some(made)
}

/// Writes `made` to `file` whole or not at all, and removes the oldest files where there are too many.
///
/// # Errors
/// Those of the file system.
pub(super) fn write(file: &Path, made: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
    let bytes = [&Sha256::digest(made)[..], made].concat();
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, file))
        .inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })?;
    let mut others = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let written = entry.metadata().and_then(|about| about.modified());
        if entry.path() != file {
            others.push((written.unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
        }
    }
    others.sort();
    let too_many = (others.len() + 1).saturating_sub(FILES);
    for (_, other) in &others[..too_many] {
        let _ = fs::remove_file(other);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_is_damaged_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("crane/kernels");
        let kept = file(&deep, &[b"source", b"9.0"]);
        assert_ne!(kept, file(&deep, &[b"sourc", b"e9.0"]));
        assert_eq!(read(&kept), None);
        for made in [&b""[..], b"ptx", &[7; 100_000]] {
            write(&kept, made).unwrap();
            assert_eq!(read(&kept).as_deref(), Some(made));
        }
        let whole = fs::read(&kept).unwrap();
        for cut in [0, 1, SUM - 1, SUM, whole.len() - 1] {
            fs::write(&kept, &whole[..cut]).unwrap();
            assert_eq!(read(&kept), None, "{cut}");
            let mut flipped = whole.clone();
            flipped[cut] ^= 1;
            fs::write(&kept, &flipped).unwrap();
            assert_eq!(read(&kept), None, "{cut}");
        }
    }

    #[test]
    fn the_oldest_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = (0..6u8).map(|i| file(folder.path(), &[&[i]])).collect();
        for (age, kept) in files.iter().enumerate() {
            write(kept, b"ptx").unwrap();
            let made = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age as u64);
            fs::File::open(kept).unwrap().set_modified(made).unwrap();
        }
        let there: Vec<bool> = files.iter().map(|kept| kept.exists()).collect();
        assert_eq!(there, [false, false, true, true, true, true]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_leaves_nothing() {
        let place = tempfile::NamedTempFile::new().unwrap();
        let kept = file(&place.path().join("kernels"), &[b"a"]);
        assert!(write(&kept, b"ptx").is_err());
        assert_eq!(read(&kept), None);
    }
}
