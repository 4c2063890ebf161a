//! From a model's name to an engine that is ready to answer; shared by run, chat and score.

use std::time::Instant;

use crate::generate::Engine;
use crate::hub::catalogue::{self, Row, Task};
use crate::hub::{self, store, HubError, Located, Reference};
use crate::models::spark::SparkFolder;
use crate::models::{self, ModelError};
use crate::text::{ChatTemplate, Message, TextError, Tokenizer};
use crate::weights::{Checkpoint, Format, LoadOptions, Loader, Quant};

use super::defaults::Defaults;
use super::devices;
use super::exit::CliError;
use super::interrupt;
use super::progress::{Mode, Reporter};
use super::settings::Settings;

/// A loaded model and all that the command line says about it.
pub struct Session {
    pub located: Located,
    pub engine: Engine,
    pub template: Option<ChatTemplate>,
    pub defaults: Defaults,
    /// As `--device` spells it.
    pub device: String,
    /// What the weights are computed from: a float type or the quantised format most of them have.
    pub dtype: String,
    /// Opening, tokenizer and weights, without any download; milliseconds.
    pub load_ms: f64,
    /// What the user should know and is told on stderr by [`Session::announce`]: a fall-back, a changed number
    /// type.
    pub notes: Vec<String>,
}

/// A prompt as the model sees it.
pub struct Prompt {
    pub text: String,
    pub ids: Vec<u32>,
    /// Whether the chat template was left out.
    pub raw: bool,
}

impl Session {
    /// Finds the model's files (fetching what is missing), reads and loads them.
    pub fn open(
        model: &str,
        settings: &Settings,
        quant: Option<Quant>,
        context: Option<usize>,
    ) -> anyhow::Result<Self> {
        refuse_other_tasks(model)?;
        let picked = devices::pick(settings.device)?;
        let located = locate(model, settings)?;
        settings.detail(&format!(
            "{} is {} ({}), computing on {}",
            located.typed,
            located.resolved,
            located.path.display(),
            picked.name
        ));
        if SparkFolder::open(&located.path).is_ok() {
            return Err(CliError::Failed(format!(
                "{} is a speech model; 'crane tts -m {} TEXT' speaks with it",
                located.typed, located.typed
            ))
            .into());
        }
        let started = Instant::now();
        let checkpoint = Checkpoint::open(&located.path)?;
        let options = LoadOptions {
            device: picked.device,
            dtype: settings.dtype,
            quant,
            cache: settings.cache,
            tensors: false,
        };
        let loader = Loader::new(&checkpoint, &options)?;
        let mut notes: Vec<String> = picked.note.into_iter().chain(loader.notes()).collect();
        let dtype = dtype_name(&checkpoint, &options, &loader);
        // Neither keeps all cores busy alone.
        let (model, tokenizer) = std::thread::scope(|scope| {
            let tokenizer = scope.spawn(|| Tokenizer::open(&checkpoint));
            let model = models::load(&loader, context);
            (model, tokenizer.join())
        });
        let model = model?;
        let tokenizer = tokenizer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let template = ChatTemplate::open(&checkpoint)?;
        let mut defaults = Defaults::read(&checkpoint)?;
        notes.append(&mut defaults.notes);
        defaults.merge_eos(tokenizer.eos_ids());
        Ok(Self {
            dtype,
            engine: Engine::new(model, tokenizer),
            located,
            template,
            defaults,
            device: picked.name,
            load_ms: started.elapsed().as_secs_f64() * 1e3,
            notes,
        })
    }

    /// Says the notes on stderr, once all that can be refused has been looked at: an error stands alone.
    pub fn announce(&self, settings: &Settings) {
        for note in &self.notes {
            settings.note(note);
        }
    }

    /// Text without a template, with the special tokens that the tokenizer adds by itself.
    pub fn raw_prompt(&self, text: String) -> anyhow::Result<Prompt> {
        let ids = self.engine.tokenizer().encode(&text, true)?;
        Ok(Prompt {
            text,
            ids,
            raw: true,
        })
    }

    /// A conversation through the model's template, followed by the start of the answer.
    pub fn chat_prompt(&self, messages: &[Message], prefill: &str) -> anyhow::Result<Prompt> {
        let template = self.template.as_ref().ok_or_else(|| self.no_template())?;
        let mut text = template.render(messages, true)?;
        text.push_str(prefill);
        let ids = self.engine.tokenizer().encode(&text, false)?;
        Ok(Prompt {
            text,
            ids,
            raw: false,
        })
    }

    pub fn no_template(&self) -> TextError {
        TextError::NoTemplate {
            file: self.located.path.display().to_string(),
        }
    }
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

/// A model that crane has no code for yet is refused before gigabytes of it are fetched.
pub(super) fn refuse_other_tasks(model: &str) -> anyhow::Result<()> {
    match row(model)? {
        Some(row) if row.task == Task::Speech => Err(CliError::Failed(format!(
            "'{model}' is a speech model; 'crane tts -m {model} TEXT' speaks with it"
        ))
        .into()),
        Some(row) if row.task != Task::Text => Err(ModelError::TaskNotBuilt {
            model: model.to_string(),
            task: row.task.name(),
        }
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
