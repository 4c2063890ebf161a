//! A model on disk: which files it has, their headers, and where each tensor lies.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{WeightsError, REMEDY};
use super::format::{Entry, Format, TensorInfo};
use super::map::MappedFile;
use super::metadata::Metadata;
use super::safetensors;
use super::{folder, gguf, names, pickle, shards};

/// What a directory or a GGUF file says of itself beside tensors.
pub enum Header {
    /// A GGUF file's metadata.
    Gguf(Metadata),
    /// A Hugging Face folder's parsed `config.json`.
    HuggingFace(serde_json::Value),
}

/// An opened model: headers parsed and checked, tensor data mapped and untouched.
pub struct Checkpoint {
    path: PathBuf,
    header: Header,
    files: Vec<Arc<MappedFile>>,
    tensors: Vec<Located>,
    index: HashMap<String, usize>,
    /// The tensors lie in no file: their numbers are made when they are asked for.
    seeded: bool,
}

/// A tensor, and the number of its file in [`Checkpoint::files`].
pub(crate) struct Located {
    pub entry: Entry,
    pub file: usize,
}

impl Checkpoint {
    /// Opens a `.gguf` file (or the first of its `-00001-of-0000N` shards) or a Hugging Face folder
    /// (`config.json` with `model.safetensors` or `model.safetensors.index.json`). A folder that holds
    /// one GGUF model and no safetensors opens as that.
    ///
    /// Reads headers only. Errors name the file, what is wrong and what to do about it.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => WeightsError::missing(
                path,
                "no such file or folder; fetch the model with 'crane pull MODEL'",
            ),
            _ => WeightsError::io(path, e),
        })?;
        if meta.is_dir() {
            return match folder::find(path)? {
                folder::Found::Gguf(file) => Self::open_gguf(path, &file),
                folder::Found::SafeTensors(plan) => {
                    let (files, tensors) = plan.open()?;
                    Self::build(path, Header::HuggingFace(plan.config), files, tensors)
                }
            };
        }
        if path.extension().is_some_and(|e| e == "safetensors") {
            return Err(WeightsError::unsupported(
                path,
                "a safetensors file alone does not say which model it is; give the folder that holds it and its config.json",
            ));
        }
        Self::open_gguf(path, path)
    }

    /// A part of a model: one weight file, safetensors or, with the ending `.bin`, `.pt` or `.pth`, what `torch.save`
    /// writes, with the configuration that belongs to it. Reads headers only.
    ///
    /// # Errors
    /// A file that is not there, cut short or not of its format.
    pub fn part(file: &Path, config: serde_json::Value) -> Result<Self, WeightsError> {
        let mapped = MappedFile::open(file)?;
        let entries = match file.extension().and_then(|e| e.to_str()) {
            Some("bin" | "pt" | "pth") => pickle::parse(file, mapped.len())?,
            _ => safetensors::parse(file, mapped.bytes())?,
        };
        let located = |entry| Located { entry, file: 0 };
        let tensors = entries.into_iter().map(located).collect();
        let files = vec![Arc::new(mapped)];
        Self::build(file, Header::HuggingFace(config), files, tensors)
    }

    /// A model of `config` (a config.json) with `tensors` (Hugging Face's names, shapes) stored as `format`, whose
    /// numbers are made of a seed when a [`super::Loader`] asks for them: nothing is read and nothing is held. `label`
    /// stands where errors name a file.
    ///
    /// # Errors
    /// A name that comes twice, a `format` that is not a float type, a tensor of absurd size.
    pub fn synthetic(
        label: &str,
        config: serde_json::Value,
        tensors: Vec<(String, Vec<usize>)>,
        format: Format,
    ) -> Result<Self, WeightsError> {
        let path = Path::new(label);
        let size = match format {
            Format::F32 => 4,
            Format::F16 | Format::BF16 => 2,
            other => {
                return Err(WeightsError::unsupported(
                    path,
                    format!("seeded weights cannot be stored as {}", other.name()),
                ))
            }
        };
        let located = |(name, shape): (String, Vec<usize>)| {
            let bytes = shape.iter().try_fold(size, |n: usize, &d| n.checked_mul(d));
            let bytes = bytes.ok_or_else(|| {
                WeightsError::corrupt(path, format!("the shape {shape:?} is absurdly large"))
            })?;
            let info = TensorInfo {
                name,
                shape,
                format,
                bytes,
            };
            let entry = Entry { info, offset: 0 };
            Ok(Located { entry, file: 0 })
        };
        let tensors = tensors
            .into_iter()
            .map(located)
            .collect::<Result<_, WeightsError>>()?;
        let file = Arc::new(MappedFile::nothing(path)?);
        let model = Self::build(path, Header::HuggingFace(config), vec![file], tensors)?;
        Ok(Self {
            seeded: true,
            ..model
        })
    }

    fn open_gguf(path: &Path, first: &Path) -> Result<Self, WeightsError> {
        let mut files = Vec::new();
        let mut tensors = Vec::new();
        let mut metadata = Metadata::default();
        let parts = shards::parts(first)?;
        for (number, part) in parts.iter().enumerate() {
            let file = MappedFile::open(part)?;
            let parsed = gguf::parse(part, file.bytes())?;
            shards::check_part(part, number, parts.len(), &parsed.metadata)?;
            if number == 0 {
                metadata = parsed.metadata;
            }
            tensors.extend(parsed.tensors.into_iter().map(|entry| Located {
                entry,
                file: number,
            }));
            files.push(Arc::new(file));
        }
        shards::check_total(first, &metadata, tensors.len())?;
        Self::build(path, Header::Gguf(metadata), files, tensors)
    }

    fn build(
        path: &Path,
        header: Header,
        files: Vec<Arc<MappedFile>>,
        tensors: Vec<Located>,
    ) -> Result<Self, WeightsError> {
        let mut index = HashMap::with_capacity(tensors.len());
        for (i, tensor) in tensors.iter().enumerate() {
            if index.insert(tensor.entry.info.name.clone(), i).is_some() {
                let file = files.get(tensor.file).map_or(path, |f| f.path());
                return Err(WeightsError::corrupt(
                    file,
                    format!(
                        "tensor '{}' is in another file of the model too; remove the file that does not belong to it",
                        tensor.entry.info.name
                    ),
                ));
            }
        }
        Ok(Self {
            path: path.to_path_buf(),
            header,
            files,
            tensors,
            index,
            seeded: false,
        })
    }

    /// The file or folder it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The metadata or configuration that came with the tensors.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// A GGUF file's metadata.
    pub fn metadata(&self) -> Option<&Metadata> {
        match &self.header {
            Header::Gguf(metadata) => Some(metadata),
            Header::HuggingFace(_) => None,
        }
    }

    /// A Hugging Face folder's `config.json`.
    pub fn config(&self) -> Option<&serde_json::Value> {
        match &self.header {
            Header::Gguf(_) => None,
            Header::HuggingFace(config) => Some(config),
        }
    }

    /// All weight files, mapped, with their sizes in bytes.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.files
            .iter()
            .map(|f| (f.path().to_path_buf(), f.len() as u64))
            .collect()
    }

    /// Whether it was made by [`Checkpoint::synthetic`].
    pub fn is_synthetic(&self) -> bool {
        self.seeded
    }

    /// Checks that all of `tensors` (name and shape) are there.
    ///
    /// # Errors
    /// The first that is missing or of another shape.
    pub fn require(&self, tensors: Vec<(String, Vec<usize>)>) -> Result<(), WeightsError> {
        for (name, shape) in tensors {
            let reason = match self.info(&name) {
                None => format!(
                    "has no tensor '{name}' of shape {shape:?}, which its configuration asks for"
                ),
                Some(info) if info.shape != shape => format!(
                    "tensor '{name}' has shape {:?} where its configuration asks for {shape:?}",
                    info.shape
                ),
                Some(_) => continue,
            };
            return Err(WeightsError::corrupt(
                &self.path,
                format!("{reason}; {REMEDY}"),
            ));
        }
        Ok(())
    }

    /// All tensors, names as in the file, in file order.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.tensors.iter().map(|t| &t.entry.info)
    }

    /// Whether a tensor exists, by Hugging Face's name or the file's own.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A tensor's declaration, by Hugging Face's name or the file's own.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.find(name).map(|t| &t.entry.info)
    }

    /// The raw bytes of a tensor, as stored; reading them reads the disk. None for numbers that are made of a seed.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        let tensor = self.find(name)?;
        let end = tensor.entry.offset.checked_add(tensor.entry.info.bytes)?;
        self.file_of(tensor)?.bytes().get(tensor.entry.offset..end)
    }

    /// Starts reading the tensor data from the disk in the background.
    pub(crate) fn prefetch(&self) {
        for file in &self.files {
            file.prefetch();
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Located> {
        let at = self.index.get(name).or_else(|| match self.header {
            Header::Gguf(_) => self.index.get(&names::to_gguf(name)?),
            Header::HuggingFace(_) => names::spellings(name).find_map(|name| self.index.get(&name)),
        })?;
        self.tensors.get(*at)
    }

    pub(crate) fn file_of(&self, tensor: &Located) -> Option<&Arc<MappedFile>> {
        self.files.get(tensor.file)
    }
}
