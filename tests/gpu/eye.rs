//! Image encoders on a GPU against those on this machine's CPU, behind every block and at the end.

use std::sync::Arc;

use crane::kernels::cuda::Gpu;
use crane::models::vision::Patches;
use crane::models::{self, Encoded, ImageEncoder};
use crane::weights::{Checkpoint, DTypeChoice, Format, LoadOptions, Loader};
use serde_json::json;

use super::{difference, gpu};

#[path = "../crane/vision/folder.rs"]
pub(super) mod folder;
#[path = "../crane/vision/gguf.rs"]
pub(super) mod gguf;

use folder::{model, NAMO, QWEN};

/// Numbers of a patch of 14 × 14 pixels.
const ROW: usize = 3 * 14 * 14;
/// Parts of the spread that float types may differ by.
const F32: f32 = 1e-3;
const HALVES: f32 = 4e-2;

fn load(
    checkpoint: &Checkpoint,
    gpu: Option<&Arc<Gpu>>,
    dtype: DTypeChoice,
) -> Box<dyn ImageEncoder> {
    let options = LoadOptions {
        gpu: gpu.cloned(),
        dtype,
        ..LoadOptions::default()
    };
    let loader = Loader::new(checkpoint, &options).unwrap();
    models::load_encoder(&loader).unwrap().unwrap()
}

/// Pixels as they are normalised: slopes with noise on them.
fn pixels(height: usize, width: usize) -> Vec<f32> {
    let noise = super::ids((height * width) as u64, height * width * ROW, 1 << 16);
    let number = |(at, noise): (usize, u32)| {
        let patch = at / ROW;
        let slope = (patch % width) as f32 / width as f32 - (patch / width) as f32 / height as f32;
        slope + noise as f32 / 32768.0 - 1.0
    };
    noise.into_iter().enumerate().map(number).collect()
}

/// The stages of an image, and its rows.
fn look(
    encoder: &mut dyn ImageEncoder,
    rows: &[f32],
    [height, width]: [usize; 2],
) -> (Vec<Vec<f32>>, Encoded) {
    let mut stages = Vec::new();
    let patches = Patches {
        rows,
        height,
        width,
    };
    let made = encoder.encode(patches, &mut |stage| {
        stages.push(stage.to_vec().unwrap());
        true
    });
    (stages, made.unwrap().unwrap())
}

/// Images of all `sizes` one after the other, so that memory is met again that held others.
fn compare(what: &str, checkpoint: &Checkpoint, dtype: DTypeChoice, sizes: &[[usize; 2]]) {
    let Some(gpu) = gpu() else { return };
    let bound = match dtype {
        DTypeChoice::F32 => F32,
        _ => HALVES,
    };
    let mut found = load(checkpoint, Some(&gpu), dtype);
    let mut exact = load(checkpoint, None, dtype);
    assert_eq!(found.width(), exact.width());
    for &size in sizes {
        let [height, width] = size;
        let rows = pixels(height, width);
        let (a_stages, a) = look(found.as_mut(), &rows, size);
        let (b_stages, b) = look(exact.as_mut(), &rows, size);
        let what = format!("{what} {dtype:?} {height} x {width}");
        assert_eq!(a_stages.len(), b_stages.len(), "{what}");
        let mut worst = 0f32;
        for (i, (a, b)) in a_stages.iter().zip(&b_stages).enumerate() {
            let off = difference(a, b);
            assert!(off <= bound, "{what}: stage {i}: {off} > {bound}");
            worst = worst.max(off);
        }
        assert_eq!((a.tokens, a.grid), (b.tokens, b.grid), "{what}");
        assert_eq!(found.rows(height, width), a.tokens, "{what}");
        let off = difference(&a.rows, &b.rows);
        println!("{what}: stages {worst:.2e}, rows {off:.2e} of the spread");
        assert!(off <= bound, "{what}: rows: {off} > {bound}");
    }
}

/// Qwen2.5-VL's encoder with real windows; heads of 80 numbers where `hidden` is 80 times `heads`.
fn qwen(hidden: usize, heads: usize, inner: usize, depth: usize, whole: &[usize]) -> Checkpoint {
    let out = 256;
    let config = json!({
        "model_type": "qwen2_5_vl", "hidden_size": out, "vocab_size": 1000, "image_token_id": 7,
        "num_attention_heads": 4, "num_key_value_heads": 4, "num_hidden_layers": 1,
        "intermediate_size": 512, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6,
        "vision_config": {
            "depth": depth, "hidden_size": hidden, "intermediate_size": inner, "num_heads": heads,
            "out_hidden_size": out, "fullatt_block_indexes": whole,
        },
    });
    let mut tensors = Vec::new();
    let mut add =
        |name: String, shape: &[usize]| tensors.push((format!("visual.{name}"), shape.to_vec()));
    add("patch_embed.proj.weight".into(), &[hidden, 3, 2, 14, 14]);
    for i in 0..depth {
        let mut layer = |name: &str, rows: usize, width: usize| {
            add(format!("blocks.{i}.{name}.weight"), &[rows, width]);
            add(format!("blocks.{i}.{name}.bias"), &[rows]);
        };
        layer("attn.qkv", 3 * hidden, hidden);
        layer("attn.proj", hidden, hidden);
        layer("mlp.gate_proj", inner, hidden);
        layer("mlp.up_proj", inner, hidden);
        layer("mlp.down_proj", hidden, inner);
        add(format!("blocks.{i}.norm1.weight"), &[hidden]);
        add(format!("blocks.{i}.norm2.weight"), &[hidden]);
    }
    add("merger.ln_q.weight".into(), &[hidden]);
    for (name, rows) in [("mlp.0", 4 * hidden), ("mlp.2", out)] {
        add(format!("merger.{name}.weight"), &[rows, 4 * hidden]);
        add(format!("merger.{name}.bias"), &[rows]);
    }
    Checkpoint::synthetic("synthetic", config, tensors, Format::F32).unwrap()
}

/// A tower of Namo's sizes with fewer blocks, with biases or without them.
fn namo(connector: &str, depth: usize, biases: bool) -> Checkpoint {
    let (hidden, inner, out) = (1024, 2816, 896);
    let config = json!({
        "model_type": "namo", "conn_ve_llm_type": connector,
        "text_config": {
            "hidden_size": out, "intermediate_size": 1024, "num_attention_heads": 14,
            "num_key_value_heads": 2, "num_hidden_layers": 1, "vocab_size": 1000,
        },
        "vision_config": {
            "model_type": "aimv2", "hidden_size": hidden, "intermediate_size": inner,
            "num_attention_heads": 8, "num_hidden_layers": depth + 1,
            "qkv_bias": biases, "use_bias": biases,
        },
    });
    let mut tensors = Vec::new();
    let mut add =
        |name: String, shape: &[usize]| tensors.push((format!("namo.{name}"), shape.to_vec()));
    let tower = "ve.vision_tower";
    let patchifier = format!("{tower}.preprocessor.patchifier");
    add(format!("{patchifier}.proj.weight"), &[hidden, 3, 14, 14]);
    add(format!("{patchifier}.proj.bias"), &[hidden]);
    add(format!("{patchifier}.norm.weight"), &[hidden]);
    for i in 0..depth {
        let mut layer = |name: &str, rows: usize, width: usize| {
            add(
                format!("{tower}.trunk.blocks.{i}.{name}.weight"),
                &[rows, width],
            );
            if biases {
                add(format!("{tower}.trunk.blocks.{i}.{name}.bias"), &[rows]);
            }
        };
        layer("attn.qkv", 3 * hidden, hidden);
        layer("attn.proj", hidden, hidden);
        layer("mlp.fc1", inner, hidden);
        layer("mlp.fc3", inner, hidden);
        layer("mlp.fc2", hidden, inner);
        for norm in ["norm_1", "norm_2"] {
            add(format!("{tower}.trunk.blocks.{i}.{norm}.weight"), &[hidden]);
        }
    }
    let at = "conn_ve_llm.layers";
    if connector.starts_with("pixelshuffle") {
        let (at, wide) = (format!("{at}.0.linear_proj"), 4 * hidden);
        add(format!("{at}.linear_proj.weight"), &[out, wide]);
        add(format!("{at}.norm1.weight"), &[out]);
        add(format!("{at}.norm1.bias"), &[out]);
        add(format!("{at}.gate_proj.weight"), &[wide, out]);
        add(format!("{at}.dense_h_to_4h.weight"), &[wide, out]);
        add(format!("{at}.dense_4h_to_h.weight"), &[out, wide]);
    } else {
        for (i, width) in [(0, hidden), (2, out)] {
            add(format!("{at}.layers.{i}.weight"), &[out, width]);
            add(format!("{at}.layers.{i}.bias"), &[out]);
        }
    }
    Checkpoint::synthetic("synthetic", config, tensors, Format::F32).unwrap()
}

const ALL: [DTypeChoice; 3] = [DTypeChoice::F32, DTypeChoice::BF16, DTypeChoice::F16];

#[test]
fn tiny_encoders() {
    if gpu().is_none() {
        return;
    }
    // One cell; several windows, some of them not full; a long strip.
    let qwen_sizes = [[2, 2], [10, 16], [18, 22], [2, 60]];
    let namo_sizes = [[1, 1], [9, 7], [16, 13]];
    let [qwen, namo] = [QWEN, NAMO].map(|name| Checkpoint::open(model(name)).unwrap());
    for dtype in ALL {
        compare("tiny Qwen", &qwen, dtype, &qwen_sizes);
        compare("tiny Namo", &namo, dtype, &namo_sizes);
    }
    // Query, key and value in matrices of their own.
    let folder = tempfile::tempdir().unwrap();
    let [_, projector] = gguf::write(folder.path());
    let projector = Checkpoint::open(&projector).unwrap();
    compare("tiny GGUF", &projector, DTypeChoice::F32, &qwen_sizes);
}

#[test]
fn qwen_with_heads_of_80_and_other_widths() {
    // Rows of the down projection are filled up: 852 and 426 are no multiples of eight.
    for (heads, head_dim, inner) in [(4, 80, 852), (4, 64, 426), (2, 96, 512), (3, 40, 256)] {
        let checkpoint = qwen(heads * head_dim, heads, inner, 3, &[1]);
        for dtype in ALL {
            let what = format!("Qwen {heads} x {head_dim}");
            // 390 and 1408 patches: windows of 64, of 48, 16 and 12, and tiles of the whole that are not full.
            compare(&what, &checkpoint, dtype, &[[30, 14], [32, 44], [6, 10]]);
        }
    }
}

#[test]
fn namo_at_its_own_sizes() {
    for (connector, biases) in [("pixelshuffle_2x", false), ("mlp2x_gelu", true)] {
        let checkpoint = namo(connector, 2, biases);
        for dtype in ALL {
            compare(
                &format!("Namo {connector}"),
                &checkpoint,
                dtype,
                &[[15, 13], [24, 37]],
            );
        }
    }
}

/// So many patches that blocks of the kernels take two tiles of queries each, and products are computed in parts.
#[test]
fn large_images() {
    let checkpoint = qwen(1280, 16, 3420, 2, &[1]);
    compare(
        "large Qwen",
        &checkpoint,
        DTypeChoice::BF16,
        &[[58, 62], [90, 98]],
    );
}

#[test]
fn heads_of_256_without_tensor_cores() {
    let checkpoint = qwen(512, 2, 256, 2, &[1]);
    for dtype in [DTypeChoice::F32, DTypeChoice::BF16] {
        compare("Qwen 2 x 256", &checkpoint, dtype, &[[14, 18]]);
    }
}

#[test]
fn an_interrupt_stops_between_blocks() {
    let Some(gpu) = gpu() else { return };
    let checkpoint = qwen(320, 4, 852, 4, &[1, 3]);
    let mut encoder = load(&checkpoint, Some(&gpu), DTypeChoice::F32);
    let rows = pixels(16, 16);
    let patches = Patches {
        rows: &rows,
        height: 16,
        width: 16,
    };
    for stop in [1, 2, 4] {
        let mut stages = 0;
        let made = encoder.encode(patches, &mut |_| {
            stages += 1;
            stages < stop
        });
        assert!(made.unwrap().is_none());
        assert_eq!(stages, stop);
    }
    // What was left behind does not disturb the next image.
    let (_, after) = look(encoder.as_mut(), &rows, [16, 16]);
    let mut fresh = load(&checkpoint, Some(&gpu), DTypeChoice::F32);
    let (_, exact) = look(fresh.as_mut(), &rows, [16, 16]);
    assert_eq!(after.rows, exact.rows);
}

#[test]
fn patches_of_another_shape_are_refused() {
    let Some(gpu) = gpu() else { return };
    let checkpoint = qwen(320, 4, 852, 1, &[0]);
    let mut encoder = load(&checkpoint, Some(&gpu), DTypeChoice::F32);
    for (rows, height, width) in [(0, 0, 0), (4, 2, 3), (6, 2, 3), (5, 2, 2)] {
        let rows = vec![0f32; rows * ROW];
        let patches = Patches {
            rows: &rows,
            height,
            width,
        };
        assert!(encoder.encode(patches, &mut |_| true).is_err());
    }
}
