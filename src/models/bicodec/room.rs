//! What the half that speaks takes of a GPU's memory, from its configuration.

use super::backbone;
use super::config::BiCodecConfig;
use super::decoder::FRAMES;
use super::generator;
use super::layout;
use crate::models::part::{product, Part};

/// What a [`super::Decoder`] has on the GPU; codebooks stay in this machine's memory.
const HELD: [&str; 4] = [
    "quantizer.out_project.",
    "prenet.",
    "decoder.model.",
    "speaker_encoder.project.",
];
/// Rows of a tile of weights, which is filled up, and rows up to which there are no tiles.
const TILE: usize = 96;
const NARROW: usize = 4;
/// Rows of a signal begin at a multiple of so many numbers.
const ALIGN: usize = 32;
/// Sums that blocks share, of as many multiprocessors as GPUs have.
const SUMS: u64 = 64 << 20;

/// Weights in f32, and the signals of as many frames as are computed in one go.
pub fn part(config: &BiCodecConfig) -> Part {
    let all = layout::tensors(config).into_iter();
    let held = all.filter(|(name, _)| HELD.iter().any(|start| name.starts_with(start)));
    let weights = held.map(|(_, shape)| 4 * product(&tiled(&shape)));
    Part::of(weights, signals(config).into_iter().chain([SUMS]))
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
    let signal =
        |channels: usize, len: usize| 4 * product(&[channels, len.next_multiple_of(ALIGN)]);
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
