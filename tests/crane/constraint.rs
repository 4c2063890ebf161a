//! Answers with a structure, from real models: what comes out is judged by a validator that is not crane's.

use std::path::Path;
use std::process::{Command, Output as Ran, Stdio};

use crane::generate::{
    Constraint, Engine, FinishReason, GenerateOptions, Grammar, SamplingSettings, Spec, Vocabulary,
};
use crane::text::{ChatTemplate, Message};
use serde_json::Value;

use super::real::{cached, open};

const SMALL: &str = "smollm2-135m";

fn schemas() -> Vec<Value> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/constraint/schemas.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn prompt(engine: &Engine, template: &ChatTemplate, text: &str) -> Vec<u32> {
    let messages = [Message::text("user", text)];
    let text = template.render(&messages, true).unwrap();
    engine.tokenizer().encode(&text, false).unwrap()
}

fn options(constraint: Constraint, ends: &[u32], seed: u64) -> GenerateOptions {
    GenerateOptions {
        sampling: SamplingSettings {
            temperature: 1.0,
            top_k: 0,
            ..SamplingSettings::default()
        },
        seed,
        max_tokens: Some(400),
        stop: Vec::new(),
        eos_ids: ends.to_vec(),
        logprobs: None,
        vocabulary: None,
        constraint: Some(constraint),
    }
}

#[test]
fn every_answer_is_valid_by_its_schema() {
    let Some(path) = cached(SMALL) else { return };
    let (mut engine, checkpoint) = open(&path);
    let template = ChatTemplate::open(&checkpoint).unwrap().unwrap();
    let ends = engine.tokenizer().eos_ids();
    let vocabulary = Vocabulary::new(engine.tokenizer(), engine.vocab_size(), &ends).unwrap();
    let asked = prompt(&engine, &template, "Give an example as JSON.");
    let schemas = schemas();
    assert!(schemas.len() >= 100);
    let mut wrong = Vec::new();
    for (row, schema) in schemas.iter().enumerate() {
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(schema)
            .unwrap_or_else(|error| panic!("row {row} is no schema: {error}"));
        let grammar = Grammar::new(Spec::Schema(schema.clone()))
            .unwrap_or_else(|error| panic!("row {row} ({schema}): {error}"));
        let constraint = Constraint::new(&grammar, &vocabulary).unwrap();
        for seed in [1, 2] {
            let options = options(constraint.clone(), &ends, seed * 1000 + row as u64);
            let output = engine
                .generate(&asked, &options, &|| false, &mut |_| true)
                .unwrap();
            let whole = output.finish_reason == FinishReason::Stop && output.complete == Some(true);
            let valid = serde_json::from_str(&output.text)
                .is_ok_and(|value: Value| validator.is_valid(&value));
            if !whole || !valid || output.text.contains('\n') {
                wrong.push(format!("row {row}: {schema}\n  {:?}", output.text));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Runs crane with a model and no stdin.
fn run(model: &Path, flags: &[&str]) -> Ran {
    Command::new(env!("CARGO_BIN_EXE_crane"))
        .arg("run")
        .arg(model)
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const PERSON: &str = r#"{"type": "object", "properties": {"name": {"type": "string", "maxLength": 20},
    "age": {"type": "integer", "minimum": 0, "maximum": 120}}, "required": ["name", "age"], "additionalProperties": false}"#;

#[test]
fn each_flag_holds_the_answer_to_its_structure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("greeting.lark");
    std::fs::write(
        &file,
        "start: \"Hello, \" NAME \"!\"\nNAME: /[A-Z][a-z]{1,8}/\n",
    )
    .unwrap();
    for model in [SMALL, "qwen2.5-coder-0.5b"] {
        let Some(path) = cached(model) else { continue };
        let answer = |flags: &[&str]| {
            let ran = run(&path, &[&["Name a person.", "-s", "3"], flags].concat());
            assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
            text(&ran.stdout)
        };
        let person: Value = serde_json::from_str(&answer(&["--schema", PERSON])).unwrap();
        assert!(person["name"].is_string() && person["age"].as_u64().unwrap() <= 120);
        let greedy = answer(&["--schema", PERSON, "--temp", "0", "--raw"]);
        assert!(serde_json::from_str::<Value>(&greedy).is_ok());
        let date = answer(&[
            "--regex",
            r"[12]\d{3}-\d\d-\d\d",
            "--ignore-eos",
            "--temp",
            "100",
        ]);
        assert_eq!((date.len(), date.matches('-').count()), (11, 2), "{date}");
        let greeting = answer(&["--grammar", file.to_str().unwrap()]);
        assert!(
            greeting.starts_with("Hello, ") && greeting.ends_with("!\n"),
            "{greeting}"
        );
        // What stands before it is no part of the structure.
        let after = answer(&["--regex", "[0-9]{1,3}", "--prefill", "The answer is "]);
        assert!(after.trim_end().parse::<u32>().is_ok(), "{after}");
    }
}

#[test]
fn the_json_says_what_was_asked_for_and_whether_it_is_whole() {
    let Some(path) = cached(SMALL) else { return };
    let flags = [
        "Count.",
        "--regex",
        "[0-9]{1,200}x",
        "-n",
        "5",
        "--temp",
        "0",
    ];
    let cut = run(
        &path,
        &[&flags[..], &["--json", "--logprobs", "1"]].concat(),
    );
    assert_eq!(cut.status.code(), Some(7));
    let object: Value = serde_json::from_slice(&cut.stdout).unwrap();
    assert_eq!(object["finish_reason"], "length");
    assert_eq!(object["constraint"]["kind"], "regex");
    assert_eq!(object["constraint"]["complete"], false);
    assert_eq!(object["logprobs"].as_array().unwrap().len(), 5);

    // The same as text: what there is, and one line that says why it is not all.
    let cut = run(&path, &[&flags[..], &["-q"]].concat());
    assert_eq!(cut.status.code(), Some(7));
    assert!(text(&cut.stdout).trim_end().parse::<f64>().is_ok());
    let said = text(&cut.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("cut off") && said.contains("raise -n"),
        "{said}"
    );

    // A file is whole or not there.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answer.txt");
    let name = file.to_str().unwrap();
    let cut = run(&path, &[&flags[..], &["-o", name]].concat());
    assert_eq!(cut.status.code(), Some(7));
    assert!(text(&cut.stderr).contains("left as it was"));
    assert!(!file.exists());

    // What matches where the limit cuts it is whole.
    let ran = run(
        &path,
        &["Count.", "--regex", "[a-z ]+", "-n", "5", "--json"],
    );
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    let object: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(object["constraint"]["complete"], true);

    // A stop string takes away what the structure needs.
    let flags = ["Count.", "--regex", "ab", "--stop", "b"];
    let ran = run(&path, &flags);
    assert_eq!(ran.status.code(), Some(7));
    assert_eq!(text(&ran.stdout), "a\n");
    assert!(text(&ran.stderr).contains("stop string"));
}

#[test]
fn the_likeliest_choice_is_printed_alone() {
    for model in [SMALL, "qwen2.5-coder-0.5b"] {
        let Some(path) = cached(model) else { continue };
        let flags = [
            "What is the capital of France?",
            "--choices",
            "Paris,London,Oslo",
        ];
        let ran = run(&path, &flags);
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
        assert_eq!(text(&ran.stdout), "Paris\n", "{model}");
        let ran = run(&path, &[&flags[..], &["--json"]].concat());
        let object: Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(object["text"], "Paris");
        assert_eq!(object["finish_reason"], "stop");
        let choices = object["choices"].as_array().unwrap();
        let value = |choice: &Value, name: &str| choice[name].as_f64().unwrap();
        let sum: f64 = choices.iter().map(|c| value(c, "probability")).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert_eq!(choices.len(), 3);
        assert!(choices
            .windows(2)
            .all(|two| value(&two[0], "logprob") >= value(&two[1], "logprob")));
    }
}

/// What the engine gives a choice is what scoring the whole text gives, token by token.
#[test]
fn a_choice_scores_as_the_whole_text_does() {
    let Some(path) = cached(SMALL) else { return };
    let (mut engine, checkpoint) = open(&path);
    let template = ChatTemplate::open(&checkpoint).unwrap().unwrap();
    let asked = prompt(&engine, &template, "Is water wet?");
    let ends = engine.tokenizer().eos_ids();
    let end = engine.tokenizer().token_id("<|im_end|>").unwrap();
    assert!(ends.contains(&end));
    let answers =
        ["yes", "yes, it is", "no"].map(|text| engine.tokenizer().encode(text, false).unwrap());
    let scores = engine
        .choose(&asked, &answers, &[end], &|| false)
        .unwrap()
        .unwrap();
    for (answer, logprob) in answers.iter().zip(&scores.logprobs) {
        let whole = [&asked[..], answer, &[end]].concat();
        let each = engine.score(&whole, &|| false).unwrap().unwrap();
        let sum: f64 = -each[asked.len() - 1..].iter().sum::<f64>();
        assert!(
            (sum - logprob).abs() < 0.05 * sum.abs().max(1.0),
            "{sum} for {logprob}"
        );
    }
    // The cache holds the prompt, and asking again gives the same.
    let again = engine
        .choose(&asked, &answers, &[end], &|| false)
        .unwrap()
        .unwrap();
    assert_eq!(again.timings.cached_tokens, asked.len() - 1);
    for (a, b) in again.logprobs.iter().zip(&scores.logprobs) {
        assert!((a - b).abs() < 0.05 * b.abs().max(1.0));
    }
}

#[test]
fn a_chat_holds_every_reply_to_the_structure() {
    use std::io::Write;
    let Some(path) = cached(SMALL) else { return };
    for (flags, allowed) in [
        (["--choices", "tea,coffee"], ["tea", "coffee"]),
        (["--regex", "red|blue"], ["red", "blue"]),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_crane"))
            .arg("chat")
            .arg(&path)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(b"One?\nTwo?\n")
            .unwrap();
        let ran = child.wait_with_output().unwrap();
        assert_eq!(ran.status.code(), Some(0));
        let said = text(&ran.stdout);
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(said.lines().all(|line| allowed.contains(&line)), "{said}");
    }
}
