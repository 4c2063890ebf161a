//! The files that a tokenizer and a template come from, whole and broken.

use crane::text::{ChatTemplate, Message, Tokenizer};
use crane::weights::Checkpoint;
use serde::Deserialize;
use serde_json::{json, Value};

use super::{gguf_vocab, messages, vocabularies};

/// A model folder with as much of a checkpoint as opening one needs.
fn folder(files: &[(&str, Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let header = br#"{"lm_head.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}"#;
    let mut safetensors = (header.len() as u64).to_le_bytes().to_vec();
    safetensors.extend(header);
    safetensors.extend([0; 4]);
    std::fs::write(folder.path().join("model.safetensors"), safetensors).unwrap();
    for (name, content) in files {
        let text = match content {
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn config() -> (&'static str, Value) {
    (
        "config.json",
        json!({"model_type": "qwen2", "eos_token_id": 3}),
    )
}

#[test]
fn a_folder_names_its_ends_and_its_template() {
    let vocabulary = vocabularies().remove("qwen2").unwrap();
    let mut tokenizer_config = vocabulary.tokenizer_config.clone();
    tokenizer_config["chat_template"] = json!([
        {"name": "tool_use", "template": "no"},
        {"name": "default", "template": "{{ eos_token }}{{ messages[0].content }}"},
    ]);
    let folder = folder(&[
        config(),
        ("generation_config.json", json!({"eos_token_id": [3, 5]})),
        ("tokenizer.json", vocabulary.tokenizer_json),
        ("tokenizer_config.json", tokenizer_config),
    ]);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let tokenizer = Tokenizer::open(&checkpoint).unwrap();
    let end = tokenizer.token_id("<|im_end|>").unwrap();
    assert_eq!(tokenizer.eos_ids(), [end, 3, 5]);
    assert_eq!(tokenizer.eos_token(), Some("<|im_end|>"));
    assert_eq!(tokenizer.bos_token(), None);
    assert!(tokenizer.is_special(end) && !tokenizer.is_special(3));
    let hello = messages(&[("user", "hello")]);
    let template = ChatTemplate::open(&checkpoint).unwrap().unwrap();
    assert_eq!(template.render(&hello, true).unwrap(), "<|im_end|>hello");

    // A file of its own comes before the configuration.
    std::fs::write(folder.path().join("chat_template.jinja"), "jinja").unwrap();
    let template = ChatTemplate::open(&checkpoint).unwrap().unwrap();
    assert_eq!(template.render(&hello, true).unwrap(), "jinja");
}

#[derive(Deserialize)]
struct Chats {
    tokenizer_json: Value,
    tokenizer_config: Value,
    chats: Vec<Chat>,
}

#[derive(Deserialize)]
struct Chat {
    messages: Vec<Message>,
    ids: Vec<u32>,
}

#[test]
fn whole_prompts_have_the_ids_of_apply_chat_template() {
    let fixture: Chats =
        serde_json::from_str(include_str!("../../fixtures/text/chats.json")).unwrap();
    let folder = folder(&[
        config(),
        ("tokenizer.json", fixture.tokenizer_json),
        ("tokenizer_config.json", fixture.tokenizer_config),
    ]);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let tokenizer = Tokenizer::open(&checkpoint).unwrap();
    let template = ChatTemplate::open(&checkpoint).unwrap().unwrap();
    for chat in &fixture.chats {
        let prompt = template.render(&chat.messages, true).unwrap();
        assert_eq!(
            tokenizer.encode(&prompt, false).unwrap(),
            chat.ids,
            "{prompt:?}"
        );
    }
    assert!(fixture.chats.len() > 5);
}

#[test]
fn a_folder_without_a_template_has_none() {
    let folder = folder(&[config(), ("tokenizer_config.json", json!({}))]);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert!(ChatTemplate::open(&checkpoint).unwrap().is_none());
    std::fs::write(
        folder.path().join("chat_template.json"),
        r#"{"chat_template": "of a processor"}"#,
    )
    .unwrap();
    let template = ChatTemplate::open(&checkpoint).unwrap().unwrap();
    assert_eq!(template.source(), "of a processor");
}

#[test]
fn a_broken_tokenizer_is_named_with_the_remedy() {
    let good = vocabularies().remove("qwen2").unwrap().tokenizer_json;
    let with = |path: &str, value: Value| {
        let mut json = good.clone();
        *json.pointer_mut(path).unwrap() = value;
        json
    };
    let longest = "x".repeat(100);
    for (content, says) in [
        (json!("this is not JSON"), "not valid JSON"),
        (
            json!(good.to_string()[..good.to_string().len() / 2]),
            "not valid JSON",
        ),
        (json!({"version": "1.0"}), "has no \"model\""),
        (json!([1, 2]), "not a tokenizer"),
        (with("/model/vocab", json!(["a"])), "not a tokenizer"),
        (with("/model/merges/0", json!("abc")), "merge"),
        (with("/model/merges/0", json!(["a", "b", "c"])), "merge"),
        (with("/model/merges/0", json!(["nope", "x"])), "merge"),
        (with("/model/merges/0", json!([longest, longest])), "merge"),
        (
            with(
                "/decoder",
                json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
            ),
            "WordPiece",
        ),
        (
            with(
                "/pre_tokenizer",
                json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}),
            ),
            "not a tokenizer",
        ),
    ] {
        let folder = folder(&[config(), ("tokenizer.json", content)]);
        let error = Tokenizer::open(&Checkpoint::open(folder.path()).unwrap())
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("tokenizer.json: ") && error.contains(says),
            "{says}: {error}"
        );
        assert!(
            error.contains("WordPiece") || error.contains("crane pull --force"),
            "{error}"
        );
    }
    let empty = folder(&[config()]);
    let error = Tokenizer::open(&Checkpoint::open(empty.path()).unwrap())
        .err()
        .unwrap();
    assert!(error.to_string().contains("is missing"), "{error}");
}

#[test]
fn a_broken_gguf_vocabulary_is_named_with_the_remedy() {
    let vocabularies = vocabularies();
    let change = |kind: &str, key: &str, value: Value| {
        let mut gguf = vocabularies[kind].gguf.clone();
        gguf[key] = value;
        gguf
    };
    for (gguf, says) in [
        (
            change("qwen2", "pre", json!("unheard-of")),
            "\"unheard-of\", and crane knows qwen2",
        ),
        (
            change("qwen2", "model", json!("t5")),
            "\"t5\", and crane knows gpt2 and llama",
        ),
        (change("qwen2", "tokens", json!([])), "it lists 0 tokens"),
        (change("qwen2", "merges", json!(["ab"])), "the merge \"ab\""),
        (change("qwen2", "merges", json!(["zzz yyy"])), "merge"),
        (change("qwen2", "token_type", json!([1])), "1 token types"),
        (change("llama", "scores", json!([1.0])), "1 scores"),
    ] {
        let error = Tokenizer::from_gguf_vocab(gguf_vocab(&gguf), "a.gguf")
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("a.gguf: ") && error.contains(says),
            "{says}: {error}"
        );
        assert!(
            error.contains("crane pull --force") || error.contains("tokenizer.json"),
            "{error}"
        );
    }
    // Ids that point nowhere name no token.
    let nowhere = change("qwen2", "eos_token_id", json!(4_000_000_000u32));
    let tokenizer = Tokenizer::from_gguf_vocab(gguf_vocab(&nowhere), "a.gguf").unwrap();
    assert_eq!(tokenizer.eos_token(), None);
    assert!(tokenizer
        .eos_ids()
        .iter()
        .all(|id| tokenizer.token(*id).is_some()));
}

/// A GGUF file (version 3, no tensors but one) with these metadata.
fn gguf_file(metadata: &Value) -> Vec<u8> {
    fn string(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }
    // Type numbers of the GGUF specification: 4 u32, 5 i32, 6 f32, 7 bool, 8 string, 9 array.
    fn value(out: &mut Vec<u8>, json: &Value, typed: bool) {
        let (kind, bytes) = match json {
            Value::String(text) => {
                let mut bytes = Vec::new();
                string(&mut bytes, text);
                (8u32, bytes)
            }
            Value::Bool(yes) => (7, vec![u8::from(*yes)]),
            Value::Array(items) => {
                let mut first = Vec::new();
                value(&mut first, &items[0], true);
                let mut bytes = first[..4].to_vec();
                bytes.extend((items.len() as u64).to_le_bytes());
                items.iter().for_each(|item| value(&mut bytes, item, false));
                (9, bytes)
            }
            Value::Number(n) if n.is_f64() => {
                (6, (n.as_f64().unwrap() as f32).to_le_bytes().to_vec())
            }
            number => (4, (number.as_u64().unwrap() as u32).to_le_bytes().to_vec()),
        };
        if typed {
            out.extend(kind.to_le_bytes());
        }
        out.extend(bytes);
    }
    let entries = metadata.as_object().unwrap();
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend(1u64.to_le_bytes());
    out.extend((entries.len() as u64).to_le_bytes());
    for (key, entry) in entries {
        string(&mut out, key);
        value(&mut out, entry, true);
    }
    string(&mut out, "output_norm.weight");
    out.extend(1u32.to_le_bytes());
    out.extend(1u64.to_le_bytes());
    out.extend(0u32.to_le_bytes());
    out.extend(0u64.to_le_bytes());
    out.resize(out.len().next_multiple_of(32) + 4, 0);
    out
}

#[test]
fn a_gguf_file_gives_its_tokenizer_and_template() {
    for kind in ["qwen2", "llama"] {
        let vocabulary = vocabularies().remove(kind).unwrap();
        let mut metadata = json!({
            "general.architecture": "llama",
            "tokenizer.chat_template": "{{ eos_token }}{{ messages[0].content }}",
        });
        for (key, value) in vocabulary.gguf.as_object().unwrap() {
            metadata[format!("tokenizer.ggml.{key}")] = value.clone();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        std::fs::write(&path, gguf_file(&metadata)).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let tokenizer = Tokenizer::open(&checkpoint).unwrap();
        for (text, ids, _) in &vocabulary.texts {
            assert_eq!(
                &tokenizer.encode(text, false).unwrap(),
                ids,
                "{kind}: {text:?}"
            );
        }
        let template = ChatTemplate::open(&checkpoint).unwrap().unwrap();
        let text = template.render(&messages(&[("user", "hi")]), true).unwrap();
        assert_eq!(text, format!("{}hi", tokenizer.eos_token().unwrap()));

        let bare = folder.path().join("bare.gguf");
        std::fs::write(&bare, gguf_file(&json!({"general.architecture": "llama"}))).unwrap();
        let checkpoint = Checkpoint::open(&bare).unwrap();
        assert!(ChatTemplate::open(&checkpoint).unwrap().is_none());
        let error = Tokenizer::open(&checkpoint).err().unwrap().to_string();
        assert!(
            error.contains("bare.gguf") && error.contains("has no tokenizer"),
            "{error}"
        );
    }
}
