//! A prompt whose numbers are not numbers fails alone: what is asked after it or beside it gets the answer that it gets
//! in a process of its own.

use std::path::{Path, PathBuf};

use crane::generate::{
    Batch, Engine, GenerateError, GenerateOptions, Output, SamplingSettings, Started,
};
use crane::kernels::CacheType;
use crane::weights::{DTypeChoice, Quant};

use super::ways::{load, way, Way};

/// The token whose row of the embedding table is damaged, so that its norm is not a number.
pub(crate) const BAD: u32 = 319;

/// A copy of a tiny model below `folder`, whose row holds nothing but `number`.
pub(crate) fn damaged(folder: &Path, number: f32) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/llama-rope3");
    let to = folder.join(format!("damaged-{number:e}"));
    if to.exists() {
        return to;
    }
    std::fs::create_dir(&to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    let weights = to.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let tensors: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let table = &tensors["model.embed_tokens.weight"];
    assert_eq!(table["dtype"], "F32");
    let width = table["shape"][1].as_u64().unwrap() as usize;
    let start = table["data_offsets"][0].as_u64().unwrap() as usize;
    let row = 8 + header + start + BAD as usize * width * 4;
    for place in bytes[row..row + width * 4].chunks_exact_mut(4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    std::fs::write(weights, bytes).unwrap();
    to
}

const WAYS: [Way; 6] = [
    way(DTypeChoice::F32, None, CacheType::F32),
    way(DTypeChoice::F32, None, CacheType::F16),
    way(DTypeChoice::BF16, None, CacheType::Q8_0),
    // These share a beginning with others beside them.
    way(DTypeChoice::F32, Some(Quant::Q8_0), CacheType::F16),
    way(DTypeChoice::F32, Some(Quant::Q8_0), CacheType::Q8_0),
    Way {
        tensors: true,
        ..way(DTypeChoice::F32, None, CacheType::F32)
    },
];

/// A damaged model below `folder`.
fn engine(folder: &Path, way: Way) -> Engine {
    let number = match way.quant {
        // What is infinite is refused where it is quantised; of this the block's scale, an f16, becomes so.
        Some(_) => 1e30,
        None => f32::INFINITY,
    };
    let (model, tokenizer) = load(&damaged(folder, number), way);
    Engine::new(model, tokenizer)
}

/// `len` ids, none of which is [`BAD`].
fn ids(start: u32, len: u32) -> Vec<u32> {
    (0..len).map(|i| (start + 37 * i) % 300).collect()
}

/// A beginning that all share, then what is asked.
fn prompt(own: &[u32]) -> Vec<u32> {
    [&ids(5, 40), own].concat()
}

fn greedy() -> GenerateOptions {
    GenerateOptions {
        sampling: SamplingSettings {
            temperature: 0.0,
            ..SamplingSettings::default()
        },
        seed: 0,
        max_tokens: Some(6),
        stop: Vec::new(),
        eos_ids: Vec::new(),
        logprobs: Some(1),
        vocabulary: None,
        constraint: None,
    }
}

/// Tokens, and the bits of their probabilities.
fn exact(output: &Output) -> (Vec<u32>, Vec<u64>) {
    let logprobs = output.logprobs.iter().map(|l| l.logprob.to_bits());
    (output.tokens.clone(), logprobs.collect())
}

/// Prompts that fail, with the token that is not a number at several distances from what is shared and from the end.
fn failing() -> Vec<Vec<u32>> {
    vec![
        prompt(&[BAD]),
        prompt(&[7, BAD, 9]),
        prompt(&[&ids(90, 3), &[BAD][..], &ids(11, 60)].concat()),
    ]
}

#[test]
fn a_prompt_that_fails_leaves_nothing_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let options = greedy();
    let good = prompt(&[7, 8, 9, 10]);
    for way in WAYS {
        let mut alone = engine(folder.path(), way);
        let mut generate =
            |prompt: &Vec<u32>| alone.generate(prompt, &options, &|| false, &mut |_| true);
        let expected = exact(&generate(&good).unwrap());
        for bad in failing() {
            let mut engine = engine(folder.path(), way);
            let mut generate =
                |prompt: &Vec<u32>| engine.generate(prompt, &options, &|| false, &mut |_| true);
            for _ in 0..2 {
                let failed = generate(&bad);
                assert!(
                    matches!(failed, Err(GenerateError::BadLogits { .. })),
                    "{way:?}"
                );
                let next = generate(&good);
                let next = next.unwrap_or_else(|error| panic!("{way:?} {bad:?}: {error}"));
                assert_eq!(exact(&next), expected, "{way:?} {bad:?}");
            }
        }
    }
}

#[test]
fn scores_that_fail_leave_nothing_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), WAYS[0]);
    let good = prompt(&[7, 8, 9, 10]);
    let options = greedy();
    let generate = |engine: &mut Engine| engine.generate(&good, &options, &|| false, &mut |_| true);
    let expected = exact(&generate(&mut engine).unwrap());
    for bad in failing() {
        // The last of them is not looked at.
        let scored = engine.score(&[&bad[..], &[1]].concat(), &|| false);
        assert!(matches!(scored, Err(GenerateError::BadLogits { .. })));
        assert_eq!(exact(&generate(&mut engine).unwrap()), expected);
        let answers = [vec![1, 2], vec![BAD, 1]];
        let chosen = engine.choose(&good, &answers, &[3], &|| false);
        assert!(matches!(chosen, Err(GenerateError::BadLogits { .. })));
        assert_eq!(exact(&generate(&mut engine).unwrap()), expected);
    }
}

#[test]
fn a_prompt_that_fails_takes_no_other_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = greedy();
    let good: Vec<Vec<u32>> = (0..3).map(|i| prompt(&ids(100 + i, 70 + i))).collect();
    for way in WAYS {
        let mut engine = engine(folder.path(), way);
        let mut expected = Vec::new();
        for prompt in &good {
            let output = engine.generate(prompt, &options, &|| false, &mut |_| true);
            expected.push(exact(&output.unwrap()));
            engine.forget();
        }
        let tokenizer = engine.shared_tokenizer();
        for parallel in [1, 2, 3] {
            let mut batch = Batch::new(&mut engine, &tokenizer, parallel);
            // Each good one between two that fail.
            let bad = failing().into_iter().map(|prompt| (None, prompt));
            let fine = good.iter().cloned().enumerate();
            let mixed = bad.zip(fine.map(|(i, prompt)| (Some(i), prompt)));
            let mut jobs = mixed.flat_map(|(bad, fine)| [bad, fine]);
            let mut keys = Vec::new();
            let (mut done, mut failed) = (0, 0);
            loop {
                let mut finished = Vec::new();
                while batch.has_room() {
                    let Some((key, prompt)) = jobs.next() else {
                        break;
                    };
                    keys.push(key);
                    let job = (keys.len() - 1, prompt);
                    match batch.start(&mut engine, job, &options, &|| false) {
                        Started::Finished(one) => finished.push(one),
                        Started::Running => {}
                        Started::Interrupted => unreachable!("nobody interrupts"),
                    }
                }
                if batch.live() == 0 && finished.is_empty() {
                    break;
                }
                finished.extend(batch.step(&mut engine));
                for one in finished {
                    match keys[one.key] {
                        None => {
                            assert!(one.answer.is_err());
                            failed += 1;
                        }
                        Some(i) => {
                            let output = one
                                .answer
                                .unwrap_or_else(|error| panic!("{way:?} {parallel} {i}: {error}"));
                            assert_eq!(exact(&output), expected[i], "{way:?} {parallel} {i}");
                            done += 1;
                        }
                    }
                }
            }
            assert_eq!((done, failed), (3, 3));
            batch.close(&mut engine);
        }
    }
}

#[test]
fn what_is_not_a_number_is_not_quantised() {
    let folder = tempfile::tempdir().unwrap();
    for number in [f32::NAN, f32::INFINITY] {
        let model = damaged(folder.path(), number);
        for quant in ["q8_0", "q4_0", "q4_k_m"] {
            let mut crane = crate::cli::crane();
            crane.arg("run").arg(&model).args(["a", "--quant", quant]);
            let words = ["model.embed_tokens.weight", "not finite"];
            crate::cli::fails(&mut crane, 6, &words);
        }
    }
}
