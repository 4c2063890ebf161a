//! Where the payload goes: stdout, or a file that appears whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::exit::CliError;
use super::interrupt;
use super::state;

/// Standard output; its errors say so.
pub struct Stdout(io::StdoutLock<'static>);

impl Stdout {
    pub fn lock() -> Self {
        Self(io::stdout().lock())
    }
}

fn to_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("writing to stdout: {error}"))
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(to_stdout)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(to_stdout)
    }
}

fn writing(target: &Path, error: io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("writing {}: {error}", target.display()),
    )
}

/// `-o FILE`, `-o -`, or no `-o`.
pub enum Sink<'a> {
    Stdout(&'a mut dyn Write),
    File(WholeFile),
    /// A pipe or a device, which is written as it is: there is nothing to rename.
    Stream(BufWriter<File>, PathBuf),
}

impl<'a> Sink<'a> {
    pub fn open(path: Option<&Path>, stdout: &'a mut dyn Write) -> anyhow::Result<Self> {
        match path {
            None => Ok(Self::Stdout(stdout)),
            Some(path) if path == Path::new("-") => Ok(Self::Stdout(stdout)),
            Some(path) => match fs::metadata(path) {
                Ok(found) if found.is_dir() => Err(CliError::Usage(format!(
                    "{} is a folder; name a file in it, or '-' for stdout",
                    path.display()
                ))
                .into()),
                Ok(found) if !found.is_file() => OpenOptions::new()
                    .write(true)
                    .open(path)
                    .map(|file| Self::Stream(BufWriter::new(file), path.to_path_buf()))
                    .with_context(|| format!("writing {}", path.display())),
                // What a link points to is replaced, and the link stays.
                Ok(_) => WholeFile::create(&path.canonicalize()?).map(Self::File),
                Err(_) => WholeFile::create(path).map(Self::File),
            },
        }
    }

    /// Whether the payload appears only when it is complete.
    pub fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// The payload is complete.
    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(out) => Ok(out.flush()?),
            Self::File(file) => file.finish(),
            Self::Stream(mut file, path) => {
                Ok(file.flush().map_err(|error| writing(&path, error))?)
            }
        }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(file) => file.write(bytes),
            Self::Stream(file, path) => file.write(bytes).map_err(|error| writing(path, error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(file) => file.flush(),
            Self::Stream(file, path) => file.flush().map_err(|error| writing(path, error)),
        }
    }
}

/// Refuses two outputs, each with what asks for it, that go to one place: stdout (`-`), or one file.
pub fn apart(one: (&str, &Path), other: (&str, &Path)) -> Result<(), CliError> {
    let stdout = Path::new("-");
    // Where that is a file, its name is its place too.
    let behind = Path::new("/dev/stdout").canonicalize();
    let behind = behind.ok().filter(|file| file.is_file());
    let place = |path: &Path| match (path.canonicalize(), path.parent(), path.file_name()) {
        _ if path == stdout => Some(behind.clone().unwrap_or_else(|| stdout.to_path_buf())),
        // A device takes all that comes.
        (Ok(found), ..) => found.is_file().then_some(found),
        (Err(_), Some(folder), Some(name)) => {
            let folder = match folder == Path::new("") {
                true => Path::new("."),
                false => folder,
            };
            folder.canonicalize().ok().map(|folder| folder.join(name))
        }
        (Err(_), ..) => None,
    };
    match (place(one.1), place(other.1)) {
        (Some(first), Some(second)) if first == second => Err(CliError::Usage(format!(
            "{} and {} both go to {}; name another file for one of them",
            one.0,
            other.0,
            match one.1 == stdout || other.1 == stdout {
                true => "stdout".into(),
                false => one.1.display().to_string(),
            }
        ))),
        _ => Ok(()),
    }
}

/// A file written beside its final name and renamed when it is complete; dropped before that, it leaves no
/// trace.
pub struct WholeFile {
    writer: BufWriter<File>,
    temporary: PathBuf,
    target: PathBuf,
    renamed: bool,
}

impl WholeFile {
    pub fn create(target: &Path) -> anyhow::Result<Self> {
        let file = Self::open(target, &mut OpenOptions::new())?;
        // Who may read the file that is replaced may read the new one, and nobody else.
        if let Ok(found) = fs::metadata(&file.target) {
            let _ = file.writer.get_ref().set_permissions(found.permissions());
        }
        Ok(file)
    }

    /// A file that its owner alone may read, in a folder that is made where it is not there.
    pub fn private(target: &Path) -> anyhow::Result<Self> {
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        Self::open(target, &mut state::private())
    }

    fn open(target: &Path, options: &mut OpenOptions) -> anyhow::Result<Self> {
        // A link stays a link: the file it leads to is the one that is replaced.
        let target = &fs::canonicalize(target).unwrap_or_else(|_| target.to_path_buf());
        let folder = target.parent().filter(|folder| *folder != Path::new(""));
        if let Some(folder) = folder.filter(|folder| !folder.exists()) {
            return Err(CliError::Missing(format!(
                "writing {}: there is no folder {}; create it first",
                target.display(),
                folder.display()
            ))
            .into());
        }
        let name = target.file_name().with_context(|| {
            format!(
                "{} names no file; give a file name or '-'",
                target.display()
            )
        })?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.tmp", std::process::id()));
        let temporary = target.with_file_name(hidden);
        interrupt::guard(temporary.clone());
        let file = options
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .inspect_err(|_| interrupt::release(&temporary))
            .with_context(|| format!("writing {}", target.display()))?;
        Ok(Self {
            writer: BufWriter::new(file),
            temporary,
            target: target.to_path_buf(),
            renamed: false,
        })
    }

    pub fn finish(mut self) -> anyhow::Result<()> {
        let flushed = self.writer.flush();
        let safe = flushed.and_then(|()| self.writer.get_ref().sync_all());
        self.rename(safe)
    }

    /// As [`WholeFile::finish`], without waiting for the disk: for what a checksum protects.
    pub fn finish_soon(mut self) -> anyhow::Result<()> {
        let flushed = self.writer.flush();
        self.rename(flushed)
    }

    fn rename(mut self, written: io::Result<()>) -> anyhow::Result<()> {
        let finished = written.and_then(|()| fs::rename(&self.temporary, &self.target));
        self.renamed = finished.is_ok();
        finished.with_context(|| format!("writing {}", self.target.display()))
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer
            .write(bytes)
            .map_err(|error| writing(&self.target, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer
            .flush()
            .map_err(|error| writing(&self.target, error))
    }
}

impl io::Seek for WholeFile {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.writer
            .seek(to)
            .map_err(|error| writing(&self.target, error))
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.temporary);
        }
        interrupt::release(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_appears_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("answer.txt");
        fs::write(&target, "old").unwrap();
        let mut stdout = Vec::new();
        let mut sink = Sink::open(Some(&target), &mut stdout).unwrap();
        sink.write_all(b"new").unwrap();
        sink.flush().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        sink.finish().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert!(stdout.is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_dropped_file_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("answer.txt");
        let mut file = WholeFile::create(&target).unwrap();
        file.writer.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    #[cfg(unix)]
    fn who_may_read_a_file_stays() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("answer.txt");
        fs::write(&target, "old").unwrap();
        for mode in [0o600, 0o640] {
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
            WholeFile::create(&target).unwrap().finish().unwrap();
            let found = fs::metadata(&target).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode);
        }
    }

    #[test]
    fn a_dash_is_stdout() {
        let mut stdout = Vec::new();
        let mut sink = Sink::open(Some(Path::new("-")), &mut stdout).unwrap();
        sink.write_all(b"text").unwrap();
        sink.finish().unwrap();
        assert_eq!(stdout, b"text");
    }

    #[test]
    #[cfg(unix)]
    fn devices_and_links_stay_what_they_are() {
        let null = Path::new("/dev/null");
        let mut stdout = Vec::new();
        let mut sink = Sink::open(Some(null), &mut stdout).unwrap();
        sink.write_all(b"gone").unwrap();
        sink.finish().unwrap();
        assert!(!fs::metadata(null).unwrap().is_file());

        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut sink = Sink::open(Some(&link), &mut stdout).unwrap();
        sink.write_all(b"new").unwrap();
        sink.finish().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn two_outputs_have_two_places() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let refused = |one: &Path, other: &Path| apart(("-o", one), ("--other", other)).is_err();
        fs::write(at("there"), "").unwrap();
        fs::create_dir(at("inner")).unwrap();
        assert!(refused(&at("new"), &at("new")));
        assert!(refused(&at("new"), &at("inner/../new")));
        assert!(refused(&at("there"), &at("./there")));
        assert!(!refused(&at("new"), &at("there")));
        assert!(!refused(&at("new"), &at("inner/new")));
        assert!(!refused(&at("no/folder"), &at("no/folder")));
        assert!(refused(Path::new("-"), Path::new("-")));
        assert!(refused(Path::new("name"), Path::new("./name")));
        assert!(!refused(Path::new("/dev/null"), Path::new("/dev/null")));
    }

    #[test]
    fn a_folder_is_refused() {
        assert!(Sink::open(Some(Path::new("/")), &mut Vec::new()).is_err());
        assert!(WholeFile::create(Path::new("/")).is_err());
        assert!(WholeFile::create(Path::new("/no/such/folder/file")).is_err());
        let folder = tempfile::tempdir().unwrap();
        assert!(Sink::open(Some(folder.path()), &mut Vec::new()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_or_device_is_written_and_stays_what_it_is() {
        use std::os::unix::net::UnixListener;
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        // A socket cannot be opened as a file, which is a failure and not a reason to replace it.
        assert!(Sink::open(Some(&socket), &mut Vec::new()).is_err());
        assert!(fs::symlink_metadata(&socket).is_ok_and(|found| !found.is_file()));
        let mut stdout = Vec::new();
        let mut sink = Sink::open(Some(Path::new("/dev/null")), &mut stdout).unwrap();
        assert!(matches!(sink, Sink::Stream(..)));
        sink.write_all(b"text").unwrap();
        sink.finish().unwrap();
        assert!(fs::metadata("/dev/null").is_ok_and(|found| !found.is_file()));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut sink = WholeFile::create(&link).unwrap();
        sink.writer.write_all(b"new").unwrap();
        sink.finish().unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).is_ok_and(|found| found.is_symlink()));
    }
}
