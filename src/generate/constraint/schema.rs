//! A JSON Schema before the parser sees it: whether it is one, whether all of it can be enforced, and the defaults
//! that keep an answer natural and finite.
//!
//! Every change narrows what is allowed, so that an answer is valid by the schema as it was written:
//! - the answer is one line: a space may stand behind a comma and a colon, and nowhere else between values;
//! - text is written as it is: no `\u` escapes, with which one name can be spelled in two ways;
//! - numbers without bounds stay within ±(2^53 − 1), where every JSON reader keeps them exactly, and have six digits
//!   after the point at most: a small model finds no end of them (not where the same schema also has `enum`, `const`,
//!   `$ref` or alternatives, or says more);
//! - `format` becomes the pattern of [`super::formats`].

use std::collections::HashSet;

use llguidance::JsonCompileOptions;
use serde_json::{json, Map, Value};

use super::formats::{self, Format};
use super::keywords::{self, Kind};
use super::{finite, numbers, objects, stack, ConstraintError};

/// Deeper ones are no schema that a person wrote, and cost the stack.
const MAX_DEPTH: usize = 100;

/// Checks `schema` and makes it what the parser takes. `notes` gets what has no effect.
pub(super) fn prepare(
    mut schema: Value,
    notes: &mut Vec<String>,
) -> Result<Value, ConstraintError> {
    if !keywords::is_schema(&schema) {
        let reason = format!("it is {}, expected an object", keywords::short(&schema));
        return Err(not_a_schema("#", reason));
    }
    let mut walker = Walker {
        notes,
        walked: HashSet::new(),
        references: Vec::new(),
    };
    walker.schema(&mut schema, "#", 0)?;
    let mut named: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    // What a reference names need not stand where a schema is expected.
    while let Some((place, target)) = walker.references.pop() {
        let unknown = || not_a_schema(&place, format!("its $ref {target:?} names nothing in it"));
        let found = find_mut(&mut schema, &target).ok_or_else(unknown)?;
        walker.schema(found, target.trim_end_matches('/'), 0)?;
        if seen.insert(target.clone()) {
            named.push(target);
        }
    }
    let targets = named.iter().filter_map(|target| find(&schema, target));
    let most = stack::levels(&schema) + targets.map(stack::levels).sum::<usize>();
    if most > stack::MAX_LEVELS {
        return Err(ConstraintError::Schema(format!(
            "it may be too deeply nested: {} references lead through up to {most} levels, more than {}; put what is \
             small where it is used, without a $ref",
            named.len(),
            stack::MAX_LEVELS
        )));
    }
    if !finite::has_an_end(&schema, &named, &|target| find(&schema, target)) {
        let reason =
            "it asks for itself again without end; let a property be left out, or a list be empty";
        return Err(ConstraintError::Unsatisfiable(reason.into()));
    }
    if schema == Value::Bool(true) {
        schema = json!({});
    }
    if schema.is_object() {
        let options = JsonCompileOptions {
            item_separator: r",\x20?".into(),
            key_separator: r":\x20?".into(),
            whitespace_flexible: false,
            json_allowed_escapes: Some(r#"nrbtf\""#.into()),
            ..JsonCompileOptions::default()
        };
        options.apply_to(&mut schema);
    }
    Ok(schema)
}

/// What the parser says of `schema`, in the user's terms.
pub(super) fn error(text: String, schema: &Value) -> ConstraintError {
    if let Some((_, reason)) = text.split_once("Unsatisfiable schema: ") {
        return ConstraintError::Unsatisfiable(reason.to_string());
    }
    let not_enforced = |keyword: &str, remedy: &str| ConstraintError::NotEnforced {
        place: {
            let mut places = Vec::new();
            places_of(keyword, schema, "#", &mut places);
            places.join(" or ")
        },
        keyword: keyword.into(),
        remedy: remedy.into(),
    };
    if text.contains("oneOf constraints are not supported") {
        return not_enforced(
            "oneOf",
            "its alternatives may overlap; use anyOf, or give each a required property with a const of its own",
        );
    }
    if text.contains("min/maxProperties only supported") {
        let remedy = "properties that may be left out cannot be counted; list them in required";
        return match schema.to_string().contains("\"maxProperties\"") {
            true => not_enforced("maxProperties", remedy),
            false => not_enforced("minProperties", remedy),
        };
    }
    ConstraintError::Schema(text)
}

/// Where `keyword` stands.
fn places_of(keyword: &str, schema: &Value, place: &str, places: &mut Vec<String>) {
    let within: Vec<(String, &Value)> = match schema {
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(list) => (0..).map(|i: usize| i.to_string()).zip(list).collect(),
        _ => return,
    };
    if schema.get(keyword).is_some() {
        places.push(place.to_string());
    }
    for (name, value) in within {
        places_of(keyword, value, &format!("{place}/{name}"), places);
    }
}

fn not_a_schema(place: &str, reason: String) -> ConstraintError {
    let place = place.to_string();
    ConstraintError::NotASchema { place, reason }
}

/// The names in `#/a/b`, as the parser takes them: as they stand.
fn path(reference: &str) -> Vec<&str> {
    let path = reference.trim_start_matches('#').trim_start_matches('/');
    path.split('/').filter(|_| !path.is_empty()).collect()
}

fn find<'a>(schema: &'a Value, reference: &str) -> Option<&'a Value> {
    let mut names = path(reference).into_iter();
    names.try_fold(schema, |value, name| match value {
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        value => value.get(name),
    })
}

fn find_mut<'a>(schema: &'a mut Value, reference: &str) -> Option<&'a mut Value> {
    let mut names = path(reference).into_iter();
    names.try_fold(schema, |value, name| match value {
        Value::Array(list) => list.get_mut(name.parse::<usize>().ok()?),
        value => value.get_mut(name),
    })
}

struct Walker<'a> {
    notes: &'a mut Vec<String>,
    /// The places that were looked at.
    walked: HashSet<String>,
    /// Places of references, and what they name.
    references: Vec<(String, String)>,
}

impl Walker<'_> {
    fn schema(
        &mut self,
        schema: &mut Value,
        place: &str,
        depth: usize,
    ) -> Result<(), ConstraintError> {
        if !self.walked.insert(place.to_string()) {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            let reason = format!("it is nested deeper than {MAX_DEPTH} levels");
            return Err(not_a_schema(place, reason));
        }
        let Value::Object(map) = schema else {
            let reason = format!("{} is no schema", keywords::short(schema));
            return match schema.is_boolean() {
                true => Ok(()),
                false => Err(not_a_schema(place, reason)),
            };
        };
        let mut without_effect = Vec::new();
        for (keyword, value) in map.iter_mut() {
            if let Some(remedy) = keywords::instead(keyword, value) {
                return Err(ConstraintError::NotEnforced {
                    place: place.into(),
                    keyword: keyword.clone(),
                    remedy: remedy.into(),
                });
            }
            let Some(kind) = keywords::kind(keyword) else {
                if !keywords::is_keyword(keyword) {
                    let note = format!(
                        "the schema's {keyword:?} (at {place}) is no keyword of JSON Schema and has no effect"
                    );
                    self.notes.push(note);
                }
                without_effect.push(keyword.clone());
                continue;
            };
            if let Some(reason) = keywords::fault(keyword, kind, value) {
                return Err(not_a_schema(place, reason));
            }
            self.within(kind, value, &format!("{place}/{keyword}"), depth)?;
            if keyword == "$ref" {
                self.reference(value, place)?;
            }
        }
        // A schema under a name that is no keyword may still be the target of a reference: only what asks for nothing
        // is taken away.
        map.retain(|keyword, _| {
            !without_effect.contains(keyword) || !keywords::is_keyword(keyword)
        });
        objects::countable(map, place)?;
        numbers::bound(map);
        numbers::close(map);
        self.format(map, place)
    }

    /// The schemas under a keyword.
    fn within(
        &mut self,
        kind: Kind,
        value: &mut Value,
        place: &str,
        depth: usize,
    ) -> Result<(), ConstraintError> {
        match (kind, value) {
            (Kind::Schemas | Kind::SchemaOrSchemas, Value::Array(list)) => {
                for (index, schema) in list.iter_mut().enumerate() {
                    self.schema(schema, &format!("{place}/{index}"), depth + 1)?;
                }
                Ok(())
            }
            (Kind::Schema | Kind::SchemaOrSchemas, schema) => self.schema(schema, place, depth + 1),
            (Kind::Map | Kind::PatternMap, Value::Object(map)) => {
                for (name, schema) in map.iter_mut() {
                    if kind == Kind::PatternMap {
                        let pattern = Value::String(name.clone());
                        if let Some(reason) = keywords::fault(name, Kind::Pattern, &pattern) {
                            return Err(not_a_schema(place, reason));
                        }
                    }
                    self.schema(schema, &format!("{place}/{name}"), depth + 1)?;
                }
                Ok(())
            }
            (Kind::Count, count) => {
                // The parser takes 2.0 for no count.
                if let Some(whole) = keywords::whole(count) {
                    *count = whole.into();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn reference(&mut self, value: &Value, place: &str) -> Result<(), ConstraintError> {
        let target = value.as_str().unwrap_or_default();
        let inside = target == "#" || target.starts_with("#/");
        if !inside || target.contains(['~', '%']) {
            return Err(ConstraintError::NotEnforced {
                place: place.into(),
                keyword: "$ref".into(),
                remedy: format!(
                    "it names {target:?}, and only places in the schema itself can be named, as in \"#/$defs/name\""
                ),
            });
        }
        self.references.push((place.into(), target.into()));
        Ok(())
    }

    fn format(&mut self, map: &mut Map<String, Value>, place: &str) -> Result<(), ConstraintError> {
        let Some(name) = map.get("format").and_then(Value::as_str) else {
            return Ok(());
        };
        match formats::format(name) {
            Format::Builtin => Ok(()),
            Format::Pattern(pattern) => {
                map.remove("format");
                if !map.contains_key("pattern") {
                    map.insert("pattern".into(), pattern.into());
                } else if let Some(Value::Array(all)) = map.get_mut("allOf") {
                    all.push(json!({ "pattern": pattern }));
                } else {
                    map.insert("allOf".into(), json!([{ "pattern": pattern }]));
                }
                Ok(())
            }
            Format::Standard => Err(ConstraintError::NotEnforced {
                place: place.into(),
                keyword: format!("format: {name}"),
                remedy: format!("leave it out, or use one of {}", formats::ENFORCED),
            }),
            Format::Other => {
                self.notes.push(format!(
                    "the schema's format {name:?} (at {place}) is no format of JSON Schema and has no effect"
                ));
                map.remove("format");
                Ok(())
            }
        }
    }
}
