//! Real models against llama.cpp on the very same files (tests/reference says how the numbers were made), for each
//! model that is in the cache; `crane pull smollm2-135m` fetches the small one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crane::generate::{Engine, GenerateOptions, SamplingSettings};
use crane::hub;
use crane::text::{ChatTemplate, Message, Tokenizer};
use crane::weights::{Checkpoint, DTypeChoice, LoadOptions, Loader};
use serde_json::Value;

const MODELS: [&str; 3] = ["smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"];

/// Below this distance of its two best logits llama.cpp's choice is a matter of rounding.
const CLEAR_GAP: f64 = 0.3;

/// The model's file, or None (said) where it is not in the cache.
pub(crate) fn cached(model: &str) -> Option<PathBuf> {
    let settings =
        crane::cli::environment::hub_settings(&|name| std::env::var(name).ok(), None, true);
    match hub::locate(model, &settings, &hub::Silent) {
        Ok(located) => Some(located.path),
        Err(_) => {
            println!("skipped: {model} is not in the cache ('crane pull {model}' fetches it)");
            None
        }
    }
}

fn goldens(model: &str) -> Value {
    let path = folder().join(format!("{model}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama_cpp")
}

pub(super) fn open(path: &Path) -> (Engine, Checkpoint) {
    let checkpoint = Checkpoint::open(path).unwrap();
    let options = LoadOptions {
        device: candle_core::Device::Cpu,
        dtype: DTypeChoice::Auto,
        quant: None,
        ..LoadOptions::default()
    };
    let model =
        crane::models::load(&Loader::new(&checkpoint, &options).unwrap(), Some(2048)).unwrap();
    let tokenizer = Tokenizer::open(&checkpoint).unwrap();
    (Engine::new(model, tokenizer), checkpoint)
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn greedy_text_is_llama_cpp_s_up_to_the_first_close_call() {
    for model in MODELS {
        let Some(path) = cached(model) else { continue };
        let (mut engine, checkpoint) = open(&path);
        let template = ChatTemplate::open(&checkpoint).unwrap().unwrap();
        for prompt in goldens(model)["prompts"].as_array().unwrap() {
            let what = format!("{model}, {}", prompt["name"]);
            let tokens = match prompt["kind"].as_str().unwrap() {
                "raw" => engine
                    .tokenizer()
                    .encode(prompt["text"].as_str().unwrap(), true),
                _ => {
                    let messages: Vec<Message> =
                        serde_json::from_value(prompt["messages"].clone()).unwrap();
                    let text = template.render(&messages, true).unwrap();
                    engine.tokenizer().encode(&text, false)
                }
            }
            .unwrap();
            assert_eq!(tokens, ids(&prompt["ids"]), "{what}");

            let output = &prompt["output"];
            let expected = ids(&output["ids"]);
            let options = GenerateOptions {
                sampling: SamplingSettings {
                    temperature: 0.0,
                    ..SamplingSettings::default()
                },
                seed: 0,
                max_tokens: Some(expected.len()),
                stop: Vec::new(),
                eos_ids: Vec::new(),
                logprobs: Some(0),
                vocabulary: None,
                constraint: None,
            };
            let mine = engine
                .generate(&tokens, &options, &|| false, &mut |_| true)
                .unwrap();
            let same = mine
                .tokens
                .iter()
                .zip(&expected)
                .take_while(|(a, b)| a == b)
                .count();
            if same < expected.len() {
                let best = &output["top2"][same];
                let gap = best[0]["logit"].as_f64().unwrap() - best[1]["logit"].as_f64().unwrap();
                assert!(gap < CLEAR_GAP, "{what}: parts at step {same}, gap {gap}");
            }
            if same > 0 {
                let difference =
                    mine.logprobs[0].logprob - output["first_logprob"].as_f64().unwrap();
                assert!(
                    difference.abs() < 0.25,
                    "{what}: log-probability {difference}"
                );
            }
        }
    }
}

#[test]
fn texts_score_within_a_hundredth_of_llama_cpp_s() {
    for model in MODELS {
        let Some(path) = cached(model) else { continue };
        let (mut engine, _) = open(&path);
        for text in goldens(model)["texts"].as_array().unwrap() {
            let file = folder().join(text["file"].as_str().unwrap());
            let tokens = engine
                .tokenizer()
                .encode(&std::fs::read_to_string(file).unwrap(), true)
                .unwrap();
            assert_eq!(tokens, ids(&text["ids"]));
            let scores = engine.score(&tokens, &|| false).unwrap().unwrap();
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            let expected = text["nll_mean"].as_f64().unwrap();
            assert!(
                (mean / expected - 1.0).abs() < 0.01,
                "{model}, {}: {mean} for {expected}",
                text["file"]
            );
        }
    }
}

fn run(path: &Path, flags: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_crane"))
        .arg("run")
        .arg(path)
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_seed_gives_the_same_text_on_any_number_of_threads() {
    let Some(path) = cached("smollm2-135m") else {
        return;
    };
    let text = |threads, seed| {
        run(
            &path,
            &["Tell me a story.", "-n", "40", "-s", seed, "-t", threads],
        )
    };
    let first = text("1", "7");
    assert_eq!(first, text("2", "7"));
    assert_eq!(first, text("3", "7"));
    assert_ne!(first, text("2", "8"));
}

#[test]
fn a_pipe_holds_the_answer_and_nothing_else() {
    let Some(path) = cached("smollm2-135m") else {
        return;
    };
    let flags = ["What is 2+2?", "-n", "12", "--temp", "0"];
    let json = run(&path, &[flags.as_slice(), &["--json"]].concat());
    let object: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.lines().count(), 1);
    let text = object["text"].as_str().unwrap();
    assert_eq!(
        run(&path, &flags),
        format!("{}\n", text.trim_end_matches('\n'))
    );
    assert!(!text.contains('\u{1b}'));

    // One object a token, whose texts make the whole, and the whole last.
    let lines = run(&path, &[flags.as_slice(), &["--format", "ndjson"]].concat());
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (whole, steps) = lines.split_last().unwrap();
    let joined: String = steps
        .iter()
        .map(|step| step["text"].as_str().unwrap())
        .collect();
    assert_eq!(joined, text);
    assert_eq!(whole["tokens"], object["tokens"]);
}
