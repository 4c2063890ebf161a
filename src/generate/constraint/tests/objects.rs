//! Objects with many properties.

use serde_json::{json, Map, Value};

use super::*;
use crate::generate::constraint::objects::{MAX_COUNTED, MAX_OPTIONAL};

fn texts(count: usize, prefix: &str) -> Map<String, Value> {
    (0..count)
        .map(|i| (format!("{prefix}{i}"), json!({"type": "string"})))
        .collect()
}

#[test]
fn as_many_properties_as_are_taken_can_be_left_out_and_given() {
    let state = constraint(schema(json!({
        "type": "object",
        "properties": texts(MAX_OPTIONAL, "k"),
        "additionalProperties": false
    })));
    let last = MAX_OPTIONAL - 1;
    for text in [
        "{}".to_string(),
        format!("{{\"k0\": \"a\", \"k7\": \"\", \"k{last}\": \"b\"}}"),
    ] {
        assert!(state.admits(&text), "{text}");
    }
    assert!(!state.admits("{\"k7\": \"\", \"k0\": \"a\"}"));
    assert!(!state.admits("{\"x\": 1}"));
}

#[test]
fn more_are_refused_with_what_to_do() {
    // What is required and not listed is no property of these.
    let many = json!({"type": "object", "properties": texts(MAX_OPTIONAL + 1, "k"), "required": ["other"]});
    for (value, place) in [
        (many.clone(), "(at #)"),
        (
            json!({"items": {"anyOf": [many, {"type": "null"}]}}),
            "(at #/items/anyOf/0)",
        ),
    ] {
        let text = refused(schema(value));
        for words in [
            place,
            "2001 of them may be left out",
            "list them in required",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }
    // Required ones are no matter.
    let properties = texts(MAX_OPTIONAL + 1, "k");
    let required: Vec<&String> = properties.keys().collect();
    let schema = json!({"type": "object", "properties": properties, "required": required});
    assert!(Grammar::new(Spec::Schema(schema)).is_ok());
}

#[test]
fn what_counts_too_many_is_refused() {
    for keyword in ["minProperties", "maxProperties"] {
        let object = |count: usize| {
            schema(json!({
                "type": "object",
                "properties": texts(count, "k"),
                "additionalProperties": false,
                keyword: 1
            }))
        };
        let text = refused(object(MAX_COUNTED + 1));
        assert!(text.contains(&format!("{keyword:?} (at #)")), "{text}");
        assert!(text.contains("65 properties may be left out"), "{text}");
        let state = constraint(object(MAX_COUNTED));
        assert!(state.admits("{\"k63\": \"\"}"), "{keyword}");
        assert_eq!(state.admits("{}"), keyword == "maxProperties");
    }
}

#[test]
fn an_assertion_of_the_parser_is_told_as_a_limit() {
    let grammar = Grammar::new(Spec::Regex("a".into())).unwrap();
    let error = grammar.error(&anyhow::anyhow!("panic: assertion failed: n < 9"));
    let expected = "the regular expression cannot be used: it is too large for the parser (assertion failed: n < 9)";
    assert_eq!(error.to_string(), expected);
}

/// Together they are too many, though each part is not.
#[test]
fn parts_that_are_too_many_together_are_refused() {
    let part =
        |prefix: &str| json!({"type": "object", "properties": texts(MAX_OPTIONAL * 3 / 4, prefix)});
    let text = refused(schema(json!({"allOf": [part("a"), part("b")]})));
    assert!(text.contains("let fewer properties be left out"), "{text}");
    assert!(text.contains("too much may come first"), "{text}");
}
