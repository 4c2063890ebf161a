//! `--choices`: the likeliest of some answers.

use serde::Serialize;

use crate::cli::exit::CliError;
use crate::cli::interrupt;
use crate::cli::sampling::SamplingArgs;
use crate::cli::session::{Prompt, Session};
use crate::generate::{FinishReason, Output, Timings};
use crate::text::{TextError, Tokenizer};

/// An answer that was chosen.
pub struct Picked {
    pub output: Output,
    /// Best first.
    pub choices: Vec<Choice>,
}

/// What the model gives a choice.
#[derive(Debug, Clone, Serialize)]
pub struct Choice {
    pub text: String,
    /// Natural logarithm of the probability of the whole text and the end of the turn.
    pub logprob: f64,
    /// Among the choices: all together make 1.
    pub probability: f64,
}

/// The likeliest of `choices` after `prompt`. An interrupted one has no text.
pub fn choose(
    session: &mut Session,
    prompt: &Prompt,
    choices: &[String],
    ends: &[u32],
) -> anyhow::Result<Picked> {
    let (kept, answers) = continuations(session.engine.tokenizer(), prompt, choices)?;
    let mut sequence = prompt.sequence();
    sequence.ids = &sequence.ids[..kept];
    let scores = session
        .engine
        .choose(sequence, &answers, ends, &interrupt::pressed)?;
    let mut output = Output {
        text: String::new(),
        tokens: Vec::new(),
        finish_reason: FinishReason::Interrupted,
        complete: Some(false),
        logprobs: Vec::new(),
        timings: Timings::default(),
    };
    let Some(scores) = scores else {
        let choices = Vec::new();
        return Ok(Picked { output, choices });
    };
    let best = scores.logprobs.iter().copied().fold(f64::MIN, f64::max);
    let total: f64 = scores.logprobs.iter().map(|l| (l - best).exp()).sum();
    let scored = choices.iter().zip(&scores.logprobs);
    let mut scored: Vec<(Choice, Vec<u32>)> = scored
        .map(|(text, &logprob)| Choice {
            text: text.clone(),
            logprob,
            probability: (logprob - best).exp() / total,
        })
        .zip(answers)
        .collect();
    // A stable sort: of equal ones the first that was named.
    scored.sort_by(|(a, _), (b, _)| b.logprob.total_cmp(&a.logprob));
    if let Some((choice, tokens)) = scored.first() {
        output.text = choice.text.clone();
        output.tokens = tokens.clone();
        output.finish_reason = FinishReason::Stop;
        output.complete = Some(true);
    }
    output.timings = scores.timings;
    let choices = scored.into_iter().map(|(choice, _)| choice).collect();
    Ok(Picked { output, choices })
}

/// The tokens of each choice where it stands, right behind the prompt, and how many of the prompt's tokens come before
/// them: a tokenizer may join the prompt's end with a choice's beginning.
fn continuations(
    tokenizer: &Tokenizer,
    prompt: &Prompt,
    choices: &[String],
) -> anyhow::Result<(usize, Vec<Vec<u32>>)> {
    let encode = |text: &str| tokenizer.encode(text, false);
    let base = encode(&prompt.text)?;
    let texts = choices.iter().map(|choice| prompt.text.clone() + choice);
    let whole: Vec<Vec<u32>> = texts
        .map(|text| encode(&text))
        .collect::<Result<_, TextError>>()?;
    let same = |ids: &Vec<u32>| base.iter().zip(ids).take_while(|(a, b)| a == b).count();
    let cut = whole.iter().map(same).min().unwrap_or(0);
    let tail = base.get(cut..).unwrap_or_default();
    let (kept, answers) = match prompt.ids.ends_with(tail) && prompt.ids.len() > tail.len() {
        true => {
            let behind = |ids: &Vec<u32>| ids.get(cut..).unwrap_or_default().to_vec();
            (
                prompt.ids.len() - tail.len(),
                whole.iter().map(behind).collect(),
            )
        }
        false => {
            let alone = choices.iter().map(|choice| encode(choice));
            (prompt.ids.len(), alone.collect::<Result<Vec<_>, _>>()?)
        }
    };
    match answers.iter().position(Vec::is_empty) {
        Some(empty) => Err(CliError::Usage(format!(
            "the model has no token for the choice {:?}",
            choices[empty]
        ))
        .into()),
        None => Ok((kept, answers)),
    }
}

/// Splits at commas; `\,` is a comma and `\\` a backslash.
pub(super) fn split(typed: &str) -> Result<Vec<String>, CliError> {
    let mut choices = vec![String::new()];
    let mut chars = typed.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = chars.next_if(|next| c == '\\' && matches!(next, ',' | '\\'));
        match (c, &mut choices[..]) {
            (',', _) => choices.push(String::new()),
            (c, [.., last]) => last.push(escaped.unwrap_or(c)),
            (_, []) => {}
        }
    }
    let choices: Vec<String> = choices.iter().map(|c| c.trim().to_string()).collect();
    let refuse = |text: String| Err(CliError::Usage(text));
    if choices.len() < 2 {
        return refuse(
            "--choices needs two choices or more, with commas between them: yes,no".into(),
        );
    }
    for (index, choice) in choices.iter().enumerate() {
        if choice.is_empty() {
            return refuse(format!("choice {} of --choices is empty", index + 1));
        }
        if choices[..index].contains(choice) {
            return refuse(format!("--choices names {choice:?} twice"));
        }
    }
    Ok(choices)
}

/// Refuses what has no meaning where nothing is sampled.
pub(super) fn refuse_sampling(sampling: &SamplingArgs) -> Result<(), CliError> {
    let flags = [
        ("-n/--max-tokens", sampling.max_tokens.is_some()),
        ("--temp", sampling.temp.is_some()),
        ("--top-k", sampling.top_k.is_some()),
        ("--top-p", sampling.top_p.is_some()),
        ("--min-p", sampling.min_p.is_some()),
        ("--repeat-penalty", sampling.repeat_penalty.is_some()),
        ("--repeat-last-n", sampling.repeat_last_n.is_some()),
        ("--presence-penalty", sampling.presence_penalty.is_some()),
        ("--frequency-penalty", sampling.frequency_penalty.is_some()),
        ("--seed", sampling.seed.is_some()),
        ("--stop", !sampling.stop.is_empty()),
        ("--ignore-eos", sampling.ignore_eos),
    ];
    match flags.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(CliError::Usage(format!(
            "--choices compares whole answers and samples nothing: leave out {flag}"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_split_at_commas_and_trimmed() {
        for (typed, expected) in [
            ("yes,no", vec!["yes", "no"]),
            (" a b , c ", vec!["a b", "c"]),
            (r"1\,5,2", vec!["1,5", "2"]),
            (r"a\\,b\c", vec![r"a\", r"b\c"]),
        ] {
            assert_eq!(split(typed).unwrap(), expected, "{typed}");
        }
        for (typed, word) in [
            ("", "two choices"),
            ("yes", "two choices"),
            ("yes,", "choice 2"),
            ("a,,b", "choice 2"),
            ("a,b, a", "\"a\" twice"),
        ] {
            let error = split(typed).unwrap_err().to_string();
            assert!(error.contains(word), "{typed}: {error}");
        }
    }

    #[test]
    fn what_samples_is_refused_beside_choices() {
        assert!(refuse_sampling(&SamplingArgs::default()).is_ok());
        let sampling = SamplingArgs {
            temp: Some(0.0),
            ..SamplingArgs::default()
        };
        let error = refuse_sampling(&sampling).unwrap_err().to_string();
        assert!(error.contains("--temp"), "{error}");
    }
}
