//! Rows beside those of an earlier run.

use serde::{Deserialize, Serialize};

use super::Row;

/// This run's figures over the compared run's; None where either has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ratios {
    /// Of the median speed: above 1 is faster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_ts: Option<f64>,
    /// Of times and memory: below 1 is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_ttft: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_load: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_memory: Option<f64>,
}

/// The row of `earlier` that is the same combination as `row`.
pub fn partner<'r>(row: &Row, earlier: &'r [Row]) -> Option<&'r Row> {
    earlier.iter().find(|other| other.key() == row.key())
}

/// Fills in the ratios of `rows`; how many found a measured partner.
pub fn compare(rows: &mut [Row], earlier: &[Row]) -> usize {
    let mut found = 0;
    for row in rows {
        let Some(then) = partner(row, earlier) else {
            continue;
        };
        row.ratios = Ratios {
            ratio_ts: ratio(row.median_ts, then.median_ts),
            ratio_ttft: ratio(row.ttft_ms, then.ttft_ms),
            ratio_load: ratio(row.load_ms, then.load_ms),
            ratio_memory: ratio(
                row.peak_memory_bytes.map(|bytes| bytes as f64),
                then.peak_memory_bytes.map(|bytes| bytes as f64),
            ),
        };
        found += usize::from(row.ratios.ratio_ts.is_some());
    }
    found
}

fn ratio(now: Option<f64>, then: Option<f64>) -> Option<f64> {
    Some(now? / then.filter(|then| *then > 0.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(test: &str, median_ts: Option<f64>) -> Row {
        Row {
            test: test.into(),
            median_ts,
            peak_memory_bytes: Some(10),
            ..Row::default()
        }
    }

    #[test]
    fn rows_meet_by_what_was_measured() {
        let mut rows = [
            row("pp512", Some(30.0)),
            row("tg128", Some(5.0)),
            row("tg64", None),
        ];
        let earlier = [row("tg64", Some(1.0)), row("pp512", Some(20.0))];
        assert_eq!(compare(&mut rows, &earlier), 1);
        assert_eq!(rows[0].ratios.ratio_ts, Some(1.5));
        assert_eq!(rows[0].ratios.ratio_memory, Some(1.0));
        assert_eq!(rows[0].ratios.ratio_load, None);
        assert_eq!(rows[1].ratios, Ratios::default());
        assert_eq!(rows[2].ratios.ratio_ts, None);
    }

    #[test]
    fn threads_and_numbers_tell_rows_apart() {
        let one = row("pp512", Some(1.0));
        for other in [
            Row {
                n_threads: 2,
                ..one.clone()
            },
            Row {
                quant: "q8_0".into(),
                ..one.clone()
            },
            Row {
                dtype: "f16".into(),
                ..one.clone()
            },
        ] {
            assert!(partner(&one, &[other]).is_none());
        }
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        assert_eq!(ratio(Some(1.0), Some(0.0)), None);
    }
}
