//! Templates and token ids against transformers' and `tokenizers`' own (tests/reference/text_*.py).

mod deep_templates;
mod files;
mod templates;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crane::text::{GgufVocab, Message, Tokenizer};
use proptest::strategy::Strategy;
use serde::Deserialize;
use serde_json::Value;

fn messages(turns: &[(&str, &str)]) -> Vec<Message> {
    let message = |(role, content): &(&str, &str)| Message::text(role, *content);
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
                let text = unit.repeat(30_000 / unit.len());
                let ids = tokenizer.encode(&text, false).unwrap();
                assert!(
                    tokenizer.decode(&ids, false).unwrap() == text,
                    "{kind} from {source}: {unit:?}"
                );
            }
        }
    }
}
