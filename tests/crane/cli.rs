//! The binary from outside: what needs no model.

use std::io::Read;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_empty, starts_with};

/// crane in an environment of its own: an empty cache, offline, no settings of the person who runs the tests.
pub(super) fn crane() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crane"));
    for name in ["HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN"] {
        command.env_remove(name);
    }
    command
        .env("HF_HUB_OFFLINE", "1")
        .env("NO_COLOR", "1")
        .env("RUST_BACKTRACE", "1")
        .env("HF_HOME", std::env::temp_dir().join("crane-tests-no-cache"));
    command
}

/// Fails with `code`, one line on stderr that holds `words`, and nothing on stdout.
pub(super) fn fails(command: &mut Command, code: i32, words: &[&str]) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty());
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "'{word}' is not in: {stderr}");
    }
}

#[test]
fn help_lists_commands_name_forms_and_exit_codes() {
    let mut help = crane().arg("--help").assert().success();
    for text in ["pull", "score", "org/repo[@revision][:quant]", "141"] {
        help = help.stdout(contains(text));
    }
    help.stderr(is_empty());
}

#[test]
fn version_is_short_or_says_what_is_compiled_in() {
    let version = format!("crane {}", env!("CARGO_PKG_VERSION"));
    crane()
        .arg("-V")
        .assert()
        .success()
        .stdout(format!("{version}\n"));
    crane().arg("--version").assert().success().stdout(
        starts_with(version).and(contains("cpu features: ").and(contains("back ends: cpu"))),
    );
}

#[test]
fn wrong_usage_is_2() {
    let lines: &[&[&str]] = &[
        &[],
        &["fly"],
        &["run"],
        &["run", "m", "hi", "--no-such-flag"],
        &["run", "m", "hi", "-t", "0"],
        &["run", "m", "hi", "-n", "0"],
        &["run", "m", "hi", "--temp", "-1"],
        &["run", "m", "hi", "--temp", "warm"],
        &["run", "m", "hi", "--top-p", "2"],
        &["run", "m", "hi", "--device", "tpu"],
        &["run", "m", "hi", "--dtype", "f64"],
        &["run", "m", "hi", "--quant", "q1"],
        &["run", "m", "hi", "--raw", "--system", "s"],
        &["run", "m", "hi", "-p", "hi"],
        &["run", "m", "hi", "--overflow", "end"],
        &["run", "m", "hi", "--format", "xml"],
        &["run", "m", "hi", "--stop", ""],
        &["score", "m"],
        &["completions", "tcsh"],
        &["devices", "-q", "-v"],
    ];
    for line in lines {
        let output = crane().args(*line).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line:?}");
        assert!(output.stdout.is_empty(), "{line:?}");
        assert!(!output.stderr.is_empty(), "{line:?}");
    }
}

#[test]
fn an_empty_prompt_is_refused_before_any_model_is_sought() {
    for stdin in ["", "\n", "  \n\t\n"] {
        fails(
            crane().args(["run", "m"]).write_stdin(stdin),
            2,
            &["prompt is empty"],
        );
    }
    fails(crane().args(["run", "m", ""]), 2, &["prompt is empty"]);
    fails(crane().args(["run", "m", "-"]), 2, &["prompt is empty"]);
}

#[test]
fn stdin_that_is_not_text_is_refused_with_the_byte() {
    let bytes = b"caf\xe9".to_vec();
    fails(
        crane().args(["run", "m", "x"]).write_stdin(bytes),
        2,
        &["stdin is not UTF-8", "byte 3", "0xe9"],
    );
}

#[test]
fn an_unknown_alias_is_3_with_names_like_it() {
    fails(
        crane().args(["run", "smolm2-135m", "hi"]),
        3,
        &["smolm2-135m", "smollm2-135m"],
    );
}

#[test]
fn models_of_other_tasks_are_refused_before_they_are_fetched() {
    for model in ["spark-tts-0.5b", "SparkAudio/Spark-TTS-0.5B"] {
        fails(crane().args(["run", model, "hi"]), 1, &[model, "speech"]);
    }
    let image = "tests/fixtures/vision/images/square.png";
    for (model, says) in [
        ("qwen2.5-0.5b", "takes no images"),
        ("spark-tts-0.5b", "speech"),
    ] {
        fails(crane().args(["vision", model, image]), 1, &[model, says]);
    }
}

#[test]
fn logprobs_need_json() {
    fails(
        crane().args(["run", "m", "x", "--logprobs", "2"]),
        2,
        &["--format json"],
    );
}

#[test]
fn missing_and_wrong_input_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.txt");
    let missing = missing.to_str().unwrap();
    fails(crane().args(["run", "m", "-f", missing]), 3, &["none.txt"]);
    fails(
        crane().args(["score", "m", "-f", missing]),
        3,
        &["none.txt"],
    );
    fails(
        crane().args(["run", "m", "--messages", missing]),
        3,
        &["none.txt"],
    );
    let messages = folder.path().join("m.json");
    for text in ["[]", "{", "[{\"role\": \"user\"}]"] {
        std::fs::write(&messages, text).unwrap();
        fails(
            crane().args(["run", "m", "--messages", messages.to_str().unwrap()]),
            2,
            &["m.json"],
        );
    }
}

#[test]
fn an_output_file_that_cannot_be_made_is_said_before_the_work() {
    fails(
        crane().args(["run", "m", "hi", "-o", "/no/such/folder/answer.txt"]),
        3,
        &["/no/such/folder/answer.txt"],
    );
}

#[test]
fn completions_in_the_repository_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    for (shell, file) in [
        ("bash", "crane.bash"),
        ("zsh", "_crane"),
        ("fish", "crane.fish"),
        ("powershell", "_crane.ps1"),
        ("elvish", "crane.elv"),
    ] {
        let made = crane()
            .args(["completions", shell])
            .output()
            .unwrap()
            .stdout;
        let kept = std::fs::read(folder.join(file)).unwrap_or_default();
        assert!(
            String::from_utf8_lossy(&made).replace("\r\n", "\n")
                == String::from_utf8_lossy(&kept).replace("\r\n", "\n"),
            "completions/{file} is stale; 'crane completions {shell} > completions/{file}'"
        );
    }
}

#[test]
fn the_manual_is_roff() {
    crane()
        .arg("man")
        .assert()
        .success()
        .stdout(contains(".TH crane 1").and(contains("CRANE RUN").and(contains("Exit codes"))));
}

#[test]
#[cfg(unix)]
fn a_closed_pipe_ends_quietly_with_141() {
    let mut child = Process::new(env!("CARGO_BIN_EXE_crane"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The script is longer than a pipe holds, so crane still writes when its reader goes.
    drop(child.stdout.take());
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(141));
    assert_eq!(said, "");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = Process::new(env!("CARGO_BIN_EXE_crane"))
        .arg("devices")
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("stdout"), "{said}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_while_waiting_for_stdin_leaves_at_once() {
    let mut child = Process::new(env!("CARGO_BIN_EXE_crane"))
        .args(["run", "m", "hi"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // `wait` would close it: the end of stdin must not come before the signal is handled.
    let _open = child.stdin.take();
    // The note on stderr says that the handler is in place and stdin is being read.
    let mut note = [0; 6];
    child
        .stderr
        .as_mut()
        .unwrap()
        .read_exact(&mut note)
        .unwrap();
    assert_eq!(&note, b"crane:");
    let killed = Process::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
