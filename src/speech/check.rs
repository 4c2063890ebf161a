//! Whether an answer is speech: what language models do instead.

use std::fmt;

use serde::Serialize;

use crate::models::spark::TOKENS_A_SECOND;

/// Why an answer is no good speech of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The model named no voice of 32 tokens.
    NoVoice,
    /// There is nothing to speak.
    NoSpeech,
    /// It names semantic tokens that the codec does not have.
    UnknownTokens,
    /// Far longer than the text can take.
    Runaway,
    /// It was not at its end when `--max-tokens` were there.
    Cut,
    /// The same tokens again and again.
    Loop,
    /// Seconds of nothing.
    Silence,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::NoVoice => "the model named no voice (32 global tokens)",
            Self::NoSpeech => "the model answered without speech tokens",
            Self::UnknownTokens => "the model answered with tokens that the codec does not have",
            Self::Runaway => "it is far longer than the text can take",
            Self::Cut => "it was not at its end at --max-tokens",
            Self::Loop => "it repeats itself",
            Self::Silence => "it falls silent",
        })
    }
}

impl Problem {
    /// Whether there is nothing that could be spoken.
    pub fn is_fatal(self) -> bool {
        matches!(self, Self::NoVoice | Self::NoSpeech | Self::UnknownTokens)
    }
}

/// Tokens past which an answer has run away, for a text of about `seconds`: slow speech takes twice as long, and a
/// second is left for the breath around it.
pub fn most_tokens(seconds: f64) -> usize {
    ((3.0 * seconds + 2.0) * TOKENS_A_SECOND as f64) as usize
}

/// Seconds of a repetition that no speech has.
const LOOP_SECONDS: usize = 3;
/// The longest period that is looked for, in tokens.
const LONGEST_PERIOD: usize = 2 * TOKENS_A_SECOND;

/// Whether some stretch of `tokens` repeats itself for three seconds, and at least three times.
pub fn repeats(tokens: &[u32]) -> bool {
    (1..=LONGEST_PERIOD).any(|period| {
        let needed = (LOOP_SECONDS * TOKENS_A_SECOND).max(2 * period);
        let mut run = 0;
        tokens.iter().zip(tokens.iter().skip(period)).any(|(a, b)| {
            run = if a == b { run + 1 } else { 0 };
            run >= needed
        })
    })
}

/// Amplitude below which a sample is silent: −50 dB.
const SILENT: f32 = 0.003;
/// Seconds of silence that no sentence has.
const SILENCE_SECONDS: usize = 3;

/// Whether `samples` are silent for three seconds on end, or throughout.
pub fn silent(samples: &[f32], sample_rate: u32) -> bool {
    let needed = SILENCE_SECONDS * sample_rate as usize;
    let mut run = 0;
    let long = samples.iter().any(|x| {
        run = if x.abs() < SILENT { run + 1 } else { 0 };
        run >= needed
    });
    long || run == samples.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_long_and_exact() {
        let varied: Vec<u32> = (0..1000u32).map(|i| i * i % 331 + i / 7).collect();
        assert!(!repeats(&varied));
        for period in [1usize, 7, 50, 100] {
            let looped: Vec<u32> = (0..400).map(|i| (i % period) as u32).collect();
            assert!(repeats(&looped), "{period}");
        }
        assert!(!repeats(&[5; 140]));
        assert!(repeats(&[5; 160]));
        assert!(!repeats(&[]));
    }

    #[test]
    fn silence_is_three_seconds_or_all() {
        let mut speech = vec![0.1f32; 16_000];
        assert!(!silent(&speech, 16_000));
        speech.extend(vec![0.0; 47_000]);
        speech.push(0.2);
        assert!(!silent(&speech, 16_000));
        speech.extend(vec![0.001; 48_000]);
        assert!(silent(&speech, 16_000));
        assert!(silent(&[0.0; 100], 16_000));
    }

    #[test]
    fn a_short_text_may_take_two_seconds() {
        assert_eq!(most_tokens(0.0), 100);
        assert_eq!(most_tokens(10.0), 1600);
    }
}
