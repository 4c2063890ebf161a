//! A row while it is measured.

use std::time::Duration;

use super::limits::Limits;
use super::quality::Quality;
use super::statistics::Summary;
use super::{BenchError, Counts, Row, Test};

/// A combination that gets a row.
pub(super) struct Cell {
    pub test: Test,
    /// Index into the request's thread counts.
    pub threads: usize,
    pub times: Vec<Duration>,
    pub error: Option<BenchError>,
    pub row: Row,
}

impl Cell {
    pub fn fill_summary(&mut self, summary: Summary) {
        let row = &mut self.row;
        row.avg_ns = Some(summary.avg_ns);
        row.stddev_ns = Some(summary.stddev_ns);
        row.avg_ts = Some(summary.avg_ts);
        row.stddev_ts = Some(summary.stddev_ts);
        row.median_ts = Some(summary.median_ts);
        row.min_ts = Some(summary.min_ts);
        row.max_ts = Some(summary.max_ts);
        row.samples_ns = summary.samples_ns;
        row.samples_ts = summary.samples_ts;
        row.limit_share = row.limit_ts.map(|limit| summary.median_ts / limit);
    }

    pub fn fill_limits(&mut self, counts: &Counts, limits: &Limits) {
        let work = counts.work(&self.test);
        let tokens = self.test.tokens() as f64;
        let row = &mut self.row;
        row.bytes_per_token = Some(work.bytes / tokens);
        row.flops_per_token = Some(work.operations / tokens);
        row.bandwidth_bytes_per_s = Some(limits.bandwidth);
        row.peak_flops = Some(limits.peak(counts.arithmetic()));
        row.limit_ts = Some(tokens / work.seconds(limits, counts.arithmetic()));
    }

    pub fn fill_quality(&mut self, quality: &Quality) {
        let row = &mut self.row;
        row.quality_tokens = Some(quality.tokens);
        row.nll_mean = Some(quality.nll_mean);
        row.kl_mean = Some(quality.kl_mean);
        row.top1_agreement = Some(quality.top1_agreement);
    }
}
