//! One file from the hub into the cache: resumed, verified, and put in place only when whole.
//!
//! The bytes go into `<blob>.incomplete`, which survives kill -9, a dropped connection and a reboot.
//! The next attempt asks for the rest with `Range`, guarded by `If-Range` and the ETag of the answer
//! that the first part came from (kept in `<blob>.incomplete.etag`). The hash runs along; what does not
//! match is deleted and never gets the blob's name.

use std::fs;
use std::path::Path;

use ureq::http::Method;

use super::cache::{self, RepoCache};
use super::client::{Client, Failure, Response};
use super::lock::Lock;
use super::partial::{Hash, Partial};
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
        let mut partial = Partial::open(&blob, self.kind(), progress)?;
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
}
