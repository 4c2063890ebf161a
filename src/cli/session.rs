//! From a model's name to an engine that is ready to answer; shared by run, chat and score.

use std::path::Path;
use std::time::Instant;

use crate::generate::Engine;
use crate::hub::{self, Located};
use crate::models;
use crate::text::{ChatTemplate, Message, TextError, Tokenizer};
use crate::weights::{Checkpoint, DTypeChoice, Format, LoadOptions, Quant};

use super::defaults::Defaults;
use super::devices;
use super::exit::CliError;
use super::interrupt;
use super::progress;
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
        let picked = devices::pick(settings.device)?;
        if let Some(note) = &picked.note {
            settings.note(note);
        }
        let located = locate(model, settings)?;
        settings.detail(&format!(
            "crane: {} is {} ({}), computing on {}",
            located.typed,
            located.resolved,
            located.path.display(),
            picked.name
        ));
        let started = Instant::now();
        let checkpoint = Checkpoint::open(&located.path)?;
        let options = LoadOptions {
            device: picked.device,
            dtype: settings.dtype,
            quant,
        };
        let model = models::load(&checkpoint, &options, context)?;
        let tokenizer = Tokenizer::open(&checkpoint)?;
        let template = ChatTemplate::open(&checkpoint)?;
        let mut defaults = Defaults::read(&checkpoint)?;
        for note in &defaults.notes {
            settings.note(&format!("crane: {note}"));
        }
        defaults.merge_eos(tokenizer.eos_ids());
        Ok(Self {
            dtype: dtype_name(&checkpoint, &options),
            engine: Engine::new(model, tokenizer),
            located,
            template,
            defaults,
            device: picked.name,
            load_ms: started.elapsed().as_secs_f64() * 1e3,
        })
    }

    /// Text without a template, with the special tokens that the tokenizer adds by itself.
    pub fn raw_prompt(&self, text: String) -> anyhow::Result<Prompt> {
        let ids = self.engine.tokenizer.encode(&text, true)?;
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
        let ids = self.engine.tokenizer.encode(&text, false)?;
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

fn locate(model: &str, settings: &Settings) -> anyhow::Result<Located> {
    let polled = interrupt::Deferred::new();
    let progress = progress::Plain {
        quiet: settings.quiet,
        interrupted: interrupt::flag(),
    };
    let located = hub::locate(model, &settings.hub, &progress)?;
    drop(polled);
    match interrupt::pressed() {
        true => Err(CliError::Interrupted.into()),
        false => Ok(located),
    }
}

/// The name of the number type that most bytes of the model are computed from.
fn dtype_name(checkpoint: &Checkpoint, options: &LoadOptions) -> String {
    match (options.quant, options.dtype) {
        (Some(quant), _) => format!("{quant:?}").to_lowercase(),
        (None, DTypeChoice::F32) => "f32".into(),
        (None, DTypeChoice::F16) => "f16".into(),
        (None, DTypeChoice::BF16) => "bf16".into(),
        (None, DTypeChoice::Auto) => most_common(
            checkpoint
                .tensors()
                .map(|tensor| (format_name(tensor.format), tensor.bytes)),
        ),
    }
}

fn most_common(formats: impl Iterator<Item = (String, usize)>) -> String {
    let mut sums: Vec<(String, usize)> = Vec::new();
    for (name, bytes) in formats {
        match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum = sum.saturating_add(bytes),
            None => sums.push((name, bytes)),
        }
    }
    sums.into_iter()
        .max_by_key(|(_, bytes)| *bytes)
        .map_or_else(|| "unknown".into(), |(name, _)| name)
}

/// As file names spell it: `q4_k`, `bf16`.
fn format_name(format: Format) -> String {
    let name = match format {
        Format::F32 => "f32".into(),
        Format::F16 => "f16".into(),
        Format::BF16 => "bf16".into(),
        Format::Quantized(kind) => format!("{kind:?}").to_lowercase(),
    };
    match name.strip_suffix('k') {
        Some(head) if !head.ends_with('_') => format!("{head}_k"),
        _ => name,
    }
}

/// A file's name for people: the last part of its path.
pub fn short_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::quantized::GgmlDType;

    #[test]
    fn formats_are_spelt_as_in_file_names() {
        assert_eq!(format_name(Format::BF16), "bf16");
        assert_eq!(format_name(Format::Quantized(GgmlDType::Q4_1)), "q4_1");
        assert_eq!(format_name(Format::Quantized(GgmlDType::Q4K)), "q4_k");
    }

    #[test]
    fn the_largest_share_names_the_type() {
        let parts = [("f32", 10), ("q4_1", 30), ("q8_0", 25), ("f32", 5)];
        let named = most_common(parts.iter().map(|(name, n)| (name.to_string(), *n)));
        assert_eq!(named, "q4_1");
        assert_eq!(most_common(std::iter::empty()), "unknown");
    }
}
