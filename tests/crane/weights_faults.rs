//! Damaged weight files: each gets one clear line with the file, what is wrong and the remedy, and costs
//! neither a panic nor memory.

mod folders;
mod mutations;

use std::path::Path;

use candle_core::Device;
use crane::weights::{Checkpoint, DTypeChoice, LoadOptions, Loader, WeightsError};

use crate::weights::made::{self, Gguf};

const REMEDY: &str =
    "fetch it again with 'crane pull --force MODEL' or 'crane verify --repair MODEL'";

/// The message for `file`, without the name of the folder it is in, which differs from run to run.
fn message(file: &Path) -> String {
    let folder = if file.is_dir() {
        file
    } else {
        file.parent().unwrap()
    };
    let error = match Checkpoint::open(file) {
        Ok(_) => panic!("{} opened", file.display()),
        Err(error) => error.to_string(),
    };
    assert!(!error.contains('\n'), "{error}");
    error.replace(&format!("{}/", folder.display()), "")
}

/// The message for a GGUF file of these bytes, called `m.gguf`.
fn gguf_message(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.gguf");
    std::fs::write(&file, bytes).unwrap();
    message(&file)
}

fn auto() -> LoadOptions {
    LoadOptions {
        device: Device::Cpu,
        dtype: DTypeChoice::Auto,
        quant: None,
        ..LoadOptions::default()
    }
}

fn changed(change: impl Fn(&mut Gguf)) -> Vec<u8> {
    let mut file = Gguf::small();
    change(&mut file);
    file.bytes()
}

/// The message for a folder whose `model.safetensors` is these bytes.
fn safetensors_message(bytes: &[u8]) -> String {
    message(made::folder(bytes).path())
}

#[test]
fn a_gguf_file_cut_short_says_so_wherever_it_is_cut() {
    let whole = Gguf::small().bytes();
    for keep in [
        0,
        1,
        4,
        7,
        whole.len() / 100,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        let error = gguf_message(&whole[..keep]);
        let said = error.contains("cut short") || (keep == 0 && error.contains("is empty"));
        assert!(said && error.ends_with(REMEDY), "{keep}: {error}");
    }
    assert_eq!(
        gguf_message(&whole[..whole.len() - 1]),
        format!(
            "m.gguf: the file is cut short: {} of {} bytes (tensor 'token_embd.weight' reaches past the end); {REMEDY}",
            whole.len() - 1,
            whole.len()
        )
    );
    assert_eq!(
        gguf_message(&whole[..30]),
        format!("m.gguf: the file is cut short or damaged: its header declares 3 tensors, more than the 6 bytes after byte 24 can hold; {REMEDY}")
    );
    assert_eq!(
        gguf_message(b""),
        format!("m.gguf: the file is empty; {REMEDY}")
    );
    assert_eq!(
        gguf_message(b"GG"),
        format!("m.gguf: the file is cut short: 2 bytes hold not even the magic number; {REMEDY}")
    );
}

#[test]
fn what_is_not_gguf_is_told_apart() {
    let cases: [(Vec<u8>, &str); 7] = [
        (
            changed(|f| f.magic = *b"FUGG"),
            "not a GGUF file: it begins with the bytes 46 55 47 47 instead of 'GGUF'; ",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n".to_vec(),
            "not a GGUF file: it is a git-lfs pointer, not the file itself; ",
        ),
        (
            b"<!DOCTYPE html>".to_vec(),
            "not a GGUF file: it is a web page, not a model; ",
        ),
        (
            changed(|f| f.version = 1),
            "GGUF version 1, which crane does not read (it reads 2 and 3); use a newer conversion of the model",
        ),
        (
            changed(|f| f.version = 4),
            "GGUF version 4, which crane does not read (it reads 2 and 3); use another conversion of the model",
        ),
        (
            changed(|f| f.version = 3u32.swap_bytes()),
            "a big-endian GGUF file, which crane does not read; use the little-endian one",
        ),
        (
            changed(|f| f.tensors[0].kind = 31),
            "unsupported tensor type 31 of tensor 'output_norm.weight'; use another quantisation of the model",
        ),
    ];
    for (bytes, expected) in cases {
        let remedy = if expected.ends_with("; ") { REMEDY } else { "" };
        assert_eq!(gguf_message(&bytes), format!("m.gguf: {expected}{remedy}"));
    }
}

#[test]
fn absurd_numbers_in_a_gguf_header_are_refused_by_name() {
    const HUGE: u64 = 1 << 60;
    let left = |change: fn(&mut Gguf)| changed(change).len() - 24;
    let huge_string = {
        let mut value = HUGE.to_le_bytes().to_vec();
        value.extend(b"abc");
        value
    };
    let cases: Vec<(Vec<u8>, String)> = vec![
        (
            changed(|f| f.n_tensors = Some(HUGE)),
            format!("the file is cut short or damaged: its header declares {HUGE} tensors, more than the {} bytes after byte 24 can hold", left(|_| ())),
        ),
        (
            changed(|f| f.n_pairs = Some(HUGE)),
            format!("the file is cut short or damaged: its header declares {HUGE} metadata keys, more than the {} bytes after byte 24 can hold", left(|_| ())),
        ),
        (
            changed(|f| f.pairs[0].2 = huge_string.clone()),
            format!("the file is cut short or damaged: its header wants {HUGE} bytes for general.architecture at byte 64 of {}", changed(|f| f.pairs[0].2 = huge_string.clone()).len()),
        ),
        (
            changed(|f| f.pairs[2].2 = made::array(made::STRING, HUGE, b"")),
            format!("the file is cut short or damaged: its header declares {HUGE} values of 'tokenizer.ggml.tokens', more than the "),
        ),
        (
            changed(|f| f.pairs[1].1 = 77),
            "metadata key 'qwen2.block_count' has the unknown value type 77 at byte ".to_string(),
        ),
        (
            changed(|f| {
                let deep = (0..9).fold(made::array(0, 0, b""), |a, _| made::array(made::ARRAY, 1, &a));
                f.pair("deep", made::ARRAY, deep);
            }),
            "metadata key 'deep' nests arrays deeper than 4".to_string(),
        ),
        (
            changed(|f| f.pair("qwen2.block_count", made::U32, vec![0; 4])),
            "metadata key 'qwen2.block_count' is there twice".to_string(),
        ),
        (
            changed(|f| f.pair("general.alignment", made::U32, 24u32.to_le_bytes().to_vec())),
            "general.alignment is 24, which is no power of two from 8 to 1048576".to_string(),
        ),
        (
            changed(|f| f.pair("general.alignment", made::U32, 0u32.to_le_bytes().to_vec())),
            "general.alignment is 0, which is no power of two from 8 to 1048576".to_string(),
        ),
        (
            changed(|f| f.tensors[0].dims = vec![HUGE, HUGE]),
            format!("tensor 'output_norm.weight': the shape [{HUGE}, {HUGE}] is absurdly large"),
        ),
        (
            changed(|f| f.tensors[0].dims = vec![HUGE]),
            format!("the file is cut short: {} of ", changed(|_| ()).len()),
        ),
        (
            changed(|f| f.tensors[0].dims = vec![0]),
            "tensor 'output_norm.weight': a dimension of 0".to_string(),
        ),
        (
            changed(|f| f.tensors[0].dims = vec![2; 5]),
            "tensor 'output_norm.weight': 5 dimensions, GGUF has 4 at most".to_string(),
        ),
        (
            changed(|f| f.tensors[1].dims = vec![33, 4]),
            "tensor 'blk.0.attn_q.weight': a row of 33 numbers is no multiple of the 32 numbers in a block of Q8_0".to_string(),
        ),
        (
            changed(|f| f.tensors[1].offset = Some(1 << 50)),
            format!("tensor 'blk.0.attn_q.weight' ends at byte {} of the data, past the 672 bytes that all tensors take", (1u64 << 50) + 136),
        ),
        (
            changed(|f| f.tensors[1].offset = Some(u64::MAX - 31)),
            format!("tensor 'blk.0.attn_q.weight' ends at byte {} of the data, past the 672 bytes that all tensors take", u128::from(u64::MAX) + 105),
        ),
        (
            changed(|f| f.tensors[1].offset = Some(129)),
            "tensor 'blk.0.attn_q.weight' begins at byte 129 of the data, no multiple of the alignment 32".to_string(),
        ),
        (
            changed(|f| f.tensors[1].name = "output_norm.weight".into()),
            "tensor 'output_norm.weight' is there twice".to_string(),
        ),
    ];
    for (bytes, expected) in cases {
        let error = gguf_message(&bytes);
        assert!(
            error.starts_with(&format!("m.gguf: {expected}")),
            "{error}\nexpected {expected}"
        );
        assert!(error.ends_with(REMEDY), "{error}");
    }
}

/// Counts that the address space could hold but the file cannot must not be allocated, not even lazily.
#[cfg(target_os = "linux")]
#[test]
fn a_large_count_costs_no_memory() {
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|l| l.starts_with("VmPeak:")).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            / 1024
    };
    let before = peak();
    let large: u64 = 1 << 33;
    for bytes in [
        changed(|f| f.n_tensors = Some(large)),
        changed(|f| f.n_pairs = Some(large)),
        changed(|f| f.pairs[2].2 = made::array(made::STRING, large, b"")),
        changed(|f| f.pairs[2].2 = made::array(0, large, b"")),
        changed(|f| f.tensors[0].dims = vec![large]),
    ] {
        gguf_message(&bytes);
    }
    let header = format!(
        r#"{{"a":{{"dtype":"F32","shape":[{large}],"data_offsets":[0,{}]}}}}"#,
        large * 4
    );
    safetensors_message(&made::safetensors(&header, b""));
    safetensors_message(&large.to_le_bytes());
    // Each of these would be 64 GiB or more.
    let grown = peak() - before;
    assert!(grown < 32 * 1024, "{grown} MiB more address space");
}

#[test]
fn split_gguf_parts_that_do_not_belong_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut part = Gguf::small();
    part.pair("split.no", 2, vec![0, 0]);
    part.pair("split.count", 2, vec![3, 0]);
    let alone = part.write(folder.path(), "renamed.gguf");
    assert_eq!(
        message(&alone),
        "renamed.gguf: this is one part of 3; give all parts their names back (NAME-00001-of-00003.gguf, …) and put them in one folder"
    );
    let first = part.write(folder.path(), "m-00001-of-00002.gguf");
    part.write(folder.path(), "m-00002-of-00002.gguf");
    assert_eq!(
        message(&first),
        format!("m-00001-of-00002.gguf: by its name it is part 1 of 2, by its header part 1 of 3; {REMEDY}")
    );
    part.pairs.last_mut().unwrap().2 = vec![2, 0];
    part.write(folder.path(), "m-00001-of-00002.gguf");
    part.pairs[3].2 = vec![1, 0];
    part.write(folder.path(), "m-00002-of-00002.gguf");
    assert_eq!(
        message(&first),
        "m-00002-of-00002.gguf: tensor 'output_norm.weight' is in another file of the model too; remove the file that does not belong to it"
    );
}

#[test]
fn a_tensor_that_does_not_fit_the_model_is_named() {
    let mut file = Gguf::small();
    file.tensor("blk.0.ffn_up.weight", &[256, 1], 17, vec![0; 74]);
    let folder = tempfile::tempdir().unwrap();
    let path = file.write(folder.path(), "m.gguf");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let loader = Loader::new(&checkpoint, &auto()).unwrap();
    let layer = loader.under("model.layers.0");
    let said = |error: WeightsError| {
        error
            .to_string()
            .replace(&path.display().to_string(), "m.gguf")
    };
    assert_eq!(
        said(layer.matrix("self_attn.k_proj.weight", 2, 32).unwrap_err()),
        format!("m.gguf: has no tensor 'model.layers.0.self_attn.k_proj.weight' (here 'blk.0.attn_k.weight') of shape [2, 32], which this architecture needs; {REMEDY}")
    );
    assert_eq!(
        said(layer.matrix("self_attn.q_proj.weight", 32, 4).unwrap_err()),
        format!("m.gguf: tensor 'blk.0.attn_q.weight' has shape [4, 32] where the model's configuration asks for [32, 4]; {REMEDY}")
    );
    assert_eq!(
        said(layer.optional("self_attn.q_proj.weight", &[4]).unwrap_err()),
        format!("m.gguf: tensor 'blk.0.attn_q.weight' has shape [4, 32] where the model's configuration asks for [4]; {REMEDY}")
    );
    assert_eq!(
        said(layer.matrix("mlp.up_proj.weight", 1, 256).unwrap_err()),
        "m.gguf: unsupported tensor type IQ2_XS of tensor 'blk.0.ffn_up.weight'; use another quantisation of the model"
    );
}
