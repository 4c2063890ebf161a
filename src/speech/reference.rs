//! A recording → the tokens of its voice and of what it says.

use std::path::Path;

use serde::Deserialize;

use super::{SpeechError, VoiceTokens};
use crate::audio::{normalise_volume, read_wav, reference_clip, resample, MAX_SECONDS};
use crate::models::bicodec::BiCodecConfig;
use crate::models::spark::SparkFolder;
use crate::models::{bicodec, wav2vec2, ModelError, Part};
use crate::weights::{DTypeChoice, LoadOptions, Loader, WeightsError};

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

/// What is to be done with a recording.
#[derive(Debug, Clone)]
pub struct Reference<'a> {
    pub wav: &'a Path,
    /// Its words.
    pub text: Option<String>,
    /// Whether the tokens of what it says are wanted too; they need the wav2vec2 part of the model.
    pub semantic: bool,
}

/// What listening takes of a GPU's memory, for the longest recording and, where the tokens of what it says are wanted
/// too, with the wav2vec2 part of the model in `folder`, whose codec has the configuration `codec`.
///
/// # Errors
/// A part of the model that is missing or damaged.
pub fn part(folder: &Path, codec: &BiCodecConfig, semantic: bool) -> Result<Part, SpeechError> {
    let config = Config::read(&folder.join("config.yaml"))?;
    let clip = (f64::from(config.sample_rate) * config.ref_segment_duration) as usize;
    let windows = clip / codec.mel_params.hop_length + 1;
    let voice = bicodec::speaker_part(codec, windows);
    if !semantic {
        return Ok(voice);
    }
    let (_, listener) = wav2vec2::open(&SparkFolder::open(folder)?.wav2vec2)?;
    let samples = (MAX_SECONDS * config.sample_rate) as usize;
    let said = bicodec::semantic_part(codec, listener.frames(samples));
    // They are loaded one after the other.
    Ok(voice.or(said).or(wav2vec2::part(&listener, samples)))
}

/// Listens to a recording with the model in `folder`, in f32, on the GPU of `place`, else on the CPU. What the user should
/// know about it goes to `note`.
///
/// # Errors
/// A file that is no usable recording, a part of the model that is missing or damaged; [`SpeechError::Interrupted`] once
/// `go_on` says no.
pub fn listen(
    folder: &Path,
    reference: &Reference,
    place: &LoadOptions,
    note: &mut dyn FnMut(String),
    go_on: &dyn Fn() -> bool,
) -> Result<VoiceTokens, SpeechError> {
    let parts = SparkFolder::open(folder)?;
    let config = Config::read(&folder.join("config.yaml"))?;
    let clip = read_wav(reference.wav)?;
    clip.warnings.iter().cloned().for_each(&mut *note);
    let mut samples = match clip.rate == config.sample_rate {
        true => clip.samples,
        false => resample(&clip.samples, clip.rate, config.sample_rate),
    };
    if config.volume_normalize {
        normalise_volume(&mut samples);
    }
    let (checkpoint, codec) = bicodec::open(&parts.bicodec)?;
    let place = exact(place);
    let loader = Loader::new(&checkpoint, &place)?;
    let hop = config.latent_hop_length;
    let wanted = f64::from(config.sample_rate) * config.ref_segment_duration;
    let len = wanted as usize / hop * hop;
    if len <= codec.mel_params.n_fft / 2 {
        return Err(ModelError::Config {
            file: folder.join("config.yaml").display().to_string(),
            reason: format!(
                "ref_segment_duration {} is shorter than a frame of the spectrogram ({} samples)",
                config.ref_segment_duration, codec.mel_params.n_fft
            ),
        }
        .into());
    }
    let first = as_f32(&reference_clip(&samples, len));
    let no_memory = |e| WeightsError::Io {
        file: parts.bicodec.clone(),
        source: e,
    };
    let mel = bicodec::mel(&codec).map_err(no_memory)?.of(&first);
    let at = loader.under("speaker_encoder");
    let global = bicodec::SpeakerEncoder::load(&at, &codec.speaker_encoder)?.tokens(&mel)?;
    let semantic = match reference.semantic {
        true => {
            let features = features(&parts, &as_f32(&samples), &place, go_on)?;
            if features.channels() != codec.encoder.input_channels {
                return Err(ModelError::Config {
                    file: parts.wav2vec2.display().to_string(),
                    reason: format!(
                        "its hidden_size {} is not what BiCodec reads ({})",
                        features.channels(),
                        codec.encoder.input_channels
                    ),
                }
                .into());
            }
            let mut encoder = bicodec::SemanticEncoder::load(&loader, &codec)?;
            Some(encoder.tokens(&features)?)
        }
        false => None,
    };
    Ok(VoiceTokens {
        global,
        semantic,
        text: reference.text.clone(),
    })
}

fn features(
    parts: &SparkFolder,
    samples: &[f32],
    place: &LoadOptions,
    go_on: &dyn Fn() -> bool,
) -> Result<crate::kernels::conv::Signal, SpeechError> {
    let (checkpoint, config) = wav2vec2::open(&parts.wav2vec2)?;
    let loader = Loader::new(&checkpoint, place)?;
    let mut model = wav2vec2::Wav2Vec2::load(&loader, &config)?;
    // A recording of the least length that is taken has several frames; the zeros are for other configurations.
    let mut samples = samples.to_vec();
    samples.resize(samples.len().max(model.least()), 0.0);
    model
        .features(&samples, go_on)?
        .ok_or(SpeechError::Interrupted)
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
