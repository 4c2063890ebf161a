//! `crane run --batch` from outside, on a tiny checkpoint.

mod resuming;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{json, Value};

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    folder.join(name)
}

const MODEL: &str = "gguf/qwen3-q8_0.gguf";

fn crane(model: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crane"));
    command
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HOME", std::env::temp_dir().join("crane-tests-no-cache"))
        .arg("run")
        .arg(fixture(model))
        .args(flags)
        .stdin(Stdio::null());
    command
}

/// A folder with the input, and where the output goes.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(input: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("in.jsonl"), input).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn batch(&self, flags: &[&str]) -> Command {
        let input = self.path("in.jsonl");
        let mut all = vec!["--batch", &input];
        all.extend(flags);
        crane(MODEL, &all)
    }

    /// With `-o out.jsonl`.
    fn to_file(&self, flags: &[&str]) -> Command {
        let output = self.path("out.jsonl");
        let mut all = vec!["-o", &output];
        all.extend(flags);
        self.batch(&all)
    }

    fn written(&self) -> String {
        std::fs::read_to_string(self.path("out.jsonl")).unwrap_or_default()
    }
}

fn lines(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A prompt a line, of all lengths, some of which begin alike.
fn many(count: usize, max_tokens: usize) -> String {
    let head = "the quick brown fox jumps over the lazy dog and ".repeat(2);
    let line = |i: usize| {
        let prompt = format!("{}{i}", &head[..i * 7 % head.len()]);
        let temperature = [0.0, 0.9, 0.4][i % 3];
        json!({
            "id": format!("job {i}"), "prompt": prompt, "max_tokens": 1 + (i * 5) % max_tokens,
            "temperature": temperature, "seed": i, "ignore_eos": !i.is_multiple_of(4),
        })
        .to_string()
            + "\n"
    };
    (0..count).map(line).collect()
}

#[test]
fn answers_come_in_order_and_a_bad_line_fails_alone() {
    let good = r#"{"prompt": "a b", "id": {"n": 1}, "max_tokens": 3, "temperature": 0}"#;
    let long = json!({"prompt": "word ".repeat(3000)}).to_string();
    let input = [
        good.as_bytes(),
        b"not json",
        b"",
        b"{\"prompt\": \"x\", \"id\": 7, \"promt\": 1}",
        b"\xff\xfe",
        b"   ",
        long.as_bytes(),
        br#"{"messages": [{"role": "user", "content": "x"}], "system": "y", "id": null}"#,
        good.as_bytes(),
    ]
    .join(&b'\n');
    let place = Place::new("");
    std::fs::write(place.path("in.jsonl"), input).unwrap();
    let output = place.batch(&["--seed", "5", "--stats"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let all = lines(&output.stdout);
    let indices: Vec<_> = all.iter().map(|line| line["index"].as_u64()).collect();
    assert_eq!(indices, (0..7).map(Some).collect::<Vec<_>>());
    assert_eq!(all[0]["id"], json!({"n": 1}));
    assert_eq!((&all[0]["tokens"], &all[0]["seed"]), (&json!(3), &json!(5)));
    assert_eq!(all[0]["finish_reason"], "length");
    assert_eq!(all[0]["text"], all[6]["text"]);
    for (i, code, part) in [
        (1, 2, "not JSON"),
        (2, 2, "'promt'"),
        (3, 2, "UTF-8"),
        (4, 5, "context"),
        (5, 2, "'system'"),
    ] {
        let error = &all[i]["error"];
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
        assert!(all[i].get("text").is_none());
    }
    assert_eq!(all[2]["id"], 7);
    assert!(all[1].get("id").is_none() && all[5]["id"].is_null() && all[5].get("id").is_some());
    let said = stderr(&output);
    assert!(said.contains("5 of 7 lines have an error"), "{said}");
    assert!(
        said.contains("prefill") && said.contains("tokens/s"),
        "{said}"
    );
}

#[test]
fn the_answers_are_those_of_runs_of_their_own() {
    let input = many(12, 30);
    let place = Place::new(&input);
    let mut outputs = Vec::new();
    for parallel in ["1", "3", "8"] {
        let output = place
            .batch(&["--parallel", parallel, "--threads", "2"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        outputs.push(output.stdout);
    }
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0], outputs[2]);
    for (line, answer) in lines(input.as_bytes()).iter().zip(lines(&outputs[0])) {
        let number = |key: &str| line[key].to_string();
        let mut flags = vec!["--json".to_string()];
        for (flag, key) in [
            ("-n", "max_tokens"),
            ("--temp", "temperature"),
            ("-s", "seed"),
        ] {
            flags.extend([flag.to_string(), number(key)]);
        }
        if line["ignore_eos"] == true {
            flags.push("--ignore-eos".into());
        }
        flags.extend([
            "-p".to_string(),
            line["prompt"].as_str().unwrap().to_string(),
        ]);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let output = crane(MODEL, &flags).output().unwrap();
        let alone: Value = serde_json::from_slice(&output.stdout).unwrap();
        for key in ["text", "finish_reason", "seed"] {
            assert_eq!(alone[key], answer[key], "{line}");
        }
        assert_eq!(
            alone["tokens"].as_array().unwrap().len() as u64,
            answer["tokens"]
        );
        assert_eq!(
            alone["prompt_tokens"].as_array().unwrap().len() as u64,
            answer["prompt_tokens"]
        );
    }
}

#[test]
fn the_longer_objects_are_those_of_run() {
    let place = Place::new("{\"prompt\": \"a b\", \"id\": 1, \"max_tokens\": 2}\n");
    let output = place
        .batch(&["--format", "json", "--logprobs", "2", "-s", "3"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let batch = lines(&output.stdout).remove(0);
    let output = crane(
        MODEL,
        &[
            "--format",
            "json",
            "--logprobs",
            "2",
            "-s",
            "3",
            "-n",
            "2",
            "a b",
        ],
    )
    .output()
    .unwrap();
    let run = lines(&output.stdout).remove(0);
    for (key, value) in run.as_object().unwrap() {
        match key.as_str() {
            "timings" | "peak_memory_bytes" => assert!(batch.get(key).is_some()),
            _ => assert_eq!(&batch[key], value, "{key}"),
        }
    }
    assert_eq!((&batch["index"], &batch["id"]), (&json!(0), &json!(1)));
}

#[test]
fn a_slow_producer_gets_its_answers_as_it_goes() {
    let mut child = crane(MODEL, &["--batch", "-", "--parallel", "4"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for i in 0..4 {
        // The next line is written only when this one is answered.
        writeln!(
            input,
            "{{\"prompt\": \"a {i}\", \"id\": {i}, \"max_tokens\": 5}}"
        )
        .unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&answer["index"], &answer["id"]), (&json!(i), &json!(i)));
    }
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_answered_and_a_closed_pipe_is_quiet() {
    let place = Place::new("");
    let output = place.path("out.jsonl");
    let mut child = crane(MODEL, &["--batch", "-", "-o", &output])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(many(3, 5).as_bytes()).unwrap();
    while place.written().lines().count() < 3 {
        std::thread::sleep(Duration::from_millis(10));
        assert!(
            child.try_wait().unwrap().is_none(),
            "it waits for more lines"
        );
    }
    let mut interrupt = Command::new("kill");
    interrupt.args(["-INT", &child.id().to_string()]);
    assert!(interrupt.status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", stderr(&ended));
    assert!(stderr(&ended).contains("--resume"), "{}", stderr(&ended));
    assert_eq!(lines(place.written().as_bytes()).len(), 3);
    drop(input);

    std::fs::write(place.path("in.jsonl"), many(60, 40)).unwrap();
    let mut child = place
        .batch(&[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut stdout = BufReader::with_capacity(64, child.stdout.take().unwrap());
    stdout.read_line(&mut first).unwrap();
    drop(stdout);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(141), "{}", stderr(&ended));
    assert_eq!(
        stderr(&ended)
            .lines()
            .filter(|l| l.contains("error"))
            .count(),
        0
    );
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    let place = Place::new("{\"prompt\": \"a\"}\n");
    for (flags, part) in [
        (&["a prompt"][..], "--batch"),
        (&["-p", "a prompt"], "--batch"),
        (&["--resume"], "-o FILE"),
        (&["--resume", "-o", "-"], "-o FILE"),
        (&["--format", "ndjson"], "--format"),
        (&["--format", "text"], "--format"),
        (&["--logprobs", "3"], "--format json"),
        (&["--parallel", "0"], "--parallel"),
    ] {
        let output = place.batch(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(output.stdout.is_empty());
        let said = stderr(&output);
        assert!(
            said.contains(part) && said.lines().count() == 1,
            "{flags:?}: {said}"
        );
    }
    for flags in [&["--parallel", "2", "hi"][..], &["--resume", "hi"]] {
        assert_eq!(crane(MODEL, flags).output().unwrap().status.code(), Some(2));
    }
    let missing = crane(MODEL, &["--batch", "no/such/file"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(3), "{}", stderr(&missing));
    let empty = Place::new("\n\n");
    let output = empty.batch(&[]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
}

#[test]
fn answers_have_the_structure_of_the_command_line_or_of_their_line() {
    let input = [
        json!({"prompt": "one"}),
        json!({"prompt": "two", "schema": {"enum": ["left", "right"]}}),
        json!({"prompt": "three", "regex": "[xyz]{4}", "temperature": 1.5}),
        json!({"prompt": "four", "schema": {"type": 3}}),
        json!({"prompt": "five", "regex": "a", "json_object": true}),
        json!({"prompt": "six", "json_object": false}),
    ];
    let input: String = input.iter().map(|line| format!("{line}\n")).collect();
    let place = Place::new(&input);
    let output = place
        .batch(&["--regex", "[ab]{3}", "-n", "20"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let text = |i: usize| lines[i]["text"].as_str().unwrap();
    let made_of =
        |text: &str, of: &str, n: usize| text.len() == n && text.chars().all(|c| of.contains(c));
    assert!(made_of(text(0), "ab", 3) && made_of(text(5), "ab", 3));
    assert!(["\"left\"", "\"right\""].contains(&text(1)), "{}", text(1));
    assert!(made_of(text(2), "xyz", 4), "{}", text(2));
    assert_eq!(lines[3]["error"]["code"], 2);
    assert!(lines[4]["error"]["message"]
        .as_str()
        .unwrap()
        .contains("two structures"));
    // Cut off in the middle of it.
    let place = Place::new("{\"prompt\": \"one\"}\n");
    let output = place
        .batch(&["--regex", "[ab]{30}", "-n", "2"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7));
    let output = place.batch(&["--choices", "a,b"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
