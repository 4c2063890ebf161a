//! `crane bench` from outside, on models of a few kilobytes. How fast they are is nobody's business here.

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use crate::spark::talker::{talker, Habit};

const MODEL: &str = "tests/fixtures/models/gguf/qwen2-tied-q8_0.gguf";
const FOLDER: &str = "tests/fixtures/models/qwen2-tied";
const QUICK: [&str; 8] = ["-p", "8", "-n", "4", "-r", "2", "-t", "1"];

/// `crane bench` with a state folder of its own.
fn bench(state: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crane"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("XDG_STATE_HOME", state)
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HOME", state)
        .env("NO_COLOR", "1")
        .arg("bench")
        .args(args)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The rows of a run with `--format json`, which must end with `code`.
fn rows(state: &Path, args: &[&str], code: i32) -> Vec<Value> {
    let output = bench(state, &[&QUICK[..], &["--format", "json"], args].concat());
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn state() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_json_has_llama_benchs_fields_and_cranes_own() {
    let state = state();
    let rows = rows(state.path(), &[MODEL, "-d", "0,16"], 0);
    let tests: Vec<&str> = rows.iter().map(|r| r["test"].as_str().unwrap()).collect();
    assert_eq!(tests, ["pp8", "tg4", "pp8@d16", "tg4@d16"]);
    for row in &rows {
        for number in [
            "model_size",
            "model_n_params",
            "n_threads",
            "avg_ns",
            "stddev_ns",
            "avg_ts",
            "stddev_ts",
            "median_ts",
            "min_ts",
            "max_ts",
            "load_ms",
            "ttft_ms",
            "limit_ts",
            "limit_share",
            "bytes_per_token",
            "flops_per_token",
            "bandwidth_bytes_per_s",
            "peak_flops",
        ] {
            assert!(row[number].as_f64().is_some(), "{number} of {row}");
        }
        for text in [
            "model_filename",
            "model_type",
            "type_k",
            "type_v",
            "test_time",
            "device",
        ] {
            assert!(!row[text].as_str().unwrap().is_empty(), "{text} of {row}");
        }
        assert_eq!(row["weights"], "q8_0");
        assert_eq!(row["samples_ns"].as_array().unwrap().len(), 2);
        assert_eq!(row["samples_ts"].as_array().unwrap().len(), 2);
        assert!(row["error"].is_null());
        if cfg!(target_os = "linux") {
            assert!(row["peak_memory_bytes"].as_u64().unwrap() > 0);
        }
    }
    assert_eq!(
        (&rows[3]["n_gen"], &rows[3]["n_depth"]),
        (&4.into(), &16.into())
    );
}

#[test]
fn stdout_is_the_table_alone_and_quiet_is_quiet() {
    let state = state();
    let output = bench(
        state.path(),
        &[&QUICK[..], &[FOLDER, "--dtype", "f32,bf16"]].concat(),
    );
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(table.lines().all(|line| line.starts_with("| ")), "{table}");
    assert_eq!(table.lines().count(), 2 + 4, "{table}");
    assert!(stderr(&output).contains("loading"));
    assert!(!stderr(&output).contains('\u{1b}'));

    let output = bench(
        state.path(),
        &[&QUICK[..], &[MODEL, "-q", "--format", "csv"]].concat(),
    );
    assert_eq!(stderr(&output), "");
    let csv = String::from_utf8(output.stdout).unwrap();
    assert!(csv.starts_with("model,model_filename,"), "{csv}");
    assert_eq!(csv.lines().count(), 3);
}

#[test]
fn what_cannot_be_measured_is_a_row_with_its_reason() {
    let state = state();
    let found = rows(state.path(), &[MODEL, "none.gguf", "-d", "0,100000"], 0);
    let reason = |test: &str, model: &str| {
        let row = found
            .iter()
            .find(|r| r["test"] == test && r["model"] == model);
        row.unwrap()["error"]
            .as_str()
            .unwrap_or_default()
            .to_string()
    };
    assert_eq!(reason("pp8", MODEL), "");
    assert!(reason("tg4@d100000", MODEL).contains("context"));
    assert!(reason("pp8", "none.gguf").contains("none.gguf"));
    if !cfg!(any(feature = "cuda", feature = "metal")) {
        let found = rows(state.path(), &[MODEL, "--device", "cpu,cuda"], 0);
        let cuda = found.iter().find(|r| r["device"] == "cuda:0").unwrap();
        assert!(cuda["error"].as_str().unwrap().contains("--features cuda"));
        rows(state.path(), &[MODEL, "--device", "cuda"], 1);
    }
}

#[test]
fn nothing_measured_is_the_first_rows_failure() {
    let state = state();
    rows(state.path(), &[MODEL, "-d", "100000"], 5);
    rows(state.path(), &["none.gguf"], 3);
    rows(state.path(), &["spark-tts-0.5b"], 1);
}

#[test]
fn wrong_usage_is_2_before_anything_is_measured() {
    let state = state();
    for line in [
        "-p 0 -n 0",
        "-t 0",
        "-r 0",
        "--pg 3",
        "--synthetic gpt-5",
        "--fail-if decode",
        "--fail-if decode<-5%",
        "--save a/b",
        "--quality README.md",
        "--format xml",
        "--task sing",
        "--task tts -p 512",
        "--task tts -n 128",
        "--task tts -d 0",
        "--task tts --parallel 2",
        "--parallel 0",
        "--task tts --pg 4,2",
        "--task tts --synthetic qwen2.5-0.5b",
        "--task tts --quality README.md",
        "--task tts --save a",
        "--task tts --compare a",
        "--task tts --fail-if decode<1",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let output = bench(state.path(), &args);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
        assert_eq!(stderr(&output).lines().count(), 1, "{line}");
    }
}

#[test]
fn results_are_kept_compared_and_judged() {
    let state = state();
    rows(state.path(), &[MODEL, "--save", "before"], 0);
    let kept = state.path().join("crane/bench/before.json");
    assert!(!cfg!(target_os = "linux") || kept.is_file());

    let compared = rows(
        state.path(),
        &[MODEL, "--compare", "before", "--fail-if", "decode<-100%"],
        0,
    );
    for row in &compared {
        for ratio in ["ratio_ts", "ratio_load", "ratio_ttft"] {
            assert!(row[ratio].as_f64().unwrap() > 0.0, "{row}");
        }
    }
    let gates: [&[&str]; 3] = [
        &["--fail-if", "decode<1e12"],
        &["--fail-if", "prefill>-100%", "--compare", "before"],
        &["--fail-if", "kl>0.1"],
    ];
    for gate in gates {
        let args = [&QUICK[..], &[MODEL, "-q"], gate].concat();
        let output = bench(state.path(), &args);
        assert_eq!(output.status.code(), Some(7), "{gate:?}");
        assert!(!output.stdout.is_empty());
        let said = stderr(&output);
        assert!(
            said.contains(gate[1]) && said.lines().count() == 1,
            "{said}"
        );
    }
    rows_of_nobody(state.path());
}

#[test]
fn sequences_generate_together() {
    let state = state();
    let args = [MODEL, "-d", "0,16", "--parallel", "1,3", "--pg", "5,2"];
    let found = rows(state.path(), &args, 0);
    let tests: Vec<&str> = found.iter().map(|r| r["test"].as_str().unwrap()).collect();
    let one_depth = ["pp8", "tg4", "tg4@x3", "pp5+tg2", "pp5+tg2@x3"];
    assert_eq!(tests[..5], one_depth);
    assert_eq!(tests[7], "tg4@d16@x3");
    for row in &found {
        let number = |name: &str| {
            row[name]
                .as_f64()
                .unwrap_or_else(|| panic!("{name}: {row}"))
        };
        let together = row["test"].as_str().unwrap().ends_with("@x3");
        let sequences = if together { 3.0 } else { 1.0 };
        assert_eq!(number("n_parallel"), sequences);
        // The speed is that of all of them.
        let tokens = sequences * (number("n_prompt") + number("n_gen"));
        let [ns, ts] = ["samples_ns", "samples_ts"].map(|name| row[name][0].as_f64().unwrap());
        assert!((ts * ns / (tokens * 1e9) - 1.0).abs() < 1e-9, "{row}");
        assert!(number("limit_ts") > 0.0 && number("limit_share") > 0.0);
    }
    let of = |row: usize, name: &str| found[row][name].as_f64().unwrap();
    assert_eq!(of(1, "flops_per_token"), of(2, "flops_per_token"));
    assert!(of(1, "bytes_per_token") > of(2, "bytes_per_token"));

    let table = bench(state.path(), &[&QUICK[..], &args[..], &["-q"]].concat());
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.lines().next().unwrap().contains(" parallel "));
    let line = table.lines().find(|line| line.contains(" tg4@x3 "));
    assert!(line.unwrap().contains(" 3 | tg4@x3 "), "{table}");
    let csv = bench(
        state.path(),
        &[&QUICK[..], &args[..], &["-q", "--format", "csv"]].concat(),
    );
    let csv = String::from_utf8(csv.stdout).unwrap();
    assert!(csv.lines().next().unwrap().contains(",n_parallel,"));
}

#[test]
fn results_of_one_sequence_from_before_there_were_more_still_compare() {
    let state = state();
    let mut before = rows(state.path(), &[MODEL], 0);
    for row in &mut before {
        assert_eq!(
            row.as_object_mut().unwrap().remove("n_parallel").unwrap(),
            1
        );
    }
    let file = state.path().join("before.json");
    std::fs::write(&file, Value::from(before).to_string()).unwrap();
    let file = file.to_str().unwrap();
    let args = [MODEL, "--parallel", "1,2", "--compare", file];
    let found = rows(state.path(), &args, 0);
    let partners: Vec<bool> = found.iter().map(|r| r["ratio_ts"].is_f64()).collect();
    assert_eq!(partners, [true, true, false]);
    // A gate on decoding looks at the rows of several sequences too.
    let gates = ["--parallel", "2", "--fail-if", "decode<1e12"];
    let output = bench(
        state.path(),
        &[&QUICK[..], &[MODEL, "-q"], &gates[..]].concat(),
    );
    assert_eq!(output.status.code(), Some(7));
    assert!(stderr(&output).contains("tg4@x2"), "{}", stderr(&output));
}

#[test]
fn a_result_that_several_sequences_gave_is_kept_and_compared() {
    let state = state();
    let args = [MODEL, "--parallel", "2,3"];
    rows(state.path(), &[&args[..], &["--save", "some"]].concat(), 0);
    let more = ["--compare", "some", "--fail-if", "decode<-100%"];
    let found = rows(state.path(), &[&args[..], &more[..]].concat(), 0);
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|row| row["ratio_ts"].is_f64()));
}

/// A result that is not there, and one that is none.
fn rows_of_nobody(state: &Path) {
    let output = bench(state, &[MODEL, "--compare", "never"]);
    assert_eq!(output.status.code(), Some(3));
    let file = state.join("broken.json");
    std::fs::write(&file, "[1]").unwrap();
    let output = bench(state, &[MODEL, "--compare", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(6));
    assert!(output.stdout.is_empty());
}

#[test]
fn quality_stands_beside_speed() {
    let state = state();
    let text = state.path().join("text.txt");
    std::fs::write(
        &text,
        "The quick brown fox jumps over the lazy dog. ".repeat(40),
    )
    .unwrap();
    let args = [
        FOLDER,
        "--quant",
        "none,q4_0",
        "--dtype",
        "f32",
        "--quality",
        text.to_str().unwrap(),
    ];
    let found = rows(state.path(), &args, 0);
    let figure = |row: usize, name: &str| found[row][name].as_f64().unwrap();
    assert_eq!(
        (figure(0, "kl_mean"), figure(0, "top1_agreement")),
        (0.0, 1.0)
    );
    assert!(figure(2, "kl_mean") > 0.0 && figure(2, "top1_agreement") < 1.0);
    assert!(figure(0, "nll_mean") > 0.0);
    // The text is longer than the model's context.
    assert_eq!(found[0]["quality_tokens"], 256);
}

/// A model that speaks, once.
fn speech(state: &Path, args: &[&str]) -> Output {
    let quick = ["--task", "tts", "-r", "1", "-t", "1", "--format", "json"];
    bench(state, &[&quick[..], args].concat())
}

#[test]
fn a_model_that_speaks_is_measured_part_by_part() {
    let state = state();
    let folder = talker(Habit::Speaks).to_str().unwrap();
    let output = speech(state.path(), &[folder, "--quant", "none,q8_0"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let speaking = ["llm", "codec", "codec-stream", "speech"];
    let expected: Vec<&str> = speaking
        .into_iter()
        .chain(speaking)
        .chain(["encode"])
        .collect();
    let tests: Vec<&str> = rows.iter().map(|r| r["test"].as_str().unwrap()).collect();
    assert_eq!(tests, expected);
    for row in &rows {
        assert!(row["error"].is_null(), "{row}");
        let figure = |name: &str| {
            row[name]
                .as_f64()
                .unwrap_or_else(|| panic!("{name}: {row}"))
        };
        for name in ["median_ms", "min_ms", "max_ms", "realtime", "load_ms"] {
            assert!(figure(name) > 0.0, "{name} of {row}");
        }
        assert!((figure("realtime") * figure("rtf") - 1.0).abs() < 1e-9);
        assert_eq!(row["samples_ns"].as_array().unwrap().len(), 1);
        let counted = ["llm", "codec", "encode"].contains(&row["test"].as_str().unwrap());
        assert_eq!(row["limit_share"].as_f64().is_some(), counted, "{row}");
    }
    assert_eq!(
        (&rows[0]["weights"], &rows[4]["weights"]),
        (&"f32".into(), &"q8_0".into())
    );
    assert_eq!(
        (&rows[1]["audio_s"], &rows[8]["audio_s"]),
        (&5.0.into(), &6.0.into())
    );
    let ms = |row: &Value, name: &str| row[name].as_f64().unwrap();
    let whole = ms(&rows[0], "median_ms") / 2560.0 + ms(&rows[1], "median_ms") / 5000.0;
    assert!(
        (ms(&rows[3], "rtf") / whole - 1.0).abs() < 1e-3,
        "{}",
        rows[3]
    );
    let parts = rows[8]["parts"].as_array().unwrap();
    let names: Vec<&str> = parts.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mel", "global", "wav2vec2", "semantic"]);
    let sum: f64 = parts.iter().map(|part| ms(part, "median_ms")).sum();
    assert!(
        (ms(&rows[8], "median_ms") / sum - 1.0).abs() < 1e-3,
        "{}",
        rows[8]
    );
}

#[test]
fn what_does_not_speak_is_no_model_of_speech() {
    let state = state();
    for (model, code, what) in [
        ("qwen2.5-0.5b", 2, "does not speak"),
        (FOLDER, 3, "LLM"),
        ("./none", 3, "none"),
    ] {
        let output = speech(state.path(), &[model]);
        assert_eq!(output.status.code(), Some(code), "{model}");
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert!(
            rows[0]["error"].as_str().unwrap().contains(what),
            "{rows:?}"
        );
    }
}
