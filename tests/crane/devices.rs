//! `--device`, `--require-device` and `crane devices`, with every GPU hidden: what a machine without one sees.

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

use super::cli::{crane, fails};

const MODEL: &str = "tests/fixtures/models/qwen2-tied";

/// crane, and no NVIDIA GPU.
fn hidden() -> Command {
    let mut command = crane();
    command.env("CUDA_VISIBLE_DEVICES", "-1");
    command
}

fn run(flags: &[&str]) -> Command {
    let mut command = hidden();
    command.args(["run", MODEL, "hi", "-n", "2", "--temp", "0"]);
    command.args(flags);
    command
}

#[test]
fn devices_as_text_and_json() {
    hidden()
        .arg("devices")
        .assert()
        .success()
        .stdout(contains("cpu").and(contains("auto")));
    let output = hidden().args(["devices", "--json"]).output().unwrap();
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["devices"][0]["name"], "cpu");
    assert!(object["threads"].as_u64().unwrap() >= 1);
    assert_eq!(object["devices"][1]["name"], "cuda:0");
    assert_eq!(object["devices"][1]["usable"], false);
    assert!(object["devices"][1]["reason"].is_string());
}

#[test]
fn a_named_gpu_that_is_not_there_is_an_error() {
    let reason = match cfg!(feature = "cuda") {
        true => "driver",
        false => "--features cuda",
    };
    for name in ["cuda", "cuda:0", "cuda:7"] {
        let mut command = run(&["--device", name]);
        fails(&mut command, 1, &["--device cuda:", reason]);
        let mut command = run(&["--device", name, "--require-device"]);
        fails(&mut command, 5, &["--device cuda:", reason]);
    }
}

#[test]
#[cfg(not(feature = "metal"))]
fn auto_takes_the_cpu_unless_a_gpu_is_required() {
    let output = run(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!output.stdout.is_empty());
    let notes = String::from_utf8(output.stderr).unwrap();
    // A build that has no back end has nothing to fall back from.
    let said = usize::from(cfg!(feature = "cuda"));
    let found = notes
        .lines()
        .filter(|note| note.contains("on the CPU: the GPU cannot be used"));
    assert_eq!(found.count(), said, "{notes}");
    fails(&mut run(&["--require-device"]), 5, &["--require-device: "]);
}

#[test]
fn a_required_gpu_beside_the_cpu_is_wrong_usage() {
    let mut command = run(&["--device", "cpu", "--require-device"]);
    fails(&mut command, 2, &["--require-device", "--device cpu"]);
}
