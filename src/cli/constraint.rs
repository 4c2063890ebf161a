//! The flags that give an answer a structure, shared by `run` and `chat`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};

use crate::generate::{Constraint, FinishReason, GenerateOptions, Grammar, Output, Spec, Timings};
use crate::text::{TextError, Tokenizer};

use super::exit::CliError;
use super::input;
use super::interrupt;
use super::sampling::{Resolved, SamplingArgs};
use super::session::{Prompt, Session};
use super::settings::Settings;

/// Tokens that an answer with a structure may have where -n says nothing: a small model may go on with one text or list
/// for ever, and only the limit ends it.
const MAX_TOKENS: usize = 4096;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Structure of the answer")]
#[group(multiple = false)]
pub struct ConstraintArgs {
    /// Answer in JSON that is valid by this JSON Schema: a file, or the schema itself, {…} (without -n: at most 4096
    /// tokens; an answer that is cut off ends with code 7)
    #[arg(long, value_name = "FILE|JSON", value_hint = clap::ValueHint::FilePath)]
    pub schema: Option<String>,
    /// Answer with a JSON object, whatever is in it
    #[arg(long)]
    pub json_object: bool,
    /// Answer with a text that all of this regular expression matches (Rust's syntax, no look-around)
    #[arg(long, value_name = "RE", allow_hyphen_values = true)]
    pub regex: Option<String>,
    /// Answer with a text of this grammar (Lark, as llguidance reads it)
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub grammar: Option<PathBuf>,
    /// Answer with the likeliest of these, each judged as a whole; nothing is sampled ('\,' is a comma in a choice;
    /// spaces around one are dropped)
    #[arg(long, value_name = "A,B,…", allow_hyphen_values = true)]
    pub choices: Option<String>,
}

/// A structure as a receipt keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    pub kind: Kind,
    /// The schema, the expression or the grammar itself.
    pub source: String,
}

/// What kind of structure an answer has; as JSON names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Schema,
    JsonObject,
    Regex,
    Grammar,
}

/// What the flags ask for, checked without any model.
#[derive(Debug, Clone)]
pub enum Asked {
    Text,
    Grammar {
        structure: Structure,
        grammar: Box<Grammar>,
    },
    Choices(Vec<String>),
}

/// The same for a model.
#[derive(Debug, Clone)]
pub enum Guide {
    Text,
    Constraint {
        structure: Structure,
        constraint: Box<Constraint>,
    },
    Choices(Vec<String>),
}

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

impl ConstraintArgs {
    /// Reads and checks what is asked for.
    ///
    /// # Errors
    /// A file that is missing or no text, what is wrong with the structure itself, flags that make no sense beside it.
    pub fn read(&self, sampling: &SamplingArgs) -> anyhow::Result<Asked> {
        let (kind, source) = if let Some(schema) = &self.schema {
            (Kind::Schema, self::schema(schema)?)
        } else if self.json_object {
            (Kind::JsonObject, String::new())
        } else if let Some(regex) = &self.regex {
            (Kind::Regex, regex.clone())
        } else if let Some(path) = &self.grammar {
            (Kind::Grammar, input::read_file(path)?)
        } else if let Some(typed) = &self.choices {
            only_choices(sampling)?;
            return Ok(Asked::Choices(choices(typed)?));
        } else {
            return Ok(Asked::Text);
        };
        Asked::again(&Structure { kind, source })
    }
}

impl Asked {
    /// The structure that was asked for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn again(structure: &Structure) -> anyhow::Result<Self> {
        let source = structure.source.as_str();
        let spec = match structure.kind {
            Kind::Schema => Spec::Schema(parsed("the schema", source)?),
            Kind::JsonObject => Spec::JsonObject,
            Kind::Regex => Spec::Regex(source.into()),
            Kind::Grammar => Spec::Lark(source.into()),
        };
        let grammar = Box::new(Grammar::new(spec)?);
        Ok(Self::Grammar {
            structure: structure.clone(),
            grammar,
        })
    }

    /// Makes it what the session's model can follow.
    pub fn prepare(self, session: &mut Session, settings: &Settings) -> anyhow::Result<Guide> {
        let (structure, grammar) = match self {
            Self::Text => return Ok(Guide::Text),
            Self::Choices(choices) => return Ok(Guide::Choices(choices)),
            Self::Grammar { structure, grammar } => (structure, grammar),
        };
        for note in grammar.notes() {
            // Said once, however many lines of a batch ask for the same.
            if !session.notes.contains(note) {
                session.notes.push(note.clone());
            }
        }
        let started = Instant::now();
        let vocabulary = session.vocabulary()?;
        let read = started.elapsed();
        let constraint = Box::new(Constraint::new(&grammar, &vocabulary)?);
        settings.detail(&format!(
            "the structure's tokens were read in {:.0} ms, its grammar in {:.0} ms",
            read.as_secs_f64() * 1e3,
            (started.elapsed() - read).as_secs_f64() * 1e3
        ));
        Ok(Guide::Constraint {
            structure,
            constraint,
        })
    }
}

impl Guide {
    /// Sets the limit of an answer that has none.
    pub fn limit(&self, resolved: &mut Resolved) {
        if let Self::Constraint { .. } = self {
            resolved.max_tokens.get_or_insert(MAX_TOKENS);
        }
    }

    /// What a template is told of thinking, which has no place in a structure.
    pub fn think(&self, asked: Option<bool>) -> Option<bool> {
        match self {
            Self::Text => asked,
            Self::Constraint { .. } | Self::Choices(_) => Some(false),
        }
    }

    /// The options of a generation that it leads.
    pub fn lead(&self, mut options: GenerateOptions) -> GenerateOptions {
        if let Self::Constraint { constraint, .. } = self {
            options.constraint = Some(Constraint::clone(constraint));
        }
        options
    }

    /// What a receipt keeps of it.
    pub fn structure(&self) -> Option<Structure> {
        match self {
            Self::Constraint { structure, .. } => Some(structure.clone()),
            Self::Text | Self::Choices(_) => None,
        }
    }

    /// What JSON says of it.
    pub fn json(&self, output: &Output) -> Option<Value> {
        match self {
            Self::Text => None,
            Self::Constraint { structure, .. } => {
                Some(json!({ "kind": structure.kind, "complete": output.complete }))
            }
            Self::Choices(_) => Some(json!({ "kind": "choices", "complete": output.complete })),
        }
    }
}

/// What is wrong with an answer that was cut off in the middle of its structure.
pub fn unmet(output: &Output, resolved: &Resolved) -> Option<CliError> {
    if output.complete != Some(false) || output.finish_reason == FinishReason::Interrupted {
        return None;
    }
    let tokens = output.tokens.len();
    let limited = resolved.max_tokens.is_some_and(|limit| tokens >= limit);
    let (cut, remedy) = match (output.finish_reason, limited) {
        (FinishReason::Stop, _) => ("by a stop string", "leave out --stop"),
        (_, true) => ("by the limit of tokens", "raise -n"),
        (_, false) => ("because the context is full", "raise --ctx-size"),
    };
    Some(CliError::Condition(format!(
        "the answer was cut off {cut} after {tokens} tokens, before its structure was complete; {remedy}"
    )))
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

/// The text of a schema, typed or in the file that is named; it is JSON.
fn schema(typed: &str) -> anyhow::Result<String> {
    let text = typed.trim();
    let inline = text.starts_with('{') || text == "true" || text == "false";
    let (name, text) = match inline {
        true => ("the schema".to_string(), text.to_string()),
        false => {
            let path = Path::new(typed);
            (path.display().to_string(), input::read_file(path)?)
        }
    };
    parsed(&name, &text)?;
    Ok(text)
}

fn parsed(name: &str, text: &str) -> Result<Value, CliError> {
    serde_json::from_str(text)
        .map_err(|error| CliError::Usage(format!("{name} is not JSON: {error}")))
}

/// Splits at commas; `\,` is a comma and `\\` a backslash.
fn choices(typed: &str) -> Result<Vec<String>, CliError> {
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
fn only_choices(sampling: &SamplingArgs) -> Result<(), CliError> {
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
            assert_eq!(choices(typed).unwrap(), expected, "{typed}");
        }
        for (typed, word) in [
            ("", "two choices"),
            ("yes", "two choices"),
            ("yes,", "choice 2"),
            ("a,,b", "choice 2"),
            ("a,b, a", "\"a\" twice"),
        ] {
            let error = choices(typed).unwrap_err().to_string();
            assert!(error.contains(word), "{typed}: {error}");
        }
    }

    #[test]
    fn what_samples_is_refused_beside_choices() {
        assert!(only_choices(&SamplingArgs::default()).is_ok());
        let sampling = SamplingArgs {
            temp: Some(0.0),
            ..SamplingArgs::default()
        };
        let error = only_choices(&sampling).unwrap_err().to_string();
        assert!(error.contains("--temp"), "{error}");
    }
}
