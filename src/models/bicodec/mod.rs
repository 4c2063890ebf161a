//! BiCodec, the codec of Spark-TTS (Wang et al., 2025, arXiv:2503.01710): 50 semantic tokens a second that say what is
//! spoken, 32 global tokens that say by whom. Names, shapes and equations are those of the published `BiCodec` folder.

mod backbone;
mod config;
mod decoder;
mod ecapa;
mod encoder;
mod generator;
mod layout;
mod room;
mod speaker;

use std::path::Path;

pub use config::BiCodecConfig;
pub use decoder::{Decoder, Voice};
pub use encoder::SemanticEncoder;
pub use layout::tensors;
pub use room::{part, semantic_part, speaker_part};
pub use speaker::SpeakerEncoder;

use super::ModelError;
use crate::audio::{Mel, MelSpec};
use crate::weights::{Checkpoint, WeightsError};

/// The checkpoint in `folder` (`config.yaml`, `model.safetensors`); all of its tensors have the names and shapes that the
/// configuration gives them. Reads headers only.
///
/// # Errors
/// A file that is missing or damaged, a tensor that is missing or of another shape.
pub fn open(folder: &Path) -> Result<(Checkpoint, BiCodecConfig), ModelError> {
    let file = folder.join("config.yaml");
    let text = std::fs::read_to_string(&file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => WeightsError::missing(
            &file,
            "no such file; a Spark-TTS folder has BiCodec/config.yaml",
        ),
        _ => WeightsError::io(&file, e),
    })?;
    let config = BiCodecConfig::parse(&file.display().to_string(), &text)?;
    let checkpoint = Checkpoint::part(&folder.join("model.safetensors"), serde_json::Value::Null)?;
    checkpoint.require(tensors(&config))?;
    Ok((checkpoint, config))
}

/// Global tokens that there are.
pub fn global_codes(config: &BiCodecConfig) -> usize {
    config.speaker_encoder.fsq_levels.iter().product()
}

/// The spectrogram that the speaker encoder reads.
///
/// # Errors
/// No memory.
pub fn mel(config: &BiCodecConfig) -> std::io::Result<Mel> {
    let mel = &config.mel_params;
    Mel::new(MelSpec {
        sample_rate: mel.sample_rate,
        n_fft: mel.n_fft,
        win_length: mel.win_length,
        hop_length: mel.hop_length,
        f_min: mel.mel_fmin,
        f_max: mel.mel_fmax,
        n_mels: mel.num_mels,
    })
}
