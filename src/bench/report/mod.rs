//! Rows as text: one file a format.

mod csv;
mod json;
mod markdown;
mod parts;

use std::io::{self, Write};

pub use csv::Csv;
pub use json::Json;
pub use markdown::Markdown;

use super::Row;

/// A way to write rows.
pub trait Export {
    /// Writes all rows.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(&self, rows: &[Row], out: &mut dyn Write) -> io::Result<()>;

    /// The same for a model of several parts.
    ///
    /// # Errors
    /// Those of `out`.
    fn write_parts(&self, rows: &[super::parts::Row], out: &mut dyn Write) -> io::Result<()>;
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn rows() -> Vec<Row> {
        let measured = Row {
            model: "m, \"n\"".into(),
            device: "cpu".into(),
            dtype: "auto".into(),
            quant: "none".into(),
            weights: "q8_0".into(),
            model_size: 4 << 20,
            model_n_params: 494_032_768,
            n_threads: 2,
            n_prompt: 512,
            test: "pp512".into(),
            samples_ts: vec![1.0, 2.0, 3.5],
            median_ts: Some(2.0),
            min_ts: Some(1.0),
            max_ts: Some(3.5),
            limit_ts: Some(8.0),
            limit_share: Some(0.25),
            ..Row::default()
        };
        let failed = Row {
            test: "pp512@d4096".into(),
            median_ts: None,
            limit_share: None,
            error: Some("needs | more".into()),
            ..measured.clone()
        };
        vec![measured, failed]
    }

    pub fn written(format: &dyn Export, rows: &[Row]) -> String {
        let mut out = Vec::new();
        format.write(rows, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
}
