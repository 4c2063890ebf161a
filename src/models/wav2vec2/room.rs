//! What wav2vec 2.0 takes of a GPU's memory, from its configuration.

use super::{Wav2Vec2Config, FRAMES, LAYERS_READ};
use crate::models::part::{all, signal, Filter, Part};

/// Results that the work of a filter is shared out for: convolutions with a second of speech in mind, all others with
/// ten.
const SECOND: usize = 50;
const RECORDING: usize = 10 * SECOND;

/// Weights in f32, and the signals of a recording of so many samples.
pub fn part(config: &Wav2Vec2Config, samples: usize) -> Part {
    let frames = config.frames(samples);
    let (convs, largest) = convolutions(config, frames.min(FRAMES));
    let layers = layers(config, frames);
    let held = convs.iter().chain(&layers);
    let weights = held.clone().flat_map(Filter::held);
    let sums = held.map(Filter::sums).max().unwrap_or(0);
    // A scale and a shift before attention and feed-forward layer and behind each convolution, whose rows are fewer.
    let (hidden, last) = (config.hidden_size, config.conv_dim.last().copied());
    let norms = 4 * LAYERS_READ + 2 * config.conv_dim.len() + 2;
    let norms = vec![signal(1, hidden.max(last.unwrap_or(0))); norms];

    let read = signal(last.unwrap_or(0), frames);
    // Convolutions read one signal and write another, and all that they have made is there.
    let first = [largest, largest, read];
    // The frames, what is read of them, the mean; behind a norm, queries, keys, values, what they find, what is between
    // the feed-forward layers.
    let mut then = vec![signal(hidden, frames); 7];
    then.extend([
        signal(hidden.max(last.unwrap_or(0)), frames),
        signal(config.intermediate_size, frames),
    ]);
    let work = all(first).max(all(then));
    Part::of(weights.chain(norms), [work, sums])
}

/// The filters that make so many frames in one go, and the largest signal of them.
fn convolutions(config: &Wav2Vec2Config, frames: usize) -> (Vec<Filter>, u64) {
    let [window, hop] = config.window();
    let mut len = frames.saturating_sub(1) * hop + window;
    let (mut channels, mut rate, mut largest) = (1, hop, signal(1, len));
    let mut filters = Vec::new();
    let steps = config.conv_kernel.iter().zip(&config.conv_stride);
    for (&rows, (&taps, &stride)) in config.conv_dim.iter().zip(steps) {
        len = len.saturating_sub(taps) / stride + 1;
        filters.push(Filter {
            rows,
            channels,
            taps,
            results: len,
            expected: SECOND * rate / stride,
        });
        largest = largest.max(signal(rows, len));
        (channels, rate) = (rows, rate / stride);
    }
    (filters, largest)
}

/// All other filters.
fn layers(config: &Wav2Vec2Config, frames: usize) -> Vec<Filter> {
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    let filter = |rows: usize, channels: usize, taps: usize| Filter {
        rows,
        channels,
        taps,
        results: frames,
        expected: RECORDING,
    };
    let last = config.conv_dim.last().copied().unwrap_or_default();
    let groups = config.num_conv_pos_embedding_groups;
    let each = hidden / groups.max(1);
    let mut all = vec![filter(hidden, last, 1)];
    all.extend(vec![
        filter(each, each, config.num_conv_pos_embeddings);
        groups
    ]);
    for _ in 0..LAYERS_READ {
        all.extend([filter(hidden, hidden, 1); 4]);
        all.extend([filter(wide, hidden, 1), filter(hidden, wide, 1)]);
    }
    all
}
