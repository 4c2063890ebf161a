//! A checkpoint in a few words: how many parameters, in which types.

use super::checkpoint::Checkpoint;
use super::format::{Format, TensorInfo};

/// Names of `general.file_type` (llama.cpp's `llama_ftype`), for the types that crane computes with.
const FILE_TYPES: &[(usize, &str)] = &[
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (21, "Q2_K_S"),
    (32, "BF16"),
];

impl Checkpoint {
    /// Numbers in all tensors that hold weights, as stored (a tied head that the file repeats counts
    /// twice); integer buffers do not count.
    pub fn parameters(&self) -> u64 {
        self.tensors()
            .filter(|t| !is_buffer(t))
            .map(numbers)
            .fold(0, u64::saturating_add)
    }

    /// The name of the quantisation: as a GGUF file states it (`Q4_K_M`), else the type that holds the
    /// most numbers (`BF16`). None without tensors.
    pub fn quantization(&self) -> Option<&'static str> {
        let stated = self
            .metadata()
            .and_then(|m| m.usize("general.file_type"))
            .and_then(|id| FILE_TYPES.iter().find(|(known, _)| *known == id))
            .map(|(_, name)| *name);
        stated.or_else(|| Some(dominant(self.tensors().filter(|t| !is_buffer(t)))?.name()))
    }
}

fn is_buffer(tensor: &TensorInfo) -> bool {
    let name = tensor.format.name();
    matches!(name, "I8" | "I16" | "I32" | "I64" | "BOOL")
}

fn numbers(tensor: &TensorInfo) -> u64 {
    tensor
        .shape
        .iter()
        .fold(1u64, |n, &d| n.saturating_mul(d as u64))
}

/// The format that most numbers of `tensors` are stored in.
pub(super) fn dominant<'t>(tensors: impl Iterator<Item = &'t TensorInfo>) -> Option<Format> {
    let mut sums: Vec<(Format, u64)> = Vec::new();
    for tensor in tensors {
        match sums.iter_mut().find(|(f, _)| *f == tensor.format) {
            Some((_, sum)) => *sum = sum.saturating_add(numbers(tensor)),
            None => sums.push((tensor.format, numbers(tensor))),
        }
    }
    sums.into_iter().max_by_key(|(_, n)| *n).map(|(f, _)| f)
}
