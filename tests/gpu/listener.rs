//! What reads a recording: wav2vec2, the codec's encoders, and what lies between their convolutions.

use crane::audio::{normalise_volume, read_wav, reference_clip};
use crane::kernels::cuda::conv::{Heads, Signal};
use crane::models::bicodec::{self, SemanticEncoder, SpeakerEncoder};
use crane::models::wav2vec2::{self, Wav2Vec2, Wav2Vec2Config};
use crane::weights::{Checkpoint, Format};
use serde_json::{json, Value};

use super::convolution::{numbers, signal};
use super::voice::folder::{fixture, read_json, spark};
use super::voice::{ids_of, loader};
use super::{difference, gpu};

fn gelu(x: f64) -> f64 {
    // The series of erf, as far as it counts.
    let z = x / std::f64::consts::SQRT_2;
    let (mut term, mut sum, mut n) = (z, z, 0.0);
    while term.abs() > 1e-18 * sum.abs() {
        n += 1.0;
        term *= -z * z / n;
        sum += term / (2.0 * n + 1.0);
    }
    0.5 * x * (1.0 + sum * 2.0 / std::f64::consts::PI.sqrt())
}

/// Numbers of about 1, all of them near what they are to be.
fn close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let off = off.fold(0f32, |a, b| if b.is_nan() { b } else { a.max(b) });
    assert!(off < 1e-5, "{what}: {off}");
}

#[test]
fn sums_means_and_gates() {
    let Some(gpu) = gpu() else { return };
    for (channels, len) in [(6, 300), (1, 1), (512, 31), (10, 257), (3, 1000)] {
        let what = format!("{channels} x {len}");
        let [x, y] = [1, 2].map(|seed| numbers(seed, channels * len));
        let [read, other] = [&x, &y].map(|x| signal(&gpu, x, channels));
        let both = |f: &dyn Fn(f64, f64) -> f64| -> Vec<f32> {
            let pairs = x.iter().zip(&y);
            pairs
                .map(|(x, y)| f(f64::from(*x), f64::from(*y)) as f32)
                .collect()
        };
        for bent in [false, true] {
            let mut sum = signal(&gpu, &x, channels);
            sum.add(0, &other, bent).unwrap();
            let f = |x, y| x + if bent { gelu(y) } else { y };
            close(&what, &sum.to_channels().unwrap(), &both(&f));
        }
        let mut means = Signal::default();
        read.mean(&mut means).unwrap();
        let each = x.chunks(len).map(|x| {
            let sum: f64 = x.iter().map(|&x| f64::from(x)).sum();
            (sum / len as f64) as f32
        });
        let expected: Vec<f32> = each.collect();
        close(&what, &means.to_channels().unwrap(), &expected);

        let gates = numbers(3, channels);
        let mut gated = signal(&gpu, &x, channels);
        gated.gate(&signal(&gpu, &gates, channels), &other).unwrap();
        let row = |i: usize| 1.0 / (1.0 + (-f64::from(gates[i / len])).exp());
        let expected = x.iter().zip(&y).enumerate();
        let expected: Vec<f32> = expected
            .map(|(i, (x, y))| (f64::from(*x) * row(i) + f64::from(*y)) as f32)
            .collect();
        close(&what, &gated.to_channels().unwrap(), &expected);

        if channels % 2 == 0 {
            let mut out = Signal::default();
            read.gated(&mut out).unwrap();
            let (values, curves) = x.split_at(x.len() / 2);
            let expected = values.iter().zip(curves);
            let expected: Vec<f32> = expected
                .map(|(x, y)| (f64::from(*x) * gelu(f64::from(*y))) as f32)
                .collect();
            close(&what, &out.to_channels().unwrap(), &expected);
        }
    }
}

#[test]
fn a_part_is_put_among_channels_and_samples() {
    let Some(gpu) = gpu() else { return };
    let (channels, len) = (9, 130);
    let mut expected = numbers(1, channels * len);
    let mut all = signal(&gpu, &expected, channels);
    for (first, start, rows, columns) in [(0, 0, 2, 130), (3, 70, 5, 60), (8, 129, 1, 1)] {
        let x = numbers(2, rows * columns);
        all.put(first, start, &signal(&gpu, &x, rows)).unwrap();
        for (i, x) in x.iter().enumerate() {
            expected[(first + i / columns) * len + start + i % columns] = *x;
        }
    }
    assert_eq!(all.to_channels().unwrap(), expected);
    let x = signal(&gpu, &numbers(3, 2 * 60), 2);
    assert!(all.put(8, 0, &x).is_err() && all.put(0, 71, &x).is_err());
    assert!(all.add(8, &x, false).is_err());
}

/// Queries, keys and values in their own signals, and keys and values in one.
#[test]
fn attention_over_time() {
    let Some(gpu) = gpu() else { return };
    for (heads, dim, queries, keys) in [
        (2, 64, 130, 130),
        (8, 64, 32, 333),
        (1, 2, 1, 1),
        (3, 10, 65, 33),
        (2, 80, 64, 32),
        (1, 128, 67, 100),
    ] {
        let width = heads * dim;
        // Scores that tell the keys apart.
        let q: Vec<f32> = numbers(1, width * queries)
            .iter()
            .map(|x| 4.0 * x)
            .collect();
        let [k, v] = [2, 3].map(|seed| numbers(seed, width * keys));
        let mut expected = vec![0f32; width * queries];
        for head in 0..heads {
            for t in 0..queries {
                let rows = head * dim..(head + 1) * dim;
                let score = |s: usize| -> f64 {
                    let product =
                        |c: usize| f64::from(q[c * queries + t]) * f64::from(k[c * keys + s]);
                    rows.clone().map(product).sum::<f64>() / (dim as f64).sqrt()
                };
                let scores: Vec<f64> = (0..keys).map(score).collect();
                let most = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
                let all: f64 = weights.iter().sum();
                for c in rows.clone() {
                    let values = v[c * keys..(c + 1) * keys].iter().zip(&weights);
                    let sum: f64 = values.map(|(v, w)| f64::from(*v) * w).sum();
                    expected[c * queries + t] = (sum / all) as f32;
                }
            }
        }
        let kernel = Heads::new(heads, dim).unwrap();
        let what = format!("{heads} heads of {dim}, {queries} x {keys}");
        let read = signal(&gpu, &q, width);
        let apart = [&k, &v].map(|x| signal(&gpu, x, width));
        let together = signal(&gpu, &[&k[..], &v[..]].concat(), 2 * width);
        for (kv, first) in [
            ([&apart[0], &apart[1]], [0, 0]),
            ([&together, &together], [0, width]),
        ] {
            let mut out = Signal::default();
            kernel.attend(&read, kv, first, &mut out).unwrap();
            close(&what, &out.to_channels().unwrap(), &expected);
        }
    }
    assert!(Heads::new(1, 129).is_err());
}

/// The reference recording as the encoders read it.
fn recording() -> Vec<f64> {
    let mut clip = read_wav(&fixture("reference.wav")).unwrap();
    normalise_volume(&mut clip.samples);
    clip.samples
}

fn as_f32(samples: &[f64]) -> Vec<f32> {
    samples.iter().map(|&x| x as f32).collect()
}

#[test]
fn a_recording_becomes_the_tokens_of_the_reference() {
    let Some(gpu) = gpu() else { return };
    let cases = read_json("goldens.json");
    let samples = as_f32(&recording());
    let places = [Some(&gpu), None];
    let (checkpoint, config) = wav2vec2::open(&spark().join("wav2vec2-large-xlsr-53")).unwrap();
    let features = places.map(|gpu| {
        let mut model = Wav2Vec2::load(&loader(&checkpoint, gpu), &config).unwrap();
        model.features(&samples, &|| true).unwrap().unwrap()
    });
    let off = difference(&features[0].to_rows(), &features[1].to_rows());
    println!("features of {} frames: {off:.1e}", features[0].len());
    assert!(off < 1e-5);

    let (checkpoint, config) = bicodec::open(&spark().join("BiCodec")).unwrap();
    let mut semantic = SemanticEncoder::load(&loader(&checkpoint, Some(&gpu)), &config).unwrap();
    assert_eq!(
        semantic.tokens(&features[0]).unwrap(),
        ids_of(&cases["encode"]["semantic"])
    );

    let clip = as_f32(&reference_clip(&recording(), 96_000));
    let mel = bicodec::mel(&config).unwrap().of(&clip);
    let latents = places.map(|gpu| {
        let at = loader(&checkpoint, gpu).under("speaker_encoder");
        let mut speaker = SpeakerEncoder::load(&at, &config.speaker_encoder).unwrap();
        let tokens = speaker.tokens(&mel).unwrap();
        assert_eq!(tokens, ids_of(&cases["encode"]["global"]));
        speaker.latents(&mel).unwrap()
    });
    let off = difference(&latents[0], &latents[1]);
    println!("latents: {off:.1e}");
    assert!(off < 1e-5);
}

/// Sizes that no kernel likes, and a recording that is longer than what the convolutions make in one go.
#[test]
fn features_of_odd_sizes() {
    let Some(gpu) = gpu() else { return };
    let config = json!({
        "hidden_size": 60, "num_hidden_layers": 16, "num_attention_heads": 3,
        "intermediate_size": 101, "conv_dim": [7, 20, 33], "conv_kernel": [10, 3, 2],
        "conv_stride": [5, 2, 2], "num_conv_pos_embeddings": 6,
        "num_conv_pos_embedding_groups": 5, "conv_bias": true, "do_stable_layer_norm": true,
        "feat_extract_norm": "layer",
    });
    let config = Wav2Vec2Config::parse("odd".as_ref(), &config.to_string()).unwrap();
    let tensors = wav2vec2::tensors(&config);
    let checkpoint = Checkpoint::synthetic("odd", Value::Null, tensors, Format::F32).unwrap();
    let [mut a, mut b] =
        [Some(&gpu), None].map(|gpu| Wav2Vec2::load(&loader(&checkpoint, gpu), &config).unwrap());
    for len in [a.least(), a.least() + 19, a.least() + 20, 1333, 10_777] {
        let samples = numbers(len as u64, len);
        let [x, y] = [&mut a, &mut b].map(|model| {
            let features = model.features(&samples, &|| true).unwrap().unwrap();
            assert_eq!(features.len(), model.frames(len));
            features.to_rows()
        });
        let off = difference(&x, &y);
        println!("{len} samples: {off:.1e}");
        assert!(off < 1e-4, "{len}");
    }
}

/// What lies on the GPU once encoders are loaded, against what was counted.
#[test]
fn weights_are_those_that_were_counted() {
    let Some(gpu) = gpu() else { return };
    let taken = |load: &dyn Fn() -> Box<dyn std::any::Any>| {
        let before = gpu.held();
        let loaded = load();
        let taken = gpu.held() - before;
        drop(loaded);
        taken
    };
    let (checkpoint, config) = wav2vec2::open(&spark().join("wav2vec2-large-xlsr-53")).unwrap();
    let wav2vec2 =
        taken(&|| Box::new(Wav2Vec2::load(&loader(&checkpoint, Some(&gpu)), &config).unwrap()));
    let counted = wav2vec2::part(&config, 16_000).weights;
    println!("wav2vec2: {wav2vec2} of {counted}");
    assert!(wav2vec2 <= counted && counted < wav2vec2 + wav2vec2 / 4 + (1 << 18));
    let (checkpoint, config) = bicodec::open(&spark().join("BiCodec")).unwrap();
    let root = loader(&checkpoint, Some(&gpu));
    let speaker = taken(&|| {
        let at = root.under("speaker_encoder");
        Box::new(SpeakerEncoder::load(&at, &config.speaker_encoder).unwrap())
    });
    let counted = bicodec::speaker_part(&config, 301).weights;
    println!("speaker: {speaker} of {counted}");
    assert!(speaker <= counted && counted < speaker + speaker / 2);
    let semantic = taken(&|| Box::new(SemanticEncoder::load(&root, &config).unwrap()));
    let counted = bicodec::semantic_part(&config, 50).weights;
    println!("semantic: {semantic} of {counted}");
    assert!(semantic <= counted);
}
