//! `/model` of a chat on a GPU that has room for either model, but not for both.

use std::path::Path;

use crane::models::Footprint;
use crane::weights::{Checkpoint, LoadOptions, Loader};
use serde_json::{json, Value};

use super::several::TWO;
use super::talk::talk;
use super::{failing, free, root, MODEL};
use crate::eye::folder as eyes;

const OTHER: &str = "tests/fixtures/models/qwen3";
const CONTEXT: usize = 256;

fn total(path: &Path) -> u64 {
    let checkpoint = Checkpoint::open(path).unwrap();
    let loader = Loader::new(&checkpoint, &LoadOptions::default()).unwrap();
    Footprint::of(&loader, Some(CONTEXT)).unwrap().total()
}

fn chat(told: &[(&str, &str)], flags: &[&str], lines: &[&str]) -> (Option<i32>, Vec<Value>) {
    let context = CONTEXT.to_string();
    talk(told, MODEL, &[&["-c", &context], flags].concat(), lines)
}

/// Free bytes that either model has room in, and little more.
fn either() -> String {
    let models = [MODEL, OTHER].map(|model| total(&root().join(model)));
    (models[0].max(models[1]) + (4 << 20)).to_string()
}

fn says(object: &Value, words: &str) {
    let said = object["said"].as_str().unwrap_or_default();
    assert!(said.contains(words), "'{words}' is not in: {object}");
}

#[test]
fn the_model_before_makes_room() {
    let other = format!("/model {OTHER}");
    let back = format!("/model {MODEL}");
    let lines = ["one", &other, "two", &back, "/show", "three"];
    for flags in [&["--device", "auto"][..], &["--require-device"]] {
        let (code, objects) = chat(&free(&either()), flags, &lines);
        assert_eq!((code, objects.len()), (Some(0), 6), "{objects:?}");
        says(&objects[1], "on cuda:0");
        says(&objects[3], "on cuda:0");
        says(&objects[4], "computed  cuda:0");
        for (object, turn) in [(0, 1), (2, 2), (5, 3)] {
            assert_eq!(objects[object]["turn"], turn, "{objects:?}");
        }
    }
}

#[test]
fn what_the_model_before_holds_counts_on_its_own_gpu_alone() {
    let again = format!("/model {MODEL}");
    let own = total(&root().join(MODEL));
    for (first, second, expected) in [
        (own + (4 << 20), 8 << 30, "cuda:0"),
        (own - 1, own + (4 << 20), "cuda:1"),
    ] {
        let free = format!("{first},{second}");
        let told = [TWO, ("PRETEND_FREE", free.as_str())];
        let (code, objects) = chat(&told, &[], &["one", "/show", &again, "two"]);
        assert_eq!((code, objects.len()), (Some(0), 4), "{objects:?}");
        says(&objects[1], &format!("computed  {expected}"));
        says(&objects[2], &format!("on {expected}"));
        assert_eq!(objects[3]["turn"], 2, "{objects:?}");
    }
}

/// Tokens that were in the cache when a reply began.
fn cached(reply: &Value) -> u64 {
    reply["timings"]["cached_tokens"].as_u64().unwrap()
}

/// The other model, whose last layer is not there.
fn damaged() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(root().join(OTHER)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let file = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let layers = config["num_hidden_layers"].as_u64().unwrap();
    config["num_hidden_layers"] = json!(layers + 1);
    config.as_object_mut().unwrap().remove("layer_types");
    std::fs::write(file, config.to_string()).unwrap();
    folder
}

#[test]
fn a_model_that_fails_leaves_the_conversation_and_the_model_before() {
    let folder = damaged();
    let (path, room) = (folder.path().to_str().unwrap(), either());
    let other = format!("/model {path}");
    let lines = ["one", &other, "/show", "two"];
    let (code, objects) = chat(&free(&room), &["--require-device"], &lines);
    assert_eq!((code, objects.len()), (Some(1), 4), "{objects:?}");
    let message = objects[1]["error"]["message"].as_str().unwrap();
    assert!(message.contains(path), "{message}");
    assert!(!message.contains("loaded again"), "{message}");
    says(&objects[2], MODEL);
    says(&objects[2], "computed  cuda:0");
    assert_eq!(objects[3]["turn"], 2, "{objects:?}");
    // It was let go of and loaded again.
    assert_eq!(cached(&objects[3]), 0, "{objects:?}");
}

#[test]
fn where_the_gpu_fails_the_model_before_is_loaded_on_the_cpu() {
    let folder = damaged();
    let (other, room) = (format!("/model {}", folder.path().display()), either());
    let log = tempfile::NamedTempFile::new().unwrap();
    let logged = [("PRETEND_LOG", log.path().to_str().unwrap())];
    chat(&[&free(&room)[..], &logged].concat(), &[], &["one"]);
    let calls = std::fs::read_to_string(log.path()).unwrap();
    let first = calls
        .lines()
        .filter(|line| *line == "cuMemAlloc_v2")
        .count();
    let first = first.to_string();
    let told = [&free(&room)[..], &failing("cuMemAlloc_v2", "700", &first)].concat();
    let lines = ["one", "/show", &other, "/show", "two"];
    let (code, objects) = chat(&told, &["--device", "auto"], &lines);
    assert_eq!((code, objects.len()), (Some(1), 5), "{objects:?}");
    says(&objects[1], "computed  cuda:0");
    let message = objects[2]["error"]["message"].as_str().unwrap();
    assert!(!message.contains("loaded again"), "{message}");
    says(&objects[3], "computed  cpu");
    assert_eq!(objects[4]["turn"], 2, "{objects:?}");
}

#[test]
fn a_model_that_fits_in_no_case_is_refused_before_anything_is_let_go_of() {
    // Its image encoder needs more than what either of the others takes.
    let large = eyes::model(eyes::QWEN).to_str().unwrap();
    let other = format!("/model {large}");
    let lines = ["one", &other, "two"];
    let (code, objects) = chat(&free(&either()), &["--device", "cuda:0"], &lines);
    assert_eq!((code, objects.len()), (Some(1), 3), "{objects:?}");
    assert_eq!(objects[1]["error"]["code"], 5);
    let message = objects[1]["error"]["message"].as_str().unwrap();
    assert!(message.contains("does not fit cuda:0"), "{message}");
    assert_eq!(objects[2]["turn"], 2);
    assert!(cached(&objects[2]) > 0, "{objects:?}");
}

#[test]
fn where_neither_can_be_loaded_it_is_said() {
    let folder = damaged();
    let other = format!("/model {}", folder.path().display());
    let room = either();
    // The first reply takes so many allocations; the next ones fail.
    let talks = (16..400).step_by(4).find_map(|after| {
        let after = after.to_string();
        let told = [&free(&room)[..], &failing("cuMemAlloc_v2", "2", &after)].concat();
        let (code, objects) = chat(&told, &["--require-device"], &["one", &other, "two"]);
        let answered = objects.first().is_some_and(|first| first["turn"] == 1);
        answered.then_some((code, objects))
    });
    let (code, objects) = talks.unwrap();
    assert_eq!((code, objects.len()), (Some(1), 3), "{objects:?}");
    let message = |object: &Value| object["error"]["message"].as_str().unwrap().to_string();
    assert!(message(&objects[1]).contains("could not be loaded again"));
    assert!(message(&objects[2]).contains("no longer loaded"));
}
