//! Results that are kept: `--save` and `--compare`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::bench::report::{Export, Json};
use crate::bench::Row;
use crate::cli::exit::CliError;
use crate::cli::output::Sink;
use crate::cli::state;

/// Where a result of this name lies: `crane/bench/NAME.json` in the XDG state folder.
pub fn file(name: &str) -> anyhow::Result<PathBuf> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(good) {
        return Err(CliError::Usage(format!(
            "'{name}' is no name for a result; letters, digits, '.', '_', '+' and '-' make one"
        ))
        .into());
    }
    Ok(state::folder()?.join("bench").join(format!("{name}.json")))
}

/// Keeps `rows`; the file appears when it is complete.
pub fn write(file: &Path, rows: &[Row]) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut nowhere = std::io::sink();
    let mut sink = Sink::open(Some(file), &mut nowhere)?;
    Json.write(rows, &mut sink)?;
    sink.finish()
}

/// The rows of a saved result, or of a file of `--format json`.
pub fn read(name: &str) -> anyhow::Result<Vec<Row>> {
    let path = match name.contains(['/', '\\']) || Path::new(name).is_file() {
        true => PathBuf::from(name),
        false => file(name)?,
    };
    let bytes = fs::read(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::Error::from(CliError::Missing(format!(
            "--compare {name}: there is no {}; 'crane bench --save NAME' makes one",
            path.display()
        ))),
        _ => anyhow::Error::from(error).context(format!("reading {}", path.display())),
    })?;
    let rows = serde_json::from_slice(&bytes).map_err(|error| {
        CliError::Corrupt(format!(
            "{} is no result of 'crane bench --format json': {error}",
            path.display()
        ))
    })?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for wrong in ["", "..", "../x", "a/b", "a b", ".hidden", "a\\b"] {
            assert!(file(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("main.json");
        let rows = [Row {
            test: "pp512".into(),
            median_ts: Some(1.0 / 3.0),
            ..Row::default()
        }];
        write(&path, &rows).unwrap();
        assert_eq!(read(path.to_str().unwrap()).unwrap(), rows);
        std::fs::write(&path, "{}").unwrap();
        assert!(read(path.to_str().unwrap()).is_err());
    }
}
