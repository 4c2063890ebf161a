//! From the model's name to what speaks: its parts, the voice, the loaded speaker.

use std::path::PathBuf;

use crate::cli::devices::{self, Place};
use crate::cli::exit::CliError;
use crate::cli::session;
use crate::cli::settings::Settings;
use crate::cli::{interrupt, voices};
use crate::generate::Engine;
use crate::hub::catalogue::Task;
use crate::models::bicodec::{self, BiCodecConfig, Decoder};
use crate::models::spark::SparkFolder;
use crate::models::{self, Part};
use crate::speech::reference::{listen, part, Reference};
use crate::speech::{Manner, Speaker};
use crate::text::Tokenizer;
use crate::weights::{Checkpoint, DTypeChoice, LoadOptions, Loader};

use super::args::TtsArgs;

/// A model of speech on this machine, its headers read.
pub struct Studio {
    typed: String,
    folder: PathBuf,
    parts: SparkFolder,
    codec: Checkpoint,
    config: BiCodecConfig,
}

impl Studio {
    /// Finds the model's files, fetching what is missing.
    pub fn locate(args: &TtsArgs, settings: &Settings) -> anyhow::Result<Self> {
        refuse_other_tasks(&args.model)?;
        let located = session::locate(&args.model, settings)?;
        settings.detail(&format!(
            "{} is {} ({})",
            located.typed,
            located.resolved,
            located.path.display()
        ));
        let parts = SparkFolder::open(&located.path)?;
        let (codec, config) = bicodec::open(&parts.bicodec)?;
        Ok(Self {
            typed: located.typed,
            folder: located.path,
            parts,
            codec,
            config,
        })
    }

    /// As the user typed it.
    pub fn name(&self) -> &str {
        &self.typed
    }

    pub fn sample_rate(&self) -> u32 {
        self.config.mel_params.sample_rate
    }

    /// The language model, its headers read.
    pub fn language_model(&self) -> anyhow::Result<Checkpoint> {
        Ok(Checkpoint::open(&self.parts.llm)?)
    }

    /// Where the recording of the arguments is listened to and `llm` is loaded afterwards, if anything is to be said.
    pub fn place(
        &self,
        args: &TtsArgs,
        settings: &Settings,
        llm: Option<&Checkpoint>,
    ) -> anyhow::Result<Place> {
        let picked = devices::pick(settings.wanted(), &|text| settings.progress(text))?;
        let listens = match self.reference(args).filter(|_| picked.weighs()) {
            Some(reference) => part(&self.folder, &self.config, reference.semantic)?,
            None => Part::default(),
        };
        let Some(llm) = llm else {
            return picked.place_alone(listens);
        };
        let options = LoadOptions {
            dtype: settings.dtype,
            quant: args.quant.quant.choice(),
            cache: settings.cache,
            ..LoadOptions::default()
        };
        let codec = bicodec::part(&self.config);
        let picked = picked.after(listens);
        picked.place(llm, options, args.ctx_size, codec)
    }

    /// Where the codec's decoder goes, that speaks alone.
    pub fn place_codec(&self, settings: &Settings) -> anyhow::Result<Place> {
        let picked = devices::pick(settings.wanted(), &|text| settings.progress(text))?;
        picked.place_alone(bicodec::part(&self.config))
    }

    /// The recording of the arguments, and what of it is wanted.
    fn reference<'a>(&self, args: &'a TtsArgs) -> Option<Reference<'a>> {
        let words = args.ref_text.clone().filter(|text| !text.trim().is_empty());
        let kept = args.save_voice.is_some() && self.parts.wav2vec2.is_dir();
        Some(Reference {
            wav: args.clone.as_ref()?,
            semantic: words.is_some() || kept,
            text: words,
        })
    }

    /// The voice that the arguments ask for; a recording is listened to at `place`.
    pub fn manner(
        &self,
        args: &TtsArgs,
        settings: &Settings,
        place: &LoadOptions,
    ) -> anyhow::Result<Manner> {
        if let Some(name) = &args.voice {
            let voice = voices::load(name, settings)?;
            let codes = bicodec::global_codes(&self.config);
            voice
                .check(codes, self.config.quantizer.codebook_size)
                .map_err(|e| CliError::Corrupt(format!("voice '{name}': {e}; remove it with 'crane voices rm {name}' and make it again")))?;
            return Ok(Manner::Voice(voice));
        }
        let Some(reference) = self.reference(args) else {
            return Ok(Manner::Style {
                style: args.style(),
                chosen: None,
            });
        };
        let polled = interrupt::Deferred::new();
        let mut note = |text: String| settings.note(&text);
        let go_on = || !interrupt::pressed();
        let voice = listen(&self.folder, &reference, place, &mut note, &go_on)?;
        drop(polled);
        match interrupt::pressed() {
            true => Err(CliError::Interrupted.into()),
            false => Ok(Manner::Voice(voice)),
        }
    }

    /// What a voice is kept with: where it came from.
    pub fn origin(&self, args: &TtsArgs) -> String {
        match &args.clone {
            Some(wav) => format!("{} ({})", wav.display(), self.typed),
            None => {
                let style = args.style();
                format!(
                    "{}, pitch {}, speed {} ({})",
                    style.gender, style.pitch, style.speed, self.typed
                )
            }
        }
    }

    /// The codec's decoder alone, on the GPU of `place`, else on the CPU.
    ///
    /// On a GPU it computes in f32. On the CPU, where the language model is quantised and nothing else is asked for, it
    /// computes with bf16, if the CPU has products of them: what that changes (41 dB below the speech) is less than what
    /// quantising does.
    pub fn decoder(
        &self,
        args: &TtsArgs,
        settings: &Settings,
        place: &LoadOptions,
    ) -> anyhow::Result<Decoder> {
        let quantised = args.quant.quant.choice().is_some();
        let dtype = match settings.dtype {
            DTypeChoice::Auto if quantised => DTypeChoice::BF16,
            other => other,
        };
        let options = LoadOptions {
            dtype,
            ..place.own_kernels()
        };
        let loader = Loader::new(&self.codec, &options)?;
        Ok(Decoder::load(&loader, &self.config)?)
    }

    /// The language model `llm` and the codec, at `place`.
    pub fn load(
        &self,
        args: &TtsArgs,
        settings: &Settings,
        llm: &Checkpoint,
        mut place: Place,
    ) -> anyhow::Result<Speaker> {
        let loader = Loader::new(llm, &place.options)?;
        let (model, tokenizer, decoder) = std::thread::scope(|scope| {
            let tokenizer = scope.spawn(|| Tokenizer::open(llm));
            let model = place.load(&loader, &|loader| models::load(loader, args.ctx_size));
            let decoder = self.decoder(args, settings, &place.options);
            (model, tokenizer.join(), decoder)
        });
        let model = model?;
        let tokenizer = tokenizer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let decoder = decoder?;
        for note in place.notes.iter().chain(&loader.notes()) {
            settings.note(note);
        }
        Ok(Speaker::new(Engine::new(model, tokenizer), decoder))
    }
}

/// A model that does not speak is refused before it is fetched.
fn refuse_other_tasks(model: &str) -> anyhow::Result<()> {
    match session::row(model)? {
        Some(row) if row.task != Task::Speech => Err(CliError::Usage(format!(
            "'{model}' is a {} model and does not speak; 'crane list --catalogue' names those that do",
            row.task.name()
        ))
        .into()),
        _ => Ok(()),
    }
}
