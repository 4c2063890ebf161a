//! Conversations that are kept.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::user::{lines, model, said, texts, tiny, User};

fn read(user: &User, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(user.session(name)).unwrap()).unwrap()
}

#[test]
fn a_session_goes_on_where_it_was() {
    let user = User::new();
    let whole = User::new().objects(&[], "\"one\"\n\"two\"\n\"three\"\n");
    user.objects(&["--session", "talk"], "\"one\"\n\"two\"\n");
    // Without a model and a name: the last one.
    let args = ["-C", "--format", "ndjson", "-n", "12", "--temp", "0"];
    let output = user.chat(&args, "\"three\"\n{\"command\":\"/sessions\"}\n");
    let objects = lines(&output);
    assert_eq!(objects[0]["text"], whole[2]["text"]);
    assert_eq!(objects[0]["turn"], 3);
    assert!(said(&output).contains("going on after 2 turns"));
    assert!(
        objects[1]["said"]
            .as_str()
            .unwrap()
            .starts_with("talk    3 turns"),
        "{}",
        objects[1]
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(user.session("talk.json"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn sessions_are_saved_loaded_and_exported_by_command() {
    let user = User::new();
    let script = r#"
        "one"
        {"command": "/save first"}
        "two"
        {"command": "/export md talk.md"}
        {"command": "/export json talk.json"}
        {"command": "/export json talk.json"}
        {"command": "/export pdf talk.pdf"}
        {"command": "/clear"}
    "#;
    let objects = user.objects(&["--session", "other"], script);
    assert!(objects[1]["said"]
        .as_str()
        .unwrap()
        .contains("kept as 'first'"));
    assert!(objects[5]["error"]["message"]
        .as_str()
        .unwrap()
        .contains("left as it is"));
    assert_eq!(objects[6]["error"]["code"], 2);
    let markdown = std::fs::read_to_string(user.home.path().join("talk.md")).unwrap();
    assert_eq!(markdown.matches("## User").count(), 2);
    // The exported conversation is one that run answers.
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_crane"))
        .args(["run", tiny().to_str().unwrap(), "-n", "2", "--messages"])
        .arg(user.home.path().join("talk.json"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    // /clear cleared what is kept, too; the other session still has its one turn.
    assert_eq!(
        read(&user, "first.json")["turns"].as_array().unwrap().len(),
        0
    );
    assert_eq!(
        read(&user, "other.json")["turns"].as_array().unwrap().len(),
        1
    );
    let objects = user.objects(
        &[],
        "\"x\"\n{\"command\":\"/load other\"}\n{\"command\":\"/load other\"}\n\"two\"\n",
    );
    assert!(objects[1]["error"]["message"]
        .as_str()
        .unwrap()
        .contains("not kept"));
    assert!(objects[2]["said"].as_str().unwrap().contains("1 turn"));
    assert_eq!(objects[3]["turn"], 2);
}

#[test]
fn a_name_is_held_by_one_process() {
    let user = User::new();
    user.objects(&["--session", "talk"], "\"one\"\n");
    let mut first = Command::new(env!("CARGO_BIN_EXE_crane"))
        .env("XDG_STATE_HOME", user.state())
        .args([
            "chat",
            tiny().to_str().unwrap(),
            "--session",
            "talk",
            "--json",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut reader = std::io::BufReader::new(first.stdout.take().unwrap());
    let mut line = String::new();
    writeln!(first.stdin.as_mut().unwrap(), "\"two\"").unwrap();
    std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
    let output = user.chat(&["--session", "talk"], "three\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("another crane holds the session"));
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    assert_eq!(
        read(&user, "talk.json")["turns"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn another_model_goes_on_and_is_named() {
    let user = User::new();
    user.objects(&["--session", "talk"], "\"one\"\n");
    let other = model("qwen3");
    let args = [
        other.to_str().unwrap(),
        "--session",
        "talk",
        "--json",
        "-n",
        "4",
    ];
    let output = user.chat(&args, "\"two\"\n");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("another model") && said(&output).contains("qwen2-tied"));
    assert_eq!(lines(&output)[0]["turn"], 2);
    let objects = user.objects(&[], &format!("\"one\"\n{{\"command\":\"/model {}\"}}\n\"two\"\n{{\"command\":\"/model nowhere.gguf\"}}\n\"three\"\n", other.display()));
    assert!(objects[1]["said"].as_str().unwrap().contains("qwen3"));
    assert_eq!(objects[3]["error"]["code"], 3);
    assert_eq!(objects[4]["turn"], 3);
}

#[test]
fn the_cache_lies_beside_the_session() {
    let user = User::new();
    let args = ["--session", "talk", "--cache-prompt"];
    let whole = User::new().objects(&[], "\"one\"\n\"two\"\n\"three\"\n");
    user.objects(&args, "\"one\"\n\"two\"\n");
    let kept = whole[1]["prompt_tokens"].as_u64().unwrap() + 12 - 1;
    let objects = user.objects(&args, "\"three\"\n");
    assert_eq!(texts(&objects)[0], texts(&whole)[2]);
    assert_eq!(objects[0]["timings"]["cached_tokens"], kept);
    // A damaged one, one of other numbers: one line, and all is computed.
    let file = user.session("talk.kv");
    let bytes = std::fs::read(&file).unwrap();
    let (mut flipped, tiny) = (bytes.clone(), tiny());
    flipped[bytes.len() / 2] ^= 1;
    let greedy = [tiny.to_str().unwrap(), "--json", "-n", "12", "--temp", "0"];
    for (content, more) in [
        (&flipped[..], &[][..]),
        (&bytes[..100], &[]),
        (&bytes[..], &["--cache-type", "q8_0"]),
        (b"", &[]),
    ] {
        std::fs::write(&file, content).unwrap();
        let output = user.chat(
            &[&greedy[..], &args, more].concat(),
            "\"four\"\n{\"command\":\"/undo\"}\n",
        );
        assert!(output.status.success());
        assert!(said(&output).contains("is ignored"), "{}", said(&output));
        assert_eq!(lines(&output)[0]["timings"]["cached_tokens"], 0);
    }
    let output = user.chat(
        &[&greedy[..], &["--session", "talk", "--cache-prompt=0"]].concat(),
        "\"five\"\n",
    );
    assert!(output.status.success() && said(&output).contains("the cache is not kept"));
}

#[test]
fn a_killed_chat_loses_at_most_the_running_reply() {
    let user = User::new();
    for round in 0..12u64 {
        let mut chat = Command::new(env!("CARGO_BIN_EXE_crane"))
            .env("XDG_STATE_HOME", user.state())
            .args([
                "chat",
                tiny().to_str().unwrap(),
                "--session",
                "talk",
                "--json",
                "-n",
                "6",
            ])
            .args(["--overflow", "oldest", "--cache-prompt"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = chat.stdin.take().unwrap();
        let writer = std::thread::spawn(move || while writeln!(stdin, "\"again\"").is_ok() {});
        std::thread::sleep(std::time::Duration::from_millis(20 + 17 * round));
        chat.kill().unwrap();
        let output = chat.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).to_string();
        let answered = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["turn"].as_u64())
            .next_back();
        let Some(answered) = answered else { continue };
        let turns = read(&user, "talk.json")["turns"].as_array().unwrap().len() as u64;
        assert!(turns >= answered, "{turns} of {answered} turns are kept");
    }
    let objects = user.objects(&["--session", "talk", "--overflow", "oldest"], "\"end\"\n");
    assert!(objects[0]["turn"].as_u64().unwrap() > 1);
}
