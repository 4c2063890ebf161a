//! The decoding half of BiCodec.

#[path = "../crane/spark/folder.rs"]
pub(super) mod folder;
/// It has more habits than are needed here.
#[allow(dead_code)]
#[path = "../crane/spark/talker.rs"]
pub(super) mod talker;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crane::kernels::conv::Signal;
use crane::kernels::cuda::Gpu;
use crane::models::bicodec::{self, BiCodecConfig, Decoder, SemanticEncoder, Voice};
use crane::speech::stream::Stream;
use crane::weights::{Checkpoint, Format, LoadOptions, Loader};
use serde_json::{json, Value};

use super::{difference, gpu, ids};
use folder::{read_json, spark};

/// In parts of the spread.
const BOUND: f32 = 1e-3;

/// Sizes that no kernel likes.
const ODD: &str = "
audio_tokenizer:
  mel_params: {sample_rate: 16000, n_fft: 1024, win_length: 640, hop_length: 320, mel_fmin: 10, mel_fmax: null, num_mels: 128}
  encoder: {input_channels: 100, vocos_dim: 48, vocos_intermediate_dim: 200, vocos_num_layers: 3, out_channels: 64}
  decoder: {input_channel: 72, channels: 208, rates: [8, 5, 4, 2], kernel_sizes: [16, 11, 8, 4]}
  quantizer: {input_dim: 64, codebook_size: 500, codebook_dim: 8}
  speaker_encoder: {input_dim: 128, out_dim: 72, latent_dim: 40, token_num: 32, fsq_levels: [4, 4, 4, 4, 4, 4]}
  prenet: {input_channels: 64, vocos_dim: 50, vocos_intermediate_dim: 201, vocos_num_layers: 4, out_channels: 72, condition_dim: 72}
  postnet: {input_channels: 72, vocos_dim: 48, vocos_intermediate_dim: 200, vocos_num_layers: 2, out_channels: 72}
";

/// Those of the published codec.
const PUBLISHED: &str = "
audio_tokenizer:
  mel_params: {sample_rate: 16000, n_fft: 1024, win_length: 640, hop_length: 320, mel_fmin: 10, mel_fmax: null, num_mels: 128}
  encoder: {input_channels: 1024, vocos_dim: 384, vocos_intermediate_dim: 2048, vocos_num_layers: 12, out_channels: 1024}
  decoder: {input_channel: 1024, channels: 1536, rates: [8, 5, 4, 2], kernel_sizes: [16, 11, 8, 4]}
  quantizer: {input_dim: 1024, codebook_size: 8192, codebook_dim: 8}
  speaker_encoder: {input_dim: 128, out_dim: 1024, latent_dim: 128, token_num: 32, fsq_levels: [4, 4, 4, 4, 4, 4]}
  prenet: {input_channels: 1024, vocos_dim: 384, vocos_intermediate_dim: 2048, vocos_num_layers: 12, out_channels: 1024, condition_dim: 1024}
  postnet: {input_channels: 1024, vocos_dim: 384, vocos_intermediate_dim: 2048, vocos_num_layers: 6, out_channels: 1024}
";

pub(super) fn loader<'a>(checkpoint: &'a Checkpoint, gpu: Option<&Arc<Gpu>>) -> Loader<'a> {
    let options = LoadOptions {
        gpu: gpu.cloned(),
        ..LoadOptions::default()
    };
    Loader::new(checkpoint, &options).unwrap()
}

/// The codec on the GPU, and on the CPU.
fn both(checkpoint: &Checkpoint, config: &BiCodecConfig, gpu: &Arc<Gpu>) -> [Decoder; 2] {
    [Some(gpu), None].map(|gpu| Decoder::load(&loader(checkpoint, gpu), config).unwrap())
}

pub(super) fn ids_of(value: &Value) -> Vec<u32> {
    let list = value.as_array().unwrap().iter();
    list.map(|n| n.as_u64().unwrap() as u32).collect()
}

fn all(decoder: &mut Decoder, voice: &Voice, tokens: &[u32]) -> Vec<f32> {
    let range = 0..tokens.len();
    let samples = decoder.samples(voice, tokens, range, &|| true);
    samples.unwrap().unwrap()
}

/// Voice, features and samples of `tokens` on both, within [`BOUND`].
fn compare(what: &str, [a, b]: &mut [Decoder; 2], globals: &[u32], tokens: &[u32]) {
    let [x, y] = [&*a, &*b].map(|decoder| decoder.voice(globals).unwrap());
    let vectors = difference(x.vector(), y.vector());
    let [f, g] = [(&mut *a, &x), (&mut *b, &y)]
        .map(|(decoder, voice)| decoder.features(voice, tokens).unwrap().to_rows());
    let features = difference(&f, &g);
    let samples = difference(&all(a, &x, tokens), &all(b, &y, tokens));
    let n = tokens.len();
    println!(
        "{what}, {n} tokens: voice {vectors:.1e}, features {features:.1e}, samples {samples:.1e}"
    );
    assert!(
        vectors < 1e-4 && features < BOUND && samples < BOUND,
        "{what}, {n} tokens"
    );
}

/// Pieces, as they come, against the whole: the same bits.
fn in_pieces(what: &str, decoder: &mut Decoder, globals: &[u32], tokens: &[u32]) {
    let voice = decoder.voice(globals).unwrap();
    let whole = all(decoder, &voice, tokens);
    let (context, each) = (decoder.context(), decoder.samples_a_token());
    let ends = [0, 3, 20, 21, 100, tokens.len()].map(|end| end.min(tokens.len()));
    for range in ends.windows(2).map(|ends| ends[0]..ends[1]) {
        let known = &tokens[..tokens.len().min(range.end + context)];
        let part = decoder.samples(&voice, known, range.clone(), &|| true);
        let expected = &whole[range.start * each..range.end * each];
        assert_eq!(part.unwrap().unwrap(), expected, "{what}: {range:?}");
    }
    let mut stream = Stream::new(decoder.voice(globals).unwrap());
    let mut spoken = Vec::new();
    for &token in tokens {
        spoken.extend(stream.push(token, decoder).unwrap());
    }
    assert!(stream.has_spoken() || tokens.len() < 100);
    spoken.extend(stream.finish(decoder).unwrap());
    assert_eq!(spoken, whole, "{what}: streamed");
}

/// Weights that keep the samples far from ±1, where errors would hide, and from the sizes at which errors grow.
fn write_checkpoint(config: &BiCodecConfig, file: &Path) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (i, (name, shape)) in bicodec::tensors(config).into_iter().enumerate() {
        let count: usize = shape.iter().product();
        let inputs: usize = shape.iter().skip(1).product();
        let last = config.decoder.rates.len() + 2;
        let (mean, spread) = match name.rsplit('.').next().unwrap_or_default() {
            "weight_g" if name == format!("decoder.model.{last}.weight_g") => (0.004, 0.0),
            "weight_g" | "alpha" | "running_var" => (1.0, 0.1),
            "gamma" => (0.1, 0.02),
            "bias" if name.ends_with("norm.scale.bias") => (1.0, 0.1),
            "weight" if shape.len() == 1 => (1.0, 0.1),
            "bias" => (0.0, 0.1),
            _ => (0.0, (inputs as f32).powf(-0.5)),
        };
        let start = data.len();
        for id in ids(i as u64, count, 1 << 20) {
            let even = id as f32 / (1 << 19) as f32 - 1.0;
            data.extend_from_slice(&(mean + spread * 3f32.sqrt() * even).to_le_bytes());
        }
        let offsets = [start, data.len()];
        header.insert(
            name,
            json!({"dtype": "F32", "shape": shape, "data_offsets": offsets}),
        );
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn the_tiny_codec() {
    let Some(gpu) = gpu() else { return };
    let (checkpoint, config) = bicodec::open(&spark().join("BiCodec")).unwrap();
    let mut decoders = both(&checkpoint, &config, &gpu);
    for case in read_json("goldens.json")["decode"].as_array().unwrap() {
        let (globals, tokens) = (ids_of(&case["global"]), ids_of(&case["semantic"]));
        let what = format!("tiny, {}", case["name"]);
        for len in [1, 2, 7, 33, tokens.len()] {
            let tokens = &tokens[..len.min(tokens.len())];
            compare(&what, &mut decoders, &globals, tokens);
        }
        in_pieces(&what, &mut decoders[0], &globals, &tokens);
    }
}

#[test]
fn a_codec_of_odd_sizes() {
    let Some(gpu) = gpu() else { return };
    let config = BiCodecConfig::parse("odd", ODD).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    write_checkpoint(&config, &file);
    let checkpoint = Checkpoint::part(&file, Value::Null).unwrap();
    let mut decoders = both(&checkpoint, &config, &gpu);
    let globals = ids(1, decoders[0].globals(), decoders[0].global_codes());
    // The last is longer than what is computed in one go.
    for len in [1, 2, 3, 7, 50, 131, 450] {
        let tokens = ids(len as u64, len, decoders[0].codes());
        compare("odd sizes", &mut decoders, &globals, &tokens);
    }
    let tokens = ids(9, 450, decoders[0].codes());
    in_pieces("odd sizes", &mut decoders[0], &globals, &tokens);

    // The half that listens, as far as it shares its layers.
    let features = ids(3, 100 * 137, 1 << 20).into_iter();
    let features: Vec<f32> = features
        .map(|x| x as f32 / (1 << 19) as f32 - 1.0)
        .collect();
    let features = Signal::from_rows(&features, 100);
    let [a, b] = [Some(&gpu), None].map(|gpu| {
        let loader = loader(&checkpoint, gpu);
        let mut encoder = SemanticEncoder::load(&loader, &config).unwrap();
        encoder.tokens(&features).unwrap()
    });
    let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    println!("semantic tokens: {same} of {} are the same", a.len());
    assert!(a.len() == 137 && same >= 135);
}

#[test]
fn a_codec_of_the_published_sizes() {
    let Some(gpu) = gpu() else { return };
    let config = BiCodecConfig::parse("published", PUBLISHED).unwrap();
    let tensors = bicodec::tensors(&config);
    let checkpoint = Checkpoint::synthetic("BiCodec", Value::Null, tensors, Format::F32).unwrap();
    let [mut a, mut b] = both(&checkpoint, &config, &gpu);
    let globals = ids(1, a.globals(), a.global_codes());
    let tokens = ids(2, 60, a.codes());
    let [x, y] = [&a, &b].map(|decoder| decoder.voice(&globals).unwrap());
    assert!(difference(x.vector(), y.vector()) < 1e-4);
    let features = difference(
        &a.features(&x, &tokens).unwrap().to_rows(),
        &b.features(&y, &tokens).unwrap().to_rows(),
    );
    // Seeded weights drive the samples far into ±1, and errors with them: what counts here is their mean.
    let (found, expected) = (all(&mut a, &x, &tokens), all(&mut b, &y, &tokens));
    let squares = found.iter().zip(&expected).map(|(a, b)| (a - b).powi(2));
    let samples = (squares.sum::<f32>() / found.len() as f32).sqrt();
    println!("published sizes: features {features:.1e}, samples {samples:.1e} (mean square)");
    assert!(features < BOUND && samples < 5e-3);
    for len in [15, 50, 250, 500] {
        let tokens = ids(3, len, a.codes());
        let times = (0..6).map(|_| {
            let started = Instant::now();
            all(&mut a, &x, &tokens);
            started.elapsed().as_secs_f64() * 1e3
        });
        let best = times.skip(1).fold(f64::MAX, f64::min);
        let audio = len as f64 / 50.0;
        println!(
            "{len} tokens: {best:.2} ms, {:.2} ms a second of sound",
            best / audio
        );
    }
    let started = Instant::now();
    let voices = (0..10).map(|_| a.voice(&globals).unwrap());
    drop(voices.collect::<Vec<_>>());
    println!("a voice: {:.2} ms", started.elapsed().as_secs_f64() * 1e2);
}
