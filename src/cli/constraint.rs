//! The flags that give an answer a structure, shared by `run` and `chat`.

mod choices;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};

use crate::generate::{Constraint, FinishReason, GenerateOptions, Grammar, Output, Spec};

use super::exit::CliError;
use super::input;
use super::sampling::{Resolved, SamplingArgs};
use super::session::Session;
use super::settings::Settings;

/// Tokens that an answer with a structure may have where -n says nothing: a small model may go on with one text or list
/// for ever, and only the limit ends it.
const MAX_TOKENS: usize = 4096;

pub use choices::{choose, Choice};

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
            choices::refuse_sampling(sampling)?;
            return Ok(Asked::Choices(choices::split(typed)?));
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
