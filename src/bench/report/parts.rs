//! The columns of a model of several parts.

use super::markdown::{speed, Column};
use crate::bench::parts::Row;
use crate::hub::human_bytes;

pub(super) const PARTS: &[Column<Row>] = &[
    ("model", false, |row| Some(row.model.clone())),
    ("device", false, |row| Some(row.device.clone())),
    ("weights", false, |row| Some(row.weights.clone())),
    ("threads", true, |row| Some(row.n_threads.to_string())),
    ("test", false, |row| Some(row.test.clone())),
    ("ms", true, |row| row.median_ms.map(speed)),
    ("min–max", true, |row| {
        Some(format!("{}–{}", speed(row.min_ms?), speed(row.max_ms?)))
    }),
    ("image", false, |row| row.image.clone()),
    ("tokens", true, |row| {
        row.image.as_ref().and(row.n_tokens).map(|n| n.to_string())
    }),
    ("audio s", true, |row| {
        row.audio_s.map(|s| format!("{s:.2}"))
    }),
    ("× real time", true, |row| row.realtime.map(speed)),
    ("rtf", true, |row| row.rtf.map(|rtf| format!("{rtf:.3}"))),
    ("t/s", true, |row| row.median_ts.map(speed)),
    ("of limit", true, |row| {
        row.limit_share
            .map(|share| format!("{:.0} %", share * 100.0))
    }),
    ("load ms", true, |row| {
        row.load_ms.map(|ms| format!("{ms:.0}"))
    }),
    ("memory", true, |row| row.peak_memory_bytes.map(human_bytes)),
    ("not measured", false, |row| row.error.clone()),
];

#[cfg(test)]
mod tests {
    use super::super::{Csv, Export, Json, Markdown};
    use super::*;

    fn written(format: &dyn Export) -> String {
        let row = Row {
            model: "m".into(),
            test: "llm".into(),
            samples_ns: vec![1, 2],
            median_ms: Some(1280.0),
            realtime: Some(2.0),
            rtf: Some(0.5),
            median_ts: Some(100.0),
            ..Row::default()
        };
        let mut out = Vec::new();
        format.write_parts(&[row], &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_format_writes_them() {
        let table = written(&Markdown);
        assert!(
            table.contains("| 1280 |") && table.contains("0.500"),
            "{table}"
        );
        assert!(!table.contains("of limit"), "{table}");
        let csv = written(&Csv);
        assert!(csv.starts_with("model,model_filename,device,"), "{csv}");
        assert!(
            !csv.contains("samples_ns") && !csv.contains("parts"),
            "{csv}"
        );
        let rows: Vec<Row> = serde_json::from_str(&written(&Json)).unwrap();
        assert_eq!(rows[0].samples_ns, [1, 2]);
    }
}
