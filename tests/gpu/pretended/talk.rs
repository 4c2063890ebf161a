//! A chat beside the pretended driver.

use std::process::Stdio;

use serde_json::{json, Value};

use super::{crane, libraries};

/// What is said to `lines`, each a text or a command with a slash, and the exit code.
pub fn talk(
    told: &[(&str, &str)],
    model: &str,
    flags: &[&str],
    lines: &[&str],
) -> (Option<i32>, Vec<Value>) {
    let args = ["chat", model, "--json", "-n", "4", "--temp", "0", "-q"];
    let mut command = crane(&libraries([false; 3]), told, &args);
    let mut input = tempfile::NamedTempFile::new().unwrap();
    for line in lines {
        let line = match line.starts_with('/') {
            true => json!({ "command": line }),
            false => json!(line),
        };
        std::io::Write::write_all(&mut input, format!("{line}\n").as_bytes()).unwrap();
    }
    command.stdin(Stdio::from(input.reopen().unwrap()));
    let output = command.args(flags).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (output.status.code(), objects.collect())
}
