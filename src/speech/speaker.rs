//! The model that speaks.

use std::time::Instant;

use serde::Serialize;

use super::check::{most_tokens, Problem};
use super::line::{Attempt, Line};
use super::{SpeechError, VoiceTokens};
use crate::generate::{Engine, GenerateOptions, SamplingSettings, Step};
use crate::models::bicodec::Decoder;
use crate::models::spark::{self, Style, ENDS, GLOBALS};
use crate::text::sentences::estimated_seconds;

/// Tokens of an answer at most, as in the published code.
const MOST_TOKENS: usize = 3000;
/// What an answer in a described voice holds before its semantic tokens, and more.
const MOST_BEFORE_SEMANTIC: usize = 128;

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

/// Who hears what is said.
pub trait Listener {
    /// Samples, as they become certain.
    ///
    /// # Errors
    /// They cannot be taken; nothing more is said.
    fn samples(&mut self, samples: &[f32]) -> std::io::Result<()>;
    /// The answer of the `tries`th try was no speech, and is tried again.
    fn again(&mut self, problem: Problem, tries: usize);
}

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

    /// Says `text`, the `index`th piece, to `listener`. An answer that is no speech is tried again with another seed. The
    /// last try counts, as far as it can be spoken.
    ///
    /// # Errors
    /// What the model or the listener cannot do.
    pub fn say(
        &mut self,
        text: &str,
        index: usize,
        manner: &mut Manner,
        options: &SayOptions,
        interrupted: &dyn Fn() -> bool,
        listener: &mut dyn Listener,
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
                listener,
            )?;
            decode_seconds += attempt.decode_seconds;
            generate_seconds += started.elapsed().as_secs_f64() - attempt.decode_seconds;
            let again = attempt.problem.filter(|problem| {
                // A limit of the user's own is no accident.
                let wanted = *problem == Problem::Cut && options.max_tokens.is_some();
                !greedy && !wanted && attempt.handed == 0 && tries <= options.retries
            });
            if let Some(problem) = again {
                listener.again(problem, tries);
                continue;
            }
            if !attempt.rest.is_empty() {
                listener.samples(&attempt.rest)?;
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
                interrupted: attempt.stopped,
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
        listener: &mut dyn Listener,
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
            constraint: None,
        };
        let mut line = Line::new(match manner {
            Manner::Voice(voice) => Some(voice.global.clone()),
            Manner::Style { chosen, .. } => chosen
                .as_ref()
                .map(|ids| ids.iter().filter_map(|&id| spark::global(id)).collect()),
        });
        let output = engine.generate(prompt, &generate, interrupted, &mut |step: Step| {
            let Some(id) = step.token else { return true };
            match line.take(id, options.stream, most, decoder, listener) {
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

/// The voice that a first answer chose is kept for the rest of the text.
fn keep_voice(manner: &mut Manner, answer: &[u32]) {
    let Manner::Style { chosen, .. } = manner else {
        return;
    };
    if chosen.is_some() {
        return;
    }
    let Some(before) = spark::before_semantic(answer) else {
        return;
    };
    let globals: Vec<u32> = before.iter().filter_map(|&id| spark::global(id)).collect();
    if globals.len() != GLOBALS {
        return;
    }
    match before.len() <= MOST_BEFORE_SEMANTIC {
        true => *chosen = Some(before.to_vec()),
        // It says much that is no voice; the voice alone is kept.
        false => *manner = Manner::Voice(VoiceTokens::of(globals)),
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
