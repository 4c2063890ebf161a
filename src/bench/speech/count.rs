//! Multiplications that a model of speech needs, each with its addition, counted from the configuration: those of
//! convolutions (rows · channels · kernel · length, padding included), linear layers, attention and the codebook's search.
//! Norms, activations and the spectrogram are not counted.

use crate::models::bicodec::{tensors, BiCodecConfig};
use crate::models::wav2vec2::{Wav2Vec2Config, LAYERS_READ};

/// For the samples of `tokens` semantic tokens.
pub fn decoding(config: &BiCodecConfig, tokens: usize) -> u64 {
    let each = |(name, shape): &(String, Vec<usize>)| decoded(name, config) * product(shape);
    tokens as u64 * tensors(config).iter().map(each).sum::<u64>()
}

/// How often a weight is multiplied for a token that is decoded.
fn decoded(name: &str, config: &BiCodecConfig) -> u64 {
    let rates = &config.decoder.rates;
    if let Some(place) = name.strip_prefix("decoder.model.") {
        let Some(place) = place.strip_suffix(".weight_v") else {
            return 0;
        };
        let mut parts = place.split('.');
        let stage = parts.next().and_then(|n| n.parse::<usize>().ok());
        let stage = stage.unwrap_or(0).min(rates.len());
        // `N.block.1` is the transposed convolution: each of the samples that it reads meets the whole kernel.
        let before = match parts.eq(["block", "1"]) {
            true => stage.saturating_sub(1),
            false => stage,
        };
        return rates[..before].iter().map(|&rate| rate as u64).product();
    }
    let conditions = name.contains("norm.scale.") || name.contains("norm.shift.");
    let used = (name.starts_with("prenet.") && name.ends_with(".weight") && !conditions)
        || name == "quantizer.out_project.weight_v";
    u64::from(used)
}

/// For the semantic tokens of `frames` features.
pub fn semantic(config: &BiCodecConfig, frames: usize) -> u64 {
    let used = |name: &str| {
        (name.starts_with("encoder.") && name.ends_with(".weight"))
            || name == "quantizer.in_project.weight_v"
            || name == "quantizer.codebook.weight"
    };
    let all = tensors(config);
    let read = all.iter().filter(|(name, _)| used(name));
    frames as u64 * read.map(|(_, shape)| product(shape)).sum::<u64>()
}

/// For the global tokens of `frames` of a spectrogram.
pub fn global(config: &BiCodecConfig, frames: usize) -> u64 {
    let (frames, tokens) = (frames as u64, config.speaker_encoder.token_num as u64);
    let seen = frames + tokens;
    let ecapa = "speaker_encoder.speaker_encoder.";
    let sampler = "speaker_encoder.perceiver_sampler.";
    let times = |name: &str, shape: &[usize]| {
        let Some(place) = name.strip_suffix(".weight") else {
            return 0;
        };
        match (place.strip_prefix(ecapa), place.strip_prefix(sampler)) {
            // The pooling and what follows make a vector that nobody reads.
            (Some(place), _) if place.starts_with("pool.") || place == "linear" => 0,
            // Squeeze and excitation see a mean.
            (Some(place), _) if place.contains(".3.linear") => product(shape),
            (Some(_), _) => frames * product(shape),
            (_, Some("proj_context")) => frames * product(shape),
            (_, Some(place)) if place.ends_with(".to_kv") => seen * product(shape),
            (_, Some(place)) if place.ends_with(".to_q") => {
                let width = shape.first().map_or(0, |&rows| rows as u64);
                tokens * product(shape) + 2 * tokens * seen * width
            }
            (_, Some(_)) => tokens * product(shape),
            _ if place == "speaker_encoder.quantizer.project_in" => tokens * product(shape),
            _ => 0,
        }
    };
    let all = tensors(config);
    all.iter().map(|(name, shape)| times(name, shape)).sum()
}

/// For the features of `samples`.
pub fn features(config: &Wav2Vec2Config, samples: usize) -> u64 {
    let (mut length, mut channels, mut sum) = (samples as u64, 1u64, 0u64);
    let steps = config.conv_kernel.iter().zip(&config.conv_stride);
    for (&rows, (&kernel, &stride)) in config.conv_dim.iter().zip(steps) {
        let (rows, kernel, stride) = (rows as u64, kernel as u64, stride.max(1) as u64);
        length = match length < kernel {
            true => 0,
            false => (length - kernel) / stride + 1,
        };
        sum += rows * channels * kernel * length;
        channels = rows;
    }
    let (hidden, wide) = (config.hidden_size as u64, config.intermediate_size as u64);
    let group = hidden / config.num_conv_pos_embedding_groups.max(1) as u64;
    let positions = hidden * group * config.num_conv_pos_embeddings as u64;
    let layer = 4 * hidden * hidden + 2 * hidden * wide + 2 * length * hidden;
    sum + length * (hidden * channels + positions + LAYERS_READ as u64 * layer)
}

/// Of a weight that is multiplied once a frame; 0 for what is no matrix or kernel.
fn product(shape: &[usize]) -> u64 {
    match shape.len() {
        0 | 1 => 0,
        _ => shape.iter().map(|&size| size as u64).product(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{codec_config, wav2vec2_config};
    use super::*;

    /// A ConvNeXt block of 384 channels: depthwise of 7, and two products with 2048.
    const BLOCK: u64 = 384 * 7 + 2 * 384 * 2048;
    const EMBED: u64 = 384 * 384 * 7;

    /// Three residual units of `width` channels: kernels of 7 and of 1.
    const fn units(width: u64) -> u64 {
        3 * (7 + 1) * width * width
    }

    #[test]
    fn a_second_of_speech_is_29_billion_by_hand() {
        let prenet = 1024 * 384 + 2 * (EMBED + 2 * BLOCK) + EMBED + 12 * BLOCK + 384 * 1024;
        assert_eq!(prenet + 8 * 1024, 29_100_032);
        let generator = 1024 * 1536 * 7
            + 1536 * 768 * 16
            + 8 * (units(768) + 768 * 384 * 11)
            + 40 * (units(384) + 384 * 192 * 8)
            + 160 * (units(192) + 192 * 96 * 4)
            + 320 * (units(96) + 96 * 7);
        assert_eq!(generator, 558_581_760);
        let config = codec_config().unwrap();
        let token = prenet + 8 * 1024 + generator;
        assert_eq!(decoding(&config, 1), token);
        assert_eq!(decoding(&config, 50), 29_384_089_600);
        assert_eq!(decoding(&config, 250), 5 * decoding(&config, 50));
    }

    #[test]
    fn semantic_tokens_by_hand() {
        let encoder = EMBED / 384 * 1024 + 12 * BLOCK + 2 * (EMBED + 2 * BLOCK) + 384 * 1024;
        let config = codec_config().unwrap();
        assert_eq!(semantic(&config, 3), 3 * (encoder + 8 * 1024 + 8 * 8192));
    }

    #[test]
    fn global_tokens_by_hand() {
        let (frames, seen) = (301, 301 + 32);
        let block = 2 * 512 * 512 + 7 * 64 * 64 * 3;
        let ecapa = frames * (512 * 128 * 5 + 3 * block + 1536 * 1536) + 3 * 2 * 128 * 512;
        let layer = 32 * 512 * 128 // queries
            + seen * 1024 * 128
            + 2 * 32 * seen * 512
            + 32 * 128 * 512
            + 32 * (682 * 128 + 128 * 341);
        let sampler = frames * 128 * 1536 + 2 * layer + 32 * 6 * 128;
        let config = codec_config().unwrap();
        assert_eq!(global(&config, 301), ecapa + sampler);
    }

    #[test]
    fn features_of_six_seconds_by_hand() {
        let lengths = [19_199u64, 9_599, 4_799, 2_399, 1_199, 599, 299];
        let threes: u64 = lengths[1..5].iter().sum();
        let convs = 512 * 10 * lengths[0] + 512 * 512 * (3 * threes + 2 * (599 + 299));
        let layer = 4 * 1024 * 1024 + 2 * 1024 * 4096 + 2 * 299 * 1024;
        let rest = 299 * (512 * 1024 + 1024 * 64 * 128 + 16 * layer);
        let config = wav2vec2_config().unwrap();
        assert_eq!(features(&config, 96_000), convs + rest);
        assert_eq!(features(&config, 3), 0);
    }
}
