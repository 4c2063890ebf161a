//! What crane remembers between runs, for its owner alone: people type secrets.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use directories::ProjectDirs;

/// `crane` in the XDG state folder, or where the system keeps such files.
pub fn folder() -> anyhow::Result<PathBuf> {
    let folders = ProjectDirs::from("", "", "crane").context("there is no home folder")?;
    let folder = folders
        .state_dir()
        .unwrap_or_else(|| folders.data_local_dir());
    Ok(folder.to_path_buf())
}

/// Where a GPU's kernels are kept that had to be compiled here: `crane/kernels` in the XDG cache folder, or where the
/// system keeps such files. None without a home.
#[cfg(feature = "cuda")]
pub fn kernels() -> Option<PathBuf> {
    let folders = ProjectDirs::from("", "", "crane")?;
    Some(folders.cache_dir().join("kernels"))
}

/// Options that make files which their owner alone may read.
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Makes the file, and its folder, readable by its owner alone.
pub fn private_file(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = private().append(true).create(true).open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    #[cfg(not(unix))]
    drop(file);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn files_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/history");
        private_file(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        private_file(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
