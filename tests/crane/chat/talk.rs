//! Turns and commands.

use serde_json::{json, Value};

use super::user::{lines, model, said, texts, tiny, User};

#[test]
fn only_what_is_new_is_computed_and_the_replies_are_the_same() {
    let user = User::new();
    let turns = ["\"one\"\n", "\"and two\"\n", "\"three, then\"\n"];
    let objects = user.objects(&["--session", "t"], &turns.concat());
    assert_eq!(texts(&objects).len(), 3);
    for pair in objects.windows(2) {
        // All of the last prompt, and of its reply all but the last token, which was never computed.
        let kept =
            pair[0]["prompt_tokens"].as_u64().unwrap() + pair[0]["tokens"].as_u64().unwrap() - 1;
        assert_eq!(pair[1]["timings"]["cached_tokens"], kept);
        let new = pair[1]["prompt_tokens"].as_u64().unwrap() - kept;
        assert_eq!(pair[1]["timings"]["prefill_tokens"], new);
    }
    // Each question of its own process, which has nothing in its cache.
    let other = User::new();
    for (turn, expected) in turns.iter().zip(&objects) {
        let alone = other.objects(&["--session", "t"], turn);
        assert_eq!(alone[0]["text"], expected["text"]);
        assert_eq!(alone[0]["timings"]["cached_tokens"], 0);
        assert_eq!(alone[0]["prompt_tokens"], expected["prompt_tokens"]);
    }
}

#[test]
fn a_reply_is_that_of_run() {
    let user = User::new();
    let objects = user.objects(&["--system", "be brief"], "\"one\"\n");
    let mut run = assert_cmd::Command::new(env!("CARGO_BIN_EXE_crane"));
    let output = run
        .args([
            "run",
            tiny().to_str().unwrap(),
            "one",
            "--system",
            "be brief",
        ])
        .args(["-n", "12", "--temp", "0", "--json"])
        .write_stdin("")
        .output()
        .unwrap();
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(run["text"], objects[0]["text"]);
}

#[test]
fn what_was_said_is_taken_back() {
    let user = User::new();
    let script = r#"
        "one"
        "two"
        {"command": "/undo"}
        {"command": "/tokens"}
        "two"
        {"command": "/retry"}
        {"command": "/regen 7"}
        {"command": "/clear"}
        "one"
        {"command": "/undo"}
        {"command": "/undo"}
    "#;
    let objects = user.objects(&["--seed", "3"], script);
    let text = |i: usize| objects[i]["text"].as_str().unwrap();
    assert!(objects[2]["said"]
        .as_str()
        .unwrap()
        .contains("two; 1 turn left"));
    assert!(objects[3]["said"].as_str().unwrap().contains("turn 1"));
    assert!(!objects[3]["said"].as_str().unwrap().contains("turn 2"));
    let taken = objects[0]["prompt_tokens"].as_u64().unwrap() + 12;
    assert!(objects[3]["said"]
        .as_str()
        .unwrap()
        .contains(&format!("{taken} of 256 tokens")));
    assert_eq!(text(1), text(4));
    assert_eq!(text(1), text(5));
    assert_eq!(
        (&objects[5]["turn"], &objects[5]["seed"]),
        (&json!(2), &json!(3))
    );
    // Rolled back: no more than the question is computed again.
    assert_eq!(objects[5]["timings"]["prefill_tokens"], 1);
    assert_eq!(
        (&objects[6]["turn"], &objects[6]["seed"]),
        (&json!(2), &json!(7))
    );
    assert_eq!(text(0), text(8));
    assert_eq!(objects[10]["error"]["code"], 2);
}

#[test]
fn a_question_is_edited() {
    let user = User::new();
    let editor = user.home.path().join("editor.sh");
    // What is edited is the last question, and its words are replaced.
    std::fs::write(
        &editor,
        "grep -q '^hello$' \"$1\" && printf 'one\\n' > \"$1\"\n",
    )
    .unwrap();
    let tiny = tiny();
    let script = "\"hello\"\n{\"command\": \"/edit\"}\n{\"command\":\"/edit\"}\n";
    let output = user
        .command(&[
            tiny.to_str().unwrap(),
            "--format",
            "ndjson",
            "-n",
            "12",
            "--temp",
            "0",
        ])
        .env("EDITOR", format!("sh {}", editor.display()))
        .write_stdin(script)
        .output()
        .unwrap();
    let objects = lines(&output);
    assert_eq!(objects[1]["turn"], 1);
    assert_eq!(
        objects[1]["text"],
        user.objects(&[], "\"one\"\n")[0]["text"]
    );
    // The editor failed: the turn stays.
    assert!(objects[2]["error"]["message"]
        .as_str()
        .unwrap()
        .contains("nothing is sent"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn settings_change_in_the_middle() {
    let user = User::new();
    let script = r#"
        {"command": "/set max_tokens 3"}
        "one"
        {"command": "/set max_tokens default"}
        "one"
        {"command": "/set temp hot"}
        {"command": "/set"}
        {"command": "/system be brief"}
        {"command": "/show"}
        {"command": "/system -"}
        {"command": "/stats"}
    "#;
    let objects = user.objects(&[], script);
    assert_eq!(objects[1]["tokens"], 3);
    assert_eq!(objects[3]["tokens"], 12);
    assert!(objects[4]["error"]["message"]
        .as_str()
        .unwrap()
        .contains("from 0 to 100"));
    assert!(objects[5]["said"].as_str().unwrap().contains("top_k"));
    let shown = objects[7]["said"].as_str().unwrap();
    assert!(
        shown.contains("system    be brief") && shown.contains("qwen2-tied"),
        "{shown}"
    );
    assert!(objects[9]["said"].as_str().unwrap().contains("prefill"));
}

#[test]
fn a_script_of_plain_lines_is_a_turn_each() {
    let user = User::new();
    let tiny = tiny();
    let args = [tiny.to_str().unwrap(), "-n", "12", "--temp", "0", "-q"];
    let output = user.chat(
        &args,
        "one\n\n/undo\n//one\n/etc/hosts: what is it?\n/bye\nnever\n",
    );
    assert!(output.status.success());
    let objects = user.objects(
        &[],
        "\"one\"\n{\"command\":\"/undo\"}\n\"/one\"\n\"/etc/hosts: what is it?\"\n",
    );
    let expected: String = texts(&objects)
        .iter()
        .map(|text| format!("{text}\n"))
        .collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert!(said(&output).contains("taken back: one"));
}

#[test]
fn the_first_message_may_come_from_the_command_line_or_a_pipe() {
    let user = User::new();
    let expected = user.objects(&[], "\"one\"\n\"two\"\n");
    let objects = user.objects(&["--initial", "one"], "\"two\"\n");
    assert_eq!(texts(&objects), texts(&expected));
    // Without a terminal nothing follows.
    let objects = user.objects(&["--initial", "-"], "one\n");
    assert_eq!(texts(&objects), texts(&expected)[..1]);
    let output = user.chat(&[tiny().to_str().unwrap(), "--initial", "-"], "\n");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_structure_holds_every_reply() {
    let user = User::new();
    let script = "\"one\"\n\"two\"\n";
    let objects = user.objects(&["--regex", "[a-c]{2}"], script);
    for text in texts(&objects) {
        assert!(
            text.len() == 2 && text.chars().all(|c| ('a'..='c').contains(&c)),
            "{text}"
        );
    }
    let tiny = tiny();
    let args = [tiny.to_str().unwrap(), "--json", "--choices", "yes,no"];
    let objects = lines(&user.chat(&args, script));
    assert!(
        texts(&objects)
            .iter()
            .all(|text| ["yes", "no"].contains(text)),
        "{objects:?}"
    );
    // Cut off, it is kept and said.
    let args = [tiny.to_str().unwrap(), "-n", "3", "--regex", "[a-c]{20}"];
    let output = user.chat(&args, "one\n");
    assert_eq!(output.status.code(), Some(7));
    assert!(said(&output).contains("cut off"));
}

#[test]
fn thinking_stays_out_of_stdout_and_history() {
    // A template that begins the thinking for the model, as DeepSeek-R1's does.
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(model("qwen3")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let template = folder.path().join("chat_template.jinja");
    let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
        {% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% if enable_thinking is false %}</think>{% endif %}{% endif %}";
    std::fs::write(&template, source).unwrap();
    let user = User::new();
    let path = folder.path().to_str().unwrap();
    let args = [path, "-n", "8", "--temp", "0", "-q"];
    let hidden = user.chat(&args, "one\n");
    assert!(hidden.status.success(), "{}", said(&hidden));
    assert!(hidden.stdout.is_empty() && hidden.stderr.is_empty());
    let shown = user.chat(&[&args[..], &["--show-thinking"]].concat(), "one\n");
    assert!(shown.stdout.is_empty() && !shown.stderr.is_empty());
    let object = &lines(&user.chat(&[&args[..], &["--json"]].concat(), "\"one\"\n"))[0];
    assert_eq!(object["text"], "");
    assert_eq!(object["thinking"].as_str().unwrap(), said(&shown).trim());
    for more in [&["--think", "off"][..], &["--regex", "[a-z]{2}"]] {
        let off = user.chat(&[&args[..], more].concat(), "one\n");
        assert!(
            off.status.success() && !off.stdout.is_empty(),
            "{}",
            said(&off)
        );
    }
    // The same of run.
    let run = |more: &[&str]| {
        let mut run = assert_cmd::Command::new(env!("CARGO_BIN_EXE_crane"));
        let output = run.args(["run", path, "one", "-n", "8", "--temp", "0", "-q"]);
        output.args(more).write_stdin("").output().unwrap()
    };
    let hidden = run(&[]);
    assert_eq!(
        (hidden.stdout.as_slice(), hidden.stderr.as_slice()),
        (&b"\n"[..], &b""[..])
    );
    assert_eq!(said(&run(&["--show-thinking"])).trim(), said(&shown).trim());
    let whole: Value = serde_json::from_slice(&run(&["--json"]).stdout).unwrap();
    assert_eq!(
        (&whole["text"], &whole["thinking"]),
        (&object["text"], &object["thinking"])
    );
    assert!(run(&["--think", "off"]).stdout.len() > 1);
}
