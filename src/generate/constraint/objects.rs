//! What an object may hold.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::ConstraintError;

/// Properties of one object that may be left out. After each, the parser keeps all those that may follow, and preparing
/// them takes time with the square of their number (0.7 s for so many).
pub(super) const MAX_OPTIONAL: usize = 2000;

/// The same where `minProperties` or `maxProperties` counts them: the parser then writes them all out for each.
pub(super) const MAX_COUNTED: usize = 64;

/// Refuses numbers of properties that the parser does not see to.
pub(super) fn countable(map: &Map<String, Value>, place: &str) -> Result<(), ConstraintError> {
    let count = |keyword: &str| map.get(keyword).and_then(Value::as_u64);
    let listed = map.get("required").and_then(Value::as_array);
    let listed: HashSet<&str> = (listed.into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let required = listed.len() as u64;
    if let Some(most) = count("maxProperties").filter(|most| *most < required) {
        return Err(ConstraintError::Unsatisfiable(format!(
            "maxProperties is {most} and required lists {required} (at {place})"
        )));
    }
    let properties = map.get("properties").and_then(Value::as_object);
    let names = properties.into_iter().flat_map(Map::keys);
    let left_out = names.filter(|name| !listed.contains(name.as_str())).count();
    if left_out > MAX_OPTIONAL {
        return Err(ConstraintError::NotEnforced {
            place: place.into(),
            keyword: "properties".into(),
            remedy: format!(
                "{left_out} of them may be left out, and at most {MAX_OPTIONAL} of one object can; list them in \
                 required, put some together in an object of their own, or allow them by patternProperties"
            ),
        });
    }
    let counted = ["minProperties", "maxProperties"]
        .into_iter()
        .find(|keyword| {
            count(keyword).is_some_and(|n| *keyword == "maxProperties" || n > required)
        });
    if let Some(keyword) = counted.filter(|_| left_out > MAX_COUNTED) {
        return Err(ConstraintError::NotEnforced {
            place: place.into(),
            keyword: keyword.into(),
            remedy: format!(
                "{left_out} properties may be left out, and at most {MAX_COUNTED} are counted; list them in required, \
                 or leave it out"
            ),
        });
    }
    let patterns = map.get("patternProperties").and_then(Value::as_object);
    if patterns.is_some_and(|patterns| patterns.values().any(|value| value == &Value::Bool(false)))
    {
        return Err(ConstraintError::NotEnforced {
            place: place.into(),
            keyword: "patternProperties".into(),
            remedy: "that a name may not come shows only when it has come; allow the others by a pattern, with \
                     additionalProperties false"
                .into(),
        });
    }
    let least = count("minProperties").unwrap_or(0);
    let closed = map.get("additionalProperties") == Some(&Value::Bool(false))
        && !map.contains_key("patternProperties");
    if least > 1 && least > required && !closed {
        return Err(ConstraintError::NotEnforced {
            place: place.into(),
            keyword: "minProperties".into(),
            remedy: "a name that the schema does not list may come twice; list the properties in required".into(),
        });
    }
    Ok(())
}
