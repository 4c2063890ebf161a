//! Models of shapes that nobody publishes, against the CPU.

use crane::kernels::CacheType;
use crane::weights::{Checkpoint, DTypeChoice, Format, LoadOptions, Loader, Quant};
use serde_json::json;

use super::{compare, gpu, load};

/// Numbers drawn from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % n as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// A decoder of one or two layers, and what it is.
fn decoder(draw: &mut Draw) -> (Checkpoint, String) {
    let kind = draw.one(&["llama", "qwen2", "qwen3", "mistral"]);
    let kv_heads = 1 + draw.below(3);
    let heads = kv_heads * (1 + draw.below(9));
    let head_dim = 8 * (1 + draw.below(20));
    let step = draw.one(&[8, 16, 32, 32]);
    let hidden = step * (1 + draw.below(384 / step));
    let inner = step * (1 + draw.below(512 / step));
    let vocabulary = 100 + draw.below(500);
    let layers = 1 + draw.below(2);
    let tied = draw.below(2) == 0;
    let window = (kind == "mistral" && draw.below(2) == 0).then(|| 1 + draw.below(50));
    let qkv_bias = kind == "qwen2";
    let what = format!(
        "{kind} {heads}/{kv_heads} heads of {head_dim}, {hidden} wide, {inner} inside, {vocabulary} words, {layers} \
         layers, tied {tied}, window {window:?}"
    );
    let config = json!({
        "model_type": kind, "hidden_size": hidden, "intermediate_size": inner,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": head_dim, "vocab_size": vocabulary, "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": tied,
        "sliding_window": window, "hidden_act": "silu",
    });
    let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| tensors.push((name, shape.to_vec()));
    add("model.embed_tokens.weight".into(), &[vocabulary, hidden]);
    add("model.norm.weight".into(), &[hidden]);
    if !tied {
        add("lm_head.weight".into(), &[vocabulary, hidden]);
    }
    for layer in 0..layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        add(name("input_layernorm.weight"), &[hidden]);
        add(name("post_attention_layernorm.weight"), &[hidden]);
        for (part, rows) in [("q", queries), ("k", keys), ("v", keys)] {
            add(
                name(&format!("self_attn.{part}_proj.weight")),
                &[rows, hidden],
            );
            if qkv_bias {
                add(name(&format!("self_attn.{part}_proj.bias")), &[rows]);
            }
        }
        if kind == "qwen3" {
            add(name("self_attn.q_norm.weight"), &[head_dim]);
            add(name("self_attn.k_norm.weight"), &[head_dim]);
        }
        add(name("self_attn.o_proj.weight"), &[hidden, queries]);
        add(name("mlp.gate_proj.weight"), &[inner, hidden]);
        add(name("mlp.up_proj.weight"), &[inner, hidden]);
        add(name("mlp.down_proj.weight"), &[hidden, inner]);
    }
    let checkpoint = Checkpoint::synthetic("drawn", config, tensors, Format::F32).unwrap();
    (checkpoint, what)
}

/// How many of the models of `seeds` the GPU takes; those agree with the CPU's.
fn tried(seeds: std::ops::Range<u64>) -> usize {
    let Some(gpu) = gpu() else { return usize::MAX };
    let mut taken = 0;
    for seed in seeds {
        let mut draw = Draw(seed << 32);
        let (checkpoint, shape) = decoder(&mut draw);
        let (dtype, quant, bound) = draw.one(&[
            (DTypeChoice::F32, None, 1e-3),
            (DTypeChoice::F32, None, 1e-3),
            (DTypeChoice::BF16, None, 4e-2),
            (DTypeChoice::F16, None, 1e-2),
            (DTypeChoice::Auto, Some(Quant::Q8_0), 5e-2),
            (DTypeChoice::Auto, Some(Quant::Q4_0), 5e-2),
            (DTypeChoice::Auto, Some(Quant::Q4K), 5e-2),
            (DTypeChoice::Auto, Some(Quant::Q6K), 5e-2),
        ]);
        let cache = draw.one(&[CacheType::F32, CacheType::F16]);
        let len = 1 + draw.below(90);
        let what = format!(
            "{seed}: {shape}, {dtype:?} {quant:?} {} {len}",
            cache.name()
        );
        let options = LoadOptions {
            gpu: Some(gpu.clone()),
            dtype,
            quant,
            cache: Some(cache),
            ..LoadOptions::default()
        };
        let loader = Loader::new(&checkpoint, &options).unwrap();
        if let Err(refused) = crane::models::load(&loader, None) {
            let said = refused.to_string();
            assert!(said.contains("--device cpu"), "{what}: {said}");
            println!("{what}: {said}");
            continue;
        }
        let of = |gpu| load(&checkpoint, gpu, dtype, quant, cache);
        compare(&what, of(Some(&gpu)), of(None), len, bound);
        taken += 1;
    }
    taken
}

#[test]
fn models_of_any_shape() {
    assert!(tried(0..12) >= 6);
}

#[test]
#[ignore = "by hand: a quarter of an hour on an emulated GPU"]
fn more_models_of_any_shape() {
    assert!(tried(1000..1500) >= 250);
}
