//! A GPU that fails or is full before the first answer: `--device auto` leaves it for the CPU, with one line and all of the
//! model, and what was sound is not computed again. A device that is named, or required, is never left.

use std::path::Path;
use std::process::Output;

use serde_json::{json, Value};

use super::talk::talk;
use super::{crane, failing, libraries, said, says, MODEL};
use crate::eye::folder as eyes;
use crate::voice::folder as voices;
use crate::voice::talker::{talker, Habit};

/// Told to fail at so many calls.
type Told<'a> = &'a [(&'a str, &'a str)];

const ALLOCATION: &str = "cuMemAlloc_v2";
const LAUNCH: &str = "cuLaunchKernelEx";
/// What matrices of a language model are joined by, where they lie.
const JOIN: &str = "cuMemcpyDtoDAsync_v2";
/// What is waited for when a part is loaded, and before that by nothing.
const WAIT: &str = "cuStreamSynchronize";
/// A kernel that each image takes once, and one that listens: the encoder of a voice launches it twice.
const IMAGE: &str = "gelu_rows_f32";
const ATTENTION: &str = "attend_signals_64";
/// Of a chat.
const CONTEXT: &[&str] = &["-c", "512"];

fn run(told: Told, args: &[&str], flags: &[&str]) -> Output {
    let mut command = crane(&libraries([false; 3]), told, args);
    command.args(flags).output().unwrap()
}

/// How many calls a run of `args` on the GPU makes of `call`, but the last, before the `nth` of `other`.
fn last_before(args: &[&str], call: &str, nth: usize, other: &str) -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let told = [("PRETEND_LOG", log.path().to_str().unwrap())];
    let output = run(&told, args, &["--device", "cuda"]);
    let calls = std::fs::read_to_string(log.path()).unwrap();
    let mut left = nth;
    let before = calls.lines().take_while(|line| {
        left -= usize::from(*line == other);
        left > 0
    });
    let made = before.filter(|line| *line == call).count();
    assert!(made > 0 && left == 0, "{left}: {}", said(&output));
    (made - 1).to_string()
}

/// The same failure, of a GPU that is lost with it.
fn lost<'a>(call: &'a str, after: &'a str) -> Vec<(&'a str, &'a str)> {
    let told = failing(call, "719", after);
    [&told[..], &[("PRETEND_LOST", "1")]].concat()
}

/// The object of a run that took the CPU, with one note about it that has `words`.
#[track_caller]
fn left(output: &Output, words: &[&str]) -> Value {
    let said = said(output);
    assert!(output.status.success(), "{said}");
    let about = said.lines().filter(|line| line.contains("CPU"));
    assert_eq!(about.count(), 1, "{said}");
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["device"], "cpu");
    let notes = object["notes"].as_array().unwrap();
    let about: Vec<&str> = notes.iter().map(|note| note.as_str().unwrap()).collect();
    assert!(
        about[0].starts_with("computing on the CPU: cuda:0 cannot"),
        "{about:?}"
    );
    for word in words {
        assert!(about[0].contains(word), "'{word}' is not in: {about:?}");
    }
    object
}

/// A device that is named ends with `code`, one that is required with 5; both say `words` in one line.
#[track_caller]
fn stays(told: Told, args: &[&str], code: i32, words: &[&str]) {
    says(&run(told, args, &["--device", "cuda:0"]), code, words);
    let required = [&["--require-device"], words].concat();
    says(&run(told, args, &["--require-device"]), 5, &required);
    let both = ["--device", "cuda:0", "--require-device"];
    says(&run(told, args, &both), 5, &required);
}

/// Arguments of `crane tts`, and where the speech goes.
fn speech<'a>(model: &'a Path, wav: &'a Path, rest: &[&'a str]) -> Vec<&'a str> {
    let (model, wav) = (model.to_str().unwrap(), wav.to_str().unwrap());
    let args = ["tts", "-m", model, "--seed", "7", "-o", wav];
    [&args[..], rest].concat()
}

#[test]
fn a_codec_that_does_not_load_takes_the_language_model_along() {
    let home = tempfile::tempdir().unwrap();
    let wav = home.path().join("out.wav");
    let args = speech(talker(Habit::Speaks), &wav, &["Good morning.", "--json"]);
    assert!(run(&[], &args, &["--device", "cpu"]).status.success());
    let expected = std::fs::read(&wav).unwrap();
    let last = last_before(&args, ALLOCATION, 1, WAIT);
    let full = failing(ALLOCATION, "2", &last);
    let gone = lost(ALLOCATION, &last);
    let lack = ["load the model", "out of GPU memory", "--ctx-size"];
    for (told, words) in [
        (&full[..], &lack[..]),
        (&gone, &["load the model", "the GPU failed"]),
    ] {
        std::fs::remove_file(&wav).unwrap();
        left(&run(told, &args, &[]), words);
        assert!(std::fs::read(&wav).unwrap() == expected);
    }
    let named = ["out of GPU memory", "--ctx-size"];
    stays(&full, &args, 5, &named);
    stays(&gone, &args, 1, &["the GPU failed"]);
}

#[test]
fn a_codec_that_speaks_alone_is_left() {
    let home = tempfile::tempdir().unwrap();
    let (tokens, wav) = (home.path().join("a.json"), home.path().join("a.wav"));
    let globals: Vec<u32> = (0..32).collect();
    let spoken = json!({"global": globals, "pieces": [{"text": "a", "semantic": [1, 2, 3]}]});
    std::fs::write(&tokens, spoken.to_string()).unwrap();
    let args = speech(
        voices::spark(),
        &wav,
        &["--tokens", tokens.to_str().unwrap()],
    );
    assert!(run(&[], &args, &["--device", "cpu"]).status.success());
    let expected = std::fs::read(&wav).unwrap();
    // While it is loaded, and when it makes the voice's vector.
    let last = last_before(&args, ALLOCATION, 1, LAUNCH);
    for (told, code) in [
        (failing(ALLOCATION, "2", &last), 5),
        (failing(LAUNCH, "700", "0"), 1),
    ] {
        let output = run(&told, &args, &[]);
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        let about: Vec<&str> = said.lines().filter(|line| line.contains("CPU")).collect();
        assert_eq!(about.len(), 1, "{said}");
        assert!(!about[0].contains("--ctx-size"), "{said}");
        assert!(std::fs::read(&wav).unwrap() == expected);
        stays(&told, &args, code, &[]);
    }
}

/// The tokens of a voice that a run with `told` keeps, and what the run says.
fn heard(told: Told, flags: &[&str]) -> (Output, Value) {
    let home = tempfile::tempdir().unwrap();
    let wav = voices::fixture("reference.wav");
    let args = [
        "tts",
        "-m",
        voices::spark().to_str().unwrap(),
        "--clone",
        wav.to_str().unwrap(),
    ];
    let args = [&args[..], &["--save-voice", "heard"], flags].concat();
    let folder = libraries([false; 3]);
    let mut command = crane(&folder, told, &args);
    let output = command.env("XDG_DATA_HOME", home.path()).output().unwrap();
    let mut shown = crane(&folder, &[], &["voices", "show", "heard", "--json"]);
    let shown = shown.env("XDG_DATA_HOME", home.path()).output().unwrap();
    (
        output,
        serde_json::from_slice(&shown.stdout).unwrap_or_default(),
    )
}

#[test]
fn listening_goes_on_on_the_cpu_with_what_was_sound() {
    let (_, exact) = heard(&[], &["--device", "cpu"]);
    assert_eq!(exact["global"].as_array().unwrap().len(), 32);
    // A GPU that does not compute hears another voice.
    let (_, other) = heard(&[], &["--device", "cuda"]);
    let full = failing(ALLOCATION, "2", "40");
    let launch = failing(LAUNCH, "700", "0");
    let (gone, later) = (lost(LAUNCH, "3"), lost(ATTENTION, "2"));
    for (told, voice) in [
        (&full[..], None),
        (&launch, None),
        (&gone, None),
        // The voice was heard before.
        (&later, Some(&other)),
    ] {
        let (output, found) = heard(told, &[]);
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        let about: Vec<&str> = said.lines().filter(|line| line.contains("CPU")).collect();
        assert_eq!(about.len(), 1, "{said}");
        assert!(
            about[0].contains("cuda:0 cannot listen to the recording ("),
            "{said}"
        );
        assert_eq!(found["semantic"], exact["semantic"], "{told:?}");
        assert_eq!(
            found["global"],
            voice.unwrap_or(&exact)["global"],
            "{told:?}"
        );
    }
    assert_ne!(other["global"], exact["global"]);
    for device in [&["--device", "cuda"][..], &["--require-device"]] {
        let required = device.len() == 1;
        let ends = |told: Told| heard(told, device).0;
        says(
            &ends(&later),
            if required { 5 } else { 1 },
            &["the GPU failed"],
        );
        says(
            &ends(&full),
            5,
            &["out of GPU memory", "; a shorter recording"],
        );
        assert!(!said(&ends(&full)).contains("--ctx-size"));
    }
}

#[test]
fn who_listened_on_the_cpu_speaks_there() {
    let home = tempfile::tempdir().unwrap();
    let wav = home.path().join("out.wav");
    let recording = voices::fixture("reference.wav");
    let clone = [
        "--clone",
        recording.to_str().unwrap(),
        "--ref-text",
        "hello",
    ];
    let rest = [&["Good morning.", "--json"], &clone[..]].concat();
    let args = speech(talker(Habit::Speaks), &wav, &rest);
    assert!(run(&[], &args, &["--device", "cpu"]).status.success());
    let expected = std::fs::read(&wav).unwrap();
    left(
        &run(&lost(LAUNCH, "0"), &args, &[]),
        &["listen to the recording"],
    );
    assert!(std::fs::read(&wav).unwrap() == expected);
}

fn vision<'a>(images: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    let model = eyes::model(eyes::QWEN).to_str().unwrap();
    let args = [
        "vision", model, "-n", "4", "--temp", "0", "-c", "512", "-p", "What?",
    ];
    [&args[..], images, rest].concat()
}

#[test]
fn an_image_encoder_takes_the_language_model_along() {
    let image = eyes::fixture("images/square.png");
    let args = vision(&[image.to_str().unwrap()], &["--json"]);
    let cpu = run(&[], &args, &["--device", "cpu"]);
    let expected: Value = serde_json::from_slice(&cpu.stdout).unwrap();
    let last = last_before(&args, ALLOCATION, 2, WAIT);
    let full = failing(ALLOCATION, "2", &last);
    // While it is loaded, and while it looks.
    let (gone, blind) = (lost(ALLOCATION, &last), lost(IMAGE, "0"));
    for told in [&full[..], &gone, &blind] {
        let object = left(&run(told, &args, &[]), &["encode images"]);
        for field in ["text", "tokens", "dtype"] {
            assert_eq!(object[field], expected[field], "{told:?}");
        }
        assert_eq!(object["notes"].as_array().unwrap().len(), 1);
    }
    stays(&full, &args, 5, &["out of GPU memory", "--max-pixels"]);
    stays(&gone, &args, 1, &["the GPU failed"]);
    stays(&blind, &args, 1, &["the GPU failed"]);
}

#[test]
fn once_it_answered_a_gpu_is_not_left() {
    let [first, second] =
        ["square", "tall"].map(|name| eyes::fixture(&format!("images/{name}.png")));
    let images = [first.to_str().unwrap(), second.to_str().unwrap()];
    let args = vision(&images, &["--each"]);
    let output = run(&failing(IMAGE, "700", "1"), &args, &[]);
    says(&output, 1, &["error: the GPU failed"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    // Before an answer what was seen stays: the picture that failed is encoded, and no other.
    let both = vision(&images, &["--json"]);
    left(
        &run(&failing(IMAGE, "700", "1"), &both, &[]),
        &["encode images"],
    );
}

#[test]
fn a_chat_leaves_a_gpu_before_its_first_reply() {
    let model = eyes::model(eyes::QWEN).to_str().unwrap();
    let [first, second] =
        ["square", "tall"].map(|name| eyes::fixture(&format!("images/{name}.png")));
    let [first, second] = [first, second].map(|path| format!("/image {}", path.display()));
    let computed = |object: &Value| {
        let said = object["said"].as_str().unwrap();
        let line = said.lines().find(|line| line.starts_with("computed"));
        line.unwrap().to_string()
    };
    let lines = [&first, "what?", "/show"];
    let (_, objects) = talk(&failing(IMAGE, "700", "0"), model, CONTEXT, &lines);
    assert_eq!(objects[1]["turn"], 1, "{objects:?}");
    assert!(computed(&objects[2]).contains("cpu"), "{objects:?}");
    let lines = [&first, "what?", &second, "/show", "and now?"];
    let (_, objects) = talk(&failing(IMAGE, "700", "1"), model, CONTEXT, &lines);
    assert_eq!(objects[2]["error"]["code"], 1, "{objects:?}");
    assert!(computed(&objects[3]).contains("cuda:0"), "{objects:?}");
    assert_eq!(objects[4]["turn"], 2, "{objects:?}");
}

#[test]
fn a_score_says_that_the_cpu_computed_it() {
    let text = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(text.path(), "Once upon a time").unwrap();
    let args = [
        "score",
        MODEL,
        "--json",
        "--file",
        text.path().to_str().unwrap(),
    ];
    let scored = |told: Told, flags: &[&str]| run(told, &args, flags);
    let exact: Value = serde_json::from_slice(&scored(&[], &["--device", "cpu"]).stdout).unwrap();
    let object = left(&scored(&lost(JOIN, "0"), &[]), &["load the model"]);
    assert_eq!(object["nll_mean"], exact["nll_mean"]);
}

#[test]
fn a_benchmark_is_of_the_cpu_where_the_gpu_does_not_load() {
    let args = [
        "bench", MODEL, "-p", "8", "-n", "2", "-r", "1", "-t", "1", "--json",
    ];
    let last = last_before(&args, JOIN, 1, "embed_rows");
    let told = failing(JOIN, "2", &last);
    let output = run(&told, &args, &[]);
    let told_so = said(&output);
    assert!(output.status.success(), "{told_so}");
    let about = told_so
        .lines()
        .filter(|line| line.contains("computing on the CPU"));
    assert_eq!(about.count(), 1, "{told_so}");
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = rows["results"].as_array().or(rows.as_array()).unwrap();
    for row in rows {
        assert_eq!(
            (&row["device"], &row["error"]),
            (&json!("cpu"), &Value::Null)
        );
    }
    for flags in [&["--device", "cuda"][..], &["--require-device"]] {
        let output = run(&told, &args, flags);
        assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    }
}

#[test]
fn only_the_part_that_fails_is_measured_on_the_cpu() {
    let model = eyes::model(eyes::QWEN).to_str().unwrap();
    let args = [
        "bench",
        model,
        "--task",
        "vision",
        "--image-size",
        "84x84",
        "-r",
        "1",
        "-t",
        "1",
        "--json",
    ];
    let last = last_before(&args, JOIN, 1, "embed_rows");
    let output = run(&failing(JOIN, "719", &last), &args, &[]);
    assert!(output.status.success(), "{}", said(&output));
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = rows["results"].as_array().or(rows.as_array()).unwrap();
    for (test, device) in [("encode", "cuda:0"), ("prefill", "cpu")] {
        let row = rows.iter().find(|row| row["test"] == test).unwrap();
        assert_eq!(row["device"], device, "{row}");
        assert!(row["median_ms"].is_number(), "{row}");
    }
}
