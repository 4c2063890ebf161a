//! The other tests of this folder, and crane itself, beside a driver that has this CPU compute the kernels
//! (`emulated/driver.cpp`): every address, every barrier and every sum, though not a GPU's speed and rounding. Needs a
//! C++ compiler and no GPU.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::{json, Value};

use super::eye::folder as eyes;
use super::pretended::root;
use super::voice::folder::{fixture, read_json, spark};

/// What takes an emulated GPU minutes.
const SLOW: [&str; 5] = [
    "voice::a_codec_of_the_published_sizes",
    "voice::a_codec_of_odd_sizes",
    "eye::large_images",
    "eye::namo_at_its_own_sizes",
    "eye::qwen_with_heads_of_80_and_other_widths",
];

/// Compiles C++ of `emulated/` for this CPU; false where there is no compiler.
pub fn compile(arguments: &[&OsStr]) -> bool {
    let compile = |more: &[&str]| {
        Command::new("c++")
            .current_dir(root().join("tests/gpu/emulated"))
            .args(["-std=c++20", "-O2", "-fPIC", "-w", "-ffp-contract=off"])
            .args(more)
            .args(arguments)
            .output()
    };
    let compiled = match compile(&["-march=native"]) {
        Ok(output) if !output.status.success() => compile(&[]),
        other => other,
    };
    match compiled {
        Err(why) => {
            eprintln!("skipped: c++: {why}");
            false
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            true
        }
    }
}

/// A folder with the libraries, of which `make` makes the driver at a path; none where there is no compiler for them.
pub fn libraries_of(make: impl FnOnce(&OsStr) -> bool) -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let driver = folder.path().join("libcuda.so");
    if !make(driver.as_os_str()) {
        return None;
    }
    // One library, so that products and kernels share a stream.
    for name in ["libnvrtc.so", "libcublasLt.so"] {
        std::os::unix::fs::symlink(&driver, folder.path().join(name)).unwrap();
    }
    Some(folder)
}

fn libraries() -> Option<&'static Path> {
    static MADE: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        libraries_of(|driver| {
            let arguments = ["-shared", "driver.cpp", "-o"].map(OsStr::new);
            compile(&[&arguments[..], &[driver]].concat())
        })
    });
    made.as_ref().map(tempfile::TempDir::path)
}

pub fn beside(program: impl Into<PathBuf>, libraries: &Path) -> Command {
    let mut command = Command::new(program.into());
    command
        .current_dir(root())
        .env("LD_LIBRARY_PATH", libraries)
        .env("XDG_CACHE_HOME", libraries.join("cache"))
        .env("HF_HUB_OFFLINE", "1")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Some tests of this folder on GPUs of both kinds: a large one whose kernels start early, with the first warp ahead of
/// the others, all but the first list; one with the shared memory of a GeForce whose kernels wait, with the last warp
/// ahead, all but both.
fn others(but: &[&str], and_but: &[&str]) {
    let Some(libraries) = libraries() else { return };
    let start = |order, multiprocessors, capability, shared, but: &[&str]| {
        let mut tests = beside(std::env::current_exe().unwrap(), libraries);
        tests
            .args(["--test-threads", "1", "--nocapture"])
            .env("EMULATE_ORDER", order)
            .env("EMULATE_MULTIPROCESSORS", multiprocessors)
            .env("EMULATE_CAPABILITY", capability)
            .env("EMULATE_SHARED", shared);
        for name in [&["emulated::", "pretended::", "memory::", "races::"], but].concat() {
            tests.args(["--skip", name]);
        }
        tests.spawn().unwrap()
    };
    for child in [
        start("forward", "132", "90", "227", but),
        start("backward", "8", "86", "99", &[but, and_but].concat()),
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

/// The replies of `crane chat` to `input` on `device`, in f32, each with what it had in the cache.
fn replies(libraries: &Path, device: &str, state: &Path, more: &[&str], input: &str) -> Vec<Value> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), input).unwrap();
    let mut crane = beside(env!("CARGO_BIN_EXE_crane"), libraries);
    crane.env("XDG_STATE_HOME", state);
    crane.args(["chat", "tests/fixtures/models/qwen2-tied", "-q"]);
    crane.args(["--format", "ndjson", "-n", "12", "--temp", "0"]);
    crane
        .args(["--dtype", "f32", "--device", device])
        .args(more);
    let stdin = std::fs::File::open(file.path()).unwrap();
    let text = ends_well(crane.stdin(stdin).output().unwrap());
    let text = String::from_utf8(text).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str(line).unwrap());
    objects
        .map(|object: Value| json!([object["text"], object["timings"]["cached_tokens"]]))
        .collect()
}

#[test]
fn answers_side_by_side_are_those_of_one_after_the_other() {
    let Some(libraries) = libraries() else { return };
    let input = tempfile::NamedTempFile::new().unwrap();
    let lines = ["Once", "Upon a time", "a b c d e f g h", "The", "In the"];
    let lines = lines.iter().enumerate().map(|(i, text)| {
        // For a penalty all logits come here.
        let penalty = if i == 2 { 1.3 } else { 1.0 };
        json!({"prompt": text, "raw": true, "max_tokens": 3 + 4 * i, "temperature": i % 2, "seed": i,
            "repeat_penalty": penalty})
        .to_string()
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
    let state = tempfile::tempdir().unwrap();
    let input = "\"one\"\n\"two and three\"\n\"four\"\n";
    let [gpu, cpu] = ["cuda", "cpu"].map(|on| replies(libraries, on, state.path(), &[], input));
    assert_eq!(gpu.len(), 3);
    assert_eq!(gpu, cpu);
    // What lies beside a session serves the next process.
    let kept = ["--session", "talk", "--cache-prompt"];
    let on = |device, input| replies(libraries, device, state.path(), &kept, input);
    assert_eq!(on("cuda", "\"one\"\n\"two and three\"\n"), gpu[..2]);
    assert_eq!(on("cuda", "\"four\"\n"), gpu[2..]);
}

#[test]
fn images_are_seen_where_prompts_are_read_a_token_at_a_time() {
    let Some(libraries) = libraries() else { return };
    // There is no libcublasLt.
    let few = tempfile::tempdir().unwrap();
    for name in ["libcuda.so", "libnvrtc.so"] {
        std::os::unix::fs::symlink(libraries.join("libcuda.so"), few.path().join(name)).unwrap();
    }
    for model in [eyes::QWEN, eyes::NAMO] {
        let answer = |device: &str, image: &str| -> Value {
            let mut crane = beside(env!("CARGO_BIN_EXE_crane"), few.path());
            crane.args(["vision", "-q"]).arg(eyes::model(model));
            crane.arg(eyes::fixture(&format!("images/{image}.png")));
            crane.args(["-p", "What", "-n", "4", "--temp", "0", "--json"]);
            crane.args(["--dtype", "f32", "--device", device]);
            let object: Value =
                serde_json::from_slice(&ends_well(crane.output().unwrap())).unwrap();
            object["tokens"].clone()
        };
        for image in ["wide", "square"] {
            assert_eq!(
                answer("cuda", image),
                answer("cpu", image),
                "{model} {image}"
            );
        }
    }
}

#[test]
fn kernels_are_compiled_once() {
    let Some(libraries) = libraries() else { return };
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join("crane/kernels");
    let kept = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let answers = || {
        let mut crane = beside(env!("CARGO_BIN_EXE_crane"), libraries);
        crane
            .env("XDG_CACHE_HOME", cache.path())
            .args(["run", "-q"]);
        crane.args(["tests/fixtures/models/qwen2-tied", "a", "-n", "1"]);
        ends_well(crane.args(["--device", "cuda"]).output().unwrap());
    };
    answers();
    let first = kept();
    let [file] = &first[..] else {
        assert!(first.is_empty(), "{first:?}");
        eprintln!("skipped: this crane was built with its kernels inside");
        return;
    };
    let whole = std::fs::read(file).unwrap();
    let written = || std::fs::metadata(file).unwrap().modified().unwrap();
    let then = written();
    answers();
    assert_eq!((kept(), written()), (first.clone(), then));
    // A damaged one is made anew.
    std::fs::write(file, &whole[1..]).unwrap();
    answers();
    assert_eq!(
        (kept(), std::fs::read(file).unwrap()),
        (first.clone(), whole)
    );
}

#[test]
fn a_recording_has_the_voice_and_the_words_of_the_reference() {
    let Some(libraries) = libraries() else { return };
    let home = tempfile::tempdir().unwrap();
    let crane = |told: &[(&str, &str)], args: &[&str]| {
        let mut crane = beside(env!("CARGO_BIN_EXE_crane"), libraries);
        crane.env("XDG_DATA_HOME", home.path()).args(args);
        crane.envs(told.iter().copied()).output().unwrap()
    };
    let (model, wav) = (spark(), fixture("reference.wav"));
    let (model, wav) = (model.to_str().unwrap(), wav.to_str().unwrap());
    let goldens = read_json("goldens.json");
    // The encoder of the voice launches that kernel twice: it has computed, and what reads the words fails.
    let failing = [
        ("EMULATE_FAIL", "attend_signals_64"),
        ("EMULATE_AFTER", "2"),
    ];
    for (name, told, flag) in [
        ("heard", &[][..], "--require-device"),
        ("left", &failing, "--json"),
    ] {
        let save = ["--save-voice", name, "-q", flag];
        ends_well(crane(
            told,
            &[&["tts", "-m", model, "--clone", wav], &save[..]].concat(),
        ));
        let shown = ends_well(crane(&[], &["voices", "show", name, "--json"]));
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        for tokens in ["global", "semantic"] {
            assert_eq!(shown[tokens], goldens["encode"][tokens], "{name}: {tokens}");
        }
    }
}
