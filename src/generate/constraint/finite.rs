//! Whether a schema has an answer that ends: one that always asks for itself again has none.

use std::collections::HashSet;

use serde_json::Value;

/// Whether `root` has a finite value. `references` are all that its `$ref`s name, each once; `named` finds their schemas.
pub(super) fn has_an_end<'a>(
    root: &Value,
    references: &[String],
    named: &dyn Fn(&str) -> Option<&'a Value>,
) -> bool {
    // The least set of references with an end: those that need none without one.
    let mut ending: HashSet<&str> = HashSet::new();
    let mut left: Vec<&str> = references.iter().map(String::as_str).collect();
    loop {
        let before = left.len();
        // Backwards and forwards in turn: a chain takes one pass, whichever way it runs.
        left.reverse();
        left.retain(|name| {
            let ended = named(name).is_none_or(|schema| ends(schema, &ending));
            if ended {
                ending.insert(name);
            }
            !ended
        });
        if left.len() == before {
            return ends(root, &ending);
        }
    }
}

fn ends(schema: &Value, ending: &HashSet<&str>) -> bool {
    let list = |keyword: &str| {
        let list = schema.get(keyword).and_then(Value::as_array);
        list.map(|list| list.iter().map(|schema| ends(schema, ending)))
    };
    let all = |keyword: &str| list(keyword).is_none_or(|mut each| each.all(|end| end));
    let any = |keyword: &str| list(keyword).is_none_or(|mut each| each.any(|end| end));
    let named = schema.get("$ref").and_then(Value::as_str);
    named.is_none_or(|name| ending.contains(name))
        && all("allOf")
        && any("anyOf")
        && any("oneOf")
        && match schema.get("type").and_then(Value::as_str) {
            Some("object") => properties_end(schema, ending),
            Some("array") => items_end(schema, ending),
            _ => true,
        }
}

fn properties_end(schema: &Value, ending: &HashSet<&str>) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    let names = required.into_iter().flatten().filter_map(Value::as_str);
    names
        .filter_map(|name| schema.get("properties")?.get(name))
        .all(|property| ends(property, ending))
}

fn items_end(schema: &Value, ending: &HashSet<&str>) -> bool {
    let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0) as usize;
    let listed = |keyword: &str| schema.get(keyword).and_then(Value::as_array);
    let first = listed("prefixItems").or_else(|| listed("items"));
    let first = first.map_or(&[][..], Vec::as_slice);
    let rest = schema.get("items").filter(|_| least > first.len());
    first
        .iter()
        .take(least)
        .chain(rest)
        .all(|item| ends(item, ending))
}
