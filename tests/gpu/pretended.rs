//! crane beside a driver that only pretends to have a GPU (`pretended.c`): what it says and how it ends where the GPU is
//! too old, too small or fails. Needs a C compiler and no GPU.

mod leaving;
mod parts;
mod several;
mod switching;
mod talk;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crane::bench::synthetic;
use crane::models::Footprint;
use crane::weights::{DTypeChoice, Format, LoadOptions, Loader, Quant};
use serde_json::Value;

const MODEL: &str = "tests/fixtures/models/qwen2-tied";
const LIBRARIES: [&str; 3] = ["libcuda.so", "libnvrtc.so", "libcublasLt.so"];

/// A folder with the pretended libraries; `old` ones lack calls.
fn libraries(old: [bool; 3]) -> PathBuf {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let all = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for (name, flags) in [("new.so", &[][..]), ("old.so", &["-DOLD"])] {
            let compiled = Command::new("cc")
                .args(["-shared", "-fPIC", "-O1", "-w", "-o"])
                .arg(folder.path().join(name))
                .args(flags)
                .arg(root().join("tests/gpu/pretended.c"))
                .status()
                .unwrap();
            assert!(compiled.success());
        }
        folder
    });
    let named: String = old.map(|old| if old { 'o' } else { 'n' }).iter().collect();
    let folder = all.path().join(named);
    if std::fs::create_dir(&folder).is_ok() {
        for (name, old) in LIBRARIES.into_iter().zip(old) {
            let from = all.path().join(if old { "old.so" } else { "new.so" });
            std::fs::copy(from, folder.join(name)).unwrap();
        }
    }
    folder
}

/// Of the repository.
pub fn root() -> &'static Path {
    match Path::new(env!("CARGO_MANIFEST_DIR")) {
        here if here.exists() => here,
        // The test was built elsewhere.
        _ => Path::new("."),
    }
}

/// crane with pretended libraries, which are told `(name, value)`.
fn crane(folder: &Path, told: &[(&str, &str)], args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crane"));
    command
        .current_dir(root())
        .env("LD_LIBRARY_PATH", folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("HF_HUB_OFFLINE", "1")
        .env("NO_COLOR", "1")
        .env("XDG_DATA_HOME", folder)
        .envs(told.iter().copied())
        .stdin(Stdio::null())
        .args(args);
    command
}

/// An answer of four tokens to "hi".
fn run(told: &[(&str, &str)], flags: &[&str]) -> Output {
    let folder = libraries([false; 3]);
    let args = [&["run", MODEL, "hi", "-n", "4", "--temp", "0"], flags].concat();
    crane(&folder, told, &args).output().unwrap()
}

/// The most bytes that a run of `args` holds of the GPU's memory, and what it writes.
fn peak(args: &[&str]) -> (u64, String) {
    let (peaks, output) = peaks(args);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    (*peaks.last().unwrap(), text)
}

/// The most bytes that a run of `args` holds at a time, and once more for each time that it holds none between.
fn peaks(args: &[&str]) -> (Vec<u64>, Output) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let told = [("PRETEND_PEAK", file.path().to_str().unwrap())];
    let output = crane(&libraries([false; 3]), &told, args).output().unwrap();
    let peaks = std::fs::read_to_string(file.path()).unwrap();
    let peaks = peaks.lines().map(|line| line.parse().unwrap());
    (peaks.collect(), output)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Ends with `code` and one line that has all `words`.
fn says(output: &Output, code: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    // Where nvcc is missing, crane has more to say of the GPU, but not here.
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "'{word}' is not in: {said}");
    }
}

/// Told that so much is free.
fn free(bytes: &str) -> [(&str, &str); 1] {
    [("PRETEND_FREE", bytes)]
}

/// Told that `call` fails with `code` after `after` times.
fn failing<'a>(call: &'a str, code: &'a str, after: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("PRETEND_FAIL", call),
        ("PRETEND_CODE", code),
        ("PRETEND_AFTER", after),
    ]
}

#[test]
fn a_gpu_with_room_is_taken_without_a_word() {
    for flags in [
        &["--device", "cuda"][..],
        &["--require-device"],
        &["--device", "auto"],
    ] {
        let output = run(&[], &[flags, &["--json"]].concat());
        assert_eq!(said(&output), "");
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["device"], "cuda:0");
    }
    let output = run(&[], &["-v"]);
    let detail = said(&output);
    assert!(detail.contains("computing on cuda:0: about"), "{detail}");
}

#[test]
fn a_gpu_without_room_is_left_or_refused_with_the_numbers() {
    let numbers = ["about 3", "weights", "100.0 MB of 25.8 GB are free"];
    let small = free("100000000");
    let output = run(&small, &["--json"]);
    says(
        &output,
        0,
        &[&["computing on the CPU"], &numbers[..]].concat(),
    );
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["device"], "cpu");
    assert_eq!(object["notes"].as_array().unwrap().len(), 1);
    let named = [&["error:", "--ctx-size", "--device cpu"], &numbers[..]].concat();
    says(&run(&small, &["--device", "cuda:0"]), 5, &named);
    let required = [&["error: --require-device", "--quant"], &numbers[..]].concat();
    says(&run(&small, &["--require-device"]), 5, &required);
    says(
        &run(&small, &["--device", "cuda:0", "--require-device"]),
        5,
        &numbers,
    );
}

#[test]
fn what_cannot_be_used_says_why() {
    let reasons: [(&[(&str, &str)], &str); 5] = [
        (&[("PRETEND_DRIVER", "11040")], "12.0 or newer"),
        (&[("PRETEND_CAPABILITY", "75")], "8.0 (Ampere)"),
        (
            &failing("cuDevicePrimaryCtxRetain", "46", "0"),
            "compute mode",
        ),
        (&failing("cuModuleLoadData", "222", "0"), "a newer driver"),
        (&failing("cuInit", "999", "0"), "cuInit"),
    ];
    let folder = libraries([false; 3]);
    for (told, why) in reasons {
        says(&run(told, &[]), 0, &["computing on the CPU", why]);
        says(&run(told, &["--device", "cuda"]), 1, &["error: ", why]);
        says(&run(told, &["--require-device"]), 5, &["error: ", why]);
        let devices = crane(&folder, told, &["devices", "--json"]);
        let object = devices_of(devices);
        assert_eq!(object["auto"], "cpu");
        let reason = object["devices"][1]["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{reason}");
    }
}

fn devices_of(mut devices: Command) -> Value {
    let output = devices.output().unwrap();
    assert_eq!((output.status.code(), said(&output)), (Some(0), "".into()));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_gpu_is_described() {
    let devices = crane(&libraries([false; 3]), &[], &["devices", "--json"]);
    let object = devices_of(devices);
    let gpu = &object["devices"][1];
    assert_eq!(object["auto"], "cuda:0");
    assert_eq!(gpu["usable"], true);
    assert_eq!(gpu["model"], "Pretended");
    assert_eq!(gpu["memory_bytes"], 24u64 << 30);
    assert_eq!(gpu["free_bytes"], 8u64 << 30);
    assert_eq!(gpu["compute_capability"], "8.0");
    assert_eq!(gpu["driver_cuda"], "13.0");
    let text = crane(&libraries([false; 3]), &[], &["devices"]);
    let text = { text }.output().unwrap().stdout;
    let text = String::from_utf8(text).unwrap();
    let line = "cuda:0   usable (Pretended, 8.0 of 24.0 GiB free, compute capability 8.0, driver for CUDA 13.0)";
    assert!(text.contains(line), "{text}");
}

#[test]
fn libraries_that_lack_calls_do_not_end_crane() {
    let args = ["run", MODEL, "hi", "-n", "4", "--temp", "0"];
    let old_driver = libraries([true, false, false]);
    let output = crane(&old_driver, &[], &args).output().unwrap();
    says(&output, 0, &["computing on the CPU", "cuMemGetInfo_v2"]);
    let object = devices_of(crane(&old_driver, &[], &["devices", "--json"]));
    assert_eq!(object["devices"][1]["usable"], false);
    let slow = "prompts are read a token at a time";
    let old_blas = libraries([false, false, true]);
    let output = crane(&old_blas, &[], &args).output().unwrap();
    says(&output, 0, &[slow, "cublasLtMatmul"]);
    let object = devices_of(crane(&old_blas, &[], &["devices", "--json"]));
    assert_eq!(object["devices"][1]["usable"], true);
    let notes = object["devices"][1]["notes"].to_string();
    assert!(notes.contains(slow), "{notes}");
    says(&run(&failing("cublasLtCreate", "1", "0"), &[]), 0, &[slow]);
}

#[test]
fn what_a_gpu_ignores_is_said() {
    let output = run(&[], &["--cache-type", "q8_0"]);
    says(&output, 0, &["--cache-type q8_0", "f16"]);
    for ignored in [&["--cache-type", "f16"], &["-t", "1"], &["--simd", "avx2"]] {
        assert_eq!(said(&run(&[], ignored)), "");
    }
}

#[test]
fn a_full_memory_is_5_and_left_by_auto() {
    let full = failing("cuMemAlloc_v2", "2", "9");
    let remedy = ["out of GPU memory", "--ctx-size"];
    let left = [&["computing on the CPU"], &remedy[..]].concat();
    says(&run(&full, &[]), 0, &left);
    says(&run(&full, &["--device", "cuda"]), 5, &remedy);
    says(&run(&full, &["--require-device"]), 5, &remedy);
    // Once it answers, it is not left any more.
    let later = failing("cuLaunchKernelEx", "2", "20");
    says(&run(&later, &[]), 5, &remedy);
}

#[test]
fn a_failure_in_the_middle_is_1_and_one_line() {
    for (call, code, why) in [
        (
            "cuLaunchKernelEx",
            "700",
            "an error of the pretended driver",
        ),
        ("cuGraphLaunch", "700", "cuGraphLaunch"),
        ("cuStreamSynchronize", "719", "cuStreamSynchronize"),
        ("cublasLtMatmul", "14", "cuBLASLt: internal error"),
        // What nobody has heard of.
        ("cublasLtMatmul", "77", "cuBLASLt: status 77"),
        ("cuGraphLaunch", "12345", "cuGraphLaunch"),
    ] {
        let output = run(&failing(call, code, "1"), &[]);
        says(&output, 1, &["error: the GPU failed", why]);
    }
}

#[test]
fn a_chat_outlives_a_gpu_that_fails() {
    let home = tempfile::tempdir().unwrap();
    let folder = libraries([false; 3]);
    let talk = |told: &[(&str, &str)], stdin: &str| -> (Option<i32>, Vec<Value>) {
        let args = [
            "chat", MODEL, "--format", "ndjson", "-n", "4", "--temp", "0", "-q",
        ];
        let mut command = crane(&folder, told, &args);
        command.args(["--session", "talk"]);
        command.env("XDG_STATE_HOME", home.path());
        let input = home.path().join("stdin");
        std::fs::write(&input, stdin).unwrap();
        command.stdin(std::fs::File::open(input).unwrap());
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let objects = text.lines().map(|line| serde_json::from_str(line).unwrap());
        (output.status.code(), objects.collect())
    };
    // A reply waits for the GPU a few times: the second one is cut off.
    let (code, objects) = talk(
        &failing("cuStreamSynchronize", "700", "6"),
        "\"one\"\n\"two\"\n\"three\"\n",
    );
    assert_eq!((code, objects.len()), (Some(1), 3));
    assert_eq!(objects[0]["turn"], 1);
    for failed in &objects[1..] {
        assert_eq!(failed["error"]["code"], 1);
        let message = failed["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("the GPU failed"), "{message}");
    }
    let (code, objects) = talk(&[], "\"two\"\n");
    assert_eq!((code, &objects[0]["turn"]), (Some(0), &2.into()));
}

/// What is allocated while a prompt is read and answered, against what was counted from the headers.
#[test]
fn no_more_is_taken_than_was_counted() {
    let alias = "smollm2-135m";
    let checkpoint = synthetic::checkpoint(alias, Format::BF16).unwrap();
    for (dtype, quant) in [
        ("bf16", "none"),
        ("f32", "none"),
        ("auto", "q4_0"),
        ("auto", "q8_0"),
    ] {
        let options = LoadOptions {
            dtype: match dtype {
                "f32" => DTypeChoice::F32,
                "bf16" => DTypeChoice::BF16,
                _ => DTypeChoice::Auto,
            },
            quant: match quant {
                "q4_0" => Some(Quant::Q4_0),
                "q8_0" => Some(Quant::Q8_0),
                _ => None,
            },
            ..LoadOptions::default()
        };
        let loader = Loader::new(&checkpoint, &options).unwrap();
        let counted = Footprint::of(&loader, Some(7048)).unwrap();
        let args = [
            "bench",
            "--synthetic",
            alias,
            "--device",
            "cuda:0",
            "--dtype",
            dtype,
            "--quant",
            quant,
        ];
        let work = ["-p", "2048", "-n", "4", "-d", "5000", "-r", "1", "-q"];
        let (taken, _) = peak(&[&args[..], &work].concat());
        // What is small and not counted one by one.
        let slack = 4 << 20;
        let most = counted.weights + counted.loading.max(counted.cache + counted.work) + slack;
        let least = counted.weights + counted.cache;
        println!("{dtype} {quant}: {taken} of {most} ({counted:?})");
        assert!(
            (least * 9 / 10..=most).contains(&taken),
            "{dtype} {quant}: {taken} of {most}"
        );
    }
}
