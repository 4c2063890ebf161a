//! The folder, made again from its recipe: each number of a tensor depends on the tensor's name and its place alone.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{json, Value};
use zip::write::SimpleFileOptions;

use crate::recipe;

pub fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = match root.exists() {
        true => root.join("tests/fixtures/spark_tts"),
        // The test was built elsewhere.
        false => PathBuf::from("tests/fixtures/spark_tts"),
    };
    folder.join(name)
}

pub fn read_json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
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
        let tensors = recipe::tensors(&recipe[name]);
        let numbers = recipe::numbers(&tensors, sum, name);
        let path = folder.join(name);
        match name.ends_with(".bin") {
            true => write_torch(&path, &numbers),
            false => recipe::write_safetensors(&path, &tensors, &numbers),
        }
    }
    let tokenizer = serde_json::to_vec(&tokenizer(&recipe)).unwrap();
    std::fs::write(folder.join("LLM/tokenizer.json"), tokenizer).unwrap();
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
