//! `crane score`: how likely a model finds a text.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::exit::CliError;
use super::global::QuantArgs;
use super::input;
use super::interrupt;
use super::session::{Session, Wish};
use super::settings::Settings;

#[derive(Debug, Clone, Args)]
pub struct ScoreArgs {
    /// Alias, org/repo, folder or .gguf file (see 'crane --help')
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// The text ('-': stdin)
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// As in 'run'; a text is always scored as it is, so this changes nothing
    #[arg(long)]
    pub raw: bool,
    /// Tokens the context holds [default: the model's own length, at most 32768]
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub ctx_size: Option<u32>,
    #[command(flatten)]
    pub quant: QuantArgs,
}

/// Scores the whole text in one context and prints tokens, mean and perplexity.
pub fn run(args: &ScoreArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let text = input::read_named(&args.file, settings)?;
    let mut session = Session::open(
        &args.model,
        settings,
        Wish {
            quant: args.quant.quant.choice(),
            context: args.ctx_size.map(|n| n as usize),
            ..Wish::default()
        },
    )?;
    let name = match args.file == Path::new("-") {
        true => "stdin".to_string(),
        false => args.file.display().to_string(),
    };
    let ids = session.engine.tokenizer().encode(&text, true)?;
    let context = session.engine.context();
    if ids.len() > context {
        return Err(CliError::TooLarge(format!(
            "{name} has {} tokens and the context holds {context}; shorten it or raise --ctx-size as far as the \
             model goes",
            ids.len()
        ))
        .into());
    }
    if ids.len() < 2 {
        return Err(CliError::Usage(format!(
            "{name} has {} tokens; the first is never scored, so two are needed",
            ids.len()
        ))
        .into());
    }
    session.announce(settings);
    // Nothing is written before the end, so Ctrl-C ends it at once.
    let scores = session.engine.score(&ids, &interrupt::pressed)?;
    let mean = mean(&scores.ok_or(CliError::Interrupted)?);
    if settings.json {
        let object = json!({
            "model": session.located.typed,
            "resolved": session.located.resolved,
            "device": session.device(),
            "dtype": session.dtype,
            "notes": session.notes,
            "tokens": ids.len(),
            "nll_mean": mean,
            "perplexity": mean.exp(),
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "tokens      {}", ids.len())?;
        writeln!(out, "nll_mean    {mean:.6}")?;
        writeln!(out, "perplexity  {:.6}", mean.exp())?;
    }
    Ok(())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_over_the_scored_tokens() {
        assert_eq!(mean(&[1.0, 2.0, 3.0]), 2.0);
        assert_eq!(mean(&[]), 0.0);
    }
}
