//! The parts of a model of speech, their headers read.

use std::path::Path;

use super::listener::SECONDS;
use super::synthetic;
use crate::models::bicodec::{self, BiCodecConfig};
use crate::models::spark::SparkFolder;
use crate::models::wav2vec2::{self, Wav2Vec2Config};
use crate::models::{ModelError, Part};
use crate::weights::{Checkpoint, WeightsError};

/// Spark-TTS: language model, codec, and what reads a recording.
pub struct Model {
    pub(super) llm: Checkpoint,
    pub(super) codec: Checkpoint,
    pub(super) codec_config: BiCodecConfig,
    /// None where the folder has no such part.
    pub(super) wav2vec2: Option<(Checkpoint, Wav2Vec2Config)>,
}

impl Model {
    /// The model in `folder`.
    ///
    /// # Errors
    /// A part that is missing or damaged; without wav2vec2 only [`super::listen`] cannot be measured.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let parts = SparkFolder::open(folder)?;
        let (codec, codec_config) = bicodec::open(&parts.bicodec)?;
        let wav2vec2 = match parts.wav2vec2.is_dir() {
            true => Some(wav2vec2::open(&parts.wav2vec2)?),
            false => None,
        };
        Ok(Self {
            llm: Checkpoint::open(&parts.llm)?,
            codec,
            codec_config,
            wav2vec2,
        })
    }

    /// Seeded weights in the sizes of the published model, as f32 like there.
    ///
    /// # Errors
    /// None that its sizes could cause.
    pub fn synthetic() -> Result<Self, ModelError> {
        let codec_config = synthetic::codec_config()?;
        let config = synthetic::wav2vec2_config()?;
        let part = |name: &str, tensors| -> Result<Checkpoint, WeightsError> {
            let label = format!("synthetic:{}/{name}", synthetic::NAME);
            Checkpoint::synthetic(
                &label,
                serde_json::Value::Null,
                tensors,
                crate::weights::Format::F32,
            )
        };
        Ok(Self {
            llm: crate::bench::synthetic::spark_llm()?,
            codec: part("BiCodec", bicodec::tensors(&codec_config))?,
            codec_config,
            wav2vec2: Some((part("wav2vec2", wav2vec2::tensors(&config))?, config)),
        })
    }

    /// The language model.
    pub fn llm(&self) -> &Checkpoint {
        &self.llm
    }

    /// What the half of the codec that speaks takes of a GPU's memory.
    pub fn codec_part(&self) -> Part {
        bicodec::part(&self.codec_config)
    }

    /// What reads a recording takes, all of it at the same time.
    pub fn listener_part(&self) -> Part {
        let Some((_, wav2vec2)) = &self.wav2vec2 else {
            return Part::default();
        };
        let codec = &self.codec_config;
        let samples = SECONDS * codec.mel_params.sample_rate as usize;
        let windows = samples / codec.mel_params.hop_length + 1;
        wav2vec2::part(wav2vec2, samples)
            .and(bicodec::semantic_part(codec, wav2vec2.frames(samples)))
            .and(bicodec::speaker_part(codec, windows))
    }

    /// The folder of the language model.
    pub fn file(&self) -> String {
        self.llm.path().display().to_string()
    }
}
