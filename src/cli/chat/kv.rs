//! The state of the model's cache beside a session (`--cache-prompt`), so that a long conversation goes on without being
//! computed again.
//!
//! The file is a line of JSON that says whose state it is, the state, and the sha256 of both. One that is another
//! model's, another version's or damaged is of no use and of no harm.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use anyhow::Context;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{store, Chat};
use crate::cli::output::WholeFile;
use crate::cli::session::Session;
use crate::cli::settings::Settings;
use crate::hub;

/// New tokens that make it worth while to write the state in the middle of a conversation.
const WORTH_WRITING: usize = 512;
/// The longest first line that is looked at.
const LONGEST_OWNER: u64 = 1 << 20;

/// What a state belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    crane: String,
    /// sha256 of the model's files, in their order.
    files: Vec<String>,
    device: String,
    dtype: String,
    cache: String,
}

impl Owner {
    pub fn of(session: &Session, settings: &Settings) -> anyhow::Result<Self> {
        let sums = session
            .located
            .files
            .par_iter()
            .map(|file| match &file.sha256 {
                Some(sum) => Ok(sum.clone()),
                None => hub::verify::sha256(&file.path),
            });
        Ok(Self {
            crane: env!("CARGO_PKG_VERSION").into(),
            files: sums.collect::<Result<_, _>>()?,
            device: session.device().to_string(),
            dtype: session.dtype.clone(),
            cache: settings
                .cache
                .map_or("auto".into(), |kind| kind.to_string()),
        })
    }
}

/// Keeps the states of sessions within a size.
pub struct Keeper {
    owner: Owner,
    limit: u64,
    /// Tokens in the state that was written last.
    written: usize,
    /// It was said that nothing can be kept.
    refused: bool,
}

impl Keeper {
    pub fn new(owner: Owner, limit: u64) -> Self {
        Self {
            owner,
            limit,
            written: 0,
            refused: false,
        }
    }

    /// The same for another model.
    pub fn of(&self, owner: Owner) -> Self {
        Self::new(owner, self.limit)
    }

    /// The model computes elsewhere from now on, if it does.
    pub fn follow(&mut self, session: &Session) {
        if self.owner.device != session.device() {
            self.owner.device = session.device().to_string();
            self.owner.dtype = session.dtype.clone();
            self.written = 0;
        }
    }
}

impl Chat<'_> {
    /// Takes the cache's state from beside the session, if it is there and fits; what does not is said in one line.
    pub(super) fn restore_cache(&mut self) {
        let (Some(place), Some(keeper)) = (&self.place, &mut self.keeper) else {
            return;
        };
        let file = place.state_file();
        let engine = &mut self.session.engine;
        keeper.written = 0;
        match read(&file, &keeper.owner, &mut |source| engine.restore(source)) {
            Ok(true) => {
                keeper.written = engine.cached();
                self.settings.detail(&format!(
                    "{} tokens are taken from {}",
                    engine.cached(),
                    file.display()
                ));
            }
            Ok(false) => {}
            Err(reason) => {
                engine.forget();
                self.settings.note(&format!(
                    "the kept cache {} is ignored: {reason}",
                    file.display()
                ));
            }
        }
    }

    /// Writes the cache's state beside the session, where enough is new in it or (`end`) anything is.
    pub(super) fn keep_cache(&mut self, end: bool) {
        let (Some(place), Some(keeper)) = (&self.place, &mut self.keeper) else {
            return;
        };
        let tokens = self.session.engine.cached();
        let least = if end { 1 } else { WORTH_WRITING };
        if keeper.refused || tokens.abs_diff(keeper.written) < least {
            return;
        }
        let file = place.state_file();
        let engine = &self.session.engine;
        match write(&file, &keeper.owner, keeper.limit, &|out| engine.save(out)) {
            Ok(()) => {
                keeper.written = tokens;
                store::bound_states(keeper.limit, &file);
            }
            Err(error) => {
                keeper.refused = true;
                self.settings
                    .note(&format!("the cache is not kept: {error:#}"));
            }
        }
    }
}

/// Reads the state in `file` by `restore`. False where there is none.
fn read(
    file: &Path,
    owner: &Owner,
    restore: &mut dyn FnMut(&mut dyn Read) -> io::Result<bool>,
) -> Result<bool, String> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.to_string()),
    };
    let mut source = Hashing::new(BufReader::with_capacity(1 << 20, opened));
    let mut line = Vec::new();
    let damaged = |_| "it is damaged".to_string();
    source.line(&mut line).map_err(damaged)?;
    let found: Owner = serde_json::from_slice(&line).map_err(|_| "it is damaged")?;
    if found != *owner {
        return Err(match found.crane == owner.crane {
            true => "it is of another model, number type or device".into(),
            false => format!("it was written by crane {}", found.crane),
        });
    }
    if !restore(&mut source).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut short".to_string(),
        _ => error.to_string(),
    })? {
        return Ok(false);
    }
    let (sum, mut rest) = source.end();
    let mut expected = Vec::new();
    rest.read_to_end(&mut expected).map_err(damaged)?;
    match expected == sum {
        true => Ok(true),
        false => Err("it is damaged (its checksum is wrong)".into()),
    }
}

/// Writes the state that `save` gives, of at most `limit` bytes.
fn write(
    file: &Path,
    owner: &Owner,
    limit: u64,
    save: &dyn Fn(&mut dyn Write) -> io::Result<bool>,
) -> anyhow::Result<()> {
    let mut out = Bounded {
        inner: Hashing::new(WholeFile::private(file)?),
        left: limit,
    };
    let mut line = serde_json::to_vec(owner)?;
    line.push(b'\n');
    out.write_all(&line)?;
    let saved = save(&mut out).with_context(|| format!("writing {}", file.display()))?;
    anyhow::ensure!(saved, "this model or device cannot");
    let (sum, mut inner) = out.inner.end();
    inner.write_all(&sum)?;
    inner.finish_soon()
}

/// Computes the sum of what passes.
struct Hashing<T> {
    inner: T,
    sum: Sha256,
}

impl<T> Hashing<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            sum: Sha256::new(),
        }
    }

    fn end(self) -> (Vec<u8>, T) {
        (self.sum.finalize().to_vec(), self.inner)
    }
}

impl<T: BufRead> Hashing<T> {
    fn line(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        (&mut self.inner)
            .take(LONGEST_OWNER)
            .read_until(b'\n', line)?;
        self.sum.update(line);
        Ok(())
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.sum.update(&bytes[..read]);
        Ok(read)
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Refuses what is too much.
struct Bounded<T> {
    inner: T,
    left: u64,
}

impl<T: Write> Write for Bounded<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return Err(io::Error::other(
                "it is larger than --cache-prompt allows; --cache-prompt=MIB raises that",
            ));
        };
        self.left = left;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn owner() -> Owner {
        Owner {
            crane: "1".into(),
            files: vec!["ab".into()],
            device: "cpu".into(),
            dtype: "f32".into(),
            cache: "auto".into(),
        }
    }

    fn state(folder: &Path) -> std::path::PathBuf {
        let file = folder.join("a.kv");
        let save = |out: &mut dyn Write| out.write_all(b"state").map(|()| true);
        write(&file, &owner(), 1000, &save).unwrap();
        file
    }

    fn back(file: &Path, owner: &Owner) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; 5];
        let found = read(file, owner, &mut |source| {
            source.read_exact(&mut bytes).map(|()| true)
        });
        found.map(|found| if found { bytes } else { Vec::new() })
    }

    #[test]
    fn a_state_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(back(&folder.path().join("none"), &owner()), Ok(Vec::new()));
        assert_eq!(back(&state(folder.path()), &owner()), Ok(b"state".to_vec()));
    }

    #[test]
    fn a_stale_or_damaged_one_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let file = state(folder.path());
        for other in [
            Owner {
                crane: "2".into(),
                ..owner()
            },
            Owner {
                files: Vec::new(),
                ..owner()
            },
            Owner {
                dtype: "bf16".into(),
                ..owner()
            },
        ] {
            assert!(back(&file, &other).is_err());
        }
        let whole = fs::read(&file).unwrap();
        for cut in 0..whole.len() {
            fs::write(&file, &whole[..cut]).unwrap();
            assert!(back(&file, &owner()).is_err(), "cut at {cut}");
            let mut flipped = whole.clone();
            flipped[cut] ^= 1;
            fs::write(&file, &flipped).unwrap();
            assert!(back(&file, &owner()).is_err(), "flipped at {cut}");
        }
        fs::write(&file, [&whole[..], b"more"].concat()).unwrap();
        assert!(back(&file, &owner()).is_err());
    }

    #[test]
    fn too_large_a_state_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.kv");
        let save = |out: &mut dyn Write| out.write_all(&[0; 1000]).map(|()| true);
        let error = write(&file, &owner(), 1000, &save).unwrap_err();
        assert!(format!("{error:#}").contains("--cache-prompt"));
        assert!(!file.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
