//! What is said about what was said.

use std::time::Instant;

use serde_json::{json, Value};

use crate::cli::settings::Settings;
use crate::speech::Spoken;

use super::args::TtsArgs;
use super::studio::Studio;

/// Numbers of a run.
pub struct Report {
    pub pieces: Vec<Spoken>,
    pub seed: u64,
    pub sample_rate: u32,
    model: String,
    /// What computes, as `--device` spells it, and what the user was told of it.
    device: String,
    notes: Vec<String>,
    started: Instant,
    load_seconds: f64,
    first_audio: Option<f64>,
    total_seconds: f64,
}

impl Report {
    /// Of a run that began at `started` and is loaded now. A random seed stays below 2^32, so that every JSON reader
    /// keeps it.
    pub fn new(
        args: &TtsArgs,
        studio: &Studio,
        started: Instant,
        device: String,
        notes: Vec<String>,
    ) -> Self {
        Self {
            pieces: Vec::new(),
            seed: args
                .seed
                .unwrap_or_else(|| u64::from(rand::random::<u32>())),
            sample_rate: studio.sample_rate(),
            model: studio.name().to_string(),
            device,
            notes,
            started,
            load_seconds: started.elapsed().as_secs_f64(),
            first_audio: None,
            total_seconds: 0.0,
        }
    }

    /// Samples leave for the first time, if it is the first time.
    pub fn first_audio(&mut self) {
        let started = self.started;
        self.first_audio
            .get_or_insert_with(|| started.elapsed().as_secs_f64());
    }

    /// Pieces that could not be spoken.
    pub fn left_out(&self) -> usize {
        let fatal = |p: &&Spoken| p.problem.is_some_and(|problem| problem.is_fatal());
        self.pieces.iter().filter(fatal).count()
    }

    /// The speech is written.
    pub fn finish(&mut self, target: &str, samples: usize, settings: &Settings) {
        self.total_seconds = self.started.elapsed().as_secs_f64();
        say_written(target, samples, self.sample_rate, settings);
    }

    fn sum(&self, of: impl Fn(&Spoken) -> f64) -> f64 {
        self.pieces.iter().map(of).sum()
    }

    fn numbers(&self, samples: usize) -> Value {
        let audio = samples as f64 / f64::from(self.sample_rate);
        let tokens = self.sum(|p| p.tokens.len() as f64);
        let (generate, decode) = (
            self.sum(|p| p.generate_seconds),
            self.sum(|p| p.decode_seconds),
        );
        let spoken = self.sum(|p| p.samples as f64) / f64::from(self.sample_rate);
        json!({
            "audio_seconds": audio,
            "load_seconds": self.load_seconds,
            "first_audio_seconds": self.first_audio,
            "total_seconds": self.total_seconds,
            "tokens": tokens,
            "tokens_per_second": ratio(tokens, generate),
            "codec_times_real_time": ratio(spoken, decode),
            "real_time_factor": ratio(generate + decode, spoken),
        })
    }

    /// One object on one line.
    pub fn json(&self, target: &str, samples: usize) -> Value {
        json!({
            "output": target,
            "model": self.model,
            "device": self.device,
            "notes": self.notes,
            "seed": self.seed,
            "sample_rate": self.sample_rate,
            "samples": samples,
            "pieces": self.pieces.iter().map(|p| json!({
                "text": p.text,
                "seconds": p.samples as f64 / f64::from(self.sample_rate),
                "semantic_tokens": p.semantic.len(),
                "tries": p.tries,
                "problem": p.problem,
            })).collect::<Vec<_>>(),
            "stats": self.numbers(samples),
        })
    }

    /// For people.
    pub fn stats(&self, samples: usize) -> String {
        let numbers = self.numbers(samples);
        let of = |key: &str| numbers[key].as_f64().unwrap_or(0.0);
        format!(
            "seed {}\nload {:.2} s, first audio after {:.2} s, all after {:.2} s\n\
             {:.0} tokens at {:.1} tokens/s, codec {:.1} times real time\n\
             {:.2} s of speech, real-time factor {:.2}",
            self.seed,
            of("load_seconds"),
            of("first_audio_seconds"),
            of("total_seconds"),
            of("tokens"),
            of("tokens_per_second"),
            of("codec_times_real_time"),
            of("audio_seconds"),
            of("real_time_factor"),
        )
    }
}

fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then_some(a / b)
}

/// Says on stderr where the speech is.
pub fn say_written(target: &str, samples: usize, rate: u32, settings: &Settings) {
    settings.note(&format!(
        "{target}: {:.2} s of speech",
        samples as f64 / f64::from(rate)
    ));
}
