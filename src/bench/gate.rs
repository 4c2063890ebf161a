//! Conditions on a result: `decode<-5%` fails when decoding is more than 5 % slower than in the compared run,
//! `decode<20` when it is slower than 20 tokens a second.

use std::fmt;
use std::str::FromStr;

use super::{compare, Row};

/// When a result is not good enough.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    typed: String,
    metric: Metric,
    above: bool,
    bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    Value(f64),
    /// A change against the compared run, in percent.
    Change(f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    Decode,
    Prefill,
    Ttft,
    Load,
    Memory,
    Nll,
    Kl,
}

/// Names and units; memory is in bytes.
const METRICS: &[(&str, Metric, &str)] = &[
    ("decode", Metric::Decode, "tokens/s"),
    ("prefill", Metric::Prefill, "tokens/s"),
    ("ttft", Metric::Ttft, "ms"),
    ("load", Metric::Load, "ms"),
    ("memory", Metric::Memory, "bytes"),
    ("nll", Metric::Nll, "nats"),
    ("kl", Metric::Kl, "nats"),
];

impl FromStr for Gate {
    type Err = String;

    /// `METRIC<NUMBER` or `METRIC>NUMBER`, with `%` for a change; spaces do not matter.
    fn from_str(typed: &str) -> Result<Self, String> {
        let wrong = || {
            let names: Vec<&str> = METRICS.iter().map(|(name, ..)| *name).collect();
            format!(
                "one of {}, then '<' or '>', then a number or a change in percent is meant, such as 'decode<-5%' or \
                 'ttft>500'",
                names.join(", ")
            )
        };
        let at = typed.find(['<', '>']).ok_or_else(wrong)?;
        let (name, rest) = typed.split_at(at);
        let above = rest.starts_with('>');
        let metric = METRICS
            .iter()
            .find(|(known, ..)| *known == name.trim())
            .map(|(_, metric, _)| *metric)
            .ok_or_else(wrong)?;
        let number = rest.get(1..).unwrap_or_default().trim();
        let read = |text: &str| {
            let number: Option<f64> = text.trim().parse().ok();
            number.filter(|x| x.is_finite()).ok_or_else(wrong)
        };
        let bound = match number.strip_suffix('%') {
            Some(percent) => Bound::Change(read(percent)?),
            None => Bound::Value(read(number)?),
        };
        Ok(Self {
            typed: typed.trim().to_string(),
            metric,
            above,
            bound,
        })
    }
}

impl fmt::Display for Gate {
    /// As it was typed.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

impl Gate {
    /// Whether it needs a run to compare with.
    pub fn is_relative(&self) -> bool {
        matches!(self.bound, Bound::Change(_))
    }

    /// Why `rows` do not pass, one line; None when they do. Where there is nothing to look at they do not: a gate that
    /// looks at nothing would always be open.
    pub fn failure(&self, rows: &[Row], earlier: &[Row]) -> Option<String> {
        let mut looked_at = 0;
        let mut failed = Vec::new();
        for row in rows.iter().filter(|row| self.metric.is_of(row)) {
            let then = compare::partner(row, earlier).and_then(|row| self.metric.value(row));
            let Some(now) = self.metric.value(row) else {
                if then.is_some() {
                    looked_at += 1;
                    failed.push(format!("{} was measured then and is not now", row.name()));
                }
                continue;
            };
            let unit = self.metric.unit();
            let (value, said) = match (self.bound, then) {
                (Bound::Value(_), _) => (now, format!("{} {unit}", short(now))),
                (Bound::Change(_), Some(then)) if then != 0.0 => {
                    let percent = (now / then - 1.0) * 100.0;
                    let said = format!(
                        "{percent:+.1} % ({} after {} {unit})",
                        short(now),
                        short(then)
                    );
                    (percent, said)
                }
                (Bound::Change(_), _) => continue,
            };
            looked_at += 1;
            let (Bound::Value(bound) | Bound::Change(bound)) = self.bound;
            let bad = match self.above {
                true => value > bound,
                false => value < bound,
            };
            if bad {
                failed.push(format!("{}: {said}", row.name()));
            }
        }
        match (looked_at, failed.as_slice()) {
            (0, _) => Some(format!("{self}: no row has the figures for it")),
            (_, []) => None,
            (_, [only]) => Some(format!("{self}: {only}")),
            (_, [first, rest @ ..]) => Some(format!("{self}: {first}; and {} more", rest.len())),
        }
    }
}

impl Metric {
    /// Whether `row` is a test that the metric speaks of.
    fn is_of(self, row: &Row) -> bool {
        match self {
            Self::Decode => row.n_gen > 0 && row.n_prompt == 0,
            Self::Prefill => row.n_prompt > 0 && row.n_gen == 0,
            _ => true,
        }
    }

    fn value(self, row: &Row) -> Option<f64> {
        match self {
            Self::Decode | Self::Prefill => row.median_ts,
            Self::Ttft => row.ttft_ms,
            Self::Load => row.load_ms,
            Self::Memory => row.peak_memory_bytes.map(|bytes| bytes as f64),
            Self::Nll => row.nll_mean,
            Self::Kl => row.kl_mean,
        }
    }

    fn unit(self) -> &'static str {
        let row = METRICS.iter().find(|(_, metric, _)| *metric == self);
        row.map_or("", |(.., unit)| unit)
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        x if x >= 1000.0 => format!("{value:.0}"),
        x if x >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(typed: &str) -> Gate {
        typed.parse().unwrap()
    }

    fn decode(median_ts: Option<f64>) -> Row {
        Row {
            model: "m".into(),
            dtype: "f16".into(),
            quant: "none".into(),
            n_threads: 2,
            n_gen: 128,
            test: "tg128".into(),
            median_ts,
            ttft_ms: Some(100.0),
            ..Row::default()
        }
    }

    #[test]
    fn the_grammar() {
        for good in [
            "decode<-5%",
            "prefill < 20",
            "ttft>+10%",
            "load>500",
            "memory>1e9",
            " nll>0.5% ",
            "kl>0.01",
        ] {
            assert!(good.parse::<Gate>().is_ok(), "{good}");
        }
        for wrong in [
            "",
            "decode",
            "speed<5",
            "decode<",
            "decode<x",
            "decode<%",
            "decode=5",
            "<5",
            "decode<inf",
            "decode<5%%",
        ] {
            assert!(wrong.parse::<Gate>().is_err(), "{wrong}");
        }
        assert!(gate("decode<-5%").is_relative() && !gate("decode<20").is_relative());
    }

    #[test]
    fn a_change_is_relative_to_the_compared_run() {
        let then = [decode(Some(100.0))];
        let failure = |typed: &str, now| gate(typed).failure(&[decode(Some(now))], &then);
        assert_eq!(failure("decode<-5%", 95.5), None);
        let said = failure("decode<-5%", 90.0).unwrap();
        assert!(
            said.contains("decode<-5%") && said.contains("-10.0 %") && said.contains("m f16"),
            "{said}"
        );
        assert!(failure("decode>+10%", 111.0).is_some());
        assert_eq!(failure("ttft>+10%", 1.0), None);
    }

    #[test]
    fn a_value_is_absolute() {
        let rows = [decode(Some(19.0)), decode(Some(18.0)), decode(Some(21.0))];
        let said = gate("decode<20").failure(&rows, &[]).unwrap();
        assert!(
            said.contains("19.0 tokens/s") && said.ends_with("and 1 more"),
            "{said}"
        );
        assert_eq!(gate("decode<10").failure(&rows, &[]), None);
    }

    #[test]
    fn a_gate_with_nothing_to_look_at_is_closed() {
        let rows = [decode(Some(19.0))];
        assert!(gate("prefill<1").failure(&rows, &[]).is_some());
        assert!(gate("decode<-5%").failure(&rows, &[]).is_some());
        assert!(gate("memory>1").failure(&rows, &[]).is_some());
    }

    #[test]
    fn what_can_no_longer_be_measured_fails() {
        let then = [decode(Some(100.0))];
        let said = gate("decode<-5%").failure(&[decode(None)], &then).unwrap();
        assert!(said.contains("is not now"), "{said}");
    }
}
