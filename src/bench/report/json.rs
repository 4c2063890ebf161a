//! An array of objects, an object a line.

use std::io::{self, Write};

use serde::Serialize;

use super::{Export, Row};
use crate::bench::parts;

/// `--format json`: every field, llama-bench's names where it has them.
pub struct Json;

impl Export for Json {
    fn write(&self, rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
        objects(rows, out)
    }

    fn write_parts(&self, rows: &[parts::Row], out: &mut dyn Write) -> io::Result<()> {
        objects(rows, out)
    }
}

fn objects(rows: &[impl Serialize], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"[")?;
    for (i, row) in rows.iter().enumerate() {
        out.write_all(match i {
            0 => b"\n",
            _ => b",\n",
        })?;
        serde_json::to_writer(&mut *out, row)?;
    }
    out.write_all(b"\n]\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rows, written};
    use super::*;

    #[test]
    fn rows_come_back_as_they_were() {
        let text = written(&Json, &rows());
        let read: Vec<Row> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, rows());
        assert_eq!(text.lines().count(), 4);
        assert!(!text.contains("ratio_ts"), "nothing was compared");
        assert_eq!(written(&Json, &[]).trim(), "[\n]");
    }
}
