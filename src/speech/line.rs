//! An answer while it is made: its tokens become samples where they are streamed, and at its end it is looked at.

use std::time::Instant;

use super::check::{repeats, silent, Problem};
use super::speaker::Listener;
use super::stream::Stream;
use super::SpeechError;
use crate::generate::{FinishReason, Output};
use crate::models::bicodec::Decoder;
use crate::models::spark::{self, GLOBALS};

/// A piece while it is tried.
pub(super) struct Attempt {
    pub output: Output,
    /// Somebody else ended it.
    pub stopped: bool,
    pub semantic: Vec<u32>,
    pub problem: Option<Problem>,
    /// Samples that were handed on.
    pub handed: usize,
    /// What is left to be handed on.
    pub rest: Vec<f32>,
    pub decode_seconds: f64,
}

/// What is known of an answer while it is made.
#[derive(Default)]
pub(super) struct Line {
    globals: Vec<u32>,
    /// The globals were there before the answer.
    given: bool,
    semantic: Vec<u32>,
    stream: Option<Stream>,
    handed: usize,
    ran_away: bool,
    /// A token was past the codec's.
    unknown: bool,
    pub failed: Option<SpeechError>,
    decode_seconds: f64,
}

impl Line {
    /// Nothing said yet, in the voice of `globals` or one that the answer names first.
    pub fn new(globals: Option<Vec<u32>>) -> Self {
        Self {
            given: globals.is_some(),
            globals: globals.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Takes a token of the answer; false ends it.
    pub fn take(
        &mut self,
        id: u32,
        stream: bool,
        most: usize,
        decoder: &mut Decoder,
        listener: &mut dyn Listener,
    ) -> Result<bool, SpeechError> {
        if let Some(global) = spark::global(id).filter(|_| !self.given && self.semantic.is_empty())
        {
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
            listener.samples(&samples)?;
        }
        Ok(true)
    }

    /// The answer is there: what is wrong with it, and the samples that were not handed on yet.
    pub fn finish(
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
        let stopped = output.finish_reason == FinishReason::Interrupted && !self.ran_away;
        let mut problem = if stopped {
            // Nothing is wrong with what was not finished.
            None
        } else if !has_voice {
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
            stopped,
            semantic: self.semantic,
            problem,
            handed: self.handed,
            rest,
            decode_seconds: self.decode_seconds,
        })
    }
}
