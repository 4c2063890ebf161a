//! `crane run --receipt` and `crane replay`.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/qwen2-tied")
}

fn crane(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crane"))
        .env("HF_HUB_OFFLINE", "1")
        .args(args)
        .write_stdin("")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).to_string()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A receipt of a sampled answer.
fn receipt(folder: &Path, more: &[&str]) -> PathBuf {
    let (path, tiny) = (folder.join("receipt.json"), tiny());
    let args = [
        "run",
        text(&tiny),
        "one",
        "-n",
        "12",
        "--receipt",
        text(&path),
    ];
    let output = crane(&[&args[..], more].concat());
    assert!(output.status.success(), "{}", said(&output));
    path
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_same_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    for more in [
        &[][..],
        &[
            "--temp",
            "0.7",
            "--top-p",
            "0.9",
            "--repeat-penalty",
            "1.2",
            "--seed",
            "9",
        ],
        &["--quant", "q8_0", "--cache-type", "q8_0", "--ignore-eos"],
        &["--dtype", "bf16", "--regex", "[a-z]{3}"],
        &["--raw", "-c", "64"],
    ] {
        let path = receipt(folder.path(), more);
        let output = crane(&["replay", text(&path)]);
        assert!(output.status.success(), "{more:?}: {}", said(&output));
        let tokens = read(&path)["tokens"].as_array().unwrap().len();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            format!("same: {tokens} tokens\n")
        );
    }
}

#[test]
fn what_determines_the_answer_stands_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let found = read(&receipt(
        folder.path(),
        &["--temp", "0.5", "--device", "cpu"],
    ));
    assert_eq!(found["sampler"]["temperature"], 0.5);
    assert_eq!(found["sampler"]["order"][4], "temperature");
    assert_eq!(found["device"], "cpu");
    assert_eq!(
        found["files"].as_array().unwrap().len(),
        std::fs::read_dir(tiny()).unwrap().count()
    );
    for key in [
        "crane",
        "seed",
        "weights",
        "simd",
        "threads",
        "eos_ids",
        "prompt",
        "prompt_tokens",
    ] {
        assert!(!found[key].is_null(), "{key}");
    }
}

#[test]
fn the_first_difference_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = receipt(folder.path(), &["--seed", "9"]);
    let mut found = read(&path);
    let then = found["tokens"][5].as_u64().unwrap();
    found["tokens"][5] = (then + 1).into();
    std::fs::write(&path, found.to_string()).unwrap();
    let output = crane(&["replay", text(&path)]);
    assert_eq!(output.status.code(), Some(7));
    let line = String::from_utf8_lossy(&output.stdout).to_string();
    assert!(
        line.contains("token 5") && line.contains(&format!("{then} ")),
        "{line}"
    );
    let output = crane(&["replay", text(&path), "--json"]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&object["same"], &object["first_difference"]["index"]),
        (&false.into(), &5.into())
    );
    // An answer that ended elsewhere is another one.
    found["tokens"][5] = then.into();
    found["tokens"].as_array_mut().unwrap().pop();
    std::fs::write(&path, found.to_string()).unwrap();
    let output = crane(&["replay", text(&path)]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("the end (length) in the receipt"));
}

#[test]
fn what_is_asked_for_stands_in_the_place_of_the_receipts() {
    let folder = tempfile::tempdir().unwrap();
    let path = receipt(folder.path(), &["--dtype", "f32"]);
    let replayed = |more: &[&str]| said(&crane(&[&["replay", text(&path)], more].concat()));
    assert_eq!(replayed(&["--dtype", "f32"]), "");
    let note = replayed(&["--dtype", "bf16"]);
    assert!(note.contains("--dtype is bf16, and was f32"), "{note}");
    let note = replayed(&["--cache-type", "q8_0"]);
    assert!(
        note.contains("--cache-type is q8_0, and was auto"),
        "{note}"
    );
}

#[test]
fn another_model_and_damaged_receipts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = receipt(folder.path(), &[]);
    let other = tiny().with_file_name("qwen3");
    let output = crane(&["replay", text(&path), "--model", text(&other)]);
    assert_eq!(output.status.code(), Some(7));
    assert!(
        said(&output).contains("not the same model"),
        "{}",
        said(&output)
    );
    let bytes = std::fs::read(&path).unwrap();
    for (content, code) in [
        (&bytes[..bytes.len() / 2], 6),
        (b"{}", 6),
        (b"", 6),
        (br#"{"version": 99}"#, 1),
    ] {
        std::fs::write(&path, content).unwrap();
        let output = crane(&["replay", text(&path)]);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert_eq!(said(&output).lines().count(), 1);
    }
    assert_eq!(crane(&["replay", "nowhere.json"]).status.code(), Some(3));
    let tiny = tiny();
    let output = crane(&[
        "run",
        text(&tiny),
        "one",
        "--choices",
        "a,b",
        "--receipt",
        "r.json",
    ]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_receipt_goes_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = |more: &[&str]| {
        let tiny = tiny();
        let args = ["run", text(&tiny), "one", "-n", "4", "-s", "1"];
        crane(&[&args[..], more].concat())
    };
    let refused = |more: &[&str], code| {
        let output = run(more);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert_eq!((said(&output).lines().count(), output.stdout.len()), (1, 0));
    };
    // Two outputs in one place, and no place, before anything is loaded.
    let both = at("both");
    refused(&["-o", text(&both), "--receipt", text(&both)], 2);
    refused(&["--receipt", "-"], 2);
    refused(&["--receipt", text(&at("no/folder"))], 3);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let (answer, tiny) = (at("answer"), tiny());
    // Where stdout is a file, its own name is stdout.
    let taken = at("taken");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_crane"));
    command.args([
        "run",
        text(&tiny),
        "one",
        "-n",
        "4",
        "--receipt",
        text(&taken),
    ]);
    command.stdout(std::fs::File::create(&taken).unwrap());
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("stdout"), "{}", said(&output));

    let output = run(&["-o", text(&answer), "--receipt", "-"]);
    assert!(output.status.success(), "{}", said(&output));
    let again = Command::new(env!("CARGO_BIN_EXE_crane"))
        .args(["replay", "-"])
        .write_stdin(output.stdout)
        .output()
        .unwrap();
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(String::from_utf8_lossy(&again.stdout), "same: 4 tokens\n");
}

#[cfg(unix)]
#[test]
fn a_pipe_stays_a_pipe() {
    use std::os::unix::fs::FileTypeExt;
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || std::fs::read(pipe).unwrap())
    };
    let tiny = tiny();
    let args = ["run", text(&tiny), "one", "-n", "4", "--receipt"];
    let output = crane(&[&args[..], &[text(&pipe)]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let kind = std::fs::metadata(&pipe).unwrap().file_type();
    assert!(kind.is_fifo());
    let receipt: Value = serde_json::from_slice(&reader.join().unwrap()).unwrap();
    assert_eq!(receipt["tokens"].as_array().unwrap().len(), 4);
}
