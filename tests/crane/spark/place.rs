//! Where the commands are run, and how their answers are looked at.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// A folder to work in, with a home of its own.
pub struct Place(pub TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn crane(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("crane").unwrap();
        command
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .env("XDG_DATA_HOME", self.path("data"))
            .env("HF_HUB_OFFLINE", "1")
            .args(arguments);
        command
    }

    pub fn tts(&self, model: &Path, arguments: &[&str]) -> Output {
        let mut all = vec!["tts", "-m", model.to_str().unwrap()];
        all.extend(arguments);
        self.crane(&all).output().unwrap()
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    pub fn wav(&self, name: &str) -> Vec<i16> {
        let mut reader = hound::WavReader::open(self.path(name)).unwrap();
        assert_eq!(
            reader.spec(),
            hound::WavSpec {
                channels: 1,
                sample_rate: 16_000,
                bits_per_sample: 16,
                sample_format: hound::SampleFormat::Int,
            }
        );
        reader.samples::<i16>().map(|s| s.unwrap()).collect()
    }
}

#[track_caller]
pub fn ok(output: &Output) -> &Output {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    output
}

/// It failed with `code`, one line that says `what`, and without a panic.
#[track_caller]
pub fn fails(output: &Output, code: i32, what: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|l| l.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    assert!(errors[0].contains(what), "{stderr}");
    assert!(!stderr.contains("hit a bug"), "{stderr}");
}

pub fn numbers(value: &Value) -> Vec<u32> {
    let list = value.as_array().unwrap().iter();
    list.map(|n| n.as_u64().unwrap() as u32).collect()
}

pub const TEXT: &str = "The boats lie still in the harbour.";
