//! The folder, made again from its recipe: each number of a tensor depends on the tensor's name and its place alone.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

pub fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures/spark_tts").join(name)
}

pub fn read_json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

struct Tensor {
    name: String,
    shape: Vec<usize>,
    mean: f32,
    deviation: f32,
}

impl Tensor {
    fn all(recipe: &Value, file: &str) -> Vec<Self> {
        let row = |row: &Value| Self {
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
        recipe[file].as_array().unwrap().iter().map(row).collect()
    }

    /// As crane's own synthetic checkpoints (src/weights/seeded.rs).
    fn bytes(&self) -> Vec<u8> {
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

/// The folder, made once a run of the tests.
pub fn spark() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path());
            folder
        })
        .path()
}

/// Writes it to `folder`.
pub fn write(folder: &Path) {
    let recipe = read_json("recipe.json");
    for (name, text) in recipe["files"].as_object().unwrap() {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.as_str().unwrap()).unwrap();
    }
    for (name, sum) in recipe["sha256"].as_object().unwrap() {
        let tensors = Tensor::all(&recipe, name);
        let numbers: Vec<Vec<u8>> = tensors.iter().map(Tensor::bytes).collect();
        let mut hash = Sha256::new();
        numbers.iter().for_each(|bytes| hash.update(bytes));
        let found: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(found, sum.as_str().unwrap(), "the numbers of {name}");
        let path = folder.join(name);
        match name.ends_with(".bin") {
            true => write_torch(&path, &numbers),
            false => write_safetensors(&path, &tensors, &numbers),
        }
    }
    let tokenizer = serde_json::to_vec(&tokenizer(&recipe)).unwrap();
    std::fs::write(folder.join("LLM/tokenizer.json"), tokenizer).unwrap();
}

fn write_safetensors(path: &Path, tensors: &[Tensor], numbers: &[Vec<u8>]) {
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

/// As `torch.save`: its pickle knows no numbers, so it is a fixture.
fn write_torch(path: &Path, numbers: &[Vec<u8>]) {
    let mut archive = zip::ZipWriter::new(File::create(path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut add = |name: String, bytes: &[u8]| {
        archive.start_file(name, stored).unwrap();
        archive.write_all(bytes).unwrap();
    };
    add(
        "archive/data.pkl".into(),
        &std::fs::read(fixture("wav2vec2.data.pkl")).unwrap(),
    );
    for (i, bytes) in numbers.iter().enumerate() {
        add(format!("archive/data/{i}"), bytes);
    }
    archive.finish().unwrap();
}

/// The small vocabulary, what fills it up, and the added tokens.
fn tokenizer(recipe: &Value) -> Value {
    let mut json = read_json("tokenizer.base.json");
    let first = recipe["first_added"].as_u64().unwrap() as usize;
    let filler = recipe["filler"].as_str().unwrap();
    let vocab = json["model"]["vocab"].as_object_mut().unwrap();
    for id in vocab.len()..first {
        vocab.insert(filler.replace("{}", &id.to_string()), json!(id));
    }
    let mut added = Vec::new();
    for row in recipe["added"].as_array().unwrap() {
        for number in 0..row[1].as_u64().unwrap() {
            added.push(json!({
                "id": first + added.len(),
                "content": row[0].as_str().unwrap().replace("{}", &number.to_string()),
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": row[3],
                "special": row[2],
            }));
        }
    }
    json["added_tokens"] = Value::Array(added);
    json
}
