//! Comma-separated values with a header (RFC 4180).

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::{Export, Row};
use crate::bench::parts;

/// `--format csv`: the fields of the JSON without the single samples; what was not measured is empty.
pub struct Csv;

impl Export for Csv {
    fn write(&self, rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
        lines(rows, out)
    }

    fn write_parts(&self, rows: &[parts::Row], out: &mut dyn Write) -> io::Result<()> {
        lines(rows, out)
    }
}

fn lines(rows: &[impl Serialize], out: &mut dyn Write) -> io::Result<()> {
    let mut objects = Vec::new();
    for row in rows {
        if let Value::Object(object) = serde_json::to_value(row)? {
            objects.push(object);
        }
    }
    // Rows that were compared have more columns than those that were not.
    let mut names: Vec<&String> = Vec::new();
    for object in &objects {
        let scalar = object.iter().filter(|(_, value)| !value.is_array());
        for (name, _) in scalar {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let header: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    writeln!(out, "{}", header.join(","))?;
    for object in &objects {
        let cells: Vec<String> = names
            .iter()
            .map(|name| object.get(*name).map_or(String::new(), cell))
            .collect();
        writeln!(out, "{}", cells.join(","))?;
    }
    Ok(())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rows, written};
    use super::*;

    #[test]
    fn a_header_and_a_line_a_row() {
        let text = written(&Csv, &rows());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("model,model_filename,"));
        assert!(!lines[0].contains("samples"));
        assert!(lines[1].starts_with("\"m, \"\"n\"\"\",,"), "{}", lines[1]);
        assert!(lines[2].ends_with("needs | more"));
    }

    #[test]
    fn columns_of_a_comparison_are_there_if_any_row_has_them() {
        let mut rows = rows();
        rows[1].ratios.ratio_ts = Some(1.5);
        let text = written(&Csv, &rows);
        assert!(text.lines().next().unwrap().contains("ratio_ts"));
        let fields: Vec<usize> = text
            .replace("\"m, \"\"n\"\"\"", "m")
            .lines()
            .map(|line| line.split(',').count())
            .collect();
        assert!(fields.iter().all(|n| *n == fields[0]), "{fields:?}");
    }
}
