//! Every tiny checkpoint under tests/fixtures/models against the numbers that transformers computed from it
//! (tests/reference says how). All in f32.

use std::path::{Path, PathBuf};

use candle_core::Device;
use crane::generate::{Engine, GenerateOptions, Output, SamplingSettings};
use crane::models::LanguageModel;
use crane::text::Tokenizer;
use crane::weights::{Checkpoint, DTypeChoice, LoadOptions, Loader};
use serde_json::Value;

/// Largest difference of two logits allowed, as a share of the standard deviation of the expected ones.
const TOLERANCE: f32 = 1e-4;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models")
}

/// The goldens of all cases, with the model each belongs to.
fn cases() -> Vec<(PathBuf, Value)> {
    let mut cases = Vec::new();
    let folders = [fixtures(), fixtures().join("gguf")];
    let files = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap());
    for entry in files {
        let golden = entry.unwrap().path();
        if golden.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let gguf = golden.with_extension("gguf");
        let model = match gguf.exists() {
            true => gguf,
            false => golden.with_extension(""),
        };
        let value = serde_json::from_slice(&std::fs::read(&golden).unwrap()).unwrap();
        cases.push((model, value));
    }
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

fn load(path: &Path) -> (Box<dyn LanguageModel>, Tokenizer) {
    load_as(path, false)
}

/// With `tensors` by candle, as a GPU computes.
fn load_as(path: &Path, tensors: bool) -> (Box<dyn LanguageModel>, Tokenizer) {
    let checkpoint = Checkpoint::open(path).unwrap();
    let options = LoadOptions {
        device: Device::Cpu,
        dtype: DTypeChoice::F32,
        quant: None,
        tensors,
        ..LoadOptions::default()
    };
    let loader = Loader::new(&checkpoint, &options).unwrap();
    let model = crane::models::load(&loader, None).unwrap();
    (model, Tokenizer::open(&checkpoint).unwrap())
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[track_caller]
fn close(actual: &[f32], expected: &[f32], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let mean = expected.iter().sum::<f32>() / expected.len() as f32;
    let spread =
        (expected.iter().map(|e| (e - mean).powi(2)).sum::<f32>() / expected.len() as f32).sqrt();
    let worst = actual
        .iter()
        .zip(expected)
        .map(|(a, e)| (a - e).abs())
        .fold(0.0, f32::max);
    assert!(
        worst <= TOLERANCE * spread,
        "{what}: off by {worst}, spread {spread}"
    );
}

fn greedy(engine: &mut Engine, prompt: &[u32], steps: usize, penalty: f64, eos: &[u32]) -> Output {
    let options = GenerateOptions {
        sampling: SamplingSettings {
            temperature: 0.0,
            repeat_penalty: penalty,
            ..SamplingSettings::default()
        },
        seed: 0,
        max_tokens: Some(steps),
        stop: Vec::new(),
        eos_ids: eos.to_vec(),
        logprobs: Some(5),
        vocabulary: None,
        constraint: None,
    };
    engine
        .generate(prompt, &options, &|| false, &mut |_| true)
        .unwrap()
}

#[test]
fn logits_equal_transformers() {
    assert!(cases().len() >= 8);
    let ways = [false, true].map(|tensors| cases().into_iter().map(move |case| (tensors, case)));
    for (tensors, (path, case)) in ways.into_iter().flatten() {
        let (mut model, _) = load_as(&path, tensors);
        for prompt in case["prompts"].as_array().unwrap() {
            let what = format!("{} {} (tensors: {tensors})", path.display(), prompt["name"]);
            let tokens = ids(&prompt["ids"]);
            model.truncate(0);
            let logits: Vec<f32> = model.forward(&tokens).unwrap().to_vec1().unwrap();
            close(&logits, &floats(&prompt["logits"]), &what);

            // One token after the other through the cache gives the same.
            model.truncate(0);
            let mut last = Vec::new();
            for token in &tokens {
                last = model.forward(&[*token]).unwrap().to_vec1().unwrap();
            }
            close(
                &last,
                &floats(&prompt["logits"]),
                &format!("{what}, cached"),
            );

            // A part of the vocabulary is that part of all.
            let part = last.len() as u32 / 3..last.len() as u32 - 1;
            let whole = last.len();
            model.truncate(tokens.len() - 1);
            model.restrict(Some(part.clone()));
            let some: Vec<f32> = model
                .forward(&tokens[tokens.len() - 1..])
                .unwrap()
                .to_vec1()
                .unwrap();
            model.restrict(None);
            assert_eq!(some.len(), whole);
            for (id, (some, all)) in (0u32..).zip(some.iter().zip(&last)) {
                match part.contains(&id) {
                    true => assert!(
                        (some - all).abs() <= 1e-5 * (1.0 + all.abs()),
                        "{what} {id}"
                    ),
                    false => assert_eq!(*some, f32::NEG_INFINITY, "{what} {id}"),
                }
            }

            if let Some(expected) = prompt["logits_all"].as_array() {
                model.truncate(0);
                let rows: Vec<Vec<f32>> = model.forward_all(&tokens).unwrap().to_vec2().unwrap();
                assert_eq!(rows.len(), expected.len());
                for (row, expected) in rows.iter().zip(expected) {
                    close(row, &floats(expected), &format!("{what}, all positions"));
                }
            }
        }
    }
}

#[test]
fn greedy_continuations_equal_transformers() {
    for (path, case) in cases() {
        let (model, tokenizer) = load(&path);
        let mut engine = Engine::new(model, tokenizer);
        for prompt in case["prompts"].as_array().unwrap() {
            let what = format!("{} {}", path.display(), prompt["name"]);
            let tokens = ids(&prompt["ids"]);
            let expected = ids(&prompt["greedy"]["ids"]);
            let output = greedy(&mut engine, &tokens, expected.len(), 1.0, &[]);
            assert_eq!(output.tokens, expected, "{what}");
            for (mine, theirs) in output.logprobs[0]
                .top
                .iter()
                .zip(prompt["logprobs_top5"].as_array().unwrap())
            {
                assert_eq!(u64::from(mine.token), theirs["token"].as_u64().unwrap());
                let difference = mine.logprob - theirs["logprob"].as_f64().unwrap();
                assert!(
                    difference.abs() < 1e-4,
                    "{what}: log-probability {difference}"
                );
            }
            if let Some(penalised) = prompt.get("greedy_repetition_penalty") {
                let expected = ids(&penalised["ids"]);
                let penalty = penalised["penalty"].as_f64().unwrap();
                let output = greedy(&mut engine, &tokens, expected.len(), penalty, &[]);
                assert_eq!(output.tokens, expected, "{what}, penalised");
            }
            if let Some(text) = prompt.get("text").and_then(Value::as_str) {
                assert_eq!(output.text, text, "{what}");
            }
        }
    }
}

#[test]
fn an_end_id_stops_where_transformers_stops() {
    for (path, case) in cases() {
        let Some(stop) = case.get("greedy_eos") else {
            continue;
        };
        let (model, tokenizer) = load(&path);
        let prompt = case["prompts"]
            .as_array()
            .unwrap()
            .iter()
            .find(|p| p["name"] == stop["prompt"])
            .unwrap();
        let mut expected = ids(&stop["ids"]);
        let eos = ids(&stop["eos_token_ids"]);
        // transformers keeps the end id in its output, crane does not.
        assert!(eos.contains(&expected.pop().unwrap()));
        let output = greedy(
            &mut Engine::new(model, tokenizer),
            &ids(&prompt["ids"]),
            100,
            stop["penalty"].as_f64().unwrap(),
            &eos,
        );
        assert_eq!(output.tokens, expected, "{}", path.display());
    }
}

#[test]
fn scores_equal_transformers() {
    for (path, case) in cases() {
        let Some(score) = case.get("score") else {
            continue;
        };
        let (model, tokenizer) = load(&path);
        let scores = Engine::new(model, tokenizer)
            .score(&ids(&score["ids"]), &|| false)
            .unwrap()
            .unwrap();
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let expected = score["nll_mean"].as_f64().unwrap();
        assert!((mean - expected).abs() < 1e-4, "{}", path.display());
    }
}

#[test]
fn a_config_in_the_spelling_of_transformers_5_means_the_same() {
    let mut seen = 0;
    for (path, case) in cases() {
        let new = path.join("config.new.json");
        if !new.exists() {
            continue;
        }
        seen += 1;
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(&path).unwrap() {
            let file = entry.unwrap().path();
            std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
        std::fs::copy(new, folder.path().join("config.json")).unwrap();
        let (mut model, _) = load(folder.path());
        for prompt in case["prompts"].as_array().unwrap() {
            model.truncate(0);
            let logits: Vec<f32> = model
                .forward(&ids(&prompt["ids"]))
                .unwrap()
                .to_vec1()
                .unwrap();
            close(
                &logits,
                &floats(&prompt["logits"]),
                &path.display().to_string(),
            );
        }
    }
    assert!(seen > 0);
}

#[test]
fn a_second_turn_takes_its_beginning_from_the_cache() {
    let (path, case) = cases().swap_remove(0);
    let long = case["prompts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["name"] == "long")
        .unwrap();
    let tokens = ids(&long["ids"]);
    let expected = ids(&long["greedy"]["ids"]);
    let (model, tokenizer) = load(&path);
    let mut engine = Engine::new(model, tokenizer);
    greedy(&mut engine, &tokens[..40], 5, 1.0, &[]);
    let output = greedy(&mut engine, &tokens, expected.len(), 1.0, &[]);
    assert_eq!(output.tokens, expected);
    assert_eq!(output.timings.cached_tokens, 40);
    assert_eq!(output.timings.prefill_tokens, tokens.len() - 40);
}
