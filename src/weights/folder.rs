//! A Hugging Face folder: `config.json` and the safetensors files that belong to it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::Located;
use super::error::{WeightsError, REMEDY};
use super::map::MappedFile;
use super::safetensors;

/// A configuration or an index is at most a few megabytes.
const MAX_JSON_BYTES: u64 = 64 << 20;
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// What kind of model a folder holds.
pub(crate) enum Found {
    Gguf(PathBuf),
    SafeTensors(Plan),
}

/// The files of a safetensors model, not opened yet.
pub(crate) struct Plan {
    pub config: serde_json::Value,
    /// The index, if the model is sharded.
    index: Option<PathBuf>,
    /// File → the tensors that the index says are in it (none without an index).
    shards: BTreeMap<PathBuf, Vec<String>>,
}

/// Looks into `folder`.
pub(crate) fn find(folder: &Path) -> Result<Found, WeightsError> {
    let names = list(folder)?;
    let has = |name: &str| names.iter().any(|n| n == name);
    let ends =
        |suffix: &str| -> Vec<&String> { names.iter().filter(|n| n.ends_with(suffix)).collect() };
    let safetensors = ends(".safetensors");
    let ggufs = ends(".gguf");
    if safetensors.is_empty() && !has(INDEX) && !ggufs.is_empty() {
        return one_gguf(folder, &ggufs).map(Found::Gguf);
    }
    let config_file = folder.join("config.json");
    if !has("config.json") {
        return Err(WeightsError::missing(
            &config_file,
            "no such file, and without it the model's kind is unknown; fetch the whole model with 'crane pull MODEL'",
        ));
    }
    let config = read_json(&config_file)?;
    if !config.is_object() {
        return Err(WeightsError::corrupt(
            &config_file,
            format!("holds no JSON object; {REMEDY}"),
        ));
    }
    let (index, shards) = if has(SINGLE) {
        (None, [(folder.join(SINGLE), Vec::new())].into())
    } else if has(INDEX) {
        let index = folder.join(INDEX);
        let shards = read_index(folder, &index)?;
        (Some(index), shards)
    } else if let [only] = safetensors.as_slice() {
        (None, [(folder.join(only), Vec::new())].into())
    } else if !safetensors.is_empty() {
        return Err(WeightsError::missing(
            &folder.join(INDEX),
            format!(
                "no such file, and without it the {} safetensors files here cannot be told apart; {REMEDY}",
                safetensors.len()
            ),
        ));
    } else if names
        .iter()
        .any(|n| n.ends_with(".bin") || n.ends_with(".pt") || n.ends_with(".pth"))
    {
        return Err(WeightsError::unsupported(
            folder,
            "holds PyTorch pickle weights only; crane reads safetensors and GGUF: convert them with transformers' save_pretrained",
        ));
    } else {
        return Err(WeightsError::missing(
            &folder.join(SINGLE),
            "no such file, and no GGUF file beside it; fetch the model with 'crane pull MODEL'",
        ));
    };
    Ok(Found::SafeTensors(Plan {
        config,
        index,
        shards,
    }))
}

/// The file names in `folder`, sorted.
fn list(folder: &Path) -> Result<Vec<String>, WeightsError> {
    let entries = std::fs::read_dir(folder).map_err(|e| WeightsError::io(folder, e))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| WeightsError::io(folder, e))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The only GGUF model among `names`: one file, or the first part of one split model.
fn one_gguf(folder: &Path, names: &[&String]) -> Result<PathBuf, WeightsError> {
    let is_later_part = |name: &str| {
        let number = name
            .strip_suffix(".gguf")
            .and_then(|b| b.rsplit_once("-of-"));
        number.is_some_and(|(head, _)| {
            head.rsplit_once('-')
                .is_some_and(|(_, n)| n.len() == 5 && n.parse::<u32>().is_ok_and(|n| n > 1))
        })
    };
    // What reads the images of the model lies beside it.
    let is_projector = |name: &str| name.to_ascii_lowercase().contains("mmproj");
    let firsts: Vec<&&String> = names
        .iter()
        .filter(|n| !is_later_part(n) && !is_projector(n))
        .collect();
    match firsts.as_slice() {
        [] => Err(WeightsError::missing(
            folder,
            format!("the first part of the split GGUF model is missing; {REMEDY}"),
        )),
        [only] => Ok(folder.join(only.as_str())),
        several => Err(WeightsError::unsupported(
            folder,
            format!(
                "holds {} GGUF models ({}); give the one you mean",
                several.len(),
                several
                    .iter()
                    .take(5)
                    .map(|n| n.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        )),
    }
}

/// Reads a JSON file of at most [`MAX_JSON_BYTES`].
pub(crate) fn read_json(file: &Path) -> Result<serde_json::Value, WeightsError> {
    let length = std::fs::metadata(file)
        .map_err(|e| WeightsError::io(file, e))?
        .len();
    if length > MAX_JSON_BYTES {
        return Err(WeightsError::corrupt(
            file,
            format!(
                "{length} bytes are too many for this file ({MAX_JSON_BYTES} at most); {REMEDY}"
            ),
        ));
    }
    let text = std::fs::read(file).map_err(|e| WeightsError::io(file, e))?;
    serde_json::from_slice(&text)
        .map_err(|e| WeightsError::corrupt(file, format!("not valid JSON: {e}; {REMEDY}")))
}

/// The index of a sharded model: an object whose `weight_map` maps tensor names to file names.
fn read_index(folder: &Path, index: &Path) -> Result<BTreeMap<PathBuf, Vec<String>>, WeightsError> {
    let json = read_json(index)?;
    let map = json
        .get("weight_map")
        .and_then(|m| m.as_object())
        .filter(|m| !m.is_empty())
        .ok_or_else(|| {
            WeightsError::corrupt(index, format!("has no object 'weight_map'; {REMEDY}"))
        })?;
    let mut shards: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for (tensor, file) in map {
        let file = file.as_str().filter(|f| stays_below(f)).ok_or_else(|| {
            WeightsError::corrupt(
                index,
                format!("names no file of this folder for tensor '{tensor}'; {REMEDY}"),
            )
        })?;
        shards
            .entry(folder.join(file))
            .or_default()
            .push(tensor.clone());
    }
    Ok(shards)
}

/// Whether a relative path leads nowhere but into its own folder.
fn stays_below(file: &str) -> bool {
    !file.is_empty()
        && Path::new(file)
            .components()
            .all(|c| matches!(c, Component::Normal(_)))
}

impl Plan {
    /// Maps every file, reads every header, and compares them with the index.
    pub fn open(&self) -> Result<(Vec<Arc<MappedFile>>, Vec<Located>), WeightsError> {
        let index_name = self.index.as_deref().unwrap_or(Path::new(INDEX));
        if let Some(absent) = self.shards.keys().find(|p| !p.exists()) {
            let number = self.shards.keys().filter(|p| !p.exists()).count();
            return Err(WeightsError::missing(
                absent,
                format!(
                    "no such file, but {} names it ({number} of {} files missing); {REMEDY}",
                    index_name.display(),
                    self.shards.len()
                ),
            ));
        }
        let mut files = Vec::new();
        let mut tensors: Vec<Located> = Vec::new();
        for (number, (path, promised)) in self.shards.iter().enumerate() {
            let file = MappedFile::open(path)?;
            let entries = safetensors::parse(path, file.bytes())?;
            let names: HashSet<&str> = entries.iter().map(|e| e.info.name.as_str()).collect();
            if let Some(absent) = promised.iter().find(|t| !names.contains(t.as_str())) {
                return Err(WeightsError::missing(
                    path,
                    format!(
                        "tensor '{absent}' is not in this file, where {} says it is; {REMEDY}",
                        index_name.display()
                    ),
                ));
            }
            tensors.extend(entries.into_iter().map(|entry| Located {
                entry,
                file: number,
            }));
            files.push(Arc::new(file));
        }
        Ok((files, tensors))
    }
}
