//! What cannot be enforced is refused, with its place and what to do.

use super::*;

#[test]
fn what_nothing_satisfies_is_refused() {
    for (value, word) in [
        (json!(false), "false"),
        (json!({"enum": []}), "empty"),
        (
            json!({"type": "string", "minLength": 3, "maxLength": 2}),
            "minLength",
        ),
        (
            json!({"type": "integer", "minimum": 3, "maximum": 2}),
            "minimum",
        ),
        (
            json!({"type": "array", "minItems": 3, "maxItems": 2}),
            "minItems",
        ),
        (json!({"type": "string", "const": 3}), "incompatible"),
        (
            json!({"allOf": [{"type": "integer"}, {"type": "string"}]}),
            "incompatible",
        ),
        (
            json!({"type": "object", "required": ["a"], "additionalProperties": false}),
            "'a'",
        ),
        (
            json!({"required": ["a", "b"], "maxProperties": 1}),
            "maxProperties is 1",
        ),
        (
            json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}),
            "without end",
        ),
        (
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
            "without end",
        ),
        (
            json!({"type": "array", "items": {"$ref": "#"}, "minItems": 1}),
            "without end",
        ),
    ] {
        let text = refused(schema(value));
        assert!(text.starts_with("no JSON satisfies the schema"), "{text}");
        assert!(text.contains(word), "{text}");
    }
    assert!(refused(Spec::Regex(r"[^\s\S]".into())).contains("nothing matches"));
    assert!(refused(Spec::Lark("start: a\na: a \"x\"".into())).contains("nothing matches"));
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    for (value, words) in [
        (json!([]), ["[]", "#"]),
        (json!({"type": 3}), ["\"type\" is 3", "at #"]),
        (json!({"type": "text"}), ["\"type\" is \"text\"", "at #"]),
        (
            json!({"properties": {"a": {"minLength": -1}}}),
            ["\"minLength\" is -1", "#/properties/a"],
        ),
        (
            json!({"items": {"required": "a"}}),
            ["\"required\"", "#/items"],
        ),
        (json!({"anyOf": []}), ["\"anyOf\"", "one at least"]),
        (
            json!({"properties": [1]}),
            ["\"properties\"", "object of schemas"],
        ),
        (
            json!({"properties": {"a": 3}}),
            ["3 is no schema", "#/properties/a"],
        ),
        (json!({"multipleOf": 0}), ["\"multipleOf\" is 0", "above 0"]),
        (
            json!({"pattern": "(a"}),
            ["unclosed group at character 1", "at #"],
        ),
        (json!({"pattern": "a(?=b)"}), ["look-around", "character 2"]),
        (
            json!({"patternProperties": {"[": {}}}),
            ["unclosed character class", "patternProperties"],
        ),
        (json!({"$ref": "#/$defs/x"}), ["names nothing", "#/$defs/x"]),
    ] {
        let text = refused(schema(value));
        assert!(text.starts_with("the schema is no JSON Schema"), "{text}");
        for word in words {
            assert!(text.contains(word), "{word} is not in: {text}");
        }
    }
}

#[test]
fn what_cannot_be_enforced_is_refused_with_what_to_do() {
    for (value, words) in [
        (json!({"not": {"type": "null"}}), ["\"not\"", "anyOf"]),
        (
            json!({"properties": {"a": {"uniqueItems": true}}}),
            ["\"uniqueItems\" (at #/properties/a)", "leave it out"],
        ),
        (json!({"if": {}}), ["\"if\"", "anyOf"]),
        (json!({"contains": {}}), ["\"contains\"", "prefixItems"]),
        (
            json!({"dependentRequired": {}}),
            ["\"dependentRequired\"", "anyOf"],
        ),
        (
            json!({"propertyNames": {"pattern": "a"}}),
            ["\"propertyNames\"", "patternProperties"],
        ),
        (
            json!({"unevaluatedProperties": false}),
            ["unevaluatedProperties", "additionalProperties"],
        ),
        (
            json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
            ["\"oneOf\" (at #)", "may overlap"],
        ),
        (json!({"minProperties": 2}), ["\"minProperties\"", "twice"]),
        (
            json!({"patternProperties": {"^a": {}, "^.{9,}$": false}}),
            ["\"patternProperties\"", "additionalProperties false"],
        ),
        (
            json!({"properties": {"a": {}, "b": {}}, "maxProperties": 1, "type": "object"}),
            ["\"maxProperties\" (at #)", "required"],
        ),
        (
            json!({"$ref": "https://example.org/s"}),
            ["\"$ref\"", "https://example.org/s"],
        ),
        (json!({"format": "regex"}), ["format: regex", "date-time"]),
    ] {
        let text = refused(schema(value));
        assert!(text.contains("cannot be enforced"), "{text}");
        for word in words {
            assert!(text.contains(word), "{word} is not in: {text}");
        }
    }
}

#[test]
fn wrong_expressions_and_grammars_are_refused_with_the_place() {
    for (spec, words) in [
        (Spec::Regex(String::new()), ["regular expression", "empty"]),
        (Spec::Regex("é(a".into()), ["unclosed group", "character 2"]),
        (Spec::Regex("a(?=b)".into()), ["look-around", "character 2"]),
        (
            Spec::Regex(r"\bword\b".into()),
            ["regular expression", "lookarounds"],
        ),
        (
            Spec::Regex(r"\p{Foo}".into()),
            ["property not found", "character 1"],
        ),
        (Spec::Lark(" \n".into()), ["grammar", "empty"]),
        (Spec::Lark("start: a".into()), ["1(8)", "unknown name"]),
        (Spec::Lark("start".into()), ["1(6)", "Expected"]),
        (Spec::Lark("start: /(/".into()), ["1(8)", "unclosed group"]),
        (
            Spec::Lark("other: \"a\"".into()),
            ["grammar", "no start rule"],
        ),
    ] {
        let text = refused(spec);
        for word in words {
            assert!(text.contains(word), "{word} is not in: {text}");
        }
    }
}
