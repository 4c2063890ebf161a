//! Flags for the structure of an answer that cannot work: one line, before any model is sought.

use serde_json::{json, Map, Value};

use super::cli::{crane, fails};

fn refused(flags: &[&str], code: i32, words: &[&str]) {
    for command in ["run", "chat"] {
        let prompt: &[&str] = if command == "run" { &["hi"] } else { &[] };
        let line = [&[command, "no-such-model"], prompt, flags].concat();
        fails(crane().args(line), code, words);
    }
}

#[test]
fn wrong_schemas_are_2_with_the_place() {
    for (schema, words) in [
        ("{\"type\": ", &["the schema is not JSON", "line 1"][..]),
        ("{\"type\": 3}", &["no JSON Schema", "\"type\" is 3"]),
        (
            "{\"properties\": {\"a\": {\"type\": \"text\"}}}",
            &["#/properties/a"],
        ),
        (
            "{\"uniqueItems\": true}",
            &["\"uniqueItems\"", "cannot be enforced"],
        ),
        ("{\"format\": \"iri\"}", &["format: iri"]),
        ("{\"pattern\": \"(\"}", &["unclosed group"]),
        ("{\"enum\": []}", &["no JSON satisfies"]),
        ("false", &["no JSON satisfies"]),
        (
            "{\"type\": \"string\", \"minLength\": 3, \"maxLength\": 2}",
            &["minLength"],
        ),
    ] {
        refused(&["--schema", schema], 2, words);
    }
}

#[test]
fn wrong_expressions_and_grammars_are_2_with_the_place() {
    refused(&["--regex", "(a"], 2, &["unclosed group", "character 1"]);
    refused(&["--regex", ""], 2, &["empty"]);
    refused(&["--regex", r"[^\s\S]"], 2, &["nothing matches"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("g.lark");
    let name = file.to_str().unwrap();
    for (text, words) in [
        ("", &["empty"][..]),
        ("start: thing", &["1(8)", "thing"]),
        ("start: \"a", &["lexer error"]),
    ] {
        std::fs::write(&file, text).unwrap();
        refused(&["--grammar", name], 2, words);
    }
}

#[test]
fn files_that_are_missing_or_no_text_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.json");
    let name = file.to_str().unwrap();
    for flag in ["--schema", "--grammar"] {
        refused(&[flag, name], 3, &["s.json"]);
    }
    std::fs::write(&file, b"{\"title\": \"caf\xe9\"}").unwrap();
    for flag in ["--schema", "--grammar"] {
        refused(&[flag, name], 2, &["s.json", "not UTF-8", "0xe9"]);
    }
    std::fs::write(&file, "{\n  \"type\": object\n}").unwrap();
    refused(&["--schema", name], 2, &["s.json", "line 2"]);
}

#[test]
fn wrong_choices_are_2() {
    refused(&["--choices", "yes"], 2, &["two choices"]);
    refused(&["--choices", "yes,,no"], 2, &["choice 2"]);
    refused(&["--choices", "yes,no,yes"], 2, &["\"yes\" twice"]);
    for flag in [
        ["-n", "3"],
        ["--temp", "0"],
        ["--seed", "1"],
        ["--stop", "x"],
    ] {
        refused(
            &[&["--choices", "a,b"][..], &flag].concat(),
            2,
            &["samples nothing", flag[0]],
        );
    }
    let line = [
        "run",
        "m",
        "hi",
        "--choices",
        "a,b",
        "--json",
        "--logprobs",
        "1",
    ];
    fails(crane().args(line), 2, &["leave out --logprobs"]);
}

#[test]
fn only_one_structure_is_taken() {
    refused(
        &["--json-object", "--regex", "a"],
        2,
        &["--json-object", "--regex"],
    );
    refused(
        &["--choices", "a,b", "--schema", "{}"],
        2,
        &["--choices", "--schema"],
    );
}

#[test]
fn a_sound_structure_comes_as_far_as_the_model() {
    for flags in [
        &["--schema", "{\"type\": \"object\"}"][..],
        &["--schema", "true"],
        &["--json-object"],
        &["--regex", "-?[0-9]+"],
        &["--choices", "-1,+1"],
    ] {
        refused(flags, 3, &["no-such-model"]);
    }
}

#[test]
fn deep_structures_are_2_and_an_error_of_their_line_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep");
    let name = file.to_str().unwrap();
    let links = 20_000;
    let next = |i: usize| json!({ "$ref": format!("#/$defs/a{}", i + 1) });
    let mut defs: Map<String, Value> = (0..links).map(|i| (format!("a{i}"), next(i))).collect();
    defs.insert(format!("a{links}"), json!({"type": "integer"}));
    let schema = json!({"$ref": "#/$defs/a0", "$defs": defs});
    std::fs::write(&file, schema.to_string()).unwrap();
    refused(&["--schema", name], 2, &["too deeply nested"]);
    let rules: String = (0..links).map(|i| format!("a{i}: a{}\n", i + 1)).collect();
    let grammar = format!("start: a0\n{rules}a{links}: \"a\"\n");
    std::fs::write(&file, &grammar).unwrap();
    refused(&["--grammar", name], 2, &["too deeply nested"]);

    let lines = [
        json!({"prompt": "a", "max_tokens": 1}),
        json!({"prompt": "b", "max_tokens": 1, "schema": schema}),
        json!({"prompt": "c", "max_tokens": 1, "grammar": grammar}),
        json!({"prompt": "d", "max_tokens": 1}),
    ];
    std::fs::write(&file, lines.map(|line| line.to_string()).join("\n")).unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models/qwen3");
    let ran = crane()
        .args(["run", model, "--device", "cpu", "--batch", name])
        .output()
        .unwrap();
    let answers: Vec<Value> = String::from_utf8(ran.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let codes: Vec<Option<i64>> = answers
        .iter()
        .map(|a| a["error"]["code"].as_i64())
        .collect();
    assert_eq!(codes, [None, Some(2), Some(2), None], "{answers:?}");
}
