//! Weights made again from a recipe: each number of a tensor depends on the tensor's name and its place alone.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde_json::{json, Value};
use sha2::{Digest, Sha256};

pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    mean: f32,
    deviation: f32,
}

/// The rows of a recipe: name, shape, mean and deviation.
pub fn tensors(rows: &Value) -> Vec<Tensor> {
    let row = |row: &Value| Tensor {
        name: row[0].as_str().unwrap().to_string(),
        shape: row[1]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d.as_u64().unwrap() as usize)
            .collect(),
        mean: row[2].as_f64().unwrap() as f32,
        deviation: row[3].as_f64().unwrap() as f32,
    };
    rows.as_array().unwrap().iter().map(row).collect()
}

/// Their numbers, which must have that checksum.
pub fn numbers(tensors: &[Tensor], sum: &Value, name: &str) -> Vec<Vec<u8>> {
    let numbers: Vec<Vec<u8>> = tensors.iter().map(Tensor::bytes).collect();
    let mut hash = Sha256::new();
    numbers.iter().for_each(|bytes| hash.update(bytes));
    let found: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(found, sum.as_str().unwrap(), "the numbers of {name}");
    numbers
}

impl Tensor {
    /// As crane's own synthetic checkpoints (src/weights/seeded.rs).
    pub fn bytes(&self) -> Vec<u8> {
        let key = self
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        let scale = self.deviation * 3f32.sqrt() / 65_536.0;
        let offset = self.mean - self.deviation * 3f32.sqrt() * 2.0;
        let count: usize = self.shape.iter().product();
        let number = |position: u64| {
            let mut z = key
                .wrapping_add(position)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            let sum = (z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48);
            (sum as u32) as f32 * scale + offset
        };
        (0..count as u64)
            .flat_map(|i| number(i).to_le_bytes())
            .collect()
    }
}

pub fn write_safetensors(path: &Path, tensors: &[Tensor], numbers: &[Vec<u8>]) {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (tensor, bytes) in tensors.iter().zip(numbers) {
        let start = end;
        end += bytes.len();
        header.insert(
            tensor.name.clone(),
            json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end]}),
        );
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(&header).unwrap();
    numbers.iter().for_each(|n| file.write_all(n).unwrap());
}
