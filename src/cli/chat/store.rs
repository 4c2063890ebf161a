//! Conversations that are kept: one JSON file each, in `crane/sessions` of the XDG state folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use fs4::{FileExt, TryLockError};
use serde::{Deserialize, Serialize};

use super::conversation::Conversation;
use crate::cli::exit::CliError;
use crate::cli::output::WholeFile;
use crate::cli::state;

/// The form of the file; a later one is not touched.
const VERSION: u32 = 1;
const LONGEST_NAME: usize = 64;

/// A conversation with what is needed to go on with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub version: u32,
    /// As typed, for `--continue` without a model.
    pub model: String,
    /// What it stood for: token ids in `conversation` are this model's.
    pub resolved: String,
    /// Seconds since 1970.
    pub updated: u64,
    #[serde(flatten)]
    pub conversation: Conversation,
}

impl Kept {
    pub fn new(model: &str, resolved: &str, conversation: Conversation) -> Self {
        Self {
            version: VERSION,
            model: model.into(),
            resolved: resolved.into(),
            updated: now(),
            conversation,
        }
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

/// A place for a conversation, which nobody else writes to while this lives.
#[derive(Debug)]
pub struct Place {
    pub name: String,
    file: PathBuf,
    _lock: Option<File>,
}

impl Place {
    /// Takes the place `name`.
    ///
    /// # Errors
    /// A name that is none, a place that another process holds.
    pub fn take(name: &str) -> anyhow::Result<Self> {
        let file = file(name)?;
        let lock = file.with_extension("lock");
        state::private_file(&lock).with_context(|| format!("opening {}", lock.display()))?;
        let lock = state::private()
            .write(true)
            .open(&lock)
            .with_context(|| format!("opening {}", lock.display()))?;
        let held = match FileExt::try_lock(&lock) {
            Ok(()) => Some(lock),
            Err(TryLockError::WouldBlock) => {
                return Err(CliError::Failed(format!(
                    "another crane holds the session '{name}'; leave that one, or take another name"
                ))
                .into())
            }
            // A file system without locks.
            Err(TryLockError::Error(_)) => None,
        };
        if held.is_some() {
            remove_half_files(&file);
        }
        Ok(Self {
            name: name.into(),
            file,
            _lock: held,
        })
    }

    /// What was kept here; None for a new name.
    ///
    /// # Errors
    /// A file that cannot be read; a damaged one, which is put aside.
    pub fn load(&self) -> anyhow::Result<Option<Kept>> {
        let bytes = match fs::read(&self.file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("reading {}", self.file.display()))
            }
        };
        match parse(&bytes) {
            Ok(kept) => Ok(Some(kept)),
            Err(Unreadable::Later(version)) => Err(CliError::Failed(format!(
                "{} was written by a later crane (form {version}, this one knows {VERSION}); it is left as it is: \
                 update crane, or take another name",
                self.file.display()
            ))
            .into()),
            Err(Unreadable::Damaged(reason)) => {
                let aside = put_aside(&self.file)?;
                Err(CliError::Corrupt(format!(
                    "the session '{}' is damaged ({reason}); it is kept aside as {}, and the name is free again",
                    self.name,
                    aside.display()
                ))
                .into())
            }
        }
    }

    /// Keeps `kept`: the file is the old one or the new one, whole, whatever happens meanwhile.
    pub fn save(&self, kept: &Kept) -> anyhow::Result<()> {
        let mut file = WholeFile::private(&self.file)?;
        serde_json::to_writer(&mut file, kept).map_err(io::Error::from)?;
        file.write_all(b"\n")?;
        file.finish()
    }

    /// Where the state of the cache lies beside it.
    pub fn state_file(&self) -> PathBuf {
        self.file.with_extension("kv")
    }
}

/// Removes what a killed process left beside `file` before it was whole; nobody else writes there.
fn remove_half_files(file: &Path) {
    let (Some(folder), Some(stem)) = (file.parent(), file.file_stem()) else {
        return;
    };
    let stem = stem.to_string_lossy();
    let starts = [format!(".{stem}.json."), format!(".{stem}.kv.")];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().to_string();
        let ours = starts.iter().any(|start| {
            let rest = name.strip_prefix(start.as_str());
            let process = rest.and_then(|rest| rest.strip_suffix(".tmp"));
            process.is_some_and(|id| id.parse::<u32>().is_ok())
        });
        if ours {
            // One that cannot be removed does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

enum Unreadable {
    Later(u64),
    Damaged(String),
}

fn parse(bytes: &[u8]) -> Result<Kept, Unreadable> {
    let damaged = |error: serde_json::Error| Unreadable::Damaged(error.to_string());
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(damaged)?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version > u64::from(VERSION) => return Err(Unreadable::Later(version)),
        _ => {}
    }
    let mut kept: Kept = serde_json::from_value(value).map_err(damaged)?;
    let turns = kept.conversation.turns.len();
    kept.conversation.forgotten = kept.conversation.forgotten.min(turns);
    Ok(kept)
}

/// Renames a file to a name that is free.
fn put_aside(file: &Path) -> anyhow::Result<PathBuf> {
    let free = (1..)
        .map(|n| file.with_extension(format!("json.damaged-{n}")))
        .find(|path| !path.exists())
        .unwrap_or_else(|| file.with_extension("json.damaged"));
    fs::rename(file, &free).with_context(|| format!("renaming {}", file.display()))?;
    Ok(free)
}

fn folder() -> anyhow::Result<PathBuf> {
    Ok(state::folder()?.join("sessions"))
}

fn file(name: &str) -> anyhow::Result<PathBuf> {
    let good = |c: char| c.is_alphanumeric() || "._-+".contains(c);
    if name.is_empty()
        || name.starts_with(['.', '-'])
        || name.len() > LONGEST_NAME
        || !name.chars().all(good)
    {
        return Err(CliError::Usage(format!(
            "'{name}' is no name for a session; up to {LONGEST_NAME} letters, digits, '.', '_', '+' and '-' make one"
        ))
        .into());
    }
    Ok(folder()?.join(format!("{name}.json")))
}

/// Whether a conversation was kept as `name`.
pub fn exists(name: &str) -> bool {
    file(name).is_ok_and(|file| file.exists())
}

/// A session as `/sessions` lists it.
#[derive(Debug)]
pub struct Entry {
    pub name: String,
    /// When it was last written.
    pub written: SystemTime,
    file: PathBuf,
}

impl Entry {
    /// Model, number of turns and the beginning of the last question; None for a file that cannot be read.
    pub fn glance(&self) -> Option<(String, usize, String)> {
        let kept = fs::read(&self.file)
            .ok()
            .and_then(|bytes| parse(&bytes).ok())?;
        let last = kept.conversation.turns.last();
        let text = last.map(|turn| turn.question.content.to_text());
        Some((
            kept.model,
            kept.conversation.turns.len(),
            text.unwrap_or_default(),
        ))
    }
}

/// All sessions, the last one first.
pub fn list() -> anyhow::Result<Vec<Entry>> {
    let folder = folder()?;
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
    };
    let mut all: Vec<Entry> = entries
        .flatten()
        .filter_map(|entry| {
            let file = entry.path();
            let name = file
                .file_name()?
                .to_str()?
                .strip_suffix(".json")?
                .to_string();
            let hidden = name.starts_with('.');
            let written = entry.metadata().ok()?.modified().ok()?;
            (!hidden).then_some(Entry {
                name,
                written,
                file,
            })
        })
        .collect();
    all.sort_by(|a, b| b.written.cmp(&a.written).then(a.name.cmp(&b.name)));
    Ok(all)
}

/// Removes the states of caches that were not used for longest, until `limit` bytes are not exceeded; `newest` stays.
pub fn bound_states(limit: u64, newest: &Path) {
    let mut sum = fs::metadata(newest).map_or(0, |data| data.len());
    for (file, size) in states() {
        if file != newest {
            sum += size;
            if sum > limit {
                // One that cannot be removed is no reason to stop a conversation.
                let _ = fs::remove_file(&file);
            }
        }
    }
}

/// The files with the state of a cache, with their size, the one used last first.
fn states() -> Vec<(PathBuf, u64)> {
    let entries = folder().and_then(|folder| Ok(fs::read_dir(folder)?));
    let mut all: Vec<(SystemTime, PathBuf, u64)> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            let data = entry.metadata().ok()?;
            let ours = path.extension().is_some_and(|e| e == "kv");
            ours.then(|| (data.modified().unwrap_or(UNIX_EPOCH), path, data.len()))
        })
        .collect();
    all.sort_by_key(|state| std::cmp::Reverse(state.0));
    all.into_iter()
        .map(|(_, path, size)| (path, size))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::conversation::tests::turn;
    use super::*;

    fn place(folder: &Path) -> Place {
        Place {
            name: "talk".into(),
            file: folder.join("talk.json"),
            _lock: None,
        }
    }

    fn kept() -> Kept {
        let mut conversation = Conversation::new(Some("be brief".into()));
        conversation.push(turn("héllo 👩‍🚀", "<b>"));
        Kept::new("m", "m@1", conversation)
    }

    #[test]
    fn what_is_kept_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        assert_eq!(place.load().unwrap(), None);
        place.save(&kept()).unwrap();
        let back = place.load().unwrap().unwrap();
        assert_eq!(back.conversation, kept().conversation);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&place.file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_a_later_one_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        for n in 1..3 {
            place.save(&kept()).unwrap();
            let bytes = fs::read(&place.file).unwrap();
            fs::write(&place.file, &bytes[..bytes.len() / 2]).unwrap();
            let error = place.load().unwrap_err();
            assert_eq!(crate::cli::exit::code(&error), 6);
            let aside = folder.path().join(format!("talk.json.damaged-{n}"));
            assert_eq!(fs::read(aside).unwrap(), &bytes[..bytes.len() / 2]);
            assert_eq!(place.load().unwrap(), None);
        }
        fs::write(&place.file, r#"{"version": 99}"#).unwrap();
        assert!(place.load().is_err());
        assert!(place.file.exists());
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            ".a.json.12.tmp",
            ".a.kv.3.tmp",
            ".a.b.json.12.tmp",
            "a.json",
            ".a.json.x.tmp",
        ];
        for name in names {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        remove_half_files(&folder.path().join("a.json"));
        let left = names.map(|name| folder.path().join(name).exists());
        assert_eq!(left, [false, false, true, true, true]);
    }

    #[test]
    fn names_stay_in_their_folder() {
        for wrong in [
            "",
            "..",
            "../x",
            "a/b",
            "-x",
            ".x",
            "a b",
            "a\n",
            &"x".repeat(65),
        ] {
            assert!(file(wrong).is_err(), "{wrong:?}");
        }
        assert!(file("été-2.1_b+c").is_ok());
    }
}
