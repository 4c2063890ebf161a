//! From the model's name to what speaks: its parts, the voice, the loaded speaker.

use std::path::PathBuf;

use crate::cli::devices::{self, Place, Purpose};
use crate::cli::exit::CliError;
use crate::cli::session;
use crate::cli::settings::Settings;
use crate::cli::{interrupt, voices};
use crate::generate::Engine;
use crate::hub::catalogue::Task;
use crate::models::bicodec::{self, BiCodecConfig, Decoder};
use crate::models::spark::SparkFolder;
use crate::models::{self, Part};
use crate::speech::reference::Recording;
use crate::speech::{Manner, Speaker, VoiceTokens};
use crate::text::Tokenizer;
use crate::weights::{Checkpoint, DTypeChoice, LoadOptions, Loader};

use super::args::TtsArgs;

/// What needs no listening.
const KEPT: &str = "a voice that was kept (--voice)";

/// A recording whose voice is to be spoken with.
pub struct Reference {
    pub recording: Recording,
    words: Option<String>,
    /// Whether the tokens of what it says are wanted too; they need the wav2vec2 part of the model.
    semantic: bool,
    /// Listening, as messages call it.
    purpose: Purpose,
}

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

    /// The recording that the arguments ask for, read; `speaks`: something is said afterwards.
    pub fn reference(&self, args: &TtsArgs, speaks: bool) -> anyhow::Result<Option<Reference>> {
        let Some(wav) = &args.clone else {
            return Ok(None);
        };
        let words = args.ref_text.clone().filter(|text| !text.trim().is_empty());
        let kept = args.save_voice.is_some() && self.parts.wav2vec2.is_dir();
        let semantic = words.is_some() || kept;
        Ok(Some(Reference {
            recording: Recording::read(&self.folder, wav)?,
            words,
            semantic,
            purpose: Purpose::Listening(match (semantic, kept, speaks) {
                (true, false, _) => &[
                    "a shorter recording",
                    "none of its words (--ref-text)",
                    KEPT,
                ],
                (true, true, true) => &["a shorter recording", KEPT],
                (true, true, false) => &["a shorter recording"],
                // Its voice is taken from a part of it.
                (false, _, true) => &[KEPT],
                (false, _, false) => &[],
            }),
        }))
    }

    /// Where `reference` is listened to and `llm` is loaded afterwards, if anything is to be said.
    pub fn place(
        &self,
        args: &TtsArgs,
        settings: &Settings,
        llm: Option<&Checkpoint>,
        reference: Option<&Reference>,
    ) -> anyhow::Result<Place> {
        let told = |text: &str| settings.progress(text);
        let mut picked = devices::pick(settings.wanted(), &told)?;
        let listens = match reference.filter(|_| picked.weighs()) {
            Some(reference) => Some((
                reference.purpose,
                reference.recording.part(reference.semantic)?,
            )),
            None => None,
        };
        let Some(llm) = llm else {
            let (purpose, part) = listens.unwrap_or((Purpose::Listening(&[]), Part::default()));
            return picked.place_alone(purpose, part, &told);
        };
        let options = LoadOptions {
            dtype: settings.dtype,
            quant: args.quant.quant.choice(),
            cache: settings.cache,
            ..LoadOptions::default()
        };
        let codec = bicodec::part(&self.config);
        if let Some((purpose, part)) = listens {
            picked = picked.after(purpose, part);
        }
        picked.place(llm, options, args.ctx_size, codec, &told)
    }

    /// Where the codec's decoder goes, that speaks alone.
    pub fn place_codec(&self, settings: &Settings) -> anyhow::Result<Place> {
        let told = |text: &str| settings.progress(text);
        let picked = devices::pick(settings.wanted(), &told)?;
        picked.place_alone(Purpose::Codec, bicodec::part(&self.config), &told)
    }

    /// The voice that the arguments ask for; `reference` is listened to at `place`.
    pub fn manner(
        &self,
        args: &TtsArgs,
        settings: &Settings,
        reference: Option<&Reference>,
        place: &mut Place,
    ) -> anyhow::Result<Manner> {
        if let Some(name) = &args.voice {
            let voice = voices::load(name, settings)?;
            let codes = bicodec::global_codes(&self.config);
            voice
                .check(codes, self.config.quantizer.codebook_size)
                .map_err(|e| CliError::Corrupt(format!("voice '{name}': {e}; remove it with 'crane voices rm {name}' and make it again")))?;
            return Ok(Manner::Voice(voice));
        }
        let Some(reference) = reference else {
            return Ok(Manner::Style {
                style: args.style(),
                chosen: None,
            });
        };
        let polled = interrupt::Deferred::new();
        let voice = reference.listen(place)?;
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

    /// The language model `llm` and the codec, at `place`, and what the user should know of it.
    pub fn load(
        &self,
        args: &TtsArgs,
        settings: &Settings,
        llm: &Checkpoint,
        place: &mut Place,
    ) -> anyhow::Result<(Speaker, Vec<String>)> {
        let (loaded, tokenizer) = std::thread::scope(|scope| {
            let tokenizer = scope.spawn(|| Tokenizer::open(llm));
            let loaded = place.attempt(Purpose::Model, &mut |options| {
                let loader = Loader::new(llm, options)?;
                let model = models::load(&loader, args.ctx_size)?;
                let decoder = self.decoder(args, settings, options)?;
                Ok((model, decoder, loader.notes()))
            });
            (loaded, tokenizer.join())
        });
        let (model, decoder, notes) = loaded?;
        let tokenizer = tokenizer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((Speaker::new(Engine::new(model, tokenizer), decoder), notes))
    }
}

impl Reference {
    /// Its voice, listened to at `place`. Where a GPU fails at a part, that part and those behind it are computed on the
    /// CPU.
    fn listen(&self, place: &mut Place) -> anyhow::Result<VoiceTokens> {
        let Self {
            recording, purpose, ..
        } = self;
        let go_on = || !interrupt::pressed();
        let global = place.attempt(*purpose, &mut |at| Ok(recording.global(at)?))?;
        let mut semantic = None;
        if self.semantic {
            let features =
                place.attempt(*purpose, &mut |at| Ok(recording.features(at, &go_on)?))?;
            let tokens =
                place.attempt(*purpose, &mut |at| Ok(recording.semantic(&features, at)?))?;
            semantic = Some(tokens);
        }
        Ok(VoiceTokens {
            global,
            semantic,
            text: self.words.clone(),
        })
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
