//! A model on its way into memory: found, given a place, loaded.

use std::path::PathBuf;
use std::time::Instant;

use super::{dtype_name, locate, no_template, projector_beside, refuse_other_tasks, Session};
use crate::cli::defaults::Defaults;
use crate::cli::devices::{self, Freed, Picked, Place, Purpose};
use crate::cli::exit::CliError;
use crate::cli::settings::Settings;
use crate::generate::Engine;
use crate::hub::Located;
use crate::image::Limits;
use crate::models::spark::SparkFolder;
use crate::models::vision::{namo, Marker};
use crate::models::{self, LanguageModel, Part};
use crate::text::{ChatTemplate, TextError, Tokenizer};
use crate::vision::{Form, Viewer};
use crate::weights::{Checkpoint, LoadOptions, Loader, Quant};

/// How a model is to be loaded, and for what.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub quant: Option<Quant>,
    /// Tokens of its context; None: as many as it holds by itself.
    pub context: Option<usize>,
    /// What it will look at images with, if it will.
    pub sight: Option<Sight>,
}

/// What images are looked at with.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// The file that reads the images of a GGUF model; None: the one beside it.
    pub projector: Option<PathBuf>,
    pub limits: Limits,
}

/// A model whose files are there and that has a device.
pub struct Opening {
    located: Located,
    checkpoint: Checkpoint,
    template: Option<ChatTemplate>,
    picked: Picked,
    wish: Wish,
    started: Instant,
}

/// The same, once it is known where its weights go.
pub struct Placed {
    located: Located,
    checkpoint: Checkpoint,
    template: Option<ChatTemplate>,
    place: Place,
    context: Option<usize>,
    started: Instant,
}

impl Opening {
    /// Finds the files of `model`, fetching what is missing, and opens the device.
    ///
    /// # Errors
    /// A device that cannot be had, a model that is not there or answers in no text, damaged files.
    pub fn find(model: &str, settings: &Settings, wish: Wish) -> anyhow::Result<Self> {
        refuse_other_tasks(model)?;
        let picked = devices::pick(settings.wanted(), &|text| settings.progress(text))?;
        let located = locate(model, settings)?;
        settings.detail(&format!(
            "{} is {} ({})",
            located.typed,
            located.resolved,
            located.path.display()
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
        let sight = wish.sight.as_ref();
        if checkpoint.config().is_some() && sight.is_some_and(|sight| sight.projector.is_some()) {
            return Err(CliError::Usage(format!(
                "--mmproj is for a GGUF model, and {} has its image encoder in its own files: leave it out",
                located.typed
            ))
            .into());
        }
        Ok(Self {
            template: ChatTemplate::open(&checkpoint)?,
            located,
            checkpoint,
            picked,
            wish,
            started,
        })
    }

    /// Whether it knows how conversations are put together.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// That it does not.
    pub fn no_template(&self) -> TextError {
        no_template(&self.located)
    }

    /// Weighs the model against its device, where `freed` is going to be freed before it is loaded.
    ///
    /// # Errors
    /// No room on a device that has to be taken.
    pub fn place(self, settings: &Settings, freed: Freed) -> anyhow::Result<Placed> {
        let options = LoadOptions {
            dtype: settings.dtype,
            quant: self.wish.quant,
            cache: settings.cache,
            ..LoadOptions::default()
        };
        let (context, encoder) = (self.wish.context, self.encoder(&options));
        let picked = self.picked.freeing(freed);
        let told = |text: &str| settings.progress(text);
        let place = picked.place(&self.checkpoint, options, context, encoder, &told)?;
        settings.detail(&place.detail);
        Ok(Placed {
            located: self.located,
            checkpoint: self.checkpoint,
            template: self.template,
            place,
            context,
            started: self.started,
        })
    }

    /// What looks at images, where any will be looked at. What is wrong with it is said when it is opened: until then the
    /// model answers all the same.
    fn encoder(&self, options: &LoadOptions) -> Part {
        let Some(sight) = &self.wish.sight else {
            return Part::default();
        };
        let beside = || projector_beside(&self.located.path);
        let projector = sight.projector.clone().or_else(beside);
        let context = self.wish.context.unwrap_or(models::DEFAULT_CONTEXT);
        let (model, projector) = (&self.checkpoint, projector.as_deref());
        Viewer::part(model, projector, options, sight.limits, context).unwrap_or_default()
    }
}

impl Placed {
    /// Whether it has room only once what is going to be freed is free.
    pub fn is_crowded(&self) -> bool {
        self.place.crowded
    }

    /// Reads the weights.
    ///
    /// # Errors
    /// Files that are damaged or of something that crane does not compute; no memory.
    pub fn load(mut self) -> anyhow::Result<Session> {
        let (checkpoint, context) = (&self.checkpoint, self.context);
        let place = &mut self.place;
        let form = models::detect(checkpoint)?.system.map(|system| Form {
            marker: Marker::Text(namo::PLACEHOLDER),
            system: Some(system),
        });
        // Neither keeps all cores busy alone.
        let (loaded, tokenizer) = std::thread::scope(|scope| {
            let tokenizer = scope.spawn(|| Tokenizer::open(checkpoint));
            let loaded = Loaded::at(place, checkpoint, context);
            (loaded, tokenizer.join())
        });
        let loaded = loaded?;
        let mut notes = place.notes.clone();
        notes.extend(loaded.notes);
        let tokenizer = tokenizer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let mut defaults = Defaults::read(checkpoint)?;
        notes.append(&mut defaults.notes);
        defaults.merge_eos(tokenizer.eos_ids());
        Ok(Session {
            dtype: loaded.dtype,
            engine: Engine::new(loaded.model, tokenizer),
            located: self.located,
            template: self.template,
            defaults,
            place: self.place,
            load_ms: self.started.elapsed().as_secs_f64() * 1e3,
            notes,
            think: None,
            form,
            vocabulary: None,
            viewer: None,
            said: Vec::new(),
            committed: false,
        })
    }
}

/// The weights of a language model.
pub(super) struct Loaded {
    pub model: Box<dyn LanguageModel>,
    /// What they are computed from.
    pub dtype: String,
    /// What the user should know of their numbers.
    notes: Vec<String>,
}

impl Loaded {
    /// Of `checkpoint`, at `place`.
    ///
    /// # Errors
    /// As [`Placed::load`].
    pub fn at(
        place: &mut Place,
        checkpoint: &Checkpoint,
        context: Option<usize>,
    ) -> anyhow::Result<Self> {
        place.attempt(Purpose::Model, &mut |options| {
            let loader = Loader::new(checkpoint, options)?;
            Ok(Self {
                model: models::load(&loader, context)?,
                dtype: dtype_name(checkpoint, options, &loader),
                notes: loader.notes(),
            })
        })
    }
}
