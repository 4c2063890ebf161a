//! `crane vision` as a user types it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{json, Value};

use super::folder::{fixture, model, read_json, NAMO, QWEN};
use super::gguf;

/// Runs crane with `stdin`.
pub fn crane(args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_crane"))
        .args(args)
        .env("HF_HUB_OFFLINE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails early does not read it.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

pub fn ok(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn image(name: &str) -> String {
    fixture(&format!("images/{name}")).display().to_string()
}

pub fn path(folder: &Path) -> &str {
    folder.to_str().unwrap()
}

const GREEDY: [&str; 5] = ["--temp", "0", "--ignore-eos", "-n", "24"];

fn case(model: &str, name: &str) -> Value {
    let goldens = read_json(&format!("{model}/goldens.json"));
    let cases = goldens["cases"].as_array().unwrap();
    cases
        .iter()
        .find(|case| case["name"] == name)
        .unwrap()
        .clone()
}

/// The JSON of an answer.
fn answer(model: &str, args: &[&str], stdin: &[u8]) -> Value {
    let all = [&["vision", model], args, &GREEDY, &["--format", "json"]].concat();
    serde_json::from_str(&ok(&crane(&all, stdin))).unwrap()
}

#[test]
fn qwen_answers_as_transformers_does() {
    let folder = path(model(QWEN));
    let expected = case(QWEN, "square");
    let found = answer(
        folder,
        &[&image("square.png"), "-p", "Describe this image."],
        b"",
    );
    assert_eq!(found["tokens"], expected["greedy_penalised"]["ids"]);
    assert_eq!(found["prompt_tokens"], expected["ids"]);
    assert_eq!(found["prompt"], expected["rendered"]);
    let seen = &found["images"][0];
    assert_eq!(seen["size"], json!([112, 112]));
    assert_eq!(seen["grid"], json!([1, 8, 8]));
    assert_eq!(seen["tokens"], 16);
    assert!(seen["encode_ms"].as_f64().unwrap() > 0.0);

    let expected = case(QWEN, "two");
    let plain = ["-p", "Which water is colder?", "--repeat-penalty", "1"];
    let both = [image("two-1.png"), image("two-2.png")];
    let found = answer(
        folder,
        &[&[&both[0][..], &both[1][..]], &plain[..]].concat(),
        b"",
    );
    assert_eq!(found["tokens"], expected["greedy"]["ids"]);
    // The same by --image, stdin and a data: URL.
    let stdin = std::fs::read(&both[0]).unwrap();
    let found = answer(
        folder,
        &[&["-", "--image", &both[1]], &plain[..]].concat(),
        &stdin,
    );
    assert_eq!(found["tokens"], expected["greedy"]["ids"]);
    assert_eq!(found["images"][0]["path"], "stdin");
    let wide = case(QWEN, "wide");
    let found = answer(
        folder,
        &[
            &image("wide.png"),
            "-p",
            "Will it rain today?",
            "--system",
            "You mend nets.",
        ],
        b"",
    );
    assert_eq!(found["tokens"], wide["greedy_penalised"]["ids"]);
    assert_eq!(found["images"][0]["resized"], json!([224, 140]));
}

#[test]
fn namo_answers_as_its_parts_do() {
    let folder = path(model(NAMO));
    for (name, files, question) in [
        ("square", &["square.png"][..], "Describe this image."),
        ("two", &["two-1.png", "two-2.png"], "Which water is colder?"),
    ] {
        let expected = case(NAMO, name);
        let files: Vec<String> = files.iter().map(|file| image(file)).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let found = answer(folder, &[&files[..], &["-p", question]].concat(), b"");
        assert_eq!(
            found["tokens"], expected["greedy_penalised"]["ids"],
            "{name}"
        );
        assert_eq!(found["prompt"], expected["rendered"]);
        let ids = found["prompt_tokens"].as_array().unwrap();
        let images: u64 = found["images"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["tokens"].as_u64().unwrap())
            .sum();
        assert_eq!(ids.iter().filter(|id| **id == -200).count() as u64, images);
    }
}

#[test]
fn a_conversation_with_images_is_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.json");
    let mut messages = case(QWEN, "chat")["messages"].clone();
    messages[0]["content"][0] =
        json!({"type": "image_url", "image_url": {"url": image("square.png")}});
    std::fs::write(&file, messages.to_string()).unwrap();
    let found = answer(path(model(QWEN)), &["--messages", path(&file)], b"");
    assert_eq!(
        found["tokens"],
        case(QWEN, "chat")["greedy_penalised"]["ids"]
    );
}

#[test]
fn without_an_image_it_is_a_text_model() {
    for name in [QWEN, NAMO] {
        let expected = case(name, "text");
        let question = "There are 12 boats, 7 nets and 1 dog.";
        let all = [
            &["run", path(model(name)), "--format", "json", "-p", question],
            &["--repeat-penalty", "1"][..],
            &GREEDY[..],
        ]
        .concat();
        let found: Value = serde_json::from_str(&ok(&crane(&all, b""))).unwrap();
        assert_eq!(found["tokens"], expected["greedy"]["ids"], "{name}");
        assert_eq!(found["prompt"], expected["rendered"], "{name}");
    }
}

#[test]
fn a_gguf_model_finds_its_projector() {
    let folder = tempfile::tempdir().unwrap();
    let [file, projector] = gguf::write(folder.path());
    let args = [
        &image("square.png"),
        "-p",
        "Describe this image.",
        "--repeat-penalty",
        "1",
    ];
    let expected = case(QWEN, "square");
    for model in [path(&file), path(folder.path())] {
        assert_eq!(
            answer(model, &args, b"")["tokens"],
            expected["greedy"]["ids"]
        );
    }
    let away = folder.path().join("other.bin.gguf");
    std::fs::rename(&projector, &away).unwrap();
    let all = [&["vision", path(&file)], &args[..]].concat();
    let output = crane(&all, b"");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--mmproj"));
    let named = [&args[..], &["--mmproj", path(&away)]].concat();
    let whole = [&["vision", path(model(QWEN))], &named[..]].concat();
    let output = crane(&whole, b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("leave it out"));
    assert_eq!(
        answer(path(&file), &named, b"")["tokens"],
        expected["greedy"]["ids"]
    );
}

#[test]
fn every_image_and_every_question_gets_a_line() {
    let folder = path(model(QWEN));
    let names = [image("two-1.png"), image("square.png")];
    let each = [
        "vision",
        folder,
        &names[0],
        "/nowhere.png",
        &names[1],
        "--each",
        "-p",
        "Hm?",
    ];
    let output = crane(&[&each, &GREEDY[..]].concat(), b"");
    // The others are answered, and the exit code tells of the one.
    assert_eq!(output.status.code(), Some(3));
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["image"], names[0]);
    assert!(lines[1]["error"].as_str().unwrap().contains("/nowhere.png"));
    let alone = answer(folder, &[&names[1], "-p", "Hm?"], b"");
    assert_eq!(lines[2]["text"], alone["text"]);

    let questions = ["vision", folder, &names[1], "--each-prompt", "-"];
    let output = crane(&[&questions, &GREEDY[..]].concat(), b"Hm?\n\nWhy?\n");
    let lines: Vec<Value> = ok(&output)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["prompt"], &lines[1]["prompt"]),
        (&json!("Hm?"), &json!("Why?"))
    );
    assert_eq!(lines[0]["text"], alone["text"]);
}

#[test]
fn limits_change_what_the_model_sees() {
    let folder = path(model(QWEN));
    let square = image("square.png");
    let found = answer(folder, &[&square, "-p", "x", "--max-pixels", "3136"], b"");
    assert_eq!(found["images"][0]["resized"], json!([56, 56]));
    let found = answer(folder, &[&square, "-p", "x", "--min-pixels", "50000"], b"");
    assert_eq!(found["images"][0]["resized"], json!([224, 224]));
    let output = crane(
        &["vision", folder, &square, "-p", "x", "-v", "-n", "1"],
        b"",
    );
    let said = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(
        said.contains("--max-pixels") && said.contains("seen as 112 x 112: 16 tokens"),
        "{said}"
    );
}

#[test]
fn chat_shows_images() {
    let square = image("square.png");
    let talk = format!("/image {square}\nDescribe this image.\n");
    let all = [&["chat", path(model(QWEN))], &GREEDY[..]].concat();
    let output = crane(&all, talk.as_bytes());
    let found = answer(
        path(model(QWEN)),
        &[&square, "-p", "Describe this image."],
        b"",
    );
    assert_eq!(
        ok(&output).trim_end(),
        found["text"].as_str().unwrap().trim_end()
    );
    // No shell has seen the path.
    let home = tempfile::tempdir().unwrap();
    std::fs::copy(&square, home.path().join("square.png")).unwrap();
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_crane"))
        .env("HOME", home.path())
        .args(["chat", path(model(QWEN))])
        .write_stdin("/image ~/square.png\n")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("seen as"),
        "{said}"
    );
    // A text model says that it takes none, and names no folder as its own.
    let text = fixture("../models/qwen2-tied");
    let output = crane(
        &["chat", path(&text)],
        format!("/image {square}\n").as_bytes(),
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("takes no images"));
}

#[test]
fn an_answer_without_boxes_is_a_condition_not_met() {
    let all = [
        "vision",
        path(model(QWEN)),
        &image("square.png"),
        "--boxes",
        "json",
        "-n",
        "3",
    ];
    let output = crane(&all, b"");
    assert_eq!(output.status.code(), Some(7));
    assert!(output.stdout.is_empty());
    // What the model is made to begin with counts.
    let start = r#"[{"bbox_2d": [14, 28, 56, 112], "label": "sea"}]"#;
    let output = crane(
        &[&all[..], &["--prefill", start, "--max-pixels", "3136"]].concat(),
        b"",
    );
    let boxes: Value = serde_json::from_str(&ok(&output)).unwrap();
    assert_eq!(boxes[0]["bbox_2d"], json!([28, 56, 112, 112]));
}

#[test]
#[cfg(unix)]
fn a_named_pipe_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap()
        .success());
    let writer = {
        let (pipe, bytes) = (pipe.clone(), std::fs::read(image("square.png")).unwrap());
        std::thread::spawn(move || std::fs::write(pipe, bytes))
    };
    let question = [path(&pipe), "-p", "Describe this image."];
    let found = answer(path(model(QWEN)), &question, b"");
    writer.join().unwrap().unwrap();
    assert_eq!(found["prompt_tokens"], case(QWEN, "square")["ids"]);
}
