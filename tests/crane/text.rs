//! Templates and token ids against transformers' and `tokenizers`' own (tests/reference/text_*.py).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crane::text::{ChatTemplate, GgufVocab, Message, TextError, Tokenizer};
use crane::weights::Checkpoint;
use proptest::strategy::Strategy;
use serde::Deserialize;
use serde_json::{json, Map, Value};

#[derive(Deserialize)]
struct Templates {
    templates: HashMap<String, Template>,
    conversations: HashMap<String, Vec<Message>>,
    cases: Vec<TemplateCase>,
}

#[derive(Deserialize)]
struct Template {
    source: String,
    tokens: HashMap<String, String>,
}

#[derive(Deserialize)]
struct TemplateCase {
    template: String,
    conversation: String,
    add_generation_prompt: bool,
    variables: Map<String, Value>,
    text: Option<String>,
    error: Option<String>,
}

#[test]
fn templates_render_as_transformers_does() {
    let fixture: Templates =
        serde_json::from_str(include_str!("../fixtures/text/templates.json")).unwrap();
    let mut wrong = Vec::new();
    for case in &fixture.cases {
        let template = &fixture.templates[&case.template];
        let tokens = template
            .tokens
            .iter()
            .map(|(n, t)| (n.as_str(), t.as_str()));
        let rendered = ChatTemplate::new(template.source.as_str(), tokens, "model").render_with(
            &fixture.conversations[&case.conversation],
            case.add_generation_prompt,
            &case.variables,
        );
        let right = match (&rendered, &case.text, &case.error) {
            (Ok(text), Some(expected), _) => text == expected,
            (Err(TextError::Template { reason, .. }), None, Some(error)) => {
                error.is_empty() || *reason == format!("it refuses the conversation: {error}")
            }
            _ => false,
        };
        if !right {
            wrong.push(format!(
                "{} / {} / {:?}\n  got      {rendered:?}\n  expected {:?}{:?}",
                case.template, case.conversation, case.variables, case.text, case.error
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        fixture.cases.len(),
        wrong.join("\n")
    );
    assert!(fixture.cases.len() > 600);
}

#[test]
fn a_template_that_never_ends_fails_soon() {
    let loops = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    let grows = "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}";
    let writes = "{% for a in range(100000) %}{% for b in range(1000) %}{{ 'text' * 100 }}{% endfor %}{% endfor %}";
    let repeats = "{{ 'x' * 10000000000 }}";
    let recursion = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    for source in [loops, grows, writes, repeats, recursion] {
        let error = ChatTemplate::new(source, [], "a.gguf")
            .render(&messages(&[("user", "hi")]), true)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("the chat template of a.gguf failed"),
            "{error}"
        );
        assert!(error.contains("--raw"), "{error}");
        assert!(error.len() < 400, "{error}");
    }
}

#[test]
fn a_long_conversation_and_a_long_message_render() {
    let source = "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}\n{% endfor %}";
    let template = ChatTemplate::new(source, [], "model");
    let megabyte = "word ".repeat(200_000);
    let text = template
        .render(&messages(&[("user", &megabyte)]), true)
        .unwrap();
    assert_eq!(text, format!("[user]{}\n", megabyte.trim()));
    let many = messages(&vec![("user", "line"); 20_000]);
    assert_eq!(
        template.render(&many, true).unwrap(),
        "[user]line\n".repeat(20_000)
    );
}

fn messages(turns: &[(&str, &str)]) -> Vec<Message> {
    let message = |(role, content): &(&str, &str)| Message {
        role: role.to_string(),
        content: content.to_string(),
    };
    turns.iter().map(message).collect()
}

#[derive(Deserialize)]
struct Vocabulary {
    tokenizer_json: Value,
    tokenizer_config: Value,
    gguf: Value,
    /// The ids that are added to an empty text.
    added: Vec<u32>,
    /// A text, its ids without special tokens, and what they decode to.
    texts: Vec<(String, Vec<u32>, String)>,
    /// Ids, and what they decode to without and with special tokens.
    decoded: Vec<(Vec<u32>, String, String)>,
    size: usize,
}

fn vocabularies() -> HashMap<String, Vocabulary> {
    serde_json::from_str(include_str!("../fixtures/text/tokenizers.json")).unwrap()
}

/// The vocabulary as each of the files that may hold it.
fn tokenizers(vocabulary: &Vocabulary) -> [(&'static str, Tokenizer); 2] {
    let folder = tempfile::tempdir().unwrap();
    let (json, config) = write_tokenizer(folder.path(), vocabulary);
    let from_files = Tokenizer::from_files(&json, Some(&config)).unwrap();
    let from_gguf = Tokenizer::from_gguf_vocab(gguf_vocab(&vocabulary.gguf), "a.gguf").unwrap();
    [("tokenizer.json", from_files), ("GGUF", from_gguf)]
}

fn write_tokenizer(folder: &Path, vocabulary: &Vocabulary) -> (PathBuf, PathBuf) {
    let json = folder.join("tokenizer.json");
    let config = folder.join("tokenizer_config.json");
    std::fs::write(&json, vocabulary.tokenizer_json.to_string()).unwrap();
    std::fs::write(&config, vocabulary.tokenizer_config.to_string()).unwrap();
    (json, config)
}

fn gguf_vocab(gguf: &Value) -> GgufVocab<'_> {
    let list = |key: &str| gguf[key].as_array().map_or(&[][..], |v| v.as_slice());
    let id = |key: &str| gguf[key].as_u64().map(|n| n as u32);
    GgufVocab {
        model: gguf["model"].as_str().unwrap(),
        pre: gguf["pre"].as_str(),
        tokens: list("tokens").iter().filter_map(Value::as_str).collect(),
        scores: list("scores")
            .iter()
            .filter_map(|v| Some(v.as_f64()? as f32))
            .collect(),
        token_type: list("token_type")
            .iter()
            .filter_map(Value::as_i64)
            .collect(),
        merges: list("merges").iter().filter_map(Value::as_str).collect(),
        bos_token_id: id("bos_token_id"),
        eos_token_id: id("eos_token_id"),
        unknown_token_id: id("unknown_token_id"),
        add_bos_token: gguf["add_bos_token"].as_bool(),
        ..GgufVocab::default()
    }
}

#[test]
fn ids_and_texts_are_the_references() {
    for (kind, vocabulary) in vocabularies() {
        for (source, tokenizer) in tokenizers(&vocabulary) {
            for (text, ids, decoded) in &vocabulary.texts {
                let context = format!("{kind} from {source}: {text:?}");
                assert_eq!(&tokenizer.encode(text, false).unwrap(), ids, "{context}");
                let special = [vocabulary.added.as_slice(), ids].concat();
                assert_eq!(tokenizer.encode(text, true).unwrap(), special, "{context}");
                assert_eq!(&tokenizer.decode(ids, false).unwrap(), decoded, "{context}");
            }
            for (ids, without, with) in &vocabulary.decoded {
                let context = format!("{kind} from {source}: {ids:?}");
                assert_eq!(&tokenizer.decode(ids, true).unwrap(), without, "{context}");
                assert_eq!(&tokenizer.decode(ids, false).unwrap(), with, "{context}");
                assert_eq!(&streamed(&tokenizer, ids), without, "{context}");
            }
            assert_eq!(
                tokenizer.vocab_size(),
                vocabulary.size,
                "{kind} from {source}"
            );
        }
    }
}

/// The text of a stream, whose every part must stand on its own.
fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.stream();
    let mut text: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
    text.push_str(&stream.finish().unwrap());
    text
}

#[test]
fn a_stream_holds_a_character_back_until_it_is_whole() {
    for (kind, vocabulary) in vocabularies() {
        for (source, tokenizer) in tokenizers(&vocabulary) {
            let ids = tokenizer.encode("x👩\u{200d}👧y", false).unwrap();
            let mut stream = tokenizer.stream();
            let parts: Vec<String> = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
            let context = format!("{kind} from {source}: {parts:?}");
            assert!(!parts.concat().contains('\u{fffd}'), "{context}");
            assert_eq!(parts.concat(), "x👩\u{200d}👧y", "{context}");
            assert_eq!(stream.finish().unwrap(), "", "{context}");
            // Cut inside the first emoji: nothing of it is shown, then one or more marks.
            let emoji = tokenizer.encode("x😀", false).unwrap();
            let mut stream = tokenizer.stream();
            let shown: String = emoji[..emoji.len() - 1]
                .iter()
                .map(|id| stream.push(*id).unwrap())
                .collect();
            assert_eq!(shown, "x", "{context}");
            let rest = stream.finish().unwrap();
            assert!(
                !rest.is_empty() && rest.chars().all(|c| c == '\u{fffd}'),
                "{context} {rest:?}"
            );
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..Default::default()
    })]
    #[test]
    fn a_stream_gives_the_text_of_the_whole(
        parts in proptest::collection::vec(
            proptest::prop_oneof![
                "[ a-zé你好😀\u{200d}\u{301}▁\n]{0,6}".prop_map(Part::Text),
                (0u32..700).prop_map(Part::Id),
                proptest::prelude::any::<u8>().prop_map(Part::Byte),
            ],
            0..40,
        )
    ) {
        VOCABULARIES.with(|all| for (kind, tokenizer) in all {
            let mut ids = Vec::new();
            for part in &parts {
                match part {
                    Part::Text(text) => ids.extend(tokenizer.encode(text, false).unwrap()),
                    Part::Id(id) => ids.push(*id),
                    Part::Byte(byte) => ids.extend(tokenizer.token_id(&format!("<0x{byte:02X}>"))),
                }
            }
            assert_eq!(streamed(tokenizer, &ids), tokenizer.decode(&ids, true).unwrap(), "{kind}");
        });
    }

    #[test]
    fn text_comes_back(text in "\\PC{0,60}") {
        VOCABULARIES.with(|all| for (kind, tokenizer) in all {
            let ids = tokenizer.encode(&text, false).unwrap();
            let back = tokenizer.decode(&ids, false).unwrap();
            // The SentencePiece mark is a space by definition, and Qwen's text is normalised.
            let same = match kind.as_str() {
                "llama" => back == text.replace('▁', " "),
                "qwen2" => back == text || !text.is_ascii(),
                _ => back == text,
            };
            assert!(same, "{kind}: {text:?} came back as {back:?}");
        });
    }
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Id(u32),
    Byte(u8),
}

thread_local! {
    static VOCABULARIES: Vec<(String, Tokenizer)> = vocabularies()
        .into_iter()
        .flat_map(|(kind, vocabulary)| tokenizers(&vocabulary).map(|(_, t)| (kind.clone(), t)))
        .collect();
}

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

#[test]
fn ids_past_the_vocabulary_have_no_text() {
    for (kind, vocabulary) in vocabularies() {
        for (source, tokenizer) in tokenizers(&vocabulary) {
            let past = [vocabulary.size as u32, vocabulary.size as u32 + 7, u32::MAX];
            assert_eq!(
                tokenizer.decode(&past, false).unwrap(),
                "",
                "{kind} from {source}"
            );
            assert_eq!(streamed(&tokenizer, &past), "", "{kind} from {source}");
            assert!(
                past.iter().all(|id| tokenizer.token(*id).is_none()),
                "{kind} from {source}"
            );
        }
    }
}

#[test]
fn a_long_prompt_is_encoded_whole() {
    for (kind, vocabulary) in vocabularies() {
        for (source, tokenizer) in tokenizers(&vocabulary) {
            for unit in ["a", " ", "\n", "7", "The fox isn't 1234 你好!\n\n"] {
                let text = unit.repeat(100_000 / unit.len());
                let ids = tokenizer.encode(&text, false).unwrap();
                assert!(
                    tokenizer.decode(&ids, false).unwrap() == text,
                    "{kind} from {source}: {unit:?}"
                );
            }
        }
    }
}
