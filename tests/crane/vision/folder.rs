//! The folders, made again from their recipes.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::recipe;

pub const QWEN: &str = "qwen2.5-vl";
pub const NAMO: &str = "namo";

pub fn fixture(name: &str) -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The test may have been built elsewhere.
    let root = if built.exists() {
        built
    } else {
        Path::new(".")
    };
    root.join("tests/fixtures/vision").join(name)
}

pub fn read_json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

/// A folder of the tests, made once a run.
pub fn model(name: &str) -> &'static Path {
    static QWEN_FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    static NAMO_FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let cell = match name {
        QWEN => &QWEN_FOLDER,
        _ => &NAMO_FOLDER,
    };
    cell.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        write(name, folder.path(), &|name| name.to_string());
        folder
    })
    .path()
}

/// Writes a folder, its tensors called as `renamed` says.
pub fn write(name: &str, folder: &Path, renamed: &dyn Fn(&str) -> String) {
    for entry in std::fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let own = [
            "recipe.json",
            "goldens.json",
            "goldens.safetensors",
            "config_nested.json",
        ];
        if !own.contains(&file) {
            std::fs::copy(&path, folder.join(file)).unwrap();
        }
    }
    std::fs::copy(fixture("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    let recipe = read_json(&format!("{name}/recipe.json"));
    let mut tensors = recipe::tensors(&recipe["model.safetensors"]);
    let numbers = recipe::numbers(&tensors, &recipe["sha256"]["model.safetensors"], name);
    for tensor in &mut tensors {
        tensor.name = renamed(&tensor.name);
    }
    recipe::write_safetensors(&folder.join("model.safetensors"), &tensors, &numbers);
}
