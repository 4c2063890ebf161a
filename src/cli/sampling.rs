//! The flags of generation, shared by `run` and `chat`: as typed, and resolved over a model's defaults.

use clap::Args;
use serde::Serialize;

use crate::generate::{GenerateOptions, SamplingSettings};

use super::defaults::Defaults;
use super::exit::CliError;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Generation")]
pub struct SamplingArgs {
    /// Tokens to generate at most [default: until the model stops or the context is full]
    #[arg(short = 'n', long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub max_tokens: Option<usize>,
    /// Tokens the context holds [default: the model's own length, at most 32768]
    #[arg(short = 'c', long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub ctx_size: Option<usize>,
    /// Temperature; 0 always takes the likeliest token
    #[arg(long, visible_alias = "temperature", value_name = "T", value_parser = temperature, allow_negative_numbers = true)]
    pub temp: Option<f64>,
    /// Sample from the K likeliest tokens (0: from all)
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub top_k: Option<usize>,
    /// Sample from the likeliest tokens that together reach probability P (1: from all)
    #[arg(long, value_name = "P", value_parser = top_p, allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// Leave out tokens less likely than P times the likeliest (0: none)
    #[arg(long, value_name = "P", value_parser = min_p, allow_negative_numbers = true)]
    pub min_p: Option<f64>,
    /// Divide the logits of tokens seen before (1: off)
    #[arg(long, value_name = "X", value_parser = repeat_penalty, allow_negative_numbers = true)]
    pub repeat_penalty: Option<f64>,
    /// How many tokens back the repetition penalty looks (-1: all)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(-1..), allow_negative_numbers = true)]
    pub repeat_last_n: Option<i64>,
    /// Subtract from the logits of tokens in the output (0: off)
    #[arg(long, value_name = "X", value_parser = additive_penalty, allow_negative_numbers = true)]
    pub presence_penalty: Option<f64>,
    /// Subtract from the logits of tokens in the output, once for each time (0: off)
    #[arg(long, value_name = "X", value_parser = additive_penalty, allow_negative_numbers = true)]
    pub frequency_penalty: Option<f64>,
    /// Seed; the same seed gives the same text [default: random]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Stop before this text (repeatable)
    #[arg(short = 'r', long, value_name = "TEXT", value_parser = not_empty, allow_hyphen_values = true)]
    pub stop: Vec<String>,
    /// Go on after the model's end-of-text token
    #[arg(long)]
    pub ignore_eos: bool,
}

/// What a generation is run with; goes into the JSON as `settings`.
#[derive(Debug, Clone, Serialize)]
pub struct Resolved {
    #[serde(flatten)]
    pub sampling: SamplingSettings,
    pub max_tokens: Option<usize>,
    pub stop: Vec<String>,
    pub ignore_eos: bool,
    /// Where the values that no flag set come from.
    pub defaults_from: String,
    #[serde(skip)]
    pub seed: u64,
    #[serde(skip)]
    pub eos_ids: Vec<u32>,
}

impl SamplingArgs {
    /// Flags over the model's defaults. A random seed stays below 2^32, so that every JSON reader keeps it.
    pub fn resolve(&self, defaults: &Defaults) -> Resolved {
        let base = &defaults.sampling;
        let repeat_last_n = match self.repeat_last_n {
            None => base.repeat_last_n,
            Some(n) => usize::try_from(n).ok(),
        };
        Resolved {
            sampling: SamplingSettings {
                temperature: self.temp.unwrap_or(base.temperature),
                top_k: self.top_k.unwrap_or(base.top_k),
                top_p: self.top_p.unwrap_or(base.top_p),
                min_p: self.min_p.unwrap_or(base.min_p),
                repeat_penalty: self.repeat_penalty.unwrap_or(base.repeat_penalty),
                repeat_last_n,
                presence_penalty: self.presence_penalty.unwrap_or(base.presence_penalty),
                frequency_penalty: self.frequency_penalty.unwrap_or(base.frequency_penalty),
            },
            max_tokens: self.max_tokens,
            stop: self.stop.clone(),
            ignore_eos: self.ignore_eos,
            defaults_from: defaults.source.clone(),
            seed: self
                .seed
                .unwrap_or_else(|| u64::from(rand::random::<u32>())),
            eos_ids: match self.ignore_eos {
                true => Vec::new(),
                false => defaults.eos_ids.clone(),
            },
        }
    }
}

impl Resolved {
    /// What the engine takes.
    pub fn options(&self, logprobs: Option<usize>) -> GenerateOptions {
        GenerateOptions {
            sampling: self.sampling.clone(),
            seed: self.seed,
            max_tokens: self.max_tokens,
            stop: self.stop.clone(),
            eos_ids: self.eos_ids.clone(),
            logprobs,
            vocabulary: None,
            constraint: None,
        }
    }
}

pub(super) fn number(
    text: &str,
    allowed: impl Fn(f64) -> bool,
    range: &'static str,
) -> Result<f64, CliError> {
    text.parse()
        .ok()
        .filter(|value: &f64| value.is_finite() && allowed(*value))
        .ok_or_else(|| CliError::Usage(format!("expected a number {range}")))
}

pub(super) fn temperature(text: &str) -> Result<f64, CliError> {
    number(text, |t| (0.0..=100.0).contains(&t), "from 0 to 100")
}

pub(super) fn top_p(text: &str) -> Result<f64, CliError> {
    number(text, |p| p > 0.0 && p <= 1.0, "above 0, up to 1")
}

pub(super) fn min_p(text: &str) -> Result<f64, CliError> {
    number(text, |p| (0.0..=1.0).contains(&p), "from 0 to 1")
}

pub(super) fn repeat_penalty(text: &str) -> Result<f64, CliError> {
    number(text, |x| x > 0.0 && x <= 100.0, "above 0, up to 100")
}

pub(super) fn additive_penalty(text: &str) -> Result<f64, CliError> {
    number(text, |x| x.abs() <= 100.0, "from -100 to 100")
}

pub(super) fn at_least_one(text: &str) -> Result<usize, CliError> {
    text.parse()
        .ok()
        .filter(|n| *n >= 1)
        .ok_or_else(|| CliError::Usage("expected a whole number, 1 or more".into()))
}

fn not_empty(text: &str) -> Result<String, CliError> {
    match text.is_empty() {
        true => Err(CliError::Usage("an empty text stops nothing".into())),
        false => Ok(text.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn typed(flags: &[&str]) -> Result<SamplingArgs, clap::Error> {
        let line = ["crane", "run", "m", "hi"].iter().chain(flags);
        match Cli::try_parse_from(line)?.command {
            Command::Run(args) => Ok(args.sampling.clone()),
            _ => unreachable!("the line says run"),
        }
    }

    #[test]
    fn a_flag_wins_over_the_models_default() {
        let defaults = Defaults {
            sampling: SamplingSettings {
                temperature: 0.7,
                top_p: 0.8,
                ..Default::default()
            },
            eos_ids: vec![2],
            source: "generation_config.json".into(),
            notes: Vec::new(),
        };
        let args = typed(&["--temp", "0", "--repeat-last-n", "64", "-s", "7"]).unwrap();
        let resolved = args.resolve(&defaults);
        assert_eq!(resolved.sampling.temperature, 0.0);
        assert_eq!(resolved.sampling.top_p, 0.8);
        assert_eq!(resolved.sampling.repeat_last_n, Some(64));
        assert_eq!((resolved.seed, resolved.eos_ids), (7, vec![2]));
        let resolved = typed(&["--ignore-eos", "--repeat-last-n", "-1"])
            .unwrap()
            .resolve(&defaults);
        assert!(resolved.eos_ids.is_empty());
        assert_eq!(resolved.sampling.repeat_last_n, None);
    }

    #[test]
    fn senseless_values_are_refused() {
        for wrong in [
            ["--temp", "-1"],
            ["--temp", "nan"],
            ["--temp", "inf"],
            ["--top-p", "0"],
            ["--top-p", "1.1"],
            ["--min-p", "-0.1"],
            ["--repeat-penalty", "0"],
            ["--repeat-last-n", "-2"],
            ["--stop", ""],
            ["-n", "0"],
            ["-c", "0"],
            ["-t", "0"],
            ["--seed", "-1"],
        ] {
            let error = typed(&wrong).expect_err(wrong[0]);
            assert_eq!(error.exit_code(), 2, "{wrong:?}");
        }
        assert!(typed(&["--presence-penalty", "-0.5"]).is_ok());
    }
}
