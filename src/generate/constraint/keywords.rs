//! The words of JSON Schema, and what may stand under each.

use std::collections::HashSet;

use serde_json::Value;

/// What stands under a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Anything,
    Text,
    /// A type's name or a list of them.
    Types,
    /// A list of values.
    Values,
    /// A list of names, each once.
    Names,
    Count,
    Number,
    /// A number, or the yes and no of draft 4.
    NumberOrBool,
    /// A number above 0.
    Step,
    /// A regular expression.
    Pattern,
    Schema,
    /// A list of schemas, one at least.
    Schemas,
    /// A schema, or the list of them of the drafts before 2020-12.
    SchemaOrSchemas,
    /// Schemas by name.
    Map,
    /// Schemas by regular expression.
    PatternMap,
}

/// The keywords that are enforced, and those that say nothing about a value.
const KNOWN: &[(&str, Kind)] = &[
    ("type", Kind::Types),
    ("enum", Kind::Values),
    ("const", Kind::Anything),
    ("anyOf", Kind::Schemas),
    ("oneOf", Kind::Schemas),
    ("allOf", Kind::Schemas),
    ("$ref", Kind::Text),
    ("$defs", Kind::Map),
    ("definitions", Kind::Map),
    ("properties", Kind::Map),
    ("patternProperties", Kind::PatternMap),
    ("additionalProperties", Kind::Schema),
    ("required", Kind::Names),
    ("minProperties", Kind::Count),
    ("maxProperties", Kind::Count),
    ("items", Kind::SchemaOrSchemas),
    ("prefixItems", Kind::Schemas),
    ("additionalItems", Kind::Schema),
    ("minItems", Kind::Count),
    ("maxItems", Kind::Count),
    ("minLength", Kind::Count),
    ("maxLength", Kind::Count),
    ("pattern", Kind::Pattern),
    ("format", Kind::Text),
    ("minimum", Kind::Number),
    ("maximum", Kind::Number),
    ("exclusiveMinimum", Kind::NumberOrBool),
    ("exclusiveMaximum", Kind::NumberOrBool),
    ("multipleOf", Kind::Step),
    ("$schema", Kind::Text),
    ("$id", Kind::Text),
    ("id", Kind::Anything),
    ("$anchor", Kind::Text),
    ("$comment", Kind::Text),
    ("title", Kind::Text),
    ("description", Kind::Text),
    ("default", Kind::Anything),
    ("examples", Kind::Anything),
    ("example", Kind::Anything),
    ("deprecated", Kind::Anything),
    ("readOnly", Kind::Anything),
    ("writeOnly", Kind::Anything),
    ("contentMediaType", Kind::Anything),
    ("contentEncoding", Kind::Anything),
];

/// Keywords of some draft that no mask can enforce, and what to do instead.
const NOT_ENFORCED: &[(&str, &str)] = &[
    ("not", "say what is allowed instead, with enum, pattern or anyOf"),
    ("if", ALTERNATIVES),
    ("then", ALTERNATIVES),
    ("else", ALTERNATIVES),
    ("dependencies", ALTERNATIVES),
    ("dependentRequired", ALTERNATIVES),
    ("dependentSchemas", ALTERNATIVES),
    ("contains", "use prefixItems for the item that has to be there"),
    ("minContains", "use minItems"),
    ("maxContains", "use maxItems"),
    ("uniqueItems", "leave it out and check the answer for repetitions, or use an object with one property a value"),
    ("propertyNames", "use patternProperties with additionalProperties false"),
    ("unevaluatedProperties", "use additionalProperties"),
    ("unevaluatedItems", "use items"),
    ("$dynamicRef", "use $ref"),
    ("$recursiveRef", "use $ref"),
    ("x-guidance", "it is the parser's own, and crane sets it"),
];
const ALTERNATIVES: &str = "write the cases as alternatives of anyOf";

pub(super) fn kind(keyword: &str) -> Option<Kind> {
    let row = KNOWN.iter().find(|(name, _)| *name == keyword);
    row.map(|(_, kind)| *kind)
}

/// What to do instead of a keyword that cannot be enforced; None for one that asks for nothing.
pub(super) fn instead(keyword: &str, value: &Value) -> Option<&'static str> {
    let asks_nothing = match keyword {
        "uniqueItems" => value == &Value::Bool(false),
        "unevaluatedProperties" | "unevaluatedItems" | "propertyNames" => {
            value == &Value::Bool(true)
        }
        _ => false,
    };
    let row = NOT_ENFORCED.iter().find(|(name, _)| *name == keyword);
    row.filter(|_| !asks_nothing).map(|(_, remedy)| *remedy)
}

/// Whether some draft has this keyword.
pub(super) fn is_keyword(keyword: &str) -> bool {
    kind(keyword).is_some() || NOT_ENFORCED.iter().any(|(name, _)| *name == keyword)
}

const TYPES: [&str; 7] = [
    "null", "boolean", "integer", "number", "string", "array", "object",
];

/// What is wrong with `value` under `keyword`, apart from the schemas within.
pub(super) fn fault(keyword: &str, kind: Kind, value: &Value) -> Option<String> {
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let expected = match kind {
        Kind::Anything => return None,
        Kind::Text if !value.is_string() => "a text",
        Kind::Types
            if !is_type(value)
                && !value.as_array().is_some_and(|types| {
                    !types.is_empty() && types.iter().all(is_type) && distinct(types)
                }) =>
        {
            "null, boolean, integer, number, string, array or object, or a list of them"
        }
        Kind::Values if !value.is_array() => "a list",
        Kind::Names
            if !value
                .as_array()
                .is_some_and(|names| names.iter().all(Value::is_string) && distinct(names)) =>
        {
            "a list of different names"
        }
        Kind::Count if whole(value).is_none() => "a whole number, 0 or more",
        Kind::Number if !value.is_number() => "a number",
        Kind::NumberOrBool if !value.is_number() && !value.is_boolean() => "a number",
        Kind::Step if value.as_f64().is_none_or(|step| step <= 0.0) => "a number above 0",
        Kind::Pattern => {
            let Some(pattern) = value.as_str() else {
                return Some(wrong(keyword, value, "a regular expression"));
            };
            return super::grammar::check_regex(pattern)
                .err()
                .filter(|_| !pattern.is_empty())
                .map(|reason| format!("its {keyword:?} cannot be used: {reason}"));
        }
        Kind::Schema if !is_schema(value) => "a schema (an object, true or false)",
        Kind::Schemas if value.as_array().is_none_or(Vec::is_empty) => {
            "a list of schemas, one at least"
        }
        Kind::SchemaOrSchemas if !is_schema(value) && !value.is_array() => {
            "a schema (an object, true or false)"
        }
        Kind::Map | Kind::PatternMap if !value.is_object() => "an object of schemas",
        _ => return None,
    };
    Some(wrong(keyword, value, expected))
}

fn wrong(keyword: &str, value: &Value, expected: &str) -> String {
    format!("its {keyword:?} is {}, expected {expected}", short(value))
}

/// A number without a fraction, 0 or more (`2.0` is one).
pub(super) fn whole(value: &Value) -> Option<u64> {
    let from_float = || {
        let number = value.as_f64()?;
        let fits = number >= 0.0 && number.fract() == 0.0 && number < 9e15;
        fits.then_some(number as u64)
    };
    value.as_u64().or_else(from_float)
}

pub(super) fn is_schema(value: &Value) -> bool {
    value.is_object() || value.is_boolean()
}

/// Whether no text in `values` is there twice.
fn distinct(values: &[Value]) -> bool {
    let mut seen = HashSet::new();
    values
        .iter()
        .filter_map(Value::as_str)
        .all(|text| seen.insert(text))
}

/// A value as messages show it.
pub(super) fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
