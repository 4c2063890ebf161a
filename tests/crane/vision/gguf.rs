//! The tiny Qwen2.5-VL as llama.cpp's converter writes it: a model, and a file that reads its images.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::folder::{read_json, QWEN};
use crate::recipe::{self, Tensor};

/// Writes both files to `folder`.
pub fn write(folder: &Path) -> [PathBuf; 2] {
    let about = read_json("gguf.json");
    let recipe = read_json(&format!("{QWEN}/recipe.json"));
    let tensors = recipe::tensors(&recipe["model.safetensors"]);
    let files = [
        ("text", "tiny-f32.gguf"),
        ("mmproj", "mmproj-tiny-f32.gguf"),
    ];
    files.map(|(part, name)| {
        let path = folder.join(name);
        let metadata = about[format!("{part}.metadata")].as_array().unwrap();
        let rows = about[format!("{part}.tensors")].as_array().unwrap();
        let parts: Vec<Part> = rows.iter().map(|row| Part::of(row, &tensors)).collect();
        std::fs::write(&path, file(metadata, &parts)).unwrap();
        path
    })
}

/// A tensor of the file.
struct Part {
    name: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Part {
    fn of(row: &Value, tensors: &[Tensor]) -> Self {
        let source = row[1].as_str().unwrap();
        let tensor = tensors.iter().find(|t| t.name == source).unwrap();
        let (mut shape, mut bytes) = (tensor.shape.clone(), tensor.bytes());
        if let Some(axis) = row[2].as_u64() {
            let axis = axis as usize;
            let [start, end] = [3, 4].map(|i| row[i].as_u64().unwrap() as usize);
            let inner = 4 * shape[axis + 1..].iter().product::<usize>();
            let outer = bytes.chunks(shape[axis] * inner);
            bytes = outer
                .flat_map(|chunk| chunk[start * inner..end * inner].to_vec())
                .collect();
            match axis {
                0 => shape[0] = end - start,
                _ => drop(shape.remove(axis)),
            }
        }
        Self {
            name: row[0].as_str().unwrap().to_string(),
            shape,
            bytes,
        }
    }
}

/// Version 3 of the GGUF specification.
fn file(metadata: &[Value], parts: &[Part]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((parts.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for row in metadata {
        string(&mut out, row[0].as_str().unwrap());
        match row[1].as_array() {
            Some(kind) => {
                let kind = kind[0].as_str().unwrap();
                let items = row[2].as_array().unwrap();
                out.extend(9u32.to_le_bytes());
                out.extend(number_of(kind).to_le_bytes());
                out.extend((items.len() as u64).to_le_bytes());
                items.iter().for_each(|item| value(&mut out, kind, item));
            }
            None => {
                let kind = row[1].as_str().unwrap();
                out.extend(number_of(kind).to_le_bytes());
                value(&mut out, kind, &row[2]);
            }
        }
    }
    let mut offset = 0usize;
    for part in parts {
        string(&mut out, &part.name);
        out.extend((part.shape.len() as u32).to_le_bytes());
        for size in part.shape.iter().rev() {
            out.extend((*size as u64).to_le_bytes());
        }
        out.extend(0u32.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset = (offset + part.bytes.len()).next_multiple_of(32);
    }
    for part in parts {
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(&part.bytes);
    }
    out
}

fn number_of(kind: &str) -> u32 {
    match kind {
        "uint32" => 4,
        "int32" => 5,
        "float32" => 6,
        "bool" => 7,
        "string" => 8,
        other => panic!("{other}"),
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn value(out: &mut Vec<u8>, kind: &str, value: &Value) {
    match kind {
        "uint32" => out.extend((value.as_u64().unwrap() as u32).to_le_bytes()),
        "int32" => out.extend((value.as_i64().unwrap() as i32).to_le_bytes()),
        "float32" => out.extend((value.as_f64().unwrap() as f32).to_le_bytes()),
        "bool" => out.push(u8::from(value.as_bool().unwrap())),
        _ => string(out, value.as_str().unwrap()),
    }
}
