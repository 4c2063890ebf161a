//! One file from the hub into the cache: resumed, verified, and put in place only when whole.
//!
//! The bytes go into `<blob>.incomplete`, which survives kill -9, a dropped connection and a reboot.
//! The next attempt asks for the rest with `Range`, guarded by `If-Range` and the ETag of the answer
//! that the first part came from (kept in `<blob>.incomplete.etag`). The hash runs along; what does not
//! match is deleted and never gets the blob's name.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha1::Sha1;
use sha2::{Digest, Sha256};
use ureq::http::Method;

use super::cache::{self, RepoCache};
use super::client::{Client, Failure, Response};
use super::listing::is_hex;
use super::lock::Lock;
use super::source::{explain, pause_after};
use super::space::human_bytes;
use super::{HubError, TimeLimits};

/// Attempts in a row that bring nothing to speak of.
const ATTEMPTS: u32 = 5;
/// Attempts in all, for a server that brings a little each time.
const ALL_ATTEMPTS: u32 = 200;

/// A file to fetch.
pub struct Job<'a> {
    pub client: &'a Client<'a>,
    pub cache: &'a RepoCache,
    pub commit: &'a str,
    /// Within the repository; also what the progress is reported under.
    pub name: &'a str,
    pub url: String,
    /// The blob's name.
    pub etag: &'a str,
    /// The stated size.
    pub bytes: Option<u64>,
    /// Check the hash as well as the length.
    pub verify: bool,
    /// Fetch even what is there.
    pub force: bool,
}

/// What one pass over the network ended with.
enum Outcome {
    /// The stated number of bytes is there.
    Whole,
    /// The answer cannot be this file: too long, or complete and too short.
    Wrong(String),
}

impl Job<'_> {
    /// Fetches the blob, unless it is there. On return it is in place and verified.
    pub fn run(&self) -> Result<(), HubError> {
        let blob = self.cache.blob(self.etag);
        if !self.force && is_whole(&blob, self.bytes) {
            return Ok(());
        }
        if let Some(folder) = blob.parent() {
            cache::make_dir(folder)?;
        }
        let progress = self.client.progress;
        let _lock = Lock::take(&self.cache.lock_file(self.etag), self.name, progress)?;
        if !self.force && is_whole(&blob, self.bytes) {
            progress.notice(&format!("{}: another process has fetched it", self.name));
            return Ok(());
        }
        let mut partial = Partial::open(&blob, self.kind())?;
        let mut again = false;
        loop {
            let wrong = match self.transfer(&mut partial)? {
                Outcome::Whole => match partial.mismatch(self.etag) {
                    None => break,
                    Some(reason) => reason,
                },
                Outcome::Wrong(reason) => reason,
            };
            partial.restart()?;
            if again {
                partial.remove();
                return Err(HubError::Corrupt(format!(
                    "{} of {}: {wrong}, twice. Nothing was kept; try again later, or another HF_ENDPOINT",
                    self.name,
                    self.cache.repo()
                )));
            }
            again = true;
            progress.notice(&format!("{}: {wrong}; fetching it anew", self.name));
        }
        partial.put_in_place(&blob)?;
        progress.file_finished(self.name);
        Ok(())
    }

    /// The hash that the blob's name is.
    fn kind(&self) -> Hash {
        match self.verify {
            true => Hash::of(self.etag, self.bytes),
            false => Hash::None,
        }
    }

    /// Asks for the missing bytes until they are there or it makes no sense to go on.
    fn transfer(&self, partial: &mut Partial) -> Result<Outcome, HubError> {
        let progress = self.client.progress;
        let mut fruitless = 0;
        for _ in 0..ALL_ATTEMPTS {
            let before = partial.bytes;
            let failure = match self.attempt(partial)? {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => failure,
            };
            // A few bytes an attempt are no progress, or a crawling server would hold us for hours.
            let fruitful = partial.bytes >= before + TimeLimits::SLOW_BYTES;
            fruitless = if fruitful { 1 } else { fruitless + 1 };
            let fatal = |f| {
                Err(explain(
                    self.client,
                    f,
                    self.cache.repo(),
                    self.commit,
                    Some(self.name),
                ))
            };
            let pause = match &failure {
                // Once the hub has answered, a network that is gone for a moment may come back.
                Failure::Unreachable(why) => Some((
                    self.client.settings.limits.pause * (1 << fruitless.min(5)),
                    why.clone(),
                )),
                other => pause_after(self.client, other, fruitless),
            };
            let Some((pause, why)) = pause.filter(|_| fruitless < ATTEMPTS) else {
                return fatal(failure);
            };
            progress.notice(&format!(
                "{}: {why}; going on at {} in {:.1} s",
                self.name,
                human_bytes(partial.bytes),
                pause.as_secs_f64()
            ));
            if let Err(failure) = self.client.pause(pause) {
                return fatal(failure);
            }
        }
        Err(HubError::Network(format!(
            "{}: the connection broke {ALL_ATTEMPTS} times. What has arrived is kept; run the same command \
             again to resume",
            self.name
        )))
    }

    /// One request and its body. The outer error is the disk's.
    fn attempt(&self, partial: &mut Partial) -> Result<Result<Outcome, Failure>, HubError> {
        if self.bytes.is_some_and(|b| partial.bytes > b) || !partial.can_resume() {
            partial.restart()?;
        }
        let progress = self.client.progress;
        progress.file_started(self.name, self.bytes, partial.bytes);
        if self.bytes == Some(partial.bytes) {
            return Ok(Ok(Outcome::Whole));
        }
        let mut headers = Vec::new();
        if partial.bytes > 0 {
            headers.push(("range", format!("bytes={}-", partial.bytes)));
            if let Some(guard) = &partial.guard {
                headers.push(("if-range", guard.clone()));
            }
        }
        let response = match self.client.send(Method::GET, &self.url, &headers, false) {
            Ok(response) => response,
            Err(failure) => return Ok(Err(failure)),
        };
        if let Err(failure) = self.accept(&response, partial)? {
            return Ok(Err(failure));
        }
        self.receive(response, partial)
    }

    /// Decides whether the answer continues the partial file, and starts it anew if not.
    fn accept(
        &self,
        response: &Response,
        partial: &mut Partial,
    ) -> Result<Result<(), Failure>, HubError> {
        let progress = self.client.progress;
        let etag = response.header("etag").map(str::to_string);
        let again = |partial: &mut Partial, why: &str| -> Result<Result<(), Failure>, HubError> {
            partial.restart()?;
            Ok(Err(Failure::Broken(why.to_string())))
        };
        match response.status {
            206 => {
                let range = response.header("content-range").unwrap_or_default();
                match parse_range(range) {
                    Some((start, total)) if start == partial.bytes => {
                        if let (Some(total), Some(bytes)) = (total, self.bytes) {
                            if total != bytes {
                                return again(partial, "the file changed on the server");
                            }
                        }
                    }
                    _ => return again(partial, "the server sent another part than was asked for"),
                }
                if let (Some(old), Some(new)) = (&partial.guard, &etag) {
                    if old != new {
                        return again(partial, "the file changed on the server");
                    }
                }
            }
            416 => return again(partial, "the server has no more of it"),
            _ => {
                if partial.bytes > 0 {
                    progress.notice(&format!(
                        "{}: the server does not resume or the file changed; starting it anew",
                        self.name
                    ));
                    partial.restart()?;
                    progress.file_started(self.name, self.bytes, 0);
                }
            }
        }
        partial.set_guard(etag)?;
        Ok(Ok(()))
    }

    fn receive(
        &self,
        response: Response,
        partial: &mut Partial,
    ) -> Result<Result<Outcome, Failure>, HubError> {
        let from = partial.bytes;
        let stated = response.content_length().map(|l| from.saturating_add(l));
        let too_long = |got: u64| {
            Ok(Ok(Outcome::Wrong(format!(
                "the server sends {got} bytes where the hub states {}",
                self.bytes.unwrap_or_default()
            ))))
        };
        if let (Some(stated), Some(bytes)) = (stated, self.bytes) {
            if stated > bytes {
                return too_long(stated);
            }
        }
        let mut stream = match self.client.stream(response) {
            Ok(stream) => stream,
            Err(failure) => return Ok(Err(failure)),
        };
        loop {
            match stream.next() {
                Ok(Some(chunk)) => {
                    let after = partial.bytes + chunk.len() as u64;
                    if self.bytes.is_some_and(|b| after > b) {
                        return too_long(after);
                    }
                    partial.append(&chunk)?;
                    self.client
                        .progress
                        .file_advanced(self.name, chunk.len() as u64);
                }
                Ok(None) => break,
                Err(failure) => return Ok(Err(failure)),
            }
        }
        let complete = match (self.bytes, stated) {
            (Some(bytes), _) => partial.bytes == bytes,
            (None, Some(stated)) => partial.bytes == stated,
            (None, None) => true,
        };
        if complete {
            return Ok(Ok(Outcome::Whole));
        }
        let short = format!(
            "the server sends {} bytes where the hub states {}",
            partial.bytes,
            self.bytes.unwrap_or_default()
        );
        // It says that this is all, from the first byte on: asking again would bring the same.
        if from == 0 && stated == Some(partial.bytes) {
            return Ok(Ok(Outcome::Wrong(short)));
        }
        Ok(Err(Failure::Broken(format!(
            "the connection ended after {}",
            human_bytes(partial.bytes)
        ))))
    }
}

/// Whether a blob is there with its stated size.
pub fn is_whole(blob: &Path, bytes: Option<u64>) -> bool {
    fs::metadata(blob).is_ok_and(|m| m.is_file() && bytes.is_none_or(|b| b == m.len()))
}

/// `bytes 5-9/10` → `(5, Some(10))`.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

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
    guard: Option<String>,
}

impl Partial {
    /// Opens what an earlier attempt has left, or begins. `fresh` is the hash of no bytes.
    pub fn open(blob: &Path, fresh: Hash) -> Result<Self, HubError> {
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
        let mut buffer = vec![0; 1 << 20];
        let mut bytes = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    hash.update(buffer.get(..n).unwrap_or_default());
                    bytes += n as u64;
                }
                Err(e) => return Err(HubError::io("read", &path, e)),
            }
        }
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
    pub fn truncate(&mut self, bytes: u64, blob: &Path) -> Result<(), HubError> {
        if bytes < self.bytes {
            self.file
                .set_len(bytes)
                .map_err(|e| HubError::io("write", &self.path, e))?;
            *self = Self::open(blob, self.fresh.clone())?;
        }
        Ok(())
    }

    /// A part may be continued when the ETag guards it or a hash of the whole will.
    fn can_resume(&self) -> bool {
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

    fn set_guard(&mut self, etag: Option<String>) -> Result<(), HubError> {
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

    #[test]
    fn content_ranges_are_read() {
        assert_eq!(parse_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(parse_range("bytes */10"), None);
        assert_eq!(parse_range(""), None);
    }

    #[test]
    fn a_partial_file_is_taken_up_with_its_hash() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let blob = dir.path().join("blob");
        let mut partial = Partial::open(&blob, Hash::Sha256(Sha256::new())).expect("open");
        partial.append(b"abc").expect("append");
        partial.set_guard(Some("\"e\"".into())).expect("guard");
        drop(partial);
        let mut partial = Partial::open(&blob, Hash::Sha256(Sha256::new())).expect("reopen");
        assert_eq!(
            (partial.bytes, partial.guard.as_deref()),
            (3, Some("\"e\""))
        );
        partial.append(b"def").expect("append");
        let whole = hex(&Sha256::digest(b"abcdef"));
        assert_eq!(partial.mismatch(&whole), None);
        assert!(partial.mismatch(&hex(&Sha256::digest(b"abc"))).is_some());
        partial.truncate(2, &blob).expect("truncate");
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
