//! The published sizes of Spark-TTS, so that it can be measured before anything is downloaded.

use std::path::Path;

use serde_json::json;

use crate::models::bicodec::BiCodecConfig;
use crate::models::wav2vec2::Wav2Vec2Config;
use crate::models::ModelError;

/// The catalogue's name of the model.
pub const NAME: &str = "spark-tts-0.5b";

/// The values of `BiCodec/config.yaml`.
const CODEC: &str = "
audio_tokenizer:
  mel_params: {sample_rate: 16000, n_fft: 1024, win_length: 640, hop_length: 320, mel_fmin: 10, mel_fmax: null, num_mels: 128}
  encoder: {input_channels: 1024, vocos_dim: 384, vocos_intermediate_dim: 2048, vocos_num_layers: 12, out_channels: 1024}
  decoder: {input_channel: 1024, channels: 1536, rates: [8, 5, 4, 2], kernel_sizes: [16, 11, 8, 4]}
  quantizer: {input_dim: 1024, codebook_size: 8192, codebook_dim: 8}
  speaker_encoder: {input_dim: 128, out_dim: 1024, latent_dim: 128, token_num: 32, fsq_levels: [4, 4, 4, 4, 4, 4]}
  prenet: {input_channels: 1024, vocos_dim: 384, vocos_intermediate_dim: 2048, vocos_num_layers: 12, out_channels: 1024, condition_dim: 1024}
  postnet: {input_channels: 1024, vocos_dim: 384, vocos_intermediate_dim: 2048, vocos_num_layers: 6, out_channels: 1024}
";

/// Of the published codec.
///
/// # Errors
/// None.
pub fn codec_config() -> Result<BiCodecConfig, ModelError> {
    BiCodecConfig::parse("BiCodec/config.yaml", CODEC)
}

/// Of wav2vec2-large-xlsr-53.
///
/// # Errors
/// None.
pub fn wav2vec2_config() -> Result<Wav2Vec2Config, ModelError> {
    let config = json!({
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "conv_dim": [512, 512, 512, 512, 512, 512, 512],
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
        "conv_bias": true,
        "do_stable_layer_norm": true,
        "feat_extract_norm": "layer",
    });
    Wav2Vec2Config::parse(Path::new("wav2vec2/config.json"), &config.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{bicodec, wav2vec2};

    #[test]
    fn the_codec_has_the_published_size() {
        let tensors = bicodec::tensors(&codec_config().unwrap());
        assert_eq!(tensors.len(), 840);
        let numbers: usize = tensors
            .iter()
            .map(|(_, s)| s.iter().product::<usize>())
            .sum();
        // The published file has 625,518,756 bytes, of which the header takes less than 0.1 MB.
        assert!(
            (625_400_000..625_518_756).contains(&(4 * numbers)),
            "{numbers}"
        );
    }

    #[test]
    fn what_reading_a_minute_takes_of_a_gpu_by_hand() {
        const MIB: u64 = 1 << 20;
        let config = wav2vec2_config().unwrap();
        let tensors = wav2vec2::tensors(&config);
        let numbers = tensors
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>());
        let numbers = numbers.sum::<usize>() as u64;
        let part = wav2vec2::part(&config, 60 * 16_000);
        // Rows are filled up, half as many again in the positional convolution; of each matrix a page may be lost.
        let held = 4 * numbers;
        assert!((held..held + held / 3).contains(&part.weights), "{part:?}");
        // 2999 frames, eight signals of 1024 channels and one of 4096; and the sums that blocks share.
        let signals = 4 * (8 * 1024 + 4096) * 3008;
        assert!(
            (signals..signals + 128 * MIB).contains(&part.work),
            "{part:?}"
        );
        // A page is lost with each; the convolutions of ten seconds have two signals of 512 channels, and their frames.
        let short = wav2vec2::part(&config, 10 * 16_000);
        let signals = 2 * 4 * 512 * 31_999;
        assert!(
            (signals..signals + 128 * MIB).contains(&short.work),
            "{short:?}"
        );
    }

    #[test]
    fn what_the_codec_takes_of_a_gpu_by_hand() {
        const MIB: u64 = 1 << 20;
        let part = bicodec::part(&codec_config().unwrap());
        let numbers = |start: &str| -> u64 {
            let tensors = bicodec::tensors(&codec_config().unwrap()).into_iter();
            let own = tensors.filter(|(name, _)| name.starts_with(start));
            own.map(|(_, shape)| shape.iter().product::<usize>() as u64)
                .sum()
        };
        let held = ["prenet.", "decoder.model.", "speaker_encoder.project."];
        let held = 4 * held.map(numbers).iter().sum::<u64>();
        // A page is lost with some of the matrices, and a few rows are filled up.
        assert!(
            (held..held + held / 4).contains(&part.weights),
            "{part:?} {held}"
        );
        // Three signals of 96 channels of 320 samples a frame, of 400 frames and 12 on either side; all others, and the
        // sums that blocks share, are small.
        let largest = 3 * 4 * 96 * 320 * 424;
        let work = largest..largest + 128 * MIB;
        assert!(work.contains(&part.work), "{part:?}");
    }
}
