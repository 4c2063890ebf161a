//! A table for people.

use std::io::{self, Write};

use super::parts::PARTS;
use super::{Export, Row};
use crate::bench::parts;
use crate::hub::human_bytes;

/// `--format md`, aligned for the terminal. Columns that no row has a value for are left out.
pub struct Markdown;

/// Title, whether it is a number (set right), content.
pub(super) type Column<R> = (&'static str, bool, fn(&R) -> Option<String>);

const COLUMNS: &[Column<Row>] = &[
    ("model", false, |row| Some(row.model.clone())),
    ("size", true, |row| {
        (row.model_size > 0).then(|| human_bytes(row.model_size))
    }),
    ("params", true, |row| {
        (row.model_n_params > 0).then(|| millions(row.model_n_params))
    }),
    ("device", false, |row| Some(row.device.clone())),
    ("weights", false, |row| Some(row.weights.clone())),
    ("threads", true, |row| Some(row.n_threads.to_string())),
    ("parallel", true, |row| {
        (row.n_parallel > 1).then(|| row.n_parallel.to_string())
    }),
    ("test", false, |row| Some(row.test.clone())),
    ("t/s", true, |row| row.median_ts.map(speed)),
    ("min–max", true, |row| {
        Some(format!("{}–{}", speed(row.min_ts?), speed(row.max_ts?)))
    }),
    ("limit t/s", true, |row| row.limit_ts.map(speed)),
    ("of limit", true, |row| {
        row.limit_share
            .map(|share| format!("{:.0} %", share * 100.0))
    }),
    ("t/s ratio", true, |row| row.ratios.ratio_ts.map(ratio)),
    ("load ms", true, |row| {
        row.load_ms.map(|ms| format!("{ms:.0}"))
    }),
    ("load ratio", true, |row| row.ratios.ratio_load.map(ratio)),
    ("first token ms", true, |row| {
        row.ttft_ms.map(|ms| format!("{ms:.0}"))
    }),
    ("first token ratio", true, |row| {
        row.ratios.ratio_ttft.map(ratio)
    }),
    ("memory", true, |row| row.peak_memory_bytes.map(human_bytes)),
    ("memory ratio", true, |row| {
        row.ratios.ratio_memory.map(ratio)
    }),
    ("nll", true, |row| {
        row.nll_mean.map(|nll| format!("{nll:.4}"))
    }),
    ("KL to f32", true, |row| {
        row.kl_mean.map(|kl| format!("{kl:.5}"))
    }),
    ("top-1 as f32", true, |row| {
        row.top1_agreement
            .map(|share| format!("{:.1} %", share * 100.0))
    }),
    ("not measured", false, |row| row.error.clone()),
];

impl Export for Markdown {
    fn write(&self, rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
        table(COLUMNS, rows, out)
    }

    fn write_parts(&self, rows: &[parts::Row], out: &mut dyn Write) -> io::Result<()> {
        table(PARTS, rows, out)
    }
}

fn table<R>(columns: &[Column<R>], rows: &[R], out: &mut dyn Write) -> io::Result<()> {
    let columns: Vec<&Column<R>> = columns
        .iter()
        .filter(|(.., content)| rows.iter().any(|row| content(row).is_some()))
        .collect();
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            columns
                .iter()
                .map(|(.., content)| content(row).unwrap_or_default().replace('|', "\\|"))
                .collect()
        })
        .collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, (title, ..))| {
            let cells = table.iter().filter_map(|row| row.get(i));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widest.max(title.chars().count()).max(3)
        })
        .collect();
    let titles: Vec<String> = columns
        .iter()
        .map(|(title, ..)| title.to_string())
        .collect();
    write_line(&columns, &widths, &titles, out)?;
    let rule: Vec<String> = columns
        .iter()
        .zip(&widths)
        .map(|((_, right, _), width)| match right {
            true => format!("{}:", "-".repeat(width - 1)),
            false => "-".repeat(*width),
        })
        .collect();
    write_line(&columns, &widths, &rule, out)?;
    for row in &table {
        write_line(&columns, &widths, row, out)?;
    }
    Ok(())
}

fn write_line<R>(
    columns: &[&Column<R>],
    widths: &[usize],
    cells: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
    let padded: Vec<String> = columns
        .iter()
        .zip(widths)
        .zip(cells)
        .map(|(((_, right, _), &width), cell)| match right {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        })
        .collect();
    writeln!(out, "| {} |", padded.join(" | "))
}

fn millions(parameters: u64) -> String {
    match parameters {
        n if n >= 999_500_000 => format!("{:.2} B", n as f64 / 1e9),
        n => format!("{:.1} M", n as f64 / 1e6),
    }
}

/// With as many digits as matter.
pub(super) fn speed(ts: f64) -> String {
    match ts {
        x if x >= 1000.0 => format!("{ts:.0}"),
        x if x >= 100.0 => format!("{ts:.1}"),
        _ => format!("{ts:.2}"),
    }
}

fn ratio(x: f64) -> String {
    format!("{x:.3}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rows, written};
    use super::*;

    #[test]
    fn lines_are_aligned_and_a_reason_is_a_column() {
        let text = written(&Markdown, &rows());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        let lengths: Vec<usize> = lines.iter().map(|line| line.chars().count()).collect();
        assert!(lengths.iter().all(|n| *n == lengths[0]), "{text}");
        assert!(lines[0].contains("not measured") && lines[0].contains("of limit"));
        assert!(lines[2].contains("2.00") && lines[2].contains("1.00–3.50"));
        assert!(lines[2].contains("25 %") && lines[2].contains("494.0 M"));
        assert!(lines[3].contains("needs \\| more"));
    }

    #[test]
    fn columns_without_values_are_left_out() {
        let text = written(&Markdown, &rows()[..1]);
        for absent in ["not measured", "nll", "ratio", "load"] {
            assert!(!text.contains(absent), "{absent}");
        }
    }
}
