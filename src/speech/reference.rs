//! A recording → the tokens of its voice and of what it says.

use std::path::Path;

use serde::Deserialize;

use super::SpeechError;
use crate::audio::{normalise_volume, read_wav, reference_clip, resample};
use crate::kernels::conv::Signal;
use crate::models::bicodec::BiCodecConfig;
use crate::models::spark::SparkFolder;
use crate::models::{bicodec, wav2vec2, ModelError, Part};
use crate::weights::{Checkpoint, DTypeChoice, LoadOptions, Loader, WeightsError};

/// `config.yaml` of the whole model, as far as a recording is concerned.
#[derive(Debug, Clone, Deserialize)]
struct Config {
    #[serde(default = "sample_rate")]
    sample_rate: u32,
    /// Seconds that the voice is taken from.
    #[serde(default = "ref_segment_duration")]
    ref_segment_duration: f64,
    #[serde(default = "latent_hop_length")]
    latent_hop_length: usize,
    #[serde(default = "volume_normalize")]
    volume_normalize: bool,
}

fn sample_rate() -> u32 {
    16_000
}

fn ref_segment_duration() -> f64 {
    6.0
}

fn latent_hop_length() -> usize {
    320
}

fn volume_normalize() -> bool {
    true
}

impl Config {
    fn read(file: &Path) -> Result<Self, SpeechError> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            // Its values have never changed.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => "{}".into(),
            Err(e) => {
                return Err(WeightsError::Io {
                    file: file.into(),
                    source: e,
                }
                .into())
            }
        };
        let wrong = |reason: String| ModelError::Config {
            file: file.display().to_string(),
            reason,
        };
        let config: Self = serde_saphyr::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let sound = config.sample_rate > 0
            && config.latent_hop_length > 0
            && (0.1..=600.0).contains(&config.ref_segment_duration);
        match sound {
            true => Ok(config),
            false => Err(wrong(
                "sample_rate, latent_hop_length or ref_segment_duration is out of range".into(),
            )
            .into()),
        }
    }
}

/// A recording as a model listens to it, part by part: each is computed in f32, on the GPU of its place, else on the CPU,
/// and what one has made is in this machine's memory.
pub struct Recording {
    /// What the user should know of the file.
    pub warnings: Vec<String>,
    parts: SparkFolder,
    codec: Checkpoint,
    config: BiCodecConfig,
    samples: Vec<f32>,
    /// The spectrogram of what the voice is taken from.
    mel: Signal,
}

impl Recording {
    /// Reads the recording `wav` for the model in `folder`.
    ///
    /// # Errors
    /// A file that is no usable recording, a part of the model that is missing or damaged.
    pub fn read(folder: &Path, wav: &Path) -> Result<Self, SpeechError> {
        let parts = SparkFolder::open(folder)?;
        let file = folder.join("config.yaml");
        let spec = Config::read(&file)?;
        let (codec, config) = bicodec::open(&parts.bicodec)?;
        let clip = read_wav(wav)?;
        let mut samples = match clip.rate == spec.sample_rate {
            true => clip.samples,
            false => resample(&clip.samples, clip.rate, spec.sample_rate),
        };
        if spec.volume_normalize {
            normalise_volume(&mut samples);
        }
        let hop = spec.latent_hop_length;
        let wanted = f64::from(spec.sample_rate) * spec.ref_segment_duration;
        let len = wanted as usize / hop * hop;
        if len <= config.mel_params.n_fft / 2 {
            return Err(ModelError::Config {
                file: file.display().to_string(),
                reason: format!(
                    "ref_segment_duration {} is shorter than a frame of the spectrogram ({} samples)",
                    spec.ref_segment_duration, config.mel_params.n_fft
                ),
            }
            .into());
        }
        let no_memory = |e| WeightsError::Io {
            file: parts.bicodec.clone(),
            source: e,
        };
        let first = as_f32(&reference_clip(&samples, len));
        Ok(Self {
            warnings: clip.warnings,
            mel: bicodec::mel(&config).map_err(no_memory)?.of(&first),
            samples: as_f32(&samples),
            parts,
            codec,
            config,
        })
    }

    /// What listening takes of a GPU's memory; `semantic`: to what is said, too.
    ///
    /// # Errors
    /// A part of the model that is missing or damaged.
    pub fn part(&self, semantic: bool) -> Result<Part, SpeechError> {
        let voice = bicodec::speaker_part(&self.config, self.mel.len());
        if !semantic {
            return Ok(voice);
        }
        let (_, listener) = wav2vec2::open(&self.parts.wav2vec2)?;
        let samples = self.samples.len();
        let said = bicodec::semantic_part(&self.config, listener.frames(samples));
        // They are loaded one after the other.
        Ok(voice.or(said).or(wav2vec2::part(&listener, samples)))
    }

    /// The tokens of the voice.
    ///
    /// # Errors
    /// Weights that do not load, arithmetic that fails.
    pub fn global(&self, place: &LoadOptions) -> Result<Vec<u32>, SpeechError> {
        let loader = Loader::new(&self.codec, &exact(place))?;
        let at = loader.under("speaker_encoder");
        let mut encoder = bicodec::SpeakerEncoder::load(&at, &self.config.speaker_encoder)?;
        Ok(encoder.tokens(&self.mel)?)
    }

    /// What wav2vec2 makes of the whole recording, for [`Recording::semantic`].
    ///
    /// # Errors
    /// As [`Recording::global`]; [`SpeechError::Interrupted`] once `go_on` says no.
    pub fn features(
        &self,
        place: &LoadOptions,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Signal, SpeechError> {
        let (checkpoint, config) = wav2vec2::open(&self.parts.wav2vec2)?;
        let read = self.config.encoder.input_channels;
        if config.hidden_size != read {
            return Err(ModelError::Config {
                file: self.parts.wav2vec2.display().to_string(),
                reason: format!(
                    "its hidden_size {} is not what BiCodec reads ({read})",
                    config.hidden_size
                ),
            }
            .into());
        }
        let loader = Loader::new(&checkpoint, &exact(place))?;
        let mut model = wav2vec2::Wav2Vec2::load(&loader, &config)?;
        // A recording of the least length that is taken has several frames; the zeros are for other configurations.
        let mut samples = self.samples.clone();
        samples.resize(samples.len().max(model.least()), 0.0);
        let features = model.features(&samples, go_on)?;
        features.ok_or(SpeechError::Interrupted)
    }

    /// The tokens of what is said, of its `features`.
    ///
    /// # Errors
    /// As [`Recording::global`].
    pub fn semantic(
        &self,
        features: &Signal,
        place: &LoadOptions,
    ) -> Result<Vec<u32>, SpeechError> {
        let loader = Loader::new(&self.codec, &exact(place))?;
        let mut encoder = bicodec::SemanticEncoder::load(&loader, &self.config)?;
        Ok(encoder.tokens(features)?)
    }
}

/// Where crane's own kernels compute, in the numbers that are stored.
fn exact(place: &LoadOptions) -> LoadOptions {
    LoadOptions {
        dtype: DTypeChoice::Auto,
        ..place.own_kernels()
    }
}

fn as_f32(samples: &[f64]) -> Vec<f32> {
    samples.iter().map(|&x| x as f32).collect()
}
