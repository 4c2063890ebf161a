//! Repetitions summed up.

use std::time::Duration;

/// What the repetitions of one test say together; times in nanoseconds, speeds in tokens per second.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub samples_ns: Vec<u64>,
    pub samples_ts: Vec<f64>,
    pub avg_ns: u64,
    pub stddev_ns: u64,
    pub avg_ts: f64,
    pub stddev_ts: f64,
    pub median_ts: f64,
    pub min_ts: f64,
    pub max_ts: f64,
}

impl Summary {
    /// Of repetitions that computed `tokens` tokens each; None without any.
    pub fn of(tokens: usize, repetitions: &[Duration]) -> Option<Self> {
        let samples_ns: Vec<u64> = repetitions
            .iter()
            .map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1))
            .collect();
        let samples_ts: Vec<f64> = samples_ns
            .iter()
            .map(|&ns| tokens as f64 * 1e9 / ns as f64)
            .collect();
        let nanoseconds: Vec<f64> = samples_ns.iter().map(|&ns| ns as f64).collect();
        Some(Self {
            avg_ns: mean(&nanoseconds) as u64,
            stddev_ns: deviation(&nanoseconds) as u64,
            avg_ts: mean(&samples_ts),
            stddev_ts: deviation(&samples_ts),
            median_ts: median(&samples_ts)?,
            min_ts: samples_ts.iter().copied().reduce(f64::min)?,
            max_ts: samples_ts.iter().copied().reduce(f64::max)?,
            samples_ns,
            samples_ts,
        })
    }
}

/// The middle value, or the mean of the two in the middle; None without any.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    match sorted.len() % 2 {
        1 => Some(upper),
        _ => Some((sorted.get(sorted.len() / 2 - 1)? + upper) / 2.0),
    }
}

/// The arithmetic mean; 0 without values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The standard deviation of a sample (divided by n − 1, as llama-bench does); 0 for fewer than two values.
fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_sample_spreads_as_llama_bench_counts_it() {
        assert_eq!(deviation(&[1.0, 3.0]), 2f64.sqrt());
        assert_eq!(deviation(&[5.0]), 0.0);
        assert_eq!(mean(&[]), 0.0);
    }

    #[test]
    fn times_become_speeds() {
        let times = [2, 1, 4].map(Duration::from_secs);
        let summary = Summary::of(8, &times).unwrap();
        assert_eq!(summary.samples_ts, [4.0, 8.0, 2.0]);
        assert_eq!(
            (summary.median_ts, summary.min_ts, summary.max_ts),
            (4.0, 2.0, 8.0)
        );
        assert_eq!(summary.avg_ns, 2_333_333_333);
        assert_eq!(
            summary.samples_ns,
            [2_000_000_000, 1_000_000_000, 4_000_000_000]
        );
        assert_eq!(Summary::of(8, &[]), None);
    }

    #[test]
    fn no_time_at_all_is_no_division_by_zero() {
        let summary = Summary::of(1, &[Duration::ZERO]).unwrap();
        assert!(summary.median_ts.is_finite());
    }
}
