//! The model that speaks.

use std::time::Instant;

use serde::Serialize;

use super::check::{most_tokens, repeats, silent, Problem};
use super::stream::Stream;
use super::{SpeechError, VoiceTokens};
use crate::generate::{Engine, FinishReason, GenerateOptions, Output, SamplingSettings, Step};
use crate::models::bicodec::Decoder;
use crate::models::spark::{self, Style, ENDS, GLOBALS};
use crate::text::sentences::estimated_seconds;

/// Tokens of an answer at most, as in the published code.
const MOST_TOKENS: usize = 3000;
/// What an answer in a described voice holds before its semantic tokens, and more.
const BEFORE_SEMANTIC: usize = 64;

/// In which voice.
#[derive(Debug, Clone)]
pub enum Manner {
    /// One that is described; the first answer chooses it, the later ones keep it.
    Style {
        style: Style,
        /// The first answer up to its semantic tokens.
        chosen: Option<Vec<u32>>,
    },
    Voice(VoiceTokens),
}

/// How a piece is to be said.
#[derive(Debug, Clone)]
pub struct SayOptions {
    pub sampling: SamplingSettings,
    /// Of the whole text; each piece and each try has its own.
    pub seed: u64,
    /// Tokens of an answer, where the user said so.
    pub max_tokens: Option<usize>,
    /// Tries after the first.
    pub retries: usize,
    /// Samples are handed on while the answer is made.
    pub stream: bool,
}

/// What became of a piece.
#[derive(Debug, Clone, Serialize)]
pub struct Spoken {
    pub text: String,
    /// The prompt's ids.
    pub prompt_tokens: Vec<u32>,
    /// The answer's ids.
    pub tokens: Vec<u32>,
    /// The answer's semantic tokens.
    pub semantic: Vec<u32>,
    /// What is wrong with the last try, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    pub tries: usize,
    /// Of the codec.
    pub samples: usize,
    #[serde(skip)]
    pub generate_seconds: f64,
    #[serde(skip)]
    pub decode_seconds: f64,
    #[serde(skip)]
    pub interrupted: bool,
}

/// Language model and codec.
pub struct Speaker {
    engine: Engine,
    decoder: Decoder,
}

/// A piece while it is tried.
struct Attempt {
    output: Output,
    semantic: Vec<u32>,
    problem: Option<Problem>,
    /// Samples that were handed on.
    handed: usize,
    /// What is left to be handed on.
    rest: Vec<f32>,
    decode_seconds: f64,
}

/// Called with samples as they become certain.
pub type OnSamples<'a> = &'a mut dyn FnMut(&[f32]) -> std::io::Result<()>;

impl Speaker {
    /// Of an engine with the language model and the codec's decoder.
    pub fn new(engine: Engine, decoder: Decoder) -> Self {
        Self { engine, decoder }
    }

    /// The codec.
    pub fn decoder(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    /// The prompt of `text`.
    ///
    /// # Errors
    /// A text that cannot be encoded.
    pub fn prompt(&self, text: &str, manner: &Manner) -> Result<Vec<u32>, SpeechError> {
        let encode = |text: &str| {
            // What looks like a token of the model is text here.
            let plain = text.replace("<|", "< |");
            self.engine.tokenizer().encode(&plain, false)
        };
        Ok(match manner {
            Manner::Style { style, chosen } => {
                let mut ids = spark::controllable(&encode(text)?, *style);
                ids.extend(chosen.iter().flatten());
                ids
            }
            Manner::Voice(voice) => match voice.said() {
                Some((said, semantic)) => spark::in_voice(
                    &encode(&format!("{said}{text}"))?,
                    &voice.global,
                    Some(semantic),
                ),
                None => spark::in_voice(&encode(text)?, &voice.global, None),
            },
        })
    }

    /// Says `text`, the `index`th piece, and hands its samples to `on_samples`. An answer that is no speech is tried again
    /// with another seed; `on_retry` is told why. The last try counts, as far as it can be spoken.
    ///
    /// # Errors
    /// What the model or the receiver of the samples cannot do.
    pub fn say(
        &mut self,
        text: &str,
        index: usize,
        manner: &mut Manner,
        options: &SayOptions,
        interrupted: &dyn Fn() -> bool,
        on_retry: &mut dyn FnMut(Problem, usize),
        on_samples: OnSamples,
    ) -> Result<Spoken, SpeechError> {
        let prompt = self.prompt(text, manner)?;
        let context = self.engine.context();
        if prompt.len() + 1 > context {
            return Err(SpeechError::Context {
                text: text.chars().take(40).collect(),
                tokens: prompt.len(),
                context,
            });
        }
        let greedy = options.sampling.temperature == 0.0;
        let mut tries = 0;
        let (mut generate_seconds, mut decode_seconds) = (0.0, 0.0);
        loop {
            tries += 1;
            let started = Instant::now();
            let attempt = self.attempt(
                text,
                &prompt,
                manner,
                options,
                (index, tries),
                interrupted,
                on_samples,
            )?;
            decode_seconds += attempt.decode_seconds;
            generate_seconds += started.elapsed().as_secs_f64() - attempt.decode_seconds;
            let stopped = attempt.output.finish_reason == FinishReason::Interrupted
                && attempt.problem.is_none();
            let again = attempt.problem.filter(|problem| {
                // A limit of the user's own is no accident.
                let wanted = *problem == Problem::Cut && options.max_tokens.is_some();
                !stopped && !greedy && !wanted && attempt.handed == 0 && tries <= options.retries
            });
            if let Some(problem) = again {
                on_retry(problem, tries);
                continue;
            }
            if !attempt.rest.is_empty() {
                on_samples(&attempt.rest)?;
            }
            keep_voice(manner, &attempt.output.tokens);
            return Ok(Spoken {
                text: text.to_string(),
                prompt_tokens: prompt,
                samples: attempt.handed + attempt.rest.len(),
                tokens: attempt.output.tokens,
                semantic: attempt.semantic,
                problem: attempt.problem,
                tries,
                generate_seconds,
                decode_seconds,
                interrupted: stopped,
            });
        }
    }

    #[allow(clippy::too_many_arguments)] // One try: a piece, how, and who listens.
    fn attempt(
        &mut self,
        text: &str,
        prompt: &[u32],
        manner: &Manner,
        options: &SayOptions,
        (index, tries): (usize, usize),
        interrupted: &dyn Fn() -> bool,
        on_samples: OnSamples,
    ) -> Result<Attempt, SpeechError> {
        let Self { engine, decoder } = self;
        let most = most_tokens(estimated_seconds(text));
        let limit = options.max_tokens.unwrap_or(MOST_TOKENS);
        let generate = GenerateOptions {
            sampling: options.sampling.clone(),
            seed: mix(options.seed, index, tries),
            max_tokens: Some(limit.min(engine.context() - prompt.len()).max(1)),
            stop: Vec::new(),
            eos_ids: ENDS.to_vec(),
            logprobs: None,
            // What is drawn is drawn from what an answer is made of: the rest of the vocabulary need not be computed.
            // The likeliest token is the model's own, whatever it is.
            vocabulary: (options.sampling.temperature > 0.0).then_some(spark::ANSWER),
        };
        let mut line = Line {
            globals: match manner {
                Manner::Voice(voice) => voice.global.clone(),
                Manner::Style {
                    chosen: Some(ids), ..
                } => ids.iter().filter_map(|&id| spark::global(id)).collect(),
                Manner::Style { .. } => Vec::new(),
            },
            given: !matches!(manner, Manner::Style { chosen: None, .. }),
            semantic: Vec::new(),
            stream: None,
            handed: 0,
            ran_away: false,
            unknown: false,
            failed: None,
            decode_seconds: 0.0,
        };
        let output = engine.generate(prompt, &generate, interrupted, &mut |step: Step| {
            let Some(id) = step.token else { return true };
            match line.take(id, options.stream, most, decoder, on_samples) {
                Ok(go_on) => go_on,
                Err(error) => {
                    line.failed = Some(error);
                    false
                }
            }
        })?;
        if let Some(error) = line.failed.take() {
            return Err(error);
        }
        line.finish(output, limit, decoder, interrupted)
    }
}

/// What is known of an answer while it is made.
struct Line {
    globals: Vec<u32>,
    /// The globals were there before the answer.
    given: bool,
    semantic: Vec<u32>,
    stream: Option<Stream>,
    handed: usize,
    ran_away: bool,
    /// A token was past the codec's.
    unknown: bool,
    failed: Option<SpeechError>,
    decode_seconds: f64,
}

impl Line {
    /// Takes a token of the answer; false ends it.
    fn take(
        &mut self,
        id: u32,
        stream: bool,
        most: usize,
        decoder: &mut Decoder,
        on_samples: OnSamples,
    ) -> Result<bool, SpeechError> {
        if let (Some(global), false) = (spark::global(id), self.given) {
            self.globals.push(global);
        }
        let Some(token) = spark::semantic(id) else {
            return Ok(true);
        };
        self.semantic.push(token);
        if self.semantic.len() > most {
            self.ran_away = true;
            return Ok(false);
        }
        self.unknown |= token as usize >= decoder.codes();
        if !stream || self.unknown || self.globals.len() != GLOBALS {
            return Ok(true);
        }
        let started = Instant::now();
        let line = match &mut self.stream {
            Some(line) => line,
            empty => empty.insert(Stream::new(decoder.voice(&self.globals)?)),
        };
        let samples = line.push(token, decoder)?;
        self.decode_seconds += started.elapsed().as_secs_f64();
        if !samples.is_empty() {
            self.handed += samples.len();
            on_samples(&samples)?;
        }
        Ok(true)
    }

    /// The answer is there: what is wrong with it, and the samples that were not handed on yet.
    fn finish(
        mut self,
        output: Output,
        limit: usize,
        decoder: &mut Decoder,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Attempt, SpeechError> {
        let has_voice = self.globals.len() == GLOBALS
            && self
                .globals
                .iter()
                .all(|&g| (g as usize) < decoder.global_codes());
        let can_speak = has_voice && !self.semantic.is_empty() && !self.unknown;
        let mut problem = if !has_voice {
            Some(Problem::NoVoice)
        } else if self.semantic.is_empty() {
            Some(Problem::NoSpeech)
        } else if self.unknown {
            Some(Problem::UnknownTokens)
        } else if self.ran_away {
            Some(Problem::Runaway)
        } else if output.finish_reason == FinishReason::Length && output.tokens.len() >= limit {
            Some(Problem::Cut)
        } else if repeats(&self.semantic) {
            Some(Problem::Loop)
        } else {
            None
        };
        let stopped = output.finish_reason == FinishReason::Interrupted && !self.ran_away;
        if stopped && can_speak {
            // Nothing is wrong with what was not finished.
            problem = None;
        }
        let mut rest = Vec::new();
        if can_speak {
            let started = Instant::now();
            rest = match &mut self.stream {
                Some(stream) => stream.finish(decoder)?,
                None => {
                    let voice = decoder.voice(&self.globals)?;
                    let all = 0..self.semantic.len();
                    // A second Ctrl-C ends the program; the first lets what was said be heard.
                    let go_on = || stopped || !interrupted();
                    decoder
                        .samples(&voice, &self.semantic, all, &go_on)?
                        .ok_or(SpeechError::Interrupted)?
                }
            };
            self.decode_seconds += started.elapsed().as_secs_f64();
            if problem.is_none()
                && !stopped
                && self.handed == 0
                && silent(&rest, decoder.sample_rate())
            {
                problem = Some(Problem::Silence);
            }
        }
        Ok(Attempt {
            output,
            semantic: self.semantic,
            problem,
            handed: self.handed,
            rest,
            decode_seconds: self.decode_seconds,
        })
    }
}

/// The voice that a first answer chose is kept for the rest of the text.
fn keep_voice(manner: &mut Manner, answer: &[u32]) {
    let Manner::Style { chosen, .. } = manner else {
        return;
    };
    if chosen.is_some() {
        return;
    }
    if let Some(before) = spark::before_semantic(answer).filter(|b| b.len() <= 2 * BEFORE_SEMANTIC)
    {
        let globals = before.iter().filter_map(|&id| spark::global(id)).count();
        if globals == GLOBALS {
            *chosen = Some(before.to_vec());
        }
    }
}

/// A seed for each piece and each try.
fn mix(seed: u64, index: usize, tries: usize) -> u64 {
    let step = (index as u64) << 8 | (tries as u64 - 1);
    seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Manner {
    /// The tokens of the voice, once it is known.
    pub fn voice(&self) -> Option<VoiceTokens> {
        match self {
            Self::Voice(voice) => Some(voice.clone()),
            Self::Style { chosen, .. } => {
                let ids = chosen.as_deref()?.iter();
                Some(VoiceTokens::of(
                    ids.filter_map(|&id| spark::global(id)).collect(),
                ))
            }
        }
    }
}
