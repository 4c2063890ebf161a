//! Structures whose parts name each other in long chains.

use serde_json::{json, Map, Value};

use super::*;
use crate::generate::constraint::stack::MAX_LEVELS;

/// A schema of `links` definitions; `link` makes one that asks for the next, which its reference names.
fn chain(links: usize, link: &dyn Fn(Value) -> Value) -> Spec {
    let reference = |i: usize| json!({ "$ref": format!("#/$defs/a{i}") });
    let mut defs: Map<String, Value> = (0..links)
        .map(|i| (format!("a{i}"), link(reference(i + 1))))
        .collect();
    defs.insert(format!("a{links}"), json!({"type": "integer"}));
    Spec::Schema(json!({"$ref": "#/$defs/a0", "$defs": defs}))
}

/// A grammar of `links` rules or terminals; `link` makes the body of one that asks for the next.
fn lark(links: usize, name: &str, link: &dyn Fn(&str) -> String) -> Spec {
    let body = |i: usize| link(&format!("{name}{}", i + 1));
    let rules: String = (0..links)
        .map(|i| format!("{name}{i}: {}\n", body(i)))
        .collect();
    Spec::Lark(format!("start: {name}0\n{rules}{name}{links}: \"a\"\n"))
}

type Link = fn(Value) -> Value;

/// The ways from one schema to the next.
const LINKS: [Link; 11] = [
    |next| next,
    |next| json!({"type": "object", "properties": {"n": next}, "required": ["n"]}),
    |next| json!({"type": "object", "additionalProperties": next}),
    |next| json!({"type": "object", "patternProperties": {"^a": next}}),
    |next| json!({"type": "array", "items": next}),
    |next| json!({"type": "array", "prefixItems": [next]}),
    |next| json!({"anyOf": [next, {"type": "null"}]}),
    |next| json!({"allOf": [next]}),
    |next| json!({"properties": {"n": next}}),
    |next| json!({"items": next}),
    |next| json!({"type": "object", "properties": {"m": {"type": "null"}}, "$ref": next["$ref"]}),
];

type Body = fn(&str) -> String;

/// The ways from one rule or terminal to the next.
const RULES: [(&str, Body); 8] = [
    ("a", |next| next.to_string()),
    ("a", |next| format!("\"x\" {next}")),
    ("a", |next| format!("(\"x\" {next})*")),
    ("a", |next| {
        format!("{}{next}{}", "[".repeat(25), "]".repeat(25))
    }),
    ("A", |next| next.to_string()),
    ("A", |next| format!("\"x\" {next}")),
    ("A", |next| format!("(\"x\" {next})?")),
    ("A", |next| {
        format!("{}{next}{}", "(".repeat(25), ")".repeat(25))
    }),
];

/// Whatever is within the limit has an answer or an error, and never ends the process.
#[test]
fn chains_up_to_the_limit_fit_the_stack() {
    for (row, link) in LINKS.into_iter().enumerate() {
        let depth = crate::generate::constraint::stack::levels(&link(json!({"$ref": ""})));
        let links = MAX_LEVELS / depth - 8;
        let compiled = Grammar::new(chain(links, &link));
        let named =
            |error: &ConstraintError| error.to_string().contains("may be too deeply nested");
        assert!(!compiled.is_err_and(|error| named(&error)), "row {row}");
    }
    for (row, (name, link)) in RULES.into_iter().enumerate() {
        let weight = crate::generate::constraint::stack::most_levels(&link(name)) + 1;
        let links = MAX_LEVELS / weight - 8;
        let compiled = Grammar::new(lark(links, name, &link));
        let named =
            |error: &ConstraintError| error.to_string().contains("may be too deeply nested");
        assert!(!compiled.is_err_and(|error| named(&error)), "row {row}");
    }
    let tildes = "~".repeat(MAX_LEVELS - 8);
    let _ = Grammar::new(Spec::Lark(format!("start: A\nA: {tildes}\"a\"")));
}

#[test]
fn longer_chains_are_refused() {
    for link in LINKS {
        let text = refused(chain(MAX_LEVELS + 1, &link));
        assert!(text.contains("too deeply nested"), "{text}");
    }
    for (name, link) in RULES {
        let text = refused(lark(MAX_LEVELS + 1, name, &link));
        assert!(text.contains("too deeply nested"), "{text}");
    }
}

#[test]
fn a_chain_of_some_hundred_links_is_followed() {
    let object: Link = |next| json!({"type": "object", "properties": {"n": next}, "required": ["n"], "additionalProperties": false});
    let state = constraint(chain(600, &object));
    let answer = format!("{}7{}", "{\"n\": ".repeat(600), "}".repeat(600));
    assert!(state.admits(&answer));
    assert!(!state.admits(&answer[6..answer.len() - 1]));
    let state = constraint(lark(600, "a", &|next| format!("\"x\" {next}")));
    assert!(state.admits(&format!("{}a", "x".repeat(600))));
}
