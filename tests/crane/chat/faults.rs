//! What bad input gets: one clear line, and nothing is lost.

use std::path::{Path, PathBuf};

use serde_json::{json, Value};

use crate::not_a_number;

use super::user::{lines, model, said, texts, tiny, User};

/// A model that fails in the middle of its work, as a GPU may: at the token '<bad>', which only its tokenizer knows.
fn failing(folder: &Path) -> PathBuf {
    let (from, to) = (model("llama-rope3"), folder.join("failing"));
    std::fs::create_dir(&to).unwrap();
    for file in std::fs::read_dir(&from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    let file = to.join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let tokens = tokenizer["added_tokens"].as_array_mut().unwrap();
    // The model has 320 rows.
    for (id, content) in [(317, "<a>"), (318, "<b>"), (319, "<c>"), (320, "<bad>")] {
        tokens.push(json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }));
    }
    std::fs::write(file, tokenizer.to_string()).unwrap();
    to
}

#[test]
fn a_reply_that_fails_costs_nothing_but_itself() {
    let user = User::new();
    let failing = failing(user.home.path());
    let failing = failing.to_str().unwrap();
    let greedy = ["-n", "12", "--temp", "0", "--session", "talk"];
    let ndjson = [&[failing, "--format", "ndjson"], &greedy[..]].concat();
    let output = user.chat(
        &ndjson,
        "\"one\"\n\"<bad>\"\n{\"command\":\"/retry\"}\n\"two\"\n",
    );
    let objects = lines(&output);
    for failed in [1, 2] {
        let error = &objects[failed]["error"];
        assert_eq!(error["code"], 1, "{error}");
    }
    assert_eq!(
        (&objects[0]["turn"], &objects[3]["turn"]),
        (&1.into(), &2.into())
    );
    assert_eq!(output.status.code(), Some(1));

    // A script ends there, and what was said before is kept.
    let output = user.chat(&[&[failing], &greedy[..]].concat(), "three\n<bad>\nfour\n");
    assert_eq!(output.status.code(), Some(1));
    let errors = said(&output);
    let errors: Vec<&str> = errors.lines().filter(|l| l.starts_with("error")).collect();
    assert_eq!(errors.len(), 1, "{}", said(&output));
    let all = [&ndjson[..], &["-q"]].concat();
    let again = lines(&user.chat(&all, "\"five\"\n"));
    assert_eq!((texts(&again).len(), &again[0]["turn"]), (1, &4.into()));
}

#[test]
fn a_reply_that_is_not_a_number_leaves_the_later_ones_as_they_were() {
    let user = User::new();
    let damaged = not_a_number::damaged(user.home.path(), f32::INFINITY);
    let file = damaged.join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let tokens = tokenizer["added_tokens"].as_array_mut().unwrap();
    for (id, content) in [(317, "<a>"), (318, "<b>"), (not_a_number::BAD, "<bad>")] {
        tokens.push(json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }));
    }
    std::fs::write(file, tokenizer.to_string()).unwrap();
    let damaged = damaged.to_str().unwrap();
    for cache in ["f32", "f16", "q8_0"] {
        let flags = ["--format", "ndjson", "-n", "12", "--temp", "0", "-q"];
        let system = [
            "--cache-type",
            cache,
            "--system",
            "be brief and kind, always",
        ];
        let chat =
            |input: &str| lines(&user.chat(&[&[damaged], &flags[..], &system].concat(), input));
        let alone = chat("\"one\"\n\"two\"\n");
        let failed = chat("\"one <bad>\"\n\"one\"\n\"a <bad> b\"\n\"two\"\n");
        assert_eq!(texts(&failed), texts(&alone), "{cache}: {failed:?}");
        for at in [0, 2] {
            let error = failed[at]["error"]["message"].as_str().unwrap();
            assert!(error.contains("not a number"), "{error}");
        }
    }
}

#[test]
fn a_damaged_session_is_kept_aside() {
    let user = User::new();
    user.objects(&["--session", "talk"], "\"one\"\n");
    let file = user.session("talk.json");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 20]).unwrap();
    let output = user.chat(&[tiny().to_str().unwrap(), "--session", "talk"], "one\n");
    assert_eq!(output.status.code(), Some(6));
    assert_eq!(said(&output).lines().count(), 1);
    assert!(said(&output).contains("damaged-1"));
    assert_eq!(
        std::fs::read(user.session("talk.json.damaged-1")).unwrap(),
        &bytes[..bytes.len() - 20]
    );
    assert_eq!(
        user.objects(&["--session", "talk"], "\"one\"\n")[0]["turn"],
        1
    );
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let user = User::new();
    let home = user.home.path();
    std::fs::write(home.join("binary"), [0x7f, b'E', b'L', b'F', 0, 0xff]).unwrap();
    std::fs::write(home.join("zeros"), [b'a', 0, 0]).unwrap();
    std::fs::write(home.join("long.txt"), "word ".repeat(2000)).unwrap();
    std::fs::File::create(home.join("huge"))
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    let picture = image::RgbImage::new(4, 4);
    picture.save(home.join("a.png")).unwrap();
    for (command, code, words) in [
        ("/load nothing", 3, "no session"),
        ("/load ../x", 3, "no session"),
        ("/save ../x", 2, "no name"),
        ("/read nowhere.txt", 3, "nowhere.txt"),
        ("/read binary", 2, "not UTF-8"),
        ("/read zeros", 2, "zero bytes"),
        ("/read huge", 5, "no context"),
        ("/read long.txt", 5, "tokens"),
        ("/read a.png", 2, "/image a.png"),
        ("/read", 2, "needs the name"),
        ("/image a.png", 1, "takes no images"),
        ("/regen x", 2, "a seed"),
        ("/undo", 2, "nothing was said"),
        ("/retry", 2, "nothing was said"),
        ("/stats maybe", 2, "on or off"),
        ("/multi", 2, "terminal"),
        ("/export md nowhere/a.md", 3, "no folder"),
    ] {
        let objects = user.objects(
            &[],
            &format!("{}\n\"one\"\n", serde_json::json!({ "command": command })),
        );
        let error = &objects[0]["error"];
        assert_eq!(error["code"], code, "{command}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains(words) && !message.contains('\n'),
            "{command}: {message}"
        );
        assert_eq!(objects[1]["turn"], 1, "{command}");
    }
}

#[test]
fn a_text_file_stands_before_the_next_message() {
    let user = User::new();
    std::fs::write(user.home.path().join("notes.txt"), "alpha beta").unwrap();
    let read = user.objects(&[], "{\"command\":\"/read notes.txt\"}\n\"one\"\n\"one\"\n");
    let typed = user.objects(&[], "\"alpha beta\\n\\none\"\n\"one\"\n");
    assert_eq!(read[1]["text"], typed[0]["text"]);
    assert_eq!(read[2]["prompt_tokens"], typed[1]["prompt_tokens"]);
}

#[test]
fn a_dropped_image_is_told_from_text() {
    let user = User::new();
    let path = user.home.path().join("a b.png");
    image::RgbImage::new(4, 4).save(&path).unwrap();
    let dropped = path.display().to_string().replace(' ', "\\ ");
    let output = user.chat(&[tiny().to_str().unwrap()], &format!("{dropped}\n"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("takes no images"),
        "{}",
        said(&output)
    );
}

#[test]
fn the_command_line_is_looked_at_first() {
    let user = User::new();
    let tiny = tiny();
    let tiny = tiny.to_str().unwrap();
    for (args, code, words) in [
        (&[][..], 2, "MODEL"),
        (&["-C"], 3, "no session"),
        (&["--session", "new"], 2, "needs a model"),
        (&[tiny, "--session", "a/b"], 2, "no name"),
        (&[tiny, "--session", "a", "-C"], 2, "cannot be used"),
        (&[tiny, "--cache-prompt"], 2, "--session"),
        (&[tiny, "--overflow", "middle"], 2, "oldest"),
        (&[tiny, "--think", "maybe"], 2, "off"),
        (&[tiny, "--format", "xml"], 2, "ndjson"),
        (&["nowhere.gguf"], 3, "nowhere.gguf"),
    ] {
        let output = user.chat(args, "one\n");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            said(&output)
        );
        assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
    }
}

#[test]
fn each_line_has_one_object_whatever_it_was() {
    let user = User::new();
    let tiny = tiny();
    let args = [tiny.to_str().unwrap(), "--json", "-n", "3", "--temp", "0"];
    // What is no text, and what is for a terminal alone, cost their own answers.
    let mut command = user.command(&args);
    let output = command
        .write_stdin(
            b"{\"content\":\"\xff\"}\n{\"content\":\"a\"}\n{\"command\":\"/edit\"}\n\
              {\"command\":\"/clear all\"}\n{\"content\":\"/clear\\nthe table\"}\n"
                .to_vec(),
        )
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let objects = lines(&output);
    let errors: Vec<bool> = objects.iter().map(|o| o["error"].is_object()).collect();
    assert_eq!(errors, [true, false, true, true, false], "{objects:?}");
    assert_eq!(objects[4]["turn"], 2);

    // A reply that is not what was asked for says so itself.
    let strict = [&args[..], &["--regex", "[0-9]{9}"]].concat();
    let output = user.chat(&strict, "\"a\"\n\"b\"\n");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let objects = lines(&output);
    assert_eq!(objects.len(), 2);
    for (object, turn) in objects.iter().zip(1..) {
        assert_eq!(object["turn"], turn);
        assert_eq!(object["error"]["code"], 7, "{object}");
    }
}
