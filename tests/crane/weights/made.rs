//! Weight files built in memory, sound ones and others.

use std::path::{Path, PathBuf};

use serde_json::json;

/// GGUF's numbers of value types.
pub const U32: u32 = 4;
pub const STRING: u32 = 8;
pub const ARRAY: u32 = 9;
/// GGUF's numbers of tensor types.
pub const F32: u32 = 0;
pub const Q8_0: u32 = 8;

/// A GGUF file to be: `pairs` hold type and encoded value, `tensors` GGUF's own order of dimensions.
#[derive(Clone)]
pub struct Gguf {
    pub magic: [u8; 4],
    pub version: u32,
    pub alignment: usize,
    pub pairs: Vec<(String, u32, Vec<u8>)>,
    pub tensors: Vec<Tensor>,
    /// Written instead of the true counts.
    pub n_tensors: Option<u64>,
    pub n_pairs: Option<u64>,
}

#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub dims: Vec<u64>,
    pub kind: u32,
    pub data: Vec<u8>,
    /// Written instead of the true offset.
    pub offset: Option<u64>,
}

pub fn string(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u64).to_le_bytes().to_vec();
    out.extend(text.as_bytes());
    out
}

/// An array of `n` elements of type `kind`, encoded in `elements`.
pub fn array(kind: u32, n: u64, elements: &[u8]) -> Vec<u8> {
    let mut out = kind.to_le_bytes().to_vec();
    out.extend(n.to_le_bytes());
    out.extend(elements);
    out
}

/// Numbers that are all different and exact in f16.
pub fn floats(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i % 1000) as f32 * 0.125 - 32.0).collect()
}

pub fn f32_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

impl Gguf {
    /// A file of two f32 tensors, one Q8_0 matrix, and a little metadata.
    pub fn small() -> Self {
        let tokens: Vec<u8> = ["a", "b", "c"].iter().flat_map(|t| string(t)).collect();
        let q8: Vec<u8> = (0..4u8)
            .flat_map(|row| {
                let mut block = half::f16::from_f32(0.5).to_le_bytes().to_vec();
                block.extend((0..32).map(|i| i * (row + 1)));
                block
            })
            .collect();
        let mut file = Self {
            magic: *b"GGUF",
            version: 3,
            alignment: 32,
            pairs: Vec::new(),
            tensors: Vec::new(),
            n_tensors: None,
            n_pairs: None,
        };
        file.pair("general.architecture", STRING, string("qwen2"));
        file.pair("qwen2.block_count", U32, 1u32.to_le_bytes().to_vec());
        file.pair("tokenizer.ggml.tokens", ARRAY, array(STRING, 3, &tokens));
        file.tensor("output_norm.weight", &[32], F32, f32_bytes(&floats(32)));
        file.tensor("blk.0.attn_q.weight", &[32, 4], Q8_0, q8);
        file.tensor("token_embd.weight", &[32, 3], F32, f32_bytes(&floats(96)));
        file
    }

    pub fn pair(&mut self, key: &str, kind: u32, value: Vec<u8>) {
        self.pairs.push((key.to_string(), kind, value));
    }

    pub fn tensor(&mut self, name: &str, dims: &[u64], kind: u32, data: Vec<u8>) {
        self.tensors.push(Tensor {
            name: name.to_string(),
            dims: dims.to_vec(),
            kind,
            data,
            offset: None,
        });
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(
            self.n_tensors
                .unwrap_or(self.tensors.len() as u64)
                .to_le_bytes(),
        );
        out.extend(
            self.n_pairs
                .unwrap_or(self.pairs.len() as u64)
                .to_le_bytes(),
        );
        for (key, kind, value) in &self.pairs {
            out.extend(string(key));
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        let mut offset = 0usize;
        for tensor in &self.tensors {
            out.extend(string(&tensor.name));
            out.extend((tensor.dims.len() as u32).to_le_bytes());
            for dim in &tensor.dims {
                out.extend(dim.to_le_bytes());
            }
            out.extend(tensor.kind.to_le_bytes());
            out.extend(tensor.offset.unwrap_or(offset as u64).to_le_bytes());
            offset += tensor.data.len().next_multiple_of(self.alignment);
        }
        for tensor in &self.tensors {
            out.resize(out.len().next_multiple_of(self.alignment), 0);
            out.extend(&tensor.data);
        }
        out
    }

    /// Writes it into `folder` as `name`.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let file = folder.join(name);
        std::fs::write(&file, self.bytes()).unwrap();
        file
    }
}

/// A safetensors file of `header` (JSON) and `data`.
pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

/// One safetensors file of f32 tensors: name, shape, numbers.
pub fn safetensors_of(tensors: &[(&str, &[usize], Vec<f32>)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, shape, numbers) in tensors {
        let begin = data.len();
        data.extend(f32_bytes(numbers));
        header.insert(
            (*name).to_string(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]}),
        );
    }
    safetensors(&serde_json::Value::Object(header).to_string(), &data)
}

/// A Hugging Face folder with a config and one weight file.
pub fn folder(weights: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("config.json"),
        r#"{"model_type":"qwen2"}"#,
    )
    .unwrap();
    std::fs::write(folder.path().join("model.safetensors"), weights).unwrap();
    folder
}
