//! The other tests of this folder, and crane itself, beside a driver that has this CPU compute the kernels
//! (`emulated/driver.cpp`): every address, every barrier and every sum, though not a GPU's speed and rounding. Needs a
//! C++ compiler and no GPU.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::{json, Value};

use super::pretended::root;

/// What takes an emulated GPU minutes.
const SLOW: [&str; 5] = [
    "voice::a_codec_of_the_published_sizes",
    "voice::a_codec_of_odd_sizes",
    "eye::large_images",
    "eye::namo_at_its_own_sizes",
    "eye::qwen_with_heads_of_80_and_other_widths",
];

/// A folder with the libraries; none where there is no compiler for them.
fn libraries() -> Option<&'static Path> {
    static MADE: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let driver = folder.path().join("libcuda.so");
        let compile = |flags: &[&str]| {
            Command::new("c++")
                .args([
                    "-std=c++20",
                    "-O2",
                    "-shared",
                    "-fPIC",
                    "-w",
                    "-ffp-contract=off",
                    "-o",
                ])
                .arg(&driver)
                .args(flags)
                .arg(root().join("tests/gpu/emulated/driver.cpp"))
                .output()
        };
        let compiled = match compile(&["-march=native"]) {
            Ok(output) if !output.status.success() => compile(&[]),
            other => other,
        };
        match compiled {
            Err(why) => {
                eprintln!("skipped: c++: {why}");
                return None;
            }
            Ok(output) => assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            ),
        }
        // One library, so that products and kernels share a stream.
        for name in ["libnvrtc.so", "libcublasLt.so"] {
            std::os::unix::fs::symlink(&driver, folder.path().join(name)).unwrap();
        }
        Some(folder)
    });
    made.as_ref().map(tempfile::TempDir::path)
}

fn beside(program: impl Into<PathBuf>, libraries: &Path) -> Command {
    let mut command = Command::new(program.into());
    command
        .current_dir(root())
        .env("LD_LIBRARY_PATH", libraries)
        .env("HF_HUB_OFFLINE", "1")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Some tests of this folder on GPUs of both kinds: large and early to start, with the first warp ahead of the others,
/// all but the first list; small and strict, with the last warp ahead, all but both.
fn others(but: &[&str], and_but: &[&str]) {
    let Some(libraries) = libraries() else { return };
    let start = |order, multiprocessors, capability, but: &[&str]| {
        let mut tests = beside(std::env::current_exe().unwrap(), libraries);
        tests
            .args(["--test-threads", "1", "--nocapture"])
            .env("EMULATE_ORDER", order)
            .env("EMULATE_MULTIPROCESSORS", multiprocessors)
            .env("EMULATE_CAPABILITY", capability);
        for name in [&["emulated::", "pretended::", "memory::"], but].concat() {
            tests.args(["--skip", name]);
        }
        tests.spawn().unwrap()
    };
    for child in [
        start("forward", "132", "90", but),
        start("backward", "8", "80", &[but, and_but].concat()),
    ] {
        let output = child.wait_with_output().unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("skipped:"), "{said}");
        let passed = said.matches("... ok").count() + said.matches("\nok\n").count();
        assert!(passed >= 13, "{passed}: {said}");
    }
}

#[test]
fn the_other_tests_pass() {
    others(&SLOW, &["heads_of_all_shapes", "together::every_tiny"]);
}

#[test]
#[ignore = "takes half an hour"]
fn the_slow_tests_pass_too() {
    others(&[SLOW[0]], &[]);
}

fn ends_well(output: Output) -> Vec<u8> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "");
    output.stdout
}

#[test]
fn an_answer_is_the_same_as_on_the_cpu() {
    let Some(libraries) = libraries() else { return };
    let models = ["qwen2-tied", "llama-rope3", "gguf/qwen3-q8_0.gguf"];
    for name in models {
        let model = format!("tests/fixtures/models/{name}");
        let answer = |device: &str| -> Value {
            let mut crane = beside(env!("CARGO_BIN_EXE_crane"), libraries);
            crane.args(["run", &model, "Once upon a time", "--json", "--raw", "-q"]);
            crane.args(["-n", "24", "--temp", "0", "--dtype", "f32", "--device"]);
            let output = crane.arg(device).output().unwrap();
            serde_json::from_slice(&ends_well(output)).unwrap()
        };
        let (gpu, cpu) = (answer("cuda"), answer("cpu"));
        assert_eq!(gpu["device"], "cuda:0");
        assert_eq!(cpu["device"], "cpu");
        assert!(!gpu["text"].as_str().unwrap().is_empty());
        assert_eq!(gpu["text"], cpu["text"], "{name}");
    }
}

#[test]
fn answers_side_by_side_are_those_of_one_after_the_other() {
    let Some(libraries) = libraries() else { return };
    let input = tempfile::NamedTempFile::new().unwrap();
    let lines = ["Once", "Upon a time", "a b c d e f g h", "The", "In the"];
    let lines = lines.iter().enumerate().map(|(i, text)| {
        json!({"prompt": text, "raw": true, "max_tokens": 3 + 4 * i, "temperature": i % 2, "seed": i}).to_string()
    });
    std::fs::write(input.path(), lines.collect::<Vec<_>>().join("\n")).unwrap();
    let answers = |parallel: &str| -> String {
        let mut crane = beside(env!("CARGO_BIN_EXE_crane"), libraries);
        crane.args(["run", "tests/fixtures/models/qwen2-tied", "-q", "--batch"]);
        crane.arg(input.path()).args(["--parallel", parallel]);
        crane.args(["--dtype", "bf16", "--device", "cuda"]);
        String::from_utf8(ends_well(crane.output().unwrap())).unwrap()
    };
    let alone = answers("1");
    assert_eq!(alone.lines().count(), 5);
    assert_eq!(alone, answers("4"));
}

#[test]
fn a_chat_goes_on_from_its_cache_as_on_the_cpu() {
    let Some(libraries) = libraries() else { return };
    let input = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(input.path(), "\"one\"\n\"two and three\"\n\"four\"\n").unwrap();
    let replies = |device: &str| -> Vec<Value> {
        let mut crane = beside(env!("CARGO_BIN_EXE_crane"), libraries);
        crane.args(["chat", "tests/fixtures/models/qwen2-tied", "-q"]);
        crane.args(["--format", "ndjson", "-n", "12", "--temp", "0"]);
        crane.args(["--dtype", "f32", "--device", device]);
        let stdin = std::fs::File::open(input.path()).unwrap();
        let text = ends_well(crane.stdin(stdin).output().unwrap());
        let text = String::from_utf8(text).unwrap();
        let objects = text.lines().map(|line| serde_json::from_str(line).unwrap());
        objects.map(|object: Value| json!(object["text"])).collect()
    };
    let (gpu, cpu) = (replies("cuda"), replies("cpu"));
    assert_eq!(gpu.len(), 3);
    assert_eq!(gpu, cpu);
}
