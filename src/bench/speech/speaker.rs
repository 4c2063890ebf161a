//! What speaks: the language model and the codec.

use std::time::{Duration, Instant};

use super::count;
use super::{Model, Test};
use crate::bench::count::check_widths;
use crate::bench::parts::{Expected, Instrument, Need, Subject, Taken};
use crate::bench::passes::{milliseconds, token_ids};
use crate::bench::{self, memory, BenchError, Counts, Watch};
use crate::generate::{GenerateError, Sampler, SamplingSettings};
use crate::kernels::limits::Arithmetic;
use crate::kernels::Unit;
use crate::models::bicodec::{self, Decoder, Voice};
use crate::models::spark::{self, TOKENS_A_SECOND};
use crate::models::{self, Config, LanguageModel, ModelError};
use crate::nn::conv;
use crate::speech::stream::Stream;
use crate::weights::Loader;

/// Tokens of a prompt, and of an answer to it.
const PROMPT: usize = 64;
const ANSWER: usize = 128;
/// Tokens of the language model's context.
pub const CONTEXT: usize = PROMPT + ANSWER;
/// The answer's tokens that warm up.
const WARM_UP: usize = 4;
/// Semantic tokens that are decoded at once: five seconds.
const DECODED: usize = 250;

/// Language model and codec, loaded.
pub struct Speaker {
    llm: Box<dyn LanguageModel>,
    decoder: Decoder,
    voice: Voice,
    globals: Vec<u32>,
    prompt: Vec<u32>,
    semantic: Vec<u32>,
    counts: Counts,
    decoding: u64,
    /// What the codec computes in.
    unit: Unit,
    llm_ms: f64,
    codec_ms: f64,
    /// Whether the language model computes on the CPU, whose limits are known.
    llm_on_cpu: bool,
    /// The same of the codec: it takes a GPU of crane's own kernels, and no other.
    codec_on_cpu: bool,
    /// Tokens before the first samples of a stream, and seconds that these last; known once they were made.
    first: (usize, f64),
}

impl Speaker {
    pub fn load(subject: &Subject<Model>, watch: &dyn Watch) -> Result<Self, BenchError> {
        let model = subject.model;
        let architecture = models::detect(&model.llm)?;
        let config = Config::read(&model.llm, architecture.model_type)?;
        let started = Instant::now();
        let loader = Loader::new(&model.llm, &subject.options)?;
        check_widths(&loader, subject.options.quant)?;
        let counts =
            Counts::of(&loader, &config).with_head_rows(spark::ANSWER.len(), config.vocab_size);
        let codec: u64 = model.codec.tensors().map(|info| info.bytes as u64).sum();
        if subject.options.on_cpu() {
            memory::check(counts.held_bytes.saturating_add(codec))?;
        }
        loader.notes().iter().for_each(|note| watch.note(note));
        let mut llm = models::load(&loader, Some(CONTEXT))?;
        // As where tokens are drawn.
        llm.restrict(Some(spark::ANSWER));
        let llm_ms = milliseconds(started);
        drop(loader);

        let started = Instant::now();
        let options = subject.options.own_kernels();
        let loader = Loader::new(&model.codec, &options)?;
        let decoder = Decoder::load(&loader, &model.codec_config)?;
        let codec_ms = milliseconds(started);
        let globals = token_ids(
            decoder.globals(),
            bicodec::global_codes(&model.codec_config),
        );
        Ok(Self {
            prompt: token_ids(PROMPT, config.vocab_size),
            semantic: token_ids(DECODED, decoder.codes()),
            voice: decoder.voice(&globals)?,
            globals,
            llm,
            decoder,
            counts,
            decoding: count::decoding(&model.codec_config, DECODED),
            unit: conv::unit(&loader),
            llm_ms,
            codec_ms,
            llm_on_cpu: subject.options.on_cpu(),
            codec_on_cpu: options.on_cpu(),
            first: (0, 0.0),
        })
    }

    /// The answer's tokens, each chosen as `crane tts` does it by default.
    fn answer(&mut self, tokens: usize, watch: &dyn Watch) -> Result<Duration, BenchError> {
        let model = self.llm.as_mut();
        model.truncate(PROMPT);
        if model.cached() < PROMPT {
            model.truncate(0);
            model.forward(&self.prompt)?;
        }
        let settings = SamplingSettings {
            temperature: 0.8,
            top_k: 50,
            top_p: 0.95,
            ..SamplingSettings::default()
        };
        let mut sampler = Sampler::new(&settings, 0, &self.prompt);
        let mut token = self.prompt.last().copied().unwrap_or(0);
        let started = Instant::now();
        for position in PROMPT..PROMPT + tokens {
            if watch.interrupted() {
                return Err(BenchError::Interrupted);
            }
            let logits = model.forward(&[token])?;
            let mut row: Vec<f32> = logits.to_vec1().map_err(ModelError::from)?;
            let chosen = sampler.sample(&mut row);
            token = chosen.ok_or(GenerateError::BadLogits { position })?;
        }
        Ok(started.elapsed())
    }

    fn decode(&mut self) -> Result<Duration, BenchError> {
        let started = Instant::now();
        let all = 0..self.semantic.len();
        self.decoder
            .samples(&self.voice, &self.semantic, all, &|| true)?;
        Ok(started.elapsed())
    }

    fn first_chunk(&mut self) -> Result<Duration, BenchError> {
        let started = Instant::now();
        let mut stream = Stream::new(self.decoder.voice(&self.globals)?);
        for (i, &token) in self.semantic.iter().enumerate() {
            let samples = stream.push(token, &mut self.decoder)?;
            if !samples.is_empty() {
                let took = started.elapsed();
                self.first = (i + 1, self.seconds(samples.len()));
                return Ok(took);
            }
        }
        let samples = stream.finish(&mut self.decoder)?;
        self.first = (self.semantic.len(), self.seconds(samples.len()));
        Ok(started.elapsed())
    }

    fn seconds(&self, samples: usize) -> f64 {
        samples as f64 / f64::from(self.decoder.sample_rate())
    }

    /// Where it is not the language model's.
    fn codec_device(&self) -> Option<&'static str> {
        (self.codec_on_cpu && !self.llm_on_cpu).then_some("cpu")
    }

    fn need(&self) -> Need {
        Need {
            operations: 2.0 * self.decoding as f64,
            exact: 0.0,
            bytes: 0.0,
            arithmetic: match self.unit {
                Unit::F32 => Arithmetic::F32,
                Unit::Pairs => Arithmetic::Bf16,
            },
        }
    }
}

impl Instrument for Speaker {
    type Test = Test;

    fn take(
        &mut self,
        test: Test,
        warm_up: bool,
        watch: &dyn Watch,
    ) -> Result<Vec<Duration>, BenchError> {
        let tokens = match warm_up {
            true => WARM_UP,
            false => ANSWER,
        };
        let took = match test {
            Test::Llm => self.answer(tokens, watch)?,
            Test::CodecStream => self.first_chunk()?,
            _ => self.decode()?,
        };
        Ok(vec![took])
    }

    fn expected(&self, test: Test) -> Expected {
        let codec = match self.unit {
            Unit::F32 => "f32",
            Unit::Pairs => "bf16",
        };
        let llm = self.counts.format.name().to_lowercase();
        let nothing = Expected::default();
        match test {
            Test::Llm => {
                let test = bench::Test {
                    n_prompt: 0,
                    n_gen: ANSWER,
                    n_depth: PROMPT,
                    n_parallel: 1,
                };
                let work = self.counts.work(&test);
                Expected {
                    weights: llm,
                    n_tokens: Some(ANSWER),
                    counts_tokens: true,
                    audio_s: Some(ANSWER as f64 / TOKENS_A_SECOND as f64),
                    load_ms: self.llm_ms,
                    need: self.llm_on_cpu.then_some(Need {
                        operations: work.operations,
                        arithmetic: self.counts.arithmetic(),
                        exact: 0.0,
                        bytes: work.bytes,
                    }),
                    ..nothing
                }
            }
            Test::CodecStream => Expected {
                weights: codec.into(),
                n_tokens: Some(self.first.0),
                audio_s: Some(self.first.1),
                load_ms: self.codec_ms,
                device: self.codec_device(),
                ..nothing
            },
            Test::Speech => Expected {
                weights: llm,
                n_tokens: Some(TOKENS_A_SECOND),
                audio_s: Some(1.0),
                load_ms: self.llm_ms + self.codec_ms,
                ..nothing
            },
            _ => Expected {
                weights: codec.into(),
                n_tokens: Some(DECODED),
                audio_s: Some(self.seconds(DECODED * self.decoder.samples_a_token())),
                load_ms: self.codec_ms,
                need: self.codec_on_cpu.then(|| self.need()),
                device: self.codec_device(),
                ..nothing
            },
        }
    }

    /// For each repetition, how long a second of speech takes the language model and the codec one after the other.
    fn follows(&self, test: Test, taken: &Taken<Test>) -> Option<Vec<Duration>> {
        let a_second = |test: Test| {
            let audio = self.expected(test).audio_s.unwrap_or(1.0);
            taken(test).into_iter().map(move |time| time.div_f64(audio))
        };
        let both = || a_second(Test::Llm).zip(a_second(Test::Codec));
        (test == Test::Speech).then(|| both().map(|(llm, codec)| llm + codec).collect())
    }
}
