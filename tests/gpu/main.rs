//! An NVIDIA GPU against this machine's CPU. Where there is no GPU each test says so and passes.

mod convolution;
#[cfg(target_os = "linux")]
mod emulated;
mod eye;
mod few_bits;
mod kept;
mod listener;
mod memory;
mod pretended;
#[cfg(target_os = "linux")]
mod races;
#[path = "../crane/recipe.rs"]
mod recipe;
mod shapes;
mod together;
mod voice;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crane::kernels::cuda::Gpu;
use crane::kernels::CacheType;
use crane::models::LanguageModel;
use crane::weights::{Checkpoint, DTypeChoice, Format, LoadOptions, Loader, Quant};
use serde_json::json;

/// The first GPU, if there is one that works.
fn gpu() -> Option<Arc<Gpu>> {
    static GPU: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    let found = GPU.get_or_init(|| match Gpu::open(0) {
        Ok(gpu) => Some(gpu),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    });
    found.clone()
}

/// The sizes of a model.
#[derive(Clone, Copy)]
struct Sizes {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    qwen3: bool,
    inner: usize,
    vocabulary: usize,
    layers: usize,
    /// Tokens that every layer but the first sees.
    window: Option<usize>,
}

fn synthetic(
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    qwen3: bool,
    inner: usize,
) -> Checkpoint {
    seeded(Sizes {
        heads,
        kv_heads,
        head_dim,
        qwen3,
        inner,
        vocabulary: 1000,
        layers: 2,
        window: None,
    })
}

/// Gain, bias and weights as seeded numbers, nothing at its default value.
fn seeded(sizes: Sizes) -> Checkpoint {
    let Sizes {
        heads,
        kv_heads,
        head_dim,
        qwen3,
        inner,
        vocabulary,
        layers,
        window,
    } = sizes;
    let hidden = heads * head_dim;
    let model_type = if qwen3 { "qwen3" } else { "qwen2" };
    let config = json!({
        "model_type": model_type, "hidden_size": hidden, "intermediate_size": inner,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": head_dim, "vocab_size": vocabulary, "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true,
        "use_sliding_window": window.is_some(), "sliding_window": window, "max_window_layers": 1,
    });
    let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
    let mut tensors = vec![
        (
            "model.embed_tokens.weight".to_string(),
            vec![vocabulary, hidden],
        ),
        ("model.norm.weight".to_string(), vec![hidden]),
    ];
    for layer in 0..layers {
        let mut add = |name: &str, shape: &[usize]| {
            tensors.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
        };
        add("input_layernorm.weight", &[hidden]);
        add("post_attention_layernorm.weight", &[hidden]);
        for (name, rows) in [("q", queries), ("k", keys), ("v", keys)] {
            add(&format!("self_attn.{name}_proj.weight"), &[rows, hidden]);
            if !qwen3 {
                add(&format!("self_attn.{name}_proj.bias"), &[rows]);
            }
        }
        if qwen3 {
            add("self_attn.q_norm.weight", &[head_dim]);
            add("self_attn.k_norm.weight", &[head_dim]);
        }
        add("self_attn.o_proj.weight", &[hidden, queries]);
        add("mlp.gate_proj.weight", &[inner, hidden]);
        add("mlp.up_proj.weight", &[inner, hidden]);
        add("mlp.down_proj.weight", &[hidden, inner]);
    }
    Checkpoint::synthetic("synthetic", config, tensors, Format::F32).unwrap()
}

fn load(
    checkpoint: &Checkpoint,
    gpu: Option<&Arc<Gpu>>,
    dtype: DTypeChoice,
    quant: Option<Quant>,
    cache: CacheType,
) -> Box<dyn LanguageModel> {
    let options = LoadOptions {
        gpu: gpu.cloned(),
        dtype,
        quant,
        cache: Some(cache),
        ..LoadOptions::default()
    };
    let loader = Loader::new(checkpoint, &options).unwrap();
    let context = crane::models::summary(checkpoint).unwrap().context_length;
    crane::models::load(&loader, Some(context.min(4096))).unwrap()
}

fn ids(seed: u64, len: usize, vocabulary: usize) -> Vec<u32> {
    let mut state = seed.wrapping_mul(2) | 1;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            ((state >> 33) % vocabulary as u64) as u32
        })
        .collect()
}

/// The largest difference in parts of the spread of `expected`.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let (low, high) = expected
        .iter()
        .fold((f32::MAX, f32::MIN), |(l, h), &x| (l.min(x), h.max(x)));
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let worst = worst.fold(
        0f32,
        |a, b| if b.is_nan() { f32::INFINITY } else { a.max(b) },
    );
    worst / (high - low)
}

fn row(model: &mut dyn LanguageModel, tokens: &[u32]) -> Vec<f32> {
    model.forward(tokens).unwrap().to_vec1().unwrap()
}

/// A prompt of `len` tokens, then steps (the third and later ones as recorded), a roll-back, another part of a prompt and
/// one more step.
fn compare(
    what: &str,
    mut a: Box<dyn LanguageModel>,
    mut b: Box<dyn LanguageModel>,
    len: usize,
    bound: f32,
) {
    let vocabulary = b.vocab_size();
    let room = b.context() - 40;
    let prompt = ids(1, len.min(room), vocabulary);
    let mut worst = Vec::new();
    let mut check = |part: String, a: Vec<f32>, b: Vec<f32>| {
        let off = difference(&a, &b);
        worst.push(off);
        assert!(off <= bound, "{what}: {part}: {off} > {bound}");
    };
    check(
        "prompt".into(),
        row(a.as_mut(), &prompt),
        row(b.as_mut(), &prompt),
    );
    for (i, token) in ids(2, 6, vocabulary).into_iter().enumerate() {
        check(
            format!("step {i}"),
            row(a.as_mut(), &[token]),
            row(b.as_mut(), &[token]),
        );
    }
    let kept = prompt.len() / 2;
    a.truncate(kept);
    b.truncate(kept);
    let more = ids(3, 19, vocabulary);
    check(
        "second part".into(),
        row(a.as_mut(), &more),
        row(b.as_mut(), &more),
    );
    check(
        "last step".into(),
        row(a.as_mut(), &[7]),
        row(b.as_mut(), &[7]),
    );
    let worst = worst.into_iter().fold(0f32, f32::max);
    println!("{what}: {worst:.2e} of the spread");
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    let folder = match folder.exists() {
        true => folder,
        // The test was built elsewhere.
        false => PathBuf::from("tests/fixtures/models"),
    };
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
    models
}

#[test]
fn every_tiny_model_in_f32() {
    let Some(gpu) = gpu() else { return };
    for path in fixtures() {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let of = |gpu| load(&checkpoint, gpu, DTypeChoice::F32, None, CacheType::F32);
        compare(&name, of(Some(&gpu)), of(None), 70, 1e-3);
    }
}

#[test]
fn tiny_quantised_models_as_they_are_stored() {
    let Some(gpu) = gpu() else { return };
    for path in fixtures() {
        let checkpoint = Checkpoint::open(&path).unwrap();
        if !checkpoint.tensors().any(|info| info.format.is_quantized()) {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let found = load(
            &checkpoint,
            Some(&gpu),
            DTypeChoice::Auto,
            None,
            CacheType::F32,
        );
        let exact = load(&checkpoint, None, DTypeChoice::F32, None, CacheType::F32);
        compare(&format!("{name} stored"), found, exact, 70, 3e-2);
    }
}

#[test]
fn heads_of_all_shapes() {
    let Some(gpu) = gpu() else { return };
    // Groups of 7, 8, 3, 1, 2 and 16; heads of 64, 128, 96, 256 and 80 numbers.
    let shapes = [
        (14, 2, 64, false),
        (16, 2, 128, false),
        (9, 3, 64, true),
        (4, 4, 96, true),
        (8, 4, 256, false),
        (16, 1, 80, false),
    ];
    // An emulated GPU takes minutes for what a real one does in milliseconds.
    let (longest, inner) = match gpu.info().name.as_str() {
        "Emulated" => (80, 384),
        _ => (usize::MAX, 1536),
    };
    for (heads, kv_heads, head_dim, qwen3) in shapes {
        let checkpoint = synthetic(heads, kv_heads, head_dim, qwen3, inner);
        let what = format!("{heads}/{kv_heads} heads of {head_dim}");
        for (dtype, cache, len, bound) in [
            (DTypeChoice::F32, CacheType::F32, 300, 1e-3),
            (DTypeChoice::F32, CacheType::F16, 100, 1e-3),
            (DTypeChoice::BF16, CacheType::F16, 130, 3e-2),
            (DTypeChoice::F16, CacheType::F16, 1500, 1e-2),
        ] {
            let of = |gpu| load(&checkpoint, gpu, dtype, None, cache);
            let what = format!("{what} {dtype:?} {} {len}", cache.name());
            compare(&what, of(Some(&gpu)), of(None), len.min(longest), bound);
        }
    }
}

#[test]
fn quantised_at_load() {
    let Some(gpu) = gpu() else { return };
    let checkpoint = synthetic(16, 2, 128, false, 2560);
    for quant in [
        Quant::Q8_0,
        Quant::Q4_0,
        Quant::Q4K,
        Quant::Q4KM,
        Quant::Q6K,
    ] {
        let of = |gpu| {
            load(
                &checkpoint,
                gpu,
                DTypeChoice::Auto,
                Some(quant),
                CacheType::F16,
            )
        };
        compare(&format!("{quant}"), of(Some(&gpu)), of(None), 100, 4e-2);
    }
}

#[test]
fn a_part_of_the_vocabulary_and_all_positions() {
    let Some(gpu) = gpu() else { return };
    let checkpoint = synthetic(14, 2, 64, false, 1536);
    let of = |gpu| load(&checkpoint, gpu, DTypeChoice::F32, None, CacheType::F32);
    let (mut a, mut b) = (of(Some(&gpu)), of(None));
    let prompt = ids(5, 90, 1000);
    let all = |model: &mut Box<dyn LanguageModel>| -> Vec<Vec<f32>> {
        model.forward_all(&prompt).unwrap().to_vec2().unwrap()
    };
    for (x, y) in all(&mut a).iter().zip(all(&mut b)) {
        assert!(difference(x, &y) < 1e-3);
    }
    for model in [&mut a, &mut b] {
        model.restrict(Some(100..333));
    }
    for token in 0..4 {
        let (x, y) = (row(a.as_mut(), &[token]), row(b.as_mut(), &[token]));
        assert!(x[..100]
            .iter()
            .chain(&x[333..])
            .all(|x| *x == f32::NEG_INFINITY));
        assert!(difference(&x[100..333], &y[100..333]) < 1e-3);
    }
    a.restrict(None);
    b.restrict(None);
    let (x, y) = (row(a.as_mut(), &[9]), row(b.as_mut(), &[9]));
    assert!(difference(&x, &y) < 1e-3);
}
