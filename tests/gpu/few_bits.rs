//! Files in two and three bits a weight, which crane reads and does not make: one token, prompts and several sequences.

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use crane::kernels::CacheType;
use crane::weights::{Checkpoint, DTypeChoice};
use serde_json::json;

use super::{compare, gpu, load, recipe, together};

const HIDDEN: usize = 256;
const INNER: usize = 512;
const HEAD_DIM: usize = 64;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const VOCABULARY: usize = 120;
const LAYERS: usize = 2;

/// Name, shape and format of every tensor; that of a matrix is what `format` says of its name within a layer.
fn tensors(format: fn(&str) -> GgmlDType) -> Vec<(String, Vec<usize>, GgmlDType)> {
    let (queries, keys) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    let layer: [(&str, &[usize]); 9] = [
        ("attn_norm", &[HIDDEN]),
        ("ffn_norm", &[HIDDEN]),
        ("attn_q", &[queries, HIDDEN]),
        ("attn_k", &[keys, HIDDEN]),
        ("attn_v", &[keys, HIDDEN]),
        ("attn_output", &[HIDDEN, queries]),
        ("ffn_gate", &[INNER, HIDDEN]),
        ("ffn_up", &[INNER, HIDDEN]),
        ("ffn_down", &[HIDDEN, INNER]),
    ];
    let top: [(&str, &[usize]); 2] = [
        ("token_embd", &[VOCABULARY, HIDDEN]),
        ("output_norm", &[HIDDEN]),
    ];
    let layers = (0..LAYERS).flat_map(|i| layer.map(|row| (format!("blk.{i}."), row)));
    let all = top
        .map(|row| (String::new(), row))
        .into_iter()
        .chain(layers);
    all.map(|(before, (name, shape))| {
        let format = match shape {
            [_] => GgmlDType::F32,
            _ => format(name),
        };
        (format!("{before}{name}.weight"), shape.to_vec(), format)
    })
    .collect()
}

/// Writes a llama of such tensors, seeded numbers in which nothing lies at its default value.
fn write(folder: &Path, format: fn(&str) -> GgmlDType) -> PathBuf {
    let tensors = tensors(format);
    let rows = tensors.iter().map(|(name, shape, _)| {
        let (mean, deviation) = match shape[..] {
            [_] => (1.0, 0.1),
            _ => (0.0, 1.0 / (shape[1] as f64).sqrt()),
        };
        json!([name, shape, mean, deviation])
    });
    let numbers = recipe::tensors(&rows.collect());
    let quantised = tensors
        .iter()
        .zip(&numbers)
        .map(|((name, shape, format), numbers)| {
            let bytes = numbers.bytes();
            let numbers: Vec<f32> = bytes
                .chunks_exact(4)
                .map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]]))
                .collect();
            let tensor = Tensor::from_vec(numbers, shape.clone(), &Device::Cpu).unwrap();
            (name.as_str(), QTensor::quantize(&tensor, *format).unwrap())
        });
    let quantised: Vec<_> = quantised.collect();
    let number = |n: usize| Value::U32(n as u32);
    let metadata = [
        ("general.architecture", Value::String("llama".into())),
        ("llama.context_length", number(512)),
        ("llama.embedding_length", number(HIDDEN)),
        ("llama.feed_forward_length", number(INNER)),
        ("llama.block_count", number(LAYERS)),
        ("llama.attention.head_count", number(HEADS)),
        ("llama.attention.head_count_kv", number(KV_HEADS)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.rope.freq_base", Value::F32(10_000.0)),
    ];
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<_> = quantised
        .iter()
        .map(|(name, tensor)| (*name, tensor))
        .collect();
    let path = folder.join("model.gguf");
    let mut file = std::fs::File::create(&path).unwrap();
    gguf_file::write(&mut file, &metadata, &tensors).unwrap();
    path
}

/// On the GPU as it is stored, against the same numbers in f32 on the CPU and against each sequence by itself.
fn check(what: &str, format: fn(&str) -> GgmlDType) {
    let Some(gpu) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::open(&write(folder.path(), format)).unwrap();
    let stored = |cache| load(&checkpoint, Some(&gpu), DTypeChoice::Auto, None, cache);
    let exact = load(&checkpoint, None, DTypeChoice::F32, None, CacheType::F32);
    compare(what, stored(CacheType::F32), exact, 70, 1.5e-2);
    let mut model = stored(CacheType::F16);
    together::check(what, model.as_mut(), &together::LENS[..5], &[2, 5]);
}

#[test]
fn two_bits() {
    check("Q2_K", |_| GgmlDType::Q2K);
}

#[test]
fn three_bits() {
    check("Q3_K", |_| GgmlDType::Q3K);
}

/// As llama.cpp's files of two bits have them: matrices that one kernel multiplies are of several formats.
#[test]
fn a_mixture() {
    check("a mixture", |name| match name {
        "attn_v" => GgmlDType::Q4K,
        "attn_k" | "attn_output" | "ffn_down" | "ffn_up" => GgmlDType::Q3K,
        "token_embd" => GgmlDType::Q6K,
        _ => GgmlDType::Q2K,
    });
}
