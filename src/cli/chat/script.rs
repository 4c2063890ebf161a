//! Turns as JSON objects: `--format ndjson`.

use serde::Deserialize;
use serde_json::{json, Value};

use super::command::{self, Typed};
use crate::cli::exit::{self, CliError};
use crate::cli::input::without_mark;
use crate::text::Content;

/// One line of stdin.
#[derive(Debug, PartialEq)]
pub enum Request {
    Say { content: Content, seed: Option<u64> },
    Command(String),
}

impl Request {
    /// A message.
    pub fn say(text: String) -> Self {
        Self::Say {
            content: text.into(),
            seed: None,
        }
    }

    /// A line as a person types it.
    pub fn of_text(line: &str) -> Self {
        match command::parse(line) {
            Typed::Text(text) => Self::say(text.into_owned()),
            Typed::Command(..) | Typed::Unknown(_) => Self::Command(line.to_string()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    #[serde(alias = "prompt")]
    content: Option<Content>,
    command: Option<String>,
    seed: Option<u64>,
    /// As messages have it; only a user speaks here.
    role: Option<String>,
}

/// Reads `{"content": …}` (or `"prompt"`, with `"seed"`), `{"command": "/…"}`, or a text alone.
pub fn parse(line: &str) -> Result<Request, CliError> {
    let wrong = |reason: &str| {
        CliError::Usage(format!(
            "the line is no turn: {reason}; expected {{\"content\": \"…\"}} or {{\"command\": \"/undo\"}}"
        ))
    };
    let line = without_mark(line);
    let value: Value = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
    if let Value::String(text) = value {
        return Ok(Request::Say {
            content: text.into(),
            seed: None,
        });
    }
    let object: Object =
        serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))?;
    if object.role.is_some_and(|role| role != "user") {
        return Err(wrong(
            "only a user speaks here; /system sets the system message",
        ));
    }
    match (object.content, object.command) {
        (Some(content), None) => Ok(Request::Say {
            content,
            seed: object.seed,
        }),
        (None, Some(command)) if command.starts_with('/') => Ok(Request::Command(command)),
        (None, Some(_)) => Err(wrong("a command begins with a slash")),
        _ => Err(wrong("one of content and command is needed")),
    }
}

/// What a line that failed is answered with.
pub fn failure(error: &anyhow::Error) -> Value {
    json!({ "error": self::error(error) })
}

/// An error as it stands in an object.
pub fn error(error: &anyhow::Error) -> Value {
    json!({ "code": exit::code(error), "message": exit::message(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_have_several_spellings() {
        let say = |text: &str, seed| Request::Say {
            content: text.to_string().into(),
            seed,
        };
        for (line, expected) in [
            (r#""hi""#, say("hi", None)),
            ("\u{feff}\"hi\"", say("hi", None)),
            (r#"{"content":"hi"}"#, say("hi", None)),
            (r#"{"role":"user","content":"hi"}"#, say("hi", None)),
            (r#"{"prompt":"hi","seed":7}"#, say("hi", Some(7))),
            (r#"{"command":"/undo"}"#, Request::Command("/undo".into())),
        ] {
            assert_eq!(parse(line).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_turn_is_named() {
        for wrong in [
            "hi",
            "{}",
            "1",
            r#"{"content":1}"#,
            r#"{"content":"a","x":1}"#,
            r#"{"content":"a","command":"/undo"}"#,
            r#"{"command":"undo"}"#,
            r#"{"role":"system","content":"a"}"#,
        ] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.starts_with("the line is no turn"), "{error}");
        }
    }
}
