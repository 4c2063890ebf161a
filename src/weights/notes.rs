//! What loading will do to the stored numbers, decided from the headers before any is read.

use std::collections::BTreeMap;

use candle_core::DType;

use super::checkpoint::Checkpoint;
use super::describe::dominant;
use super::format::{quantized_name, Format, TensorInfo};
use super::mix::Mix;
use super::options::LoadOptions;

/// Whether a tensor is the embedding or the output head, by Hugging Face's name or GGUF's.
pub(super) fn is_vocabulary(name: &str) -> bool {
    let stem = name.strip_suffix(".weight").unwrap_or(name);
    stem.ends_with("embed_tokens")
        || stem.ends_with("lm_head")
        || stem == "token_embd"
        || stem == "output"
}

/// The tensors that [`super::Loader::matrix`] may be asked for.
pub(super) fn matrices(checkpoint: &Checkpoint) -> impl Iterator<Item = &TensorInfo> {
    checkpoint
        .tensors()
        .filter(|t| t.shape.len() == 2 && t.name.ends_with(".weight"))
}

/// Whether a tensor belongs to an image encoder, which `--quant` leaves as it is stored.
pub fn is_encoder(name: &str) -> bool {
    ["visual.", "model.visual.", "namo.ve.", "namo.conn_ve_llm."]
        .iter()
        .any(|start| name.starts_with(start))
}

/// See [`super::Loader::dtype`].
pub(super) fn activation_dtype(checkpoint: &Checkpoint, options: &LoadOptions) -> DType {
    if options.quant.is_some() || options.device.is_cpu() {
        return DType::F32;
    }
    if let Some(dtype) = options.dtype.explicit() {
        return dtype;
    }
    if matrices(checkpoint).any(|t| t.format.is_quantized()) {
        return DType::F32;
    }
    match dominant(matrices(checkpoint)) {
        Some(Format::F16) => DType::F16,
        Some(Format::BF16) => DType::BF16,
        _ => DType::F32,
    }
}

/// See [`super::Loader::notes`].
pub(super) fn notes(checkpoint: &Checkpoint, options: &LoadOptions) -> Vec<String> {
    let mut notes = Vec::new();
    match (options.quant, options.dtype.explicit()) {
        (Some(_), explicit) => {
            quantised_at_load(checkpoint, options, &mut notes);
            if let Some(dtype) = explicit.filter(|d| *d != DType::F32) {
                notes.push(format!(
                    "with --quant activations are computed in f32; --dtype {} has no effect",
                    dtype.as_str()
                ));
            }
        }
        (None, Some(dtype)) => {
            let stored: Vec<&TensorInfo> = matrices(checkpoint)
                .filter(|t| t.format.is_quantized())
                .collect();
            if !stored.is_empty() {
                notes.push(format!(
                    "quantised weights ({}) are dequantised to {}",
                    histogram(stored.iter().map(|t| t.format.name())),
                    dtype.as_str()
                ));
            }
        }
        (None, None) => {}
    }
    notes
}

/// What `--quant` makes of each matrix.
fn quantised_at_load(checkpoint: &Checkpoint, options: &LoadOptions, notes: &mut Vec<String>) {
    let Some(quant) = options.quant else { return };
    let mix = Mix::new(quant, checkpoint);
    let mut made = Vec::new();
    let mut again = Vec::new();
    let mut float = 0usize;
    for t in matrices(checkpoint).filter(|t| !is_encoder(&t.name)) {
        let width = t.shape.last().copied().unwrap_or(0);
        match mix.block_type(&t.name, width) {
            Some(target) if t.format == Format::Quantized(target) => {}
            Some(target) => {
                made.push(quantized_name(target));
                if t.format.is_quantized() {
                    again.push(t.format.name());
                }
            }
            None if !t.format.is_quantized() => float += 1,
            None => {}
        }
    }
    if !made.is_empty() {
        notes.push(format!(
            "--quant {quant}: matrices are quantised at load to {}",
            histogram(made.into_iter())
        ));
    }
    if !again.is_empty() {
        notes.push(format!(
            "the file is quantised already ({}): quantising again loses accuracy",
            histogram(again.into_iter())
        ));
    }
    if float > 0 {
        notes.push(format!(
            "{float} matrices stay float: their width is no multiple of 32"
        ));
    }
}

/// `Q4_1 ×210, F32 ×61`, the most frequent first.
pub fn histogram<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    counts
        .into_iter()
        .map(|(name, n)| format!("{name} ×{n}"))
        .collect::<Vec<_>>()
        .join(", ")
}
