//! What the codec's parts take of a GPU's memory, from its configuration.

use super::backbone;
use super::config::BiCodecConfig;
use super::decoder::FRAMES;
use super::{ecapa, generator, layout, speaker};
use crate::models::part::{product, signal, Filter, Part};

/// What a [`super::Decoder`] has on the GPU; codebooks stay in this machine's memory.
const HELD: [&str; 4] = [
    "quantizer.out_project.",
    "prenet.",
    "decoder.model.",
    "speaker_encoder.project.",
];
/// What a [`super::SemanticEncoder`] has there.
const SAID: [&str; 2] = ["quantizer.in_project.", "encoder."];
/// What a [`super::SpeakerEncoder`] has there: nothing of what pools features to one vector.
const VOICE: [&str; 3] = [
    "speaker_encoder.speaker_encoder.layer",
    "speaker_encoder.speaker_encoder.conv.",
    "speaker_encoder.perceiver_sampler.",
];
/// Results that the work of a filter is shared out for.
const EXPECTED: usize = 50;
/// Rows of a tile of weights, which is filled up, and rows up to which there are no tiles.
const TILE: usize = 96;
const NARROW: usize = 4;
/// Sums that blocks share, of as many multiprocessors as GPUs have.
const SUMS: u64 = 64 << 20;

/// What the half that speaks takes: weights in f32, and the signals of as many frames as are computed in one go.
pub fn part(config: &BiCodecConfig) -> Part {
    let weights = weights(config, &HELD);
    Part::of(weights, signals(config).into_iter().chain([SUMS]))
}

/// What the encoder of so many features takes.
pub fn semantic_part(config: &BiCodecConfig, frames: usize) -> Part {
    let encoder = &config.encoder;
    let (dim, wide) = (encoder.vocos_dim, encoder.vocos_intermediate_dim);
    let (read, out) = (encoder.input_channels, encoder.out_channels);
    // What is read and made, what is between the layers of a block, and what is looked up.
    let mut widths = vec![read, wide, out, config.quantizer.codebook_dim];
    widths.extend([dim; 5]);
    let sums = [
        [dim, read, 7],
        [wide, dim, 1],
        [dim, wide, 1],
        [out, dim, 1],
    ];
    let work = widths.into_iter().map(|n| signal(n, frames));
    Part::of(weights(config, &SAID), work.chain([shared(&sums, frames)]))
}

/// What the encoder of a voice takes, of so many frames of a spectrogram.
pub fn speaker_part(config: &BiCodecConfig, frames: usize) -> Part {
    let latent = config.speaker_encoder.latent_dim;
    let seen = frames + config.speaker_encoder.token_num;
    let (width, features) = (ecapa::CHANNELS, ecapa::FEATURES);
    let heads = speaker::HEADS * speaker::HEAD_DIM;
    // The spectrogram; what a block reads, makes and works with, a group of it; features and what is made of them;
    // then latents with them, keys and values. All else has few samples.
    let widths = [
        config.speaker_encoder.input_dim,
        width,
        width,
        width,
        width / ecapa::GROUPS,
        features,
        features,
        latent,
        latent,
        2 * heads,
    ];
    let sums = [
        [features, features, 1],
        [width, width, 1],
        [2 * heads, latent, 1],
    ];
    let work = widths.map(|n| signal(n, seen));
    Part::of(
        weights(config, &VOICE),
        work.into_iter().chain([shared(&sums, seen)]),
    )
}

/// Bytes of the tensors whose names begin so.
fn weights<'a>(config: &BiCodecConfig, names: &'a [&str]) -> impl Iterator<Item = u64> + use<'a> {
    let all = layout::tensors(config).into_iter();
    let held = all.filter(|(name, _)| names.iter().any(|start| name.starts_with(start)));
    held.map(|(_, shape)| 4 * product(&tiled(&shape)))
}

/// Bytes of the sums that blocks of the filters of these shapes share at most.
fn shared(filters: &[[usize; 3]], results: usize) -> u64 {
    let sums = filters.iter().map(|&[rows, channels, taps]| {
        let filter = Filter {
            rows,
            channels,
            taps,
            results,
            expected: EXPECTED,
        };
        filter.sums()
    });
    sums.max().unwrap_or(0)
}

/// Rows and channels filled up to whole tiles: either may be what tiles are cut from.
fn tiled(shape: &[usize]) -> Vec<usize> {
    let sizes = shape.iter().enumerate();
    let tiled = sizes.map(|(axis, &size)| match axis < 2 && size > NARROW {
        true if shape.len() > 1 => size.next_multiple_of(TILE),
        _ => size,
    });
    tiled.collect()
}

/// Bytes of each signal at its largest.
fn signals(config: &BiCodecConfig) -> Vec<u64> {
    let (prenet, decoder) = (&config.prenet, &config.decoder);
    let generated = FRAMES + 2 * generator::reach(decoder);
    let stages = prenet.sample_ratios.len() * backbone::reach(backbone::STAGE_LAYERS);
    let read = generated + 2 * (stages + backbone::reach(prenet.vocos_num_layers));
    let (dim, wide) = (prenet.vocos_dim, prenet.vocos_intermediate_dim);
    let mut all = vec![
        signal(config.quantizer.codebook_dim, read),
        // Both of the ends of the prenet, and what the generator reads.
        signal(prenet.input_channels.max(dim), read),
        signal(prenet.out_channels.max(dim), generated),
        signal(dim, read),
        signal(prenet.out_channels, read),
        signal(wide, read),
    ];
    all.extend([signal(dim, read); 4]);
    // Each stage of the generator has half the channels and a multiple of the samples.
    let (mut channels, mut len) = (decoder.channels, generated);
    let mut largest = signal(channels, len);
    for &rate in &decoder.rates {
        channels /= 2;
        len = len.saturating_mul(rate);
        largest = largest.max(signal(channels, len));
    }
    all.extend([largest; 3]);
    all.push(signal(1, len));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_filled_up_to_whole_tiles() {
        assert_eq!(tiled(&[97, 8, 7]), [192, 96, 7]);
        assert_eq!(tiled(&[384, 1, 7]), [384, 1, 7]);
        assert_eq!(tiled(&[1, 96, 7]), [1, 96, 7]);
        assert_eq!(tiled(&[50]), [50]);
    }
}
