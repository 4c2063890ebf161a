//! A file on its way: `<blob>.incomplete`, the hash of its bytes and the ETag that guards it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::listing::is_hex;
use super::{HubError, Progress};

/// A hash that runs along with the bytes.
#[derive(Clone)]
pub enum Hash {
    Sha256(Sha256),
    /// The git hash of a blob, and the plain one that some mirrors give as ETag.
    Sha1(Sha1, Sha1),
    None,
}

impl Hash {
    /// The hash of no bytes, of the kind that `etag` is. A git hash begins with the length.
    pub fn of(etag: &str, bytes: Option<u64>) -> Self {
        match bytes {
            _ if is_hex(etag, 64) => Hash::Sha256(Sha256::new()),
            Some(bytes) if is_hex(etag, 40) => {
                let mut git = Sha1::new();
                git.update(format!("blob {bytes}\0"));
                Hash::Sha1(git, Sha1::new())
            }
            _ => Hash::None,
        }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hash::Sha256(h) => h.update(bytes),
            Hash::Sha1(git, plain) => {
                git.update(bytes);
                plain.update(bytes);
            }
            Hash::None => {}
        }
    }

    /// What is wrong if the content should have the hash `etag`.
    pub fn mismatch(&self, etag: &str) -> Option<String> {
        let (kind, found) = match self {
            Hash::Sha256(h) => ("sha256", vec![hex(&h.clone().finalize())]),
            Hash::Sha1(git, plain) => (
                "git hash",
                vec![hex(&git.clone().finalize()), hex(&plain.clone().finalize())],
            ),
            Hash::None => return None,
        };
        if found.iter().any(|f| f == etag) {
            return None;
        }
        let found = found.first().cloned().unwrap_or_default();
        Some(format!("its {kind} is {found} and should be {etag}"))
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `<blob>.incomplete`: what has arrived, its hash so far, and the ETag that it came with.
pub struct Partial {
    path: PathBuf,
    guard_path: PathBuf,
    file: File,
    pub bytes: u64,
    fresh: Hash,
    hash: Hash,
    pub guard: Option<String>,
}

impl Partial {
    /// Opens what an earlier attempt has left, and hashes it, or begins. `fresh` is the hash of no bytes.
    pub fn open(blob: &Path, fresh: Hash, progress: &dyn Progress) -> Result<Self, HubError> {
        let path = with_suffix(blob, ".incomplete");
        let guard_path = with_suffix(blob, ".incomplete.etag");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| HubError::io("write", &path, e))?;
        let mut hash = fresh.clone();
        let mut bytes = 0;
        read_chunks(&mut file, &path, |chunk| {
            // Tens of gigabytes take minutes.
            if progress.interrupted() {
                return Err(HubError::Interrupted);
            }
            hash.update(chunk);
            bytes += chunk.len() as u64;
            Ok(())
        })?;
        let guard = fs::read_to_string(&guard_path)
            .ok()
            .filter(|g| is_strong(g));
        Ok(Self {
            path,
            guard_path,
            file,
            bytes,
            fresh,
            hash,
            guard,
        })
    }

    /// Cuts the file back to `bytes` and hashes it again.
    pub fn truncate(
        &mut self,
        bytes: u64,
        blob: &Path,
        progress: &dyn Progress,
    ) -> Result<(), HubError> {
        if bytes < self.bytes {
            self.file
                .set_len(bytes)
                .map_err(|e| HubError::io("write", &self.path, e))?;
            *self = Self::open(blob, self.fresh.clone(), progress)?;
        }
        Ok(())
    }

    /// A part may be continued when the ETag guards it or a hash of the whole will.
    pub fn can_resume(&self) -> bool {
        self.bytes == 0 || self.guard.is_some() || matches!(self.fresh, Hash::Sha256(_))
    }

    /// Back to no bytes.
    pub fn restart(&mut self) -> Result<(), HubError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(|e| HubError::io("write", &self.path, e))?;
        self.bytes = 0;
        self.hash = self.fresh.clone();
        self.guard = None;
        let _ = fs::remove_file(&self.guard_path);
        Ok(())
    }

    /// Notes the ETag that the following bytes come with.
    pub fn set_guard(&mut self, etag: Option<String>) -> Result<(), HubError> {
        let etag = etag.filter(|e| is_strong(e));
        if etag != self.guard || self.bytes == 0 {
            match &etag {
                Some(etag) => fs::write(&self.guard_path, etag)
                    .map_err(|e| HubError::io("write", &self.guard_path, e))?,
                None => drop(fs::remove_file(&self.guard_path)),
            }
            self.guard = etag;
        }
        Ok(())
    }

    /// Writes the next bytes. On an error the file keeps exactly `self.bytes` bytes.
    pub fn append(&mut self, chunk: &[u8]) -> Result<(), HubError> {
        if let Err(e) = self.file.write_all(chunk) {
            let _ = self.file.set_len(self.bytes);
            return Err(HubError::io("write", &self.path, e));
        }
        self.hash.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    /// What is wrong with the whole.
    pub fn mismatch(&self, etag: &str) -> Option<String> {
        self.hash.mismatch(etag)
    }

    /// Gives the file its name, after its bytes have reached the disk.
    pub fn put_in_place(self, blob: &Path) -> Result<(), HubError> {
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, blob))
            .map_err(|e| HubError::io("put in place", blob, e))?;
        let _ = fs::remove_file(&self.guard_path);
        if let Some(folder) = blob.parent() {
            // The name itself; not every system allows it.
            let _ = File::open(folder).and_then(|f| f.sync_all());
        }
        Ok(())
    }

    /// Deletes what has arrived.
    pub fn remove(self) {
        let _ = fs::remove_file(&self.guard_path);
        let _ = fs::remove_file(&self.path);
    }
}

/// Hands the content of an open file to `each`, a megabyte at a time; `path` is for the error.
pub fn read_chunks(
    file: &mut File,
    path: &Path,
    mut each: impl FnMut(&[u8]) -> Result<(), HubError>,
) -> Result<(), HubError> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => each(buffer.get(..n).unwrap_or_default())?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(HubError::io("read", path, e)),
        }
    }
}

/// Weak tags cannot guard a range (RFC 9110, 13.1.5).
fn is_strong(etag: &str) -> bool {
    !etag.is_empty() && !etag.starts_with("W/") && etag.bytes().all(|b| (0x21..0x7f).contains(&b))
}

/// `path` with `suffix` added to its last part.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Silent;

    #[test]
    fn a_partial_file_is_taken_up_with_its_hash() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let blob = dir.path().join("blob");
        let mut partial = Partial::open(&blob, Hash::Sha256(Sha256::new()), &Silent).expect("open");
        partial.append(b"abc").expect("append");
        partial.set_guard(Some("\"e\"".into())).expect("guard");
        drop(partial);
        let mut partial =
            Partial::open(&blob, Hash::Sha256(Sha256::new()), &Silent).expect("reopen");
        assert_eq!(
            (partial.bytes, partial.guard.as_deref()),
            (3, Some("\"e\""))
        );
        partial.append(b"def").expect("append");
        let whole = hex(&Sha256::digest(b"abcdef"));
        assert_eq!(partial.mismatch(&whole), None);
        assert!(partial.mismatch(&hex(&Sha256::digest(b"abc"))).is_some());
        partial.truncate(2, &blob, &Silent).expect("truncate");
        assert_eq!(partial.mismatch(&hex(&Sha256::digest(b"ab"))), None);
        partial.restart().expect("restart");
        assert_eq!(partial.mismatch(&hex(&Sha256::digest(b""))), None);
        partial.put_in_place(&blob).expect("rename");
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1);
    }

    #[test]
    fn git_hashes_are_recognised() {
        // `printf 'what is up, doc?' | git hash-object --stdin`, the example of the Pro Git book.
        let content = b"what is up, doc?";
        let etag = "bd9dbf5aae1a3862dd1526723246b20206e5fc37";
        let mut hash = Hash::of(etag, Some(content.len() as u64));
        hash.update(content);
        assert_eq!(hash.mismatch(etag), None);
        assert!(hash
            .mismatch("bd9dbf5aae1a3862dd1526723246b20206e5fc38")
            .is_some());
    }
}
