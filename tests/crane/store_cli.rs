//! `crane show`, `list`, `verify` and `rm` from outside, on files that need no hub.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::weights::made;

/// Exit code, stdout and stderr of the binary, offline, with its cache in `cache`.
fn crane(cache: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_crane"))
        .args(args)
        .env("HF_HUB_CACHE", cache)
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

fn write(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A folder in which the decoder has a configuration and the codec has none.
fn of_parts(folder: &Path) {
    let weights = made::safetensors_of(&[("model.embed_tokens.weight", &[5, 2], made::floats(10))]);
    write(folder, "config.yaml", b"a: 1");
    write(folder, "LLM/model.safetensors", &weights);
    write(
        folder,
        "LLM/config.json",
        br#"{"architectures":["Qwen2ForCausalLM"],"hidden_size":2}"#,
    );
    write(folder, "BiCodec/model.safetensors", &weights);
}

#[test]
fn a_model_of_parts_is_shown_part_by_part() {
    let dir = tempfile::tempdir().unwrap();
    of_parts(dir.path());
    let path = dir.path().to_str().unwrap();
    let (code, out, err) = crane(dir.path(), &["show", path]);
    assert_eq!(code, 0, "{err}");
    for text in ["BiCodec", "LLM", "Qwen2ForCausalLM", "crane tts -m"] {
        assert!(out.contains(text), "{text} is not in:\n{out}");
    }
    let (_, out, _) = crane(dir.path(), &["show", path, "--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["parts"][1]["architecture"], "Qwen2ForCausalLM");
    assert_eq!(json["parts"][0]["model"], "BiCodec");
}

#[test]
fn the_catalogue_says_what_the_files_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = "models--SparkAudio--Spark-TTS-0.5B/snapshots/c0";
    of_parts(&dir.path().join(snapshot));
    write(
        dir.path(),
        "models--SparkAudio--Spark-TTS-0.5B/refs/main",
        b"c0",
    );
    let (code, out, _) = crane(dir.path(), &["list", "--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json[0]["task"]), (0, &Value::from("speech")));
    let (code, _, err) = crane(dir.path(), &["show", "no-such-model"]);
    assert_eq!(code, 3, "{err}");
}

#[test]
fn what_other_tools_have_cached_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = crane(&dir.path().join("none"), &["list"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.contains("crane pull smollm2-135m"), "{err}");
    write(dir.path(), "version.txt", b"1");
    write(dir.path(), "models--a-file", b"");
    write(dir.path(), "datasets--o--d/snapshots/c/x.gguf", b"x");
    write(
        dir.path(),
        "models--gpt2/snapshots/c0/pytorch_model.bin",
        b"x",
    );
    write(dir.path(), "models--gpt2/refs/main", b"../../etc");
    write(dir.path(), "models--o--n/snapshots/c0/n-q8_0.gguf", b"x");
    let (code, out, err) = crane(dir.path(), &["list", "--json"]);
    assert_eq!(code, 0, "{err}");
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(1), "{out}");
    assert_eq!(json[0]["architecture"], Value::Null);
    assert_eq!(crane(dir.path(), &["rm", "-y", "o/n@c0:q8_0"]).0, 0);
    assert!(dir.path().join("models--gpt2").is_dir());
}

#[test]
fn a_local_file_is_verified_as_far_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let good = made::Gguf::small().write(dir.path(), "good.gguf");
    let path = good.to_str().unwrap();
    let (code, out, err) = crane(dir.path(), &["verify", path]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("no checksum known"), "{out}");
    assert_eq!(crane(dir.path(), &["verify", "--repair", path]).0, 2);
    let bytes = fs::read(&good).unwrap();
    let cut = dir.path().join("cut.gguf");
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let (code, _, err) = crane(dir.path(), &["verify", cut.to_str().unwrap()]);
    assert_eq!(code, 6, "{err}");
    assert!(err.contains("cut.gguf"), "{err}");
    let none = dir.path().join("none.gguf");
    assert_eq!(crane(dir.path(), &["verify", none.to_str().unwrap()]).0, 3);
}
