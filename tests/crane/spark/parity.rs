//! Stage by stage through the library.

use crane::audio::{normalise_volume, read_wav, reference_clip};
use crane::kernels::conv::Signal;
use crane::models::{bicodec, wav2vec2};
use crane::weights::{Checkpoint, LoadOptions, Loader};
use safetensors::SafeTensors;

use super::folder::{fixture, read_json, spark};

/// Largest difference allowed, as a share of the standard deviation of what is expected.
const TOLERANCE: f64 = 1e-4;

struct Goldens(Vec<u8>);

impl Goldens {
    fn read() -> Self {
        Self(std::fs::read(fixture("goldens.safetensors")).unwrap())
    }

    fn get(&self, name: &str) -> (Vec<usize>, Vec<f64>) {
        let all = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = all.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let numbers = match tensor.dtype() {
            safetensors::Dtype::F64 => tensor
                .data()
                .chunks(8)
                .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
                .collect(),
            _ => tensor
                .data()
                .chunks(4)
                .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
                .collect(),
        };
        (tensor.shape().to_vec(), numbers)
    }

    fn check(&self, name: &str, found: impl IntoIterator<Item = f32>) {
        let (_, expected) = self.get(name);
        let found: Vec<f32> = found.into_iter().collect();
        assert_eq!(found.len(), expected.len(), "{name}");
        let n = expected.len() as f64;
        let mean = expected.iter().sum::<f64>() / n;
        let spread = (expected.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        let worst = found
            .iter()
            .zip(&expected)
            .map(|(a, b)| (f64::from(*a) - b).abs())
            .fold(0.0, f64::max);
        assert!(
            worst <= TOLERANCE * spread,
            "{name} differs by {worst:.2e}, spread {spread:.2e}"
        );
    }
}

fn loader(checkpoint: &Checkpoint) -> Loader<'_> {
    Loader::new(checkpoint, &LoadOptions::default()).unwrap()
}

fn numbers(value: &serde_json::Value) -> Vec<u32> {
    let list = value.as_array().unwrap().iter();
    list.map(|n| n.as_u64().unwrap() as u32).collect()
}

/// The reference recording as the encoders read it.
fn recording() -> Vec<f64> {
    let mut clip = read_wav(&fixture("reference.wav")).unwrap();
    normalise_volume(&mut clip.samples);
    clip.samples
}

#[test]
fn every_tensor_of_the_folder_is_asked_for() {
    let (checkpoint, config) = bicodec::open(&spark().join("BiCodec")).unwrap();
    let mut expected: Vec<String> = bicodec::tensors(&config)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let mut found: Vec<String> = checkpoint.tensors().map(|t| t.name.clone()).collect();
    expected.sort();
    found.sort();
    assert_eq!(expected, found);
}

#[test]
fn tokens_become_the_samples_of_the_reference() {
    let (goldens, cases) = (Goldens::read(), read_json("goldens.json"));
    let (checkpoint, config) = bicodec::open(&spark().join("BiCodec")).unwrap();
    let mut decoder = bicodec::Decoder::load(&loader(&checkpoint), &config).unwrap();
    for case in cases["decode"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let voice = decoder.voice(&numbers(&case["global"])).unwrap();
        goldens.check(&format!("decode.{name}.d_vector"), voice.vector().to_vec());
        let tokens = numbers(&case["semantic"]);
        let mut features = decoder.features(&voice, &tokens).unwrap();
        // The reference notes them before the voice is added.
        for (channel, d) in voice.vector().iter().enumerate() {
            features
                .channel_mut(channel)
                .iter_mut()
                .for_each(|x| *x -= d);
        }
        goldens.check(
            &format!("decode.{name}.prenet"),
            (0..features.channels()).flat_map(|c| features.channel(c).to_vec()),
        );
        let whole = decoder
            .samples(&voice, &tokens, 0..tokens.len(), &|| true)
            .unwrap()
            .unwrap();
        goldens.check(&format!("decode.{name}.wave"), whole.iter().copied());
        // In pieces, with what is known at the time.
        let (context, each) = (decoder.context(), decoder.samples_a_token());
        for (start, end) in [(0, 3), (3, 20), (20, 21), (21, tokens.len())] {
            let known = &tokens[..tokens.len().min(end + context)];
            let part = decoder
                .samples(&voice, known, start..end, &|| true)
                .unwrap()
                .unwrap();
            assert_eq!(
                part,
                whole[start * each..end * each],
                "{name} {start}..{end}"
            );
        }
    }
}

#[test]
fn a_recording_becomes_the_tokens_of_the_reference() {
    let (goldens, cases) = (Goldens::read(), read_json("goldens.json"));
    let samples = recording();
    let (_, head) = goldens.get("wav.normalised.head");
    for (a, b) in samples.iter().zip(head) {
        assert!((a - b).abs() < 1e-12);
    }
    let (checkpoint, config) = wav2vec2::open(&spark().join("wav2vec2-large-xlsr-53")).unwrap();
    let mut encoder = wav2vec2::Wav2Vec2::load(&loader(&checkpoint), &config).unwrap();
    let wave: Vec<f32> = samples.iter().map(|&x| x as f32).collect();
    let features = encoder.features(&wave, &|| true).unwrap().unwrap();
    assert_eq!(features.len(), encoder.frames(wave.len()));
    goldens.check("wav2vec2.mix", features.to_rows());

    let (checkpoint, config) = bicodec::open(&spark().join("BiCodec")).unwrap();
    let mut semantic = bicodec::SemanticEncoder::load(&loader(&checkpoint), &config).unwrap();
    assert_eq!(
        semantic.tokens(&features).unwrap(),
        numbers(&cases["encode"]["semantic"])
    );

    let clip: Vec<f32> = reference_clip(&samples, 96_000)
        .iter()
        .map(|&x| x as f32)
        .collect();
    let mel = bicodec::mel(&config).unwrap().of(&clip);
    let frames = numbers(&cases["encode"]["mel_frames"]);
    let some = |mel: &Signal| -> Vec<f32> {
        (0..mel.channels())
            .flat_map(|c| frames.iter().map(move |&f| (c, f)))
            .map(|(c, f)| mel.channel(c)[f as usize])
            .collect()
    };
    goldens.check("encode.mel", some(&mel));
    let root = loader(&checkpoint);
    let mut speaker =
        bicodec::SpeakerEncoder::load(&root.under("speaker_encoder"), &config.speaker_encoder)
            .unwrap();
    assert_eq!(
        speaker.tokens(&mel).unwrap(),
        numbers(&cases["encode"]["global"])
    );
}
