//! `crane bench --task vision` from outside, on the tiny models. How fast they are is nobody's business here.

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

use super::folder::{model, write, NAMO, QWEN};
use super::gguf;

fn bench(args: &[&str]) -> Output {
    let state = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_crane"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("XDG_STATE_HOME", state.path())
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HOME", state.path())
        .env("NO_COLOR", "1")
        .args(["bench", "--task", "vision", "-r", "2", "-t", "1"])
        .args(["--format", "json"])
        .args(args)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn rows(args: &[&str]) -> Vec<Value> {
    let output = bench(args);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn encoder_and_language_model_are_measured_part_by_part() {
    for name in [QWEN, NAMO] {
        let folder = path(model(name));
        let found = rows(&[folder, "--dtype", "f32,bf16", "--image-size", "100x70"]);
        let tests: Vec<&str> = found.iter().map(|r| r["test"].as_str().unwrap()).collect();
        let one = ["preprocess", "encode", "prefill", "decode"];
        assert_eq!(tests, [one, one].concat(), "{name}");
        for row in &found {
            assert!(row["error"].is_null(), "{row}");
            for figure in ["median_ms", "min_ms", "max_ms", "load_ms"] {
                assert!(row[figure].as_f64().unwrap() > 0.0, "{figure}: {row}");
            }
            assert_eq!(row["samples_ns"].as_array().unwrap().len(), 2);
            let counted = row["test"] != "preprocess";
            for figure in ["limit_share", "operations", "median_ts"] {
                assert_eq!(row[figure].as_f64().is_some(), counted, "{figure}: {row}");
            }
            assert!(row.get("audio_s").is_none(), "{row}");
        }
        assert_eq!(found[0]["image"], "100x70");
        let tokens = found[1]["n_tokens"].as_u64().unwrap();
        assert_eq!(found[2]["n_tokens"].as_u64(), Some(tokens + 32), "{name}");
        assert_eq!(found[3]["n_tokens"], 64);
        let weights = [1, 3, 5, 7].map(|i| found[i]["weights"].as_str().unwrap());
        assert_eq!(weights, ["f32", "f32", "bf16", "bf16"]);
    }
}

#[test]
fn a_gguf_file_is_measured_with_its_projector() {
    let folder = tempfile::tempdir().unwrap();
    let [text, projector] = gguf::write(folder.path());
    let found = rows(&[path(&text), "--image-size", "84x56", "--encoder-only"]);
    // The sides are multiples of a cell's 28 pixels, so that nothing is resized.
    assert_eq!((found.len(), &found[1]["n_tokens"]), (2, &6.into()));
    assert_eq!(found[1]["image_seen"], "84x56");
    std::fs::remove_file(projector).unwrap();
    let output = bench(&[path(&text)]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("--mmproj"), "{}", stderr(&output));
}

#[test]
fn a_prompt_that_the_context_does_not_hold_is_a_row_with_its_reason() {
    // 512 tokens are the model's context.
    let folder = tempfile::tempdir().unwrap();
    write(QWEN, folder.path(), &|name| name.to_string());
    let file = folder.path().join("preprocessor_config.json");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("31360", "1000000")).unwrap();
    let found = rows(&[path(folder.path()), "--image-size", "672x672"]);
    assert!(found[1]["error"].is_null(), "{}", found[1]);
    let reason = found[3]["error"].as_str().unwrap();
    assert!(reason.contains("512"), "{reason}");
}

#[test]
fn what_vision_does_not_measure_is_refused_before_anything_is() {
    let folder = path(model(QWEN));
    for line in [
        "-p 512",
        "-n 8",
        "--pg 4,2",
        "--save a",
        "--fail-if decode<1",
        "--image-size 0x4",
        "--image-size 12",
        "--synthetic qwen2.5-0.5b",
    ] {
        let args: Vec<&str> = [folder].into_iter().chain(line.split(' ')).collect();
        let output = bench(&args);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{line}");
    }
    for (task, line) in [
        ("text", "--synthetic namo-500m"),
        ("text", "--image-size 4x4"),
        ("tts", "--encoder-only"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crane"));
        let output = command
            .args(["bench", "--task", task])
            .args(line.split(' '))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}");
    }
    let text = "tests/fixtures/models/qwen2-tied";
    for (model, code, what) in [
        ("qwen2.5-0.5b", 2, "reads no images"),
        (text, 1, "takes no images"),
    ] {
        let output = bench(&[model]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(what), "{}", stderr(&output));
    }
}
