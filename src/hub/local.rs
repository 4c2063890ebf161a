//! Models that are on this machine already: a folder or a `.gguf` file.

use std::fs;
use std::path::Path;

use super::files::{self, Unselectable};
use super::gguf_name;
use super::plan::{make_plan, Plan, PlannedFile};
use super::reference::Want;
use super::{HubError, Located, StoredFile};

/// The model at `path`.
pub fn locate(typed: &str, path: &Path) -> Result<Located, HubError> {
    let meta = fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => HubError::NotFound(format!(
            "there is no file or folder {typed}; a model of the hub is typed as org/repo or by a name of \
             `crane list --catalogue`"
        )),
        _ => HubError::io("read", path, e),
    })?;
    let (folder, names, entry) = if meta.is_dir() {
        let names = names_in(path)?;
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let selection = files::select(&all, &Want::Any).map_err(|why| nothing_in(typed, &why))?;
        (path, selection.files, selection.entry)
    } else {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or(typed);
        let folder = path.parent().unwrap_or(Path::new(""));
        (folder, parts_of(folder, name), Some(name.to_string()))
    };
    let files = names
        .into_iter()
        .map(|name| {
            let path = folder.join(&name);
            let meta = fs::metadata(&path).map_err(|e| HubError::io("read", &path, e))?;
            Ok(StoredFile {
                name,
                bytes: meta.len(),
                sha256: None,
                path,
            })
        })
        .collect::<Result<Vec<_>, HubError>>()?;
    let opened = match entry {
        Some(name) => folder.join(name),
        None => path.to_path_buf(),
    };
    Ok(Located {
        typed: typed.to_string(),
        resolved: opened.display().to_string(),
        path: opened,
        files,
    })
}

/// Names of the files in a folder and in the folders in it.
fn names_in(folder: &Path) -> Result<Vec<String>, HubError> {
    let mut names = Vec::new();
    let entries = fs::read_dir(folder).map_err(|e| HubError::io("read", folder, e))?;
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Follows links: the folder may be a snapshot of the cache.
        match fs::metadata(entry.path()) {
            Ok(m) if m.is_file() => names.push(name),
            Ok(m) if m.is_dir() => names.extend(
                fs::read_dir(entry.path())
                    .into_iter()
                    .flatten()
                    .flatten()
                    .filter(|e| e.path().is_file())
                    .filter_map(|e| e.file_name().into_string().ok())
                    .map(|n| format!("{name}/{n}")),
            ),
            _ => {}
        }
    }
    names.sort();
    Ok(names)
}

/// All parts of a split GGUF file that are there, or the file itself.
fn parts_of(folder: &Path, name: &str) -> Vec<String> {
    let Some((_, of)) = gguf_name::split_part(name).filter(|(_, of)| *of <= 10_000) else {
        return vec![name.to_string()];
    };
    let stem = name
        .get(..name.len().saturating_sub(20))
        .unwrap_or_default();
    let parts: Vec<String> = (1..=of)
        .map(|n| format!("{stem}-{n:05}-of-{of:05}.gguf"))
        .filter(|n| folder.join(n).is_file())
        .collect();
    match parts.is_empty() {
        // `.GGUF`, or a name that only looks like a part.
        true => vec![name.to_string()],
        false => parts,
    }
}

fn nothing_in(typed: &str, why: &Unselectable) -> HubError {
    HubError::NotFound(match why {
        Unselectable::NoWeights { pickles: true } => format!(
            "{typed} holds PyTorch pickles only, and crane reads safetensors and GGUF; save the model again \
             with safe_serialization=True"
        ),
        _ => format!("{typed} holds neither safetensors nor GGUF files"),
    })
}

/// A plan of nothing to do.
pub fn plan(located: Located) -> Plan {
    let files = located
        .files
        .into_iter()
        .map(|f| PlannedFile {
            name: f.name,
            bytes: Some(f.bytes),
            cached_bytes: f.bytes,
            sha256: f.sha256,
        })
        .collect();
    make_plan(&located.typed, located.resolved, files, 0, &located.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_split_files() {
        let dir = tempfile::tempdir().expect("temporary folder");
        for name in ["m-q8_0-00001-of-00002.gguf", "m-q8_0-00002-of-00002.gguf"] {
            fs::write(dir.path().join(name), b"x").expect("write");
        }
        let first = dir.path().join("m-q8_0-00001-of-00002.gguf");
        assert_eq!(locate("m", &first).expect("file").files.len(), 2);
        let located = locate("m", dir.path()).expect("folder");
        assert_eq!((located.path, located.files.len()), (first, 2));
        fs::write(dir.path().join("model.safetensors"), b"x").expect("write");
        assert_eq!(locate("m", dir.path()).expect("folder").path, dir.path());
    }

    #[test]
    fn what_is_not_there_is_said() {
        let dir = tempfile::tempdir().expect("temporary folder");
        for path in [dir.path().to_path_buf(), dir.path().join("none.gguf")] {
            assert!(
                matches!(locate("typed", &path), Err(HubError::NotFound(t)) if t.contains("typed"))
            );
        }
    }
}
