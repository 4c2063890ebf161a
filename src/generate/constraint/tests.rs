use serde_json::{json, Value};

use super::vocabulary::special;
use super::*;

/// Single bytes, some longer tokens, a special token and two ends.
fn vocabulary() -> (Vec<Vec<u8>>, Vec<u32>) {
    let mut words: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    for word in ["{\"", "\":", "\"}", "yes", "no", "  ", "\n  ", "true"] {
        words.push(word.as_bytes().to_vec());
    }
    words.push(special("<|tool|>"));
    words.extend([special("<|im_end|>"), special("<|endoftext|>")]);
    // A row that no token has.
    words.push(Vec::new());
    let ends = vec![265, 266];
    (words, ends)
}

fn constraint(spec: Spec) -> Constraint {
    let (words, ends) = vocabulary();
    let vocabulary = Vocabulary::of_words(&words, &ends).unwrap();
    Constraint::new(&Grammar::new(spec).unwrap(), &vocabulary).unwrap()
}

fn error(spec: Spec) -> String {
    match Grammar::new(spec.clone()) {
        Ok(_) => panic!("{spec:?} is taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn probe() {
    for schema in [
        json!(false),
        json!({"enum": []}),
        json!({"type": 3}),
        json!({"type": "string", "minLength": 3, "maxLength": 2}),
        json!({"type": "integer", "minimum": 3, "maximum": 2}),
        json!({"type": "array", "minItems": 3, "maxItems": 2}),
        json!({"type": "string", "pattern": "(a"}),
        json!({"type": "string", "pattern": "a(?=b)"}),
        json!({"type": "string", "pattern": "\\bfoo\\b"}),
        json!({"type": "string", "const": 3}),
        json!({"$ref": "#/$defs/x"}),
        json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
        json!({"type": "object", "properties": {"a": false}, "required": ["a"]}),
        json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}),
        json!({"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 1, "maxProperties": 1}),
        json!({"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 1, "additionalProperties": false}),
        json!({"allOf": [{"type": "integer"}, {"type": "string"}]}),
        json!({"$schema": "http://example.org/x"}),
        json!({"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 6}),
    ] {
        println!(
            "{schema}\n   {:?}",
            Grammar::new(Spec::Schema(schema.clone()))
                .map(|_| ())
                .map_err(|e| e.to_string())
        );
    }
    for regex in [
        "(a",
        "a{2,1}",
        "^ab$",
        "^a|b$",
        "a$|b",
        "\\bword\\b",
        "(?i)yes",
        "[^\\s\\S]",
        "a(?=b)",
        "\\p{Foo}",
        "x*",
        "a/b",
        "(?m)^a$",
        "[[:alpha:]]+",
        ".{1,5000}",
    ] {
        println!(
            "{regex}\n   {:?}",
            Grammar::new(Spec::Regex(regex.into()))
                .map(|_| ())
                .map_err(|e| e.to_string())
        );
    }
    for lark in [
        "",
        "start: a",
        "start: /(/",
        "start: \"a\" | <|tool|>",
        "start",
        "start: \"a\n",
        "foo: \"a\"",
        "start: %json {\"type\": 3}",
        "start: a\na: a \"x\"",
    ] {
        println!(
            "{lark}\n   {:?}",
            Grammar::new(Spec::Lark(lark.into()))
                .map(|_| ())
                .map_err(|e| e.to_string())
        );
    }
}
