//! Who talks to crane in these tests.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

/// A home of its own.
pub struct User {
    pub home: tempfile::TempDir,
}

pub fn tiny() -> PathBuf {
    model("qwen2-tied")
}

pub fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/models")
        .join(name)
}

impl User {
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// `crane chat …` with what stdin holds.
    pub fn chat(&self, args: &[&str], stdin: &str) -> Output {
        self.command(args).write_stdin(stdin).output().unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crane"));
        command
            .env("HOME", self.home.path())
            .env("XDG_STATE_HOME", self.state())
            .env("HF_HUB_OFFLINE", "1")
            .env_remove("VISUAL")
            .env_remove("EDITOR")
            .current_dir(self.home.path())
            .arg("chat")
            .args(args);
        command
    }

    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// A file of a session.
    pub fn session(&self, file: &str) -> PathBuf {
        self.state().join("crane/sessions").join(file)
    }

    /// The objects that a talk to the tiny model in ndjson gives; greedy, twelve tokens a reply.
    pub fn objects(&self, args: &[&str], stdin: &str) -> Vec<Value> {
        let tiny = tiny();
        let greedy = ["--format", "ndjson", "-n", "12", "--temp", "0", "-q"];
        let all = [&[tiny.to_str().unwrap()], &greedy[..], args].concat();
        lines(&self.chat(&all, stdin))
    }
}

pub fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).to_string()
}

/// What the replies were.
pub fn texts(objects: &[Value]) -> Vec<&str> {
    let texts = objects.iter().filter_map(|object| object["text"].as_str());
    texts.collect()
}
