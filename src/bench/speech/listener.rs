//! What reads a recording: spectrogram and speaker encoder for its voice, wav2vec2 and semantic encoder for what it says.

use std::time::{Duration, Instant};

use super::count;
use super::{Model, Test};
use crate::audio::Mel;
use crate::bench::parts::{Expected, Instrument, Need, Subject};
use crate::bench::passes::milliseconds;
use crate::bench::{BenchError, Watch};
use crate::kernels::limits::Arithmetic;
use crate::models::bicodec::{self, SemanticEncoder, SpeakerEncoder};
use crate::models::wav2vec2::Wav2Vec2;
use crate::weights::Loader;

/// Seconds of the recording.
pub(super) const SECONDS: usize = 6;
/// The parts, in the order of their times.
const PARTS: [&str; 4] = ["mel", "global", "wav2vec2", "semantic"];

/// The encoders, loaded. They compute in f32, on a GPU that crane has kernels for or on the CPU.
pub struct Listener {
    mel: Mel,
    global: SpeakerEncoder,
    wav2vec2: Wav2Vec2,
    semantic: SemanticEncoder,
    samples: Vec<f32>,
    /// Multiplications of each part, where they are counted.
    counts: [Option<u64>; 4],
    load_ms: f64,
    /// Whether they compute on the CPU, whose limits are known, and whether that is the device that was asked for.
    on_cpu: bool,
    as_asked: bool,
}

impl Listener {
    pub fn load(subject: &Subject<Model>) -> Result<Self, BenchError> {
        let model = subject.model;
        let config = &model.codec_config;
        let Some((checkpoint, wav2vec2_config)) = &model.wav2vec2 else {
            return Err(BenchError::NoListener);
        };
        let started = Instant::now();
        let options = subject.options.own_kernels();
        let loader = Loader::new(&model.codec, &options)?;
        let mel = bicodec::mel(config).map_err(|source| BenchError::Buffer { source })?;
        let global =
            SpeakerEncoder::load(&loader.under("speaker_encoder"), &config.speaker_encoder)?;
        let semantic = SemanticEncoder::load(&loader, config)?;
        let wav2vec2 = Wav2Vec2::load(&Loader::new(checkpoint, &options)?, wav2vec2_config)?;
        if wav2vec2_config.hidden_size != config.encoder.input_channels {
            return Err(BenchError::Widths {
                made: wav2vec2_config.hidden_size,
                read: config.encoder.input_channels,
            });
        }
        let load_ms = milliseconds(started);
        let len = SECONDS * config.mel_params.sample_rate as usize;
        let samples = noise(len.max(wav2vec2.least()).max(config.mel_params.n_fft));
        let frames = wav2vec2.frames(samples.len());
        let windows = samples.len() / config.mel_params.hop_length + 1;
        Ok(Self {
            mel,
            global,
            counts: [
                None,
                Some(count::global(config, windows)),
                Some(count::features(wav2vec2_config, samples.len())),
                Some(count::semantic(config, frames)),
            ],
            wav2vec2,
            semantic,
            samples,
            load_ms,
            on_cpu: options.on_cpu(),
            as_asked: options.on_cpu() == subject.options.on_cpu(),
        })
    }
}

impl Instrument for Listener {
    type Test = Test;

    fn take(&mut self, _: Test, _: bool, watch: &dyn Watch) -> Result<Vec<Duration>, BenchError> {
        let started = Instant::now();
        let mel = self.mel.of(&self.samples);
        let mel_done = started.elapsed();
        std::hint::black_box(self.global.tokens(&mel)?);
        let global_done = started.elapsed();
        let go_on = || !watch.interrupted();
        let features = self.wav2vec2.features(&self.samples, &go_on)?;
        let features = features.ok_or(BenchError::Interrupted)?;
        let features_done = started.elapsed();
        std::hint::black_box(self.semantic.tokens(&features)?);
        Ok(vec![
            mel_done,
            global_done - mel_done,
            features_done - global_done,
            started.elapsed() - features_done,
        ])
    }

    fn expected(&self, _: Test) -> Expected {
        let need = |count: u64| Need {
            operations: 2.0 * count as f64,
            arithmetic: Arithmetic::F32,
            exact: 0.0,
            bytes: 0.0,
        };
        let parts = PARTS.iter().zip(self.counts);
        Expected {
            weights: "f32".into(),
            audio_s: Some(SECONDS as f64),
            load_ms: self.load_ms,
            need: self
                .on_cpu
                .then(|| need(self.counts.iter().flatten().sum())),
            parts: parts
                .map(|(name, count)| (name.to_string(), count.filter(|_| self.on_cpu).map(need)))
                .collect(),
            device: (!self.as_asked).then_some("cpu"),
            ..Expected::default()
        }
    }
}

/// Samples from −0.1 to 0.1, the same in every run.
fn noise(len: usize) -> Vec<f32> {
    crate::bench::passes::token_ids(len, 1 << 16)
        .into_iter()
        .map(|x| (x as f32 / 32_768.0 - 1.0) * 0.1)
        .collect()
}
