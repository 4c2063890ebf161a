//! A line of the input: one prompt with its settings.

use serde_json::{Map, Value};

use crate::cli::constraint::{Kind, Structure};
use crate::cli::exit::CliError;
use crate::cli::input::without_mark;
use crate::cli::sampling::{self, SamplingArgs};
use crate::text::Message;

/// What is asked, and how; what the line leaves open is as the command line says.
#[derive(Debug, Clone)]
pub struct Asked {
    pub ask: Ask,
    pub system: Option<String>,
    pub raw: bool,
    pub prefill: String,
    pub sampling: SamplingArgs,
    /// None: that of the command line.
    pub structure: Option<Structure>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Prompt(String),
    Messages(Vec<Message>),
}

/// What the command line says for all lines.
#[derive(Debug, Clone, Copy)]
pub struct Flags<'a> {
    pub system: Option<&'a str>,
    pub raw: bool,
    pub prefill: &'a str,
    pub sampling: &'a SamplingArgs,
}

fn wrong(text: impl Into<String>) -> CliError {
    CliError::Usage(text.into())
}

/// The object of a line, and its `id`, which is echoed whatever is wrong with the rest.
///
/// # Errors
/// Not JSON, or not an object.
pub fn object(text: &str) -> Result<(Map<String, Value>, Option<Value>), CliError> {
    let value: Value = serde_json::from_str(without_mark(text)).map_err(|error| {
        wrong(format!(
            "the line is not JSON: {error}; expected {{\"prompt\": \"…\"}}"
        ))
    })?;
    match value {
        Value::Object(mut map) => {
            let id = map.shift_remove("id");
            Ok((map, id))
        }
        other => Err(wrong(format!(
            "the line is {}, not an object; expected {{\"prompt\": \"…\"}}",
            kind(&other)
        ))),
    }
}

impl Asked {
    /// Reads the object of a line over what the command line says. A null is as good as no such key.
    ///
    /// # Errors
    /// A key that is not known, a value that does not fit, no prompt or two, images.
    pub fn read(map: Map<String, Value>, flags: Flags) -> Result<Self, CliError> {
        let (mut prompt, mut messages, mut raw, mut system) = (None, None, None, None);
        let mut asked = Self {
            ask: Ask::Messages(Vec::new()),
            system: None,
            raw: false,
            prefill: flags.prefill.to_string(),
            sampling: flags.sampling.clone(),
            structure: None,
        };
        for (key, value) in map.into_iter().filter(|(_, value)| !value.is_null()) {
            match key.as_str() {
                "prompt" => prompt = Some(text(&key, value)?),
                "system" => system = Some(text(&key, value)?),
                "prefill" => asked.prefill = text(&key, value)?,
                "raw" => raw = Some(switch(&key, &value)?),
                "messages" => {
                    let all = serde_json::from_value::<Vec<Message>>(value);
                    messages = Some(all.map_err(|error| {
                        wrong(format!("'messages' is not a list of messages: {error}"))
                    })?);
                }
                "schema" | "json_object" | "regex" | "grammar" => {
                    let structure = structure(&key, value)?;
                    if structure.is_some() && asked.structure.is_some() {
                        return Err(wrong("the line asks for two structures of its answer"));
                    }
                    asked.structure = asked.structure.or(structure);
                }
                _ => set(&mut asked.sampling, &key, &value)?,
            }
        }
        asked.ask = match (prompt, messages) {
            (Some(_), Some(_)) => return Err(wrong("the line has both 'prompt' and 'messages'")),
            (None, None) => return Err(wrong("the line has neither 'prompt' nor 'messages'")),
            (Some(prompt), None) => {
                asked.raw = raw.unwrap_or(flags.raw);
                let blank = match asked.raw {
                    true => prompt.is_empty() && asked.prefill.is_empty(),
                    false => prompt.trim().is_empty(),
                };
                if blank {
                    return Err(wrong("the prompt is empty"));
                }
                Ask::Prompt(prompt)
            }
            (None, Some(messages)) => {
                if messages.is_empty() {
                    return Err(wrong("'messages' holds no message"));
                }
                if messages.iter().any(|m| m.content.images().next().is_some()) {
                    return Err(wrong(
                        "images are not read from the lines of --batch; 'crane vision' looks at them",
                    ));
                }
                if raw.unwrap_or(flags.raw) {
                    return Err(wrong("'raw' is for a 'prompt', not for 'messages'"));
                }
                if system.is_some() {
                    return Err(wrong(
                        "'system' is for a 'prompt'; put a message of the role system into 'messages'",
                    ));
                }
                Ask::Messages(messages)
            }
        };
        if asked.raw && system.is_some() {
            return Err(wrong("'system' and 'raw' exclude each other"));
        }
        let system = system.or(flags.system.map(str::to_string));
        match &mut asked.ask {
            Ask::Prompt(_) if asked.raw => {}
            Ask::Prompt(_) => asked.system = system,
            // A conversation may have its own.
            Ask::Messages(messages) => {
                if let Some(system) = system.filter(|_| messages.iter().all(|m| m.role != "system"))
                {
                    messages.insert(0, Message::text("system", system));
                }
            }
        }
        Ok(asked)
    }
}

/// The structure that `key` asks for; None for `"json_object": false`.
fn structure(key: &str, value: Value) -> Result<Option<Structure>, CliError> {
    let (kind, source) = match key {
        "schema" => (Kind::Schema, value.to_string()),
        "json_object" if !switch(key, &value)? => return Ok(None),
        "json_object" => (Kind::JsonObject, String::new()),
        "regex" => (Kind::Regex, text(key, value)?),
        _ => (Kind::Grammar, text(key, value)?),
    };
    Ok(Some(Structure { kind, source }))
}

/// Sets a flag of the sampling by its name in JSON; what a flag refuses is refused here.
fn set(to: &mut SamplingArgs, key: &str, value: &Value) -> Result<(), CliError> {
    match key {
        "max_tokens" => to.max_tokens = Some(number(key, value, sampling::at_least_one)?),
        "temperature" | "temp" => to.temp = Some(number(key, value, sampling::temperature)?),
        "top_k" => to.top_k = Some(number(key, value, whole)?),
        "top_p" => to.top_p = Some(number(key, value, sampling::top_p)?),
        "min_p" => to.min_p = Some(number(key, value, sampling::min_p)?),
        "repeat_penalty" => {
            to.repeat_penalty = Some(number(key, value, sampling::repeat_penalty)?);
        }
        "repeat_last_n" => to.repeat_last_n = Some(number(key, value, back)?),
        "presence_penalty" => {
            to.presence_penalty = Some(number(key, value, sampling::additive_penalty)?);
        }
        "frequency_penalty" => {
            to.frequency_penalty = Some(number(key, value, sampling::additive_penalty)?);
        }
        "seed" => to.seed = Some(number(key, value, whole)?),
        "ignore_eos" => to.ignore_eos = switch(key, value)?,
        "stop" => to.stop = stops(value)?,
        _ => {
            return Err(wrong(format!(
                "'{key}' is not known; a line has prompt or messages, id, system, raw, prefill, max_tokens, \
                 temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_n, presence_penalty, \
                 frequency_penalty, seed, stop, ignore_eos, schema, json_object, regex, grammar"
            )))
        }
    }
    Ok(())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn text(key: &str, value: Value) -> Result<String, CliError> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong(format!("'{key}' is {}, not a text", kind(&other)))),
    }
}

fn switch(key: &str, value: &Value) -> Result<bool, CliError> {
    let found = value.as_bool();
    found.ok_or_else(|| wrong(format!("'{key}' is {}, not true or false", kind(value))))
}

/// A number that `parse` takes, as it takes a flag's text.
fn number<T>(
    key: &str,
    value: &Value,
    parse: impl Fn(&str) -> Result<T, CliError>,
) -> Result<T, CliError> {
    match value {
        Value::Number(number) => parse(&number.to_string())
            .map_err(|error| wrong(format!("'{key}' is {number}: {error}"))),
        other => Err(wrong(format!("'{key}' is {}, not a number", kind(other)))),
    }
}

fn whole<T: std::str::FromStr>(text: &str) -> Result<T, CliError> {
    text.parse()
        .map_err(|_| wrong("expected a whole number, 0 or more"))
}

fn back(text: &str) -> Result<i64, CliError> {
    let found = text.parse().ok().filter(|n: &i64| *n >= -1);
    found.ok_or_else(|| wrong("expected a whole number, -1 or more"))
}

fn stops(value: &Value) -> Result<Vec<String>, CliError> {
    let one = |value: &Value| match value {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(wrong("'stop' is a text or a list of texts, none empty")),
    };
    match value {
        Value::Array(all) => all.iter().map(one).collect(),
        other => Ok(vec![one(other)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Asked, CliError> {
        let sampling = SamplingArgs {
            temp: Some(0.5),
            max_tokens: Some(9),
            stop: vec!["END".into()],
            ..SamplingArgs::default()
        };
        let flags = Flags {
            system: Some("be brief"),
            raw: false,
            prefill: "",
            sampling: &sampling,
        };
        let (map, _) = object(&value.to_string())?;
        Asked::read(map, flags)
    }

    fn roles(asked: &Asked) -> Vec<&str> {
        match &asked.ask {
            Ask::Prompt(_) => Vec::new(),
            Ask::Messages(messages) => messages.iter().map(|m| m.role.as_str()).collect(),
        }
    }

    #[test]
    fn a_line_goes_over_the_flags() {
        let asked = read(json!({"prompt": "hi"})).unwrap();
        assert_eq!(asked.system.as_deref(), Some("be brief"));
        assert_eq!(asked.sampling.temp, Some(0.5));
        let asked = read(json!({
            "prompt": "hi", "system": null, "temperature": 0, "top_k": 3, "seed": 18446744073709551615u64,
            "stop": "x", "ignore_eos": true, "repeat_last_n": -1, "max_tokens": 4
        }))
        .unwrap();
        let s = &asked.sampling;
        assert_eq!(
            (s.temp, s.top_k, s.seed),
            (Some(0.0), Some(3), Some(u64::MAX))
        );
        assert_eq!((s.max_tokens, s.repeat_last_n), (Some(4), Some(-1)));
        assert_eq!(
            (s.stop.as_slice(), s.ignore_eos),
            (&["x".to_string()][..], true)
        );
        let asked = read(json!({"prompt": " ", "raw": true, "stop": ["a", "b"]})).unwrap();
        assert!(asked.raw && asked.system.is_none());
        assert_eq!(asked.sampling.stop, ["a", "b"]);
        let talk = json!([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]);
        let asked = read(json!({"messages": talk, "prefill": "Well"})).unwrap();
        assert_eq!(roles(&asked), ["system", "user"]);
        assert_eq!(asked.prefill, "Well");
        let asked = read(json!({"messages": [{"role": "user", "content": "u"}]})).unwrap();
        assert_eq!(roles(&asked), ["system", "user"]);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (line, part) in [
            (json!({"prompt": "a", "promt": "b"}), "'promt'"),
            (json!({"prompt": ""}), "empty"),
            (json!({"prompt": " \n"}), "empty"),
            (json!({}), "neither"),
            (json!([1]), "a list"),
            (json!({"prompt": 3}), "'prompt' is a number"),
            (json!({"prompt": "a", "messages": []}), "both"),
            (json!({"messages": []}), "no message"),
            (json!({"messages": [{"role": "user"}]}), "messages"),
            (
                json!({"prompt": "a", "temperature": -1}),
                "'temperature' is -1",
            ),
            (json!({"prompt": "a", "top_k": 1.5}), "'top_k' is 1.5"),
            (json!({"prompt": "a", "seed": -1}), "'seed' is -1"),
            (json!({"prompt": "a", "max_tokens": 0}), "'max_tokens' is 0"),
            (json!({"prompt": "a", "max_tokens": "4"}), "not a number"),
            (json!({"prompt": "a", "repeat_last_n": -2}), "-1 or more"),
            (json!({"prompt": "a", "stop": ["x", ""]}), "'stop'"),
            (json!({"prompt": "a", "raw": 1}), "'raw'"),
            (
                json!({"prompt": "a", "raw": true, "system": "s"}),
                "exclude",
            ),
            (
                json!({"messages": [{"role": "user", "content": "u"}], "system": "s"}),
                "'system'",
            ),
            (
                json!({"messages": [{"role": "user", "content": "u"}], "raw": true}),
                "'raw'",
            ),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}]}),
                "images",
            ),
        ] {
            let error = read(line.clone()).expect_err(&line.to_string());
            assert!(error.to_string().contains(part), "{line}: {error}");
        }
        assert!(object("{\"prompt\": ").is_err());
        let (_, id) = object(r#"{"id": [1, "a"], "nonsense": 1}"#).unwrap();
        assert_eq!(id, Some(json!([1, "a"])));
    }
}
