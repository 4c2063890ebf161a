//! Sequences side by side against each by itself, on every tiny checkpoint, in every number type: no bit may differ.

use std::path::{Path, PathBuf};

use crane::generate::{
    Batch, Engine, FinishReason, GenerateOptions, Output, SamplingSettings, Started,
};
use crane::kernels::CacheType;
use crane::text::Tokenizer;
use crane::weights::{Checkpoint, DTypeChoice, LoadOptions, Loader, Quant};

use super::ways::{load, way, Way};

const WAYS: [Way; 6] = [
    way(DTypeChoice::F32, None, CacheType::F32),
    way(DTypeChoice::BF16, None, CacheType::F16),
    way(DTypeChoice::F16, None, CacheType::Q8_0),
    way(DTypeChoice::F32, Some(Quant::Q8_0), CacheType::F16),
    way(DTypeChoice::F32, Some(Quant::Q4_0), CacheType::Q8_0),
    Way {
        tensors: true,
        ..way(DTypeChoice::F32, None, CacheType::F32)
    },
];

fn models() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    let entries = [folder.join("gguf"), folder]
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut models: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| match path.extension() {
            Some(extension) => extension == "gguf",
            None => path.join("config.json").exists(),
        })
        .collect();
    models.sort();
    assert!(models.len() >= 8);
    models
}

/// Some ids of a small generator.
fn ids(seed: u64, len: usize, vocab: usize) -> Vec<u32> {
    let mut state = seed.wrapping_mul(2) | 1;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            ((state >> 33) % vocab as u64) as u32
        })
        .collect()
}

fn bits(row: &[f32]) -> Vec<u32> {
    row.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_step_of_many_sequences_is_a_step_of_each() {
    for path in models() {
        for way in WAYS {
            let what = format!("{} {way:?}", path.display());
            let (mut model, _) = load(&path, way);
            let vocab = model.vocab_size();
            let prompts: Vec<Vec<u32>> = [3, 40, 1, 17, 64, 9, 2, 33, 5]
                .iter()
                .enumerate()
                .map(|(i, &len)| ids(i as u64, len, vocab))
                .collect();
            let steps = 3;
            let forced: Vec<Vec<u32>> = (0..prompts.len())
                .map(|i| ids(100 + i as u64, steps, vocab))
                .collect();
            let mut alone: Vec<Vec<Vec<u32>>> = Vec::new();
            for (prompt, forced) in prompts.iter().zip(&forced) {
                model.truncate(0);
                model.forward(prompt).unwrap();
                let row = |token: &u32| -> Vec<f32> {
                    model.forward(&[*token]).unwrap().to_vec1().unwrap()
                };
                alone.push(forced.iter().map(row).map(|row| bits(&row)).collect());
            }
            for count in [2, 3, 9] {
                model.hold(count);
                for (slot, prompt) in prompts[..count].iter().enumerate() {
                    model.select(slot);
                    model.truncate(0);
                    model.forward(prompt).unwrap();
                }
                model.select(1);
                let mut logits = Vec::new();
                for step in 0..steps {
                    // In any order.
                    let next: Vec<(usize, u32)> =
                        (0..count).rev().map(|i| (i, forced[i][step])).collect();
                    model.forward_each(&next, &mut logits).unwrap();
                    assert_eq!(logits.len(), count * vocab);
                    for (row, (slot, _)) in logits.chunks(vocab).zip(next) {
                        assert_eq!(bits(row), alone[slot][step], "{what} {count} {slot}");
                    }
                }
                assert_eq!(model.cached(), prompts[1].len() + steps);
            }
        }
    }
}

#[test]
fn a_step_that_does_not_fit_leaves_all_sequences_as_they_were() {
    let path = &models()[0];
    let (mut model, _) = load(path, WAYS[3]);
    let vocab = model.vocab_size();
    model.hold(2);
    model.forward(&ids(1, 20, vocab)).unwrap();
    model.select(1);
    model.forward(&ids(2, 256, vocab)).unwrap();
    let mut logits = Vec::new();
    assert!(model.forward_each(&[(0, 1), (1, 1)], &mut logits).is_err());
    assert!(model
        .forward_each(&[(0, vocab as u32)], &mut logits)
        .is_err());
    assert_eq!(model.cached(), 256);
    model.select(0);
    assert_eq!(model.cached(), 20);
    model.forward_each(&[(0, 7)], &mut logits).unwrap();
    let together = bits(&logits);
    model.truncate(0);
    model.forward(&ids(1, 20, vocab)).unwrap();
    let alone: Vec<f32> = model.forward(&[7]).unwrap().to_vec1().unwrap();
    assert_eq!(together, bits(&alone));
}

/// Prompts that begin alike in several ways, and their options.
fn jobs(vocab: usize) -> Vec<(Vec<u32>, GenerateOptions)> {
    let head = ids(77, 60, vocab);
    let lens = [
        (60, 40),
        (60, 5),
        (40, 50),
        (0, 30),
        (33, 1),
        (60, 60),
        (10, 3),
    ];
    lens.iter()
        .enumerate()
        .map(|(i, &(shared, own))| {
            let mut prompt = head[..shared].to_vec();
            prompt.extend(ids(500 + i as u64, own, vocab));
            let options = GenerateOptions {
                sampling: SamplingSettings {
                    temperature: [0.0, 0.8][i % 2],
                    repeat_penalty: [1.0, 1.1, 1.3][i % 3],
                    ..SamplingSettings::default()
                },
                seed: i as u64,
                max_tokens: Some([12, 1, 25, 7][i % 4]),
                stop: Vec::new(),
                eos_ids: ids(i as u64, 3, vocab),
                logprobs: Some(2),
                vocabulary: None,
                constraint: None,
            };
            (prompt, options)
        })
        .collect()
}

fn together(
    engine: &mut Engine,
    jobs: &[(Vec<u32>, GenerateOptions)],
    parallel: usize,
) -> (Vec<Output>, usize) {
    let tokenizer = engine.shared_tokenizer();
    let mut batch = Batch::new(engine, &tokenizer, parallel);
    let mut outputs: Vec<Option<Output>> = jobs.iter().map(|_| None).collect();
    let mut waiting = jobs.iter().enumerate();
    loop {
        let mut finished = Vec::new();
        while batch.has_room() {
            let Some((key, (prompt, options))) = waiting.next() else {
                break;
            };
            match batch.start(engine, (key, prompt.clone()), options, &|| false) {
                Started::Running => {}
                Started::Finished(one) => finished.push(one),
                Started::Interrupted => unreachable!("nobody interrupts"),
            }
        }
        assert!(batch.live() <= parallel);
        let idle = batch.live() == 0 && finished.is_empty();
        finished.extend(batch.step(engine));
        for one in finished {
            assert!(outputs[one.key].replace(one.answer.unwrap()).is_none());
        }
        if idle {
            break;
        }
    }
    let totals = batch.close(engine);
    assert_eq!(totals.prompts, jobs.len());
    let all: usize = jobs.iter().map(|(prompt, _)| prompt.len()).sum();
    assert_eq!(totals.prefill_tokens + totals.reused_tokens, all);
    (
        outputs.into_iter().map(Option::unwrap).collect(),
        totals.reused_tokens,
    )
}

#[test]
fn answers_side_by_side_are_those_of_each_alone() {
    for path in models() {
        for way in WAYS {
            let (model, tokenizer) = load(&path, way);
            let jobs = jobs(model.vocab_size());
            let settled = model.reuse().settled.is_some();
            let mut engine = Engine::new(model, tokenizer);
            let alone: Vec<Output> = jobs
                .iter()
                .map(|(prompt, options)| {
                    let first = engine.generate(&[1u32][..], options, &|| false, &mut |_| true);
                    // Nothing is kept from the prompt before.
                    first.unwrap();
                    engine
                        .generate(prompt, options, &|| false, &mut |_| true)
                        .unwrap()
                })
                .collect();
            for parallel in [1, 3, 8] {
                let (outputs, reused) = together(&mut engine, &jobs, parallel);
                for (i, (a, b)) in alone.iter().zip(&outputs).enumerate() {
                    let what = format!("{} {way:?} {parallel} {i}", path.display());
                    assert_eq!(a.tokens, b.tokens, "{what}");
                    assert_eq!(a.text, b.text, "{what}");
                    assert_eq!(a.finish_reason, b.finish_reason, "{what}");
                    for (a, b) in a.logprobs.iter().zip(&b.logprobs) {
                        assert_eq!(a.logprob.to_bits(), b.logprob.to_bits(), "{what}");
                    }
                }
                // What does not settle shares nothing this short.
                assert_eq!(reused > 0, settled, "{} {way:?}", path.display());
            }
            // The engine is as it was.
            let (prompt, options) = &jobs[0];
            let again = engine.generate(prompt, options, &|| false, &mut |_| true);
            assert_eq!(again.unwrap().tokens, alone[0].tokens);
        }
    }
}

#[test]
fn an_interrupted_prompt_leaves_the_others_alone() {
    let (model, tokenizer) = load(&models()[0], WAYS[0]);
    let jobs = jobs(model.vocab_size());
    let mut engine = Engine::new(model, tokenizer);
    let shared = engine.shared_tokenizer();
    let mut batch = Batch::new(&mut engine, &shared, 2);
    let start = |batch: &mut Batch, engine: &mut Engine, key: usize, interrupted: bool| {
        let options = GenerateOptions {
            eos_ids: Vec::new(),
            ..jobs[key].1.clone()
        };
        batch.start(engine, (key, jobs[key].0.clone()), &options, &|| {
            interrupted
        })
    };
    assert!(matches!(
        start(&mut batch, &mut engine, 0, false),
        Started::Running
    ));
    assert!(matches!(
        start(&mut batch, &mut engine, 2, true),
        Started::Interrupted
    ));
    assert_eq!((batch.live(), batch.has_room()), (1, true));
    let mut finished = Vec::new();
    while batch.live() > 0 {
        finished.extend(batch.step(&mut engine));
    }
    let output = finished.remove(0).answer.unwrap();
    assert_eq!(output.finish_reason, FinishReason::Length);
    assert_eq!(output.tokens.len(), 12);
}

#[test]
fn a_full_context_ends_an_answer_and_a_prompt_past_it_is_an_error() {
    let (model, tokenizer) = load(&models()[0], WAYS[0]);
    let vocab = model.vocab_size();
    let mut engine = Engine::new(model, tokenizer);
    let shared = engine.shared_tokenizer();
    let options = GenerateOptions {
        max_tokens: None,
        eos_ids: Vec::new(),
        ..jobs(vocab)[0].1.clone()
    };
    let prompts = [
        ids(1, 250, vocab),
        ids(2, 257, vocab),
        ids(3, 256, vocab),
        Vec::new(),
    ];
    let alone: Vec<_> = prompts
        .iter()
        .map(|p| engine.generate(p, &options, &|| false, &mut |_| true))
        .collect();
    let mut batch = Batch::new(&mut engine, &shared, 8);
    let mut finished = Vec::new();
    for (key, prompt) in prompts.iter().enumerate() {
        match batch.start(&mut engine, (key, prompt.clone()), &options, &|| false) {
            Started::Finished(one) => finished.push(one),
            started => assert!(matches!(started, Started::Running) && key == 0),
        }
    }
    while batch.live() > 0 {
        finished.extend(batch.step(&mut engine));
    }
    finished.sort_by_key(|one| one.key);
    for (one, alone) in finished.iter().zip(alone) {
        match (&one.answer, alone) {
            (Ok(a), Ok(b)) => {
                assert_eq!((&a.tokens, a.finish_reason), (&b.tokens, b.finish_reason));
                assert_eq!(a.finish_reason, FinishReason::Length);
            }
            (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
            (a, b) => panic!("{a:?} for {b:?}"),
        }
    }
    assert_eq!(finished.len(), 4);
}

#[test]
fn a_real_model_answers_many_prompts_as_it_answers_each() {
    for name in ["smollm2-135m", "qwen2.5-coder-0.5b"] {
        let Some(path) = crate::real::cached(name) else {
            continue;
        };
        let checkpoint = Checkpoint::open(&path).unwrap();
        let loader = Loader::new(&checkpoint, &LoadOptions::default()).unwrap();
        let model = crane::models::load(&loader, Some(1024)).unwrap();
        let mut engine = Engine::new(model, Tokenizer::open(&checkpoint).unwrap());
        let head =
            "You review code. Be brief, be kind, and say first what matters most. ".repeat(40);
        let jobs: Vec<_> = [
            "a list",
            "a loop in C",
            "",
            "an old program of somebody else",
            "x",
        ]
        .iter()
        .enumerate()
        .map(|(i, end)| {
            // All share a few hundred tokens, one more than a pass holds.
            let text = format!("{}{end}", &head[..[2500, 1200, 2700, 700, 900][i]]);
            let prompt = engine.tokenizer().encode(&text, true).unwrap();
            let options = GenerateOptions {
                sampling: SamplingSettings {
                    temperature: [0.0, 0.7][i % 2],
                    ..SamplingSettings::default()
                },
                max_tokens: Some(8 + i),
                ..jobs(1000)[i].1.clone()
            };
            (prompt, options)
        })
        .collect();
        let (outputs, reused) = together(&mut engine, &jobs, 3);
        assert!(reused > 400, "{name}: {reused}");
        for ((prompt, options), together) in jobs.iter().zip(outputs) {
            let empty = engine.generate(&[1u32][..], options, &|| false, &mut |_| true);
            empty.unwrap();
            let alone = engine.generate(prompt, options, &|| false, &mut |_| true);
            assert_eq!(alone.unwrap().tokens, together.tokens, "{name}");
        }
    }
}
