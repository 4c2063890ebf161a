//! From a model's name to an engine that is ready to answer; shared by run, chat and score.

mod opening;
mod prompt;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::bench::memory;
use crate::generate::{ConstraintError, Engine, Vocabulary};
use crate::hub::catalogue::{self, Row, Task};
use crate::hub::{self, store, HubError, Located, Reference};
use crate::image::{ImageSource, Limits};
use crate::text::{ChatTemplate, TextError};
use crate::vision::{Form, Glance, Look, Viewer, VisionError};
use crate::weights::{Checkpoint, Format, LoadOptions, Loader};

use super::defaults::Defaults;
use super::devices::{Freed, Place, Purpose};
use super::exit::CliError;
use super::interrupt;
use super::progress::{Mode, Reporter};
use super::settings::Settings;

use opening::Loaded;
pub use opening::{Opening, Sight, Wish};
pub use prompt::Prompt;

/// A loaded model and all that the command line says about it.
pub struct Session {
    pub located: Located,
    pub engine: Engine,
    pub template: Option<ChatTemplate>,
    pub defaults: Defaults,
    /// What the weights are computed from: a float type or the quantised format most of them have.
    pub dtype: String,
    /// Opening, tokenizer and weights, without any download; milliseconds.
    pub load_ms: f64,
    /// What the user should know and is told on stderr by [`Session::announce`]: a fall-back, a changed number
    /// type.
    pub notes: Vec<String>,
    /// Whether the model is to think, for a template that asks; None: as the template says.
    pub think: Option<bool>,
    /// How conversations are put together where the model has rules of its own for it.
    form: Option<Form>,
    /// The tokens as structures see them, once one was asked for.
    vocabulary: Option<Arc<Vocabulary>>,
    /// What looks at images, once it was asked for.
    viewer: Option<Viewer>,
    place: Place,
    /// Notes that were said.
    said: Vec<String>,
    /// A reply has begun.
    committed: bool,
}

impl Session {
    /// Finds the model's files (fetching what is missing), reads and loads them.
    pub fn open(model: &str, settings: &Settings, wish: Wish) -> anyhow::Result<Self> {
        let opening = Opening::find(model, settings, wish)?;
        opening.place(settings, Freed::default())?.load()
    }

    /// Says the notes on stderr, each once, when all that can be refused has been looked at: an error stands alone.
    pub fn announce(&mut self, settings: &Settings) {
        for note in &self.notes {
            if !self.said.contains(note) {
                settings.note(note);
                self.said.push(note.clone());
            }
        }
    }

    /// What computes, as `--device` spells it.
    pub fn device(&self) -> &str {
        &self.place.name
    }

    /// Bytes that are free where the model computes, as far as the system says it.
    pub fn free_memory(&self) -> Option<u64> {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &self.place.options.gpu {
            return gpu.memory().ok().map(|(free, _)| free);
        }
        memory::available()
    }

    /// What it holds of a GPU's memory.
    pub fn held(&self) -> Freed {
        #[cfg(feature = "cuda")]
        let bytes = self.place.options.gpu.as_ref().map_or(0, |gpu| gpu.held());
        #[cfg(not(feature = "cuda"))]
        let bytes = 0;
        Freed {
            device: self.place.name.clone(),
            bytes,
        }
    }

    /// Lets go of the weights and of what looks at images, for a model that has no room beside them.
    pub fn release(&mut self) {
        self.engine.release();
        self.viewer = None;
    }

    /// Loads again what [`Session::release`] let go of, where it was or, as [`Place::attempt`], on the CPU.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn load_again(&mut self) -> anyhow::Result<()> {
        let before = self.place.notes.clone();
        let checkpoint = Checkpoint::open(&self.located.path)?;
        let context = Some(self.engine.context());
        let loaded = Loaded::at(&mut self.place, &checkpoint, context)?;
        self.dtype = loaded.dtype;
        self.engine.put_back(loaded.model);
        self.replace_notes(&before);
        Ok(())
    }

    /// From here on its device is not left: a reply begins.
    pub fn commit(&mut self) {
        self.committed = true;
    }

    /// Takes the CPU in the place of a GPU that `error` is about, as [`Place::leave`], and loads the language model there.
    fn leave(&mut self, purpose: Purpose, error: anyhow::Error) -> anyhow::Result<()> {
        if self.committed {
            return Err(error);
        }
        let before = self.place.notes.clone();
        self.place.leave(purpose, error)?;
        self.replace_notes(&before);
        self.release();
        self.load_again()
    }

    /// What the place notes now stands where `before` stood.
    fn replace_notes(&mut self, before: &[String]) {
        if self.place.notes != before {
            self.notes.retain(|note| !before.contains(note));
            self.notes.splice(..0, self.place.notes.iter().cloned());
        }
    }

    /// The tokens as structures see them, read once.
    pub fn vocabulary(&mut self) -> Result<Arc<Vocabulary>, ConstraintError> {
        if let Some(known) = &self.vocabulary {
            return Ok(Arc::clone(known));
        }
        let (tokenizer, rows) = (self.engine.tokenizer(), self.engine.vocab_size());
        let read = Arc::new(Vocabulary::new(tokenizer, rows, &self.defaults.eos_ids)?);
        self.vocabulary = Some(Arc::clone(&read));
        Ok(read)
    }

    /// Computes the sums of its files that nobody stated, once for all reports.
    pub fn hash_files(&mut self) -> anyhow::Result<()> {
        for file in &mut self.located.files {
            if file.sha256.is_none() {
                file.sha256 = Some(hub::verify::sha256(&file.path)?);
            }
        }
        Ok(())
    }

    /// Reads what looks at images.
    ///
    /// # Errors
    /// A model that takes none, files that are missing or do not load.
    pub fn open_viewer(&mut self, projector: Option<&Path>, limits: Limits) -> anyhow::Result<()> {
        let started = Instant::now();
        let limits = Limits {
            // The other half is for the decoder and its cache.
            memory: memory::available().map(|bytes| bytes / 2),
            ..limits
        };
        let path = self.located.path.clone();
        let found = match projector {
            Some(named) => Some(named.to_path_buf()),
            None => projector_beside(&path),
        };
        let viewer = match self.viewer_at(&path, found.as_deref(), limits) {
            Ok(viewer) => viewer,
            Err(error) => {
                self.leave(Purpose::Images, error)?;
                self.viewer_at(&path, found.as_deref(), limits)?
            }
        };
        self.form = Some(Form {
            marker: viewer.marker(),
            system: self.form.and_then(|form| form.system),
        });
        self.notes.extend(viewer.note().map(str::to_string));
        self.viewer = Some(viewer);
        self.load_ms += started.elapsed().as_secs_f64() * 1e3;
        Ok(())
    }

    fn viewer_at(
        &self,
        path: &Path,
        projector: Option<&Path>,
        limits: Limits,
    ) -> anyhow::Result<Viewer> {
        let viewer = Viewer::open(path, projector, &self.place.options, limits);
        let viewer = viewer.map_err(|error| match error {
            VisionError::TextOnly(_) => VisionError::TextOnly(self.located.typed.clone()),
            other => other,
        })?;
        self.place.settled()?;
        Ok(viewer)
    }

    /// What looks at images, if it was opened.
    pub fn viewer(&mut self) -> Option<&mut Viewer> {
        self.viewer.as_mut()
    }

    /// Looks at an image. Where a GPU fails at it before any reply, what was seen before stays and the rest is computed
    /// on the CPU.
    pub fn look(&mut self, source: &ImageSource) -> anyhow::Result<Arc<Look>> {
        if self.viewer.is_none() {
            self.open_viewer(None, Limits::default())?;
        }
        let Some(mut viewer) = self.viewer.take() else {
            return Err(CliError::Interrupted.into());
        };
        let looked = self.look_by(&mut viewer, source);
        self.viewer = Some(viewer);
        looked?.ok_or_else(|| CliError::Interrupted.into())
    }

    /// None: interrupted.
    fn look_by(
        &mut self,
        viewer: &mut Viewer,
        source: &ImageSource,
    ) -> anyhow::Result<Option<Arc<Look>>> {
        let picture = match viewer.glance(source, self.engine.context())? {
            Glance::Known(look) => return Ok(Some(look)),
            Glance::New(picture) => picture,
        };
        let go_on = || !interrupt::pressed();
        match viewer.encode(&picture, &go_on) {
            Ok(look) => Ok(look),
            Err(error) => {
                self.leave(Purpose::Images, error.into())?;
                viewer.move_to(&self.place.options)?;
                Ok(viewer.encode(&picture, &go_on)?)
            }
        }
    }

    pub fn no_template(&self) -> TextError {
        no_template(&self.located)
    }
}

/// That the model at `located` does not say how conversations are put together.
fn no_template(located: &Located) -> TextError {
    TextError::NoTemplate {
        file: located.path.display().to_string(),
    }
}

/// The file that reads the images of a GGUF model, if it lies beside it.
pub fn projector_beside(model: &Path) -> Option<PathBuf> {
    let folder = match model.is_dir() {
        true => model,
        false => model.parent()?,
    };
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let entries = std::fs::read_dir(folder).ok()?;
    let names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Some(folder.join(hub::projector(&names)?))
}

/// The catalogue's row of a model of the hub, by alias or by repository.
pub fn row(model: &str) -> Result<Option<&'static Row>, HubError> {
    Ok(match Reference::parse(model, None, None)? {
        Reference::Hub(reference) => reference
            .row
            .or_else(|| catalogue::by_repo(&reference.repo)),
        Reference::Local(_) => None,
    })
}

/// A model that does not answer in text is refused before gigabytes of it are fetched.
pub(super) fn refuse_other_tasks(model: &str) -> anyhow::Result<()> {
    match row(model)? {
        Some(row) if row.task == Task::Speech => Err(CliError::Failed(format!(
            "'{model}' is a speech model; 'crane tts -m {model} TEXT' speaks with it"
        ))
        .into()),
        _ => Ok(()),
    }
}

/// What has to be known of a model's licence before it is used; None for licences that leave all uses open.
pub fn licence_note(row: &Row) -> Option<String> {
    row.licence.contains("-NC").then(|| {
        format!(
            "the weights of {} are licensed {}: not for commercial use",
            row.alias, row.licence
        )
    })
}

/// Finds the model's files, fetching what is missing.
pub fn locate(model: &str, settings: &Settings) -> anyhow::Result<Located> {
    // Said when it comes, not each time.
    let note = row(model)?
        .filter(|row| !store::is_cached(row.alias, &settings.hub))
        .and_then(licence_note);
    if let Some(note) = note.filter(|_| !settings.hub.offline) {
        settings.note(&note);
    }
    let polled = interrupt::Deferred::new();
    let progress = Reporter::new(Mode::Auto, settings);
    let located = hub::locate(model, &settings.hub, &progress)?;
    drop(polled);
    match interrupt::pressed() {
        true => Err(CliError::Interrupted.into()),
        false => Ok(located),
    }
}

/// What the weights are computed from: the block format that holds most of them, or a float type.
fn dtype_name(checkpoint: &Checkpoint, options: &LoadOptions, loader: &Loader) -> String {
    if let Some(quant) = options.quant {
        return quant.to_string();
    }
    if let Some(dtype) = options.dtype.explicit() {
        return dtype.as_str().to_string();
    }
    let formats = checkpoint
        .tensors()
        .map(|tensor| (tensor.format, tensor.bytes));
    match most_bytes(formats) {
        Some(format) if format.is_quantized() => format.name().to_lowercase(),
        Some(format) => loader.matrix_dtype(format).as_str().to_string(),
        None => loader.dtype().as_str().to_string(),
    }
}

fn most_bytes(formats: impl Iterator<Item = (Format, usize)>) -> Option<Format> {
    let mut sums: Vec<(Format, usize)> = Vec::new();
    for (format, bytes) in formats {
        match sums.iter_mut().find(|(known, _)| *known == format) {
            Some((_, sum)) => *sum = sum.saturating_add(bytes),
            None => sums.push((format, bytes)),
        }
    }
    let most = sums.into_iter().max_by_key(|(_, bytes)| *bytes);
    most.map(|(format, _)| format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::quantized::GgmlDType;

    #[test]
    fn the_largest_share_names_the_type() {
        let q4_1 = Format::Quantized(GgmlDType::Q4_1);
        let q8_0 = Format::Quantized(GgmlDType::Q8_0);
        let parts = [(Format::F32, 20), (q4_1, 30), (q8_0, 25), (Format::F32, 5)];
        assert_eq!(most_bytes(parts.into_iter()), Some(q4_1));
        assert_eq!(most_bytes(std::iter::empty()), None);
    }
}
