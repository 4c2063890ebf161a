//! JSON → template values. Objects keep the order of their keys, as Python's dicts do.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use minijinja::Value;
use serde_json::Value as Json;

use crate::text::{Content, Message, Part};

/// A map in the order in which it was written.
#[derive(Debug)]
struct Dict(Vec<(Value, Value)>);

impl Object for Dict {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let (_, value) = self.0.iter().find(|(k, _)| k == key)?;
        Some(value.clone())
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let (_, value) = self.0.iter().find(|(k, _)| k.as_str() == Some(key))?;
        Some(value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(key, _)| key.clone()).collect())
    }
}

pub(super) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => match (n.as_u64(), n.as_i64(), n.as_f64()) {
            (Some(n), _, _) => Value::from(n),
            (_, Some(n), _) => Value::from(n),
            (_, _, n) => Value::from(n.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(from_json).collect::<Vec<_>>()),
        Json::Object(entries) => {
            let entries = entries.iter();
            dict(entries.map(|(key, value)| (key.as_str(), from_json(value))))
        }
    }
}

pub(super) fn from_messages(messages: &[Message]) -> Value {
    let message = |m: &Message| {
        dict([
            ("role", Value::from(m.role.as_str())),
            ("content", content(&m.content)),
        ])
    };
    Value::from(messages.iter().map(message).collect::<Vec<_>>())
}

/// Images as transformers names them to a template: what they are, not where.
fn content(content: &Content) -> Value {
    let part = |part: &Part| match part {
        Part::Text { text } => dict([
            ("type", Value::from("text")),
            ("text", Value::from(text.as_str())),
        ]),
        Part::Image { .. } | Part::ImageUrl { .. } => dict([("type", Value::from("image"))]),
    };
    match content {
        Content::Text(text) => Value::from(text.as_str()),
        // A template of a text model knows no parts.
        Content::Parts(_) if content.images().next().is_none() => Value::from(content.to_text()),
        Content::Parts(parts) => Value::from(parts.iter().map(part).collect::<Vec<_>>()),
    }
}

fn dict<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let entries = entries.into_iter().map(|(k, v)| (Value::from(k), v));
    Value::from_object(Dict(entries.collect()))
}
