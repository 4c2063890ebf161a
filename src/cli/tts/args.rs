//! What `crane tts` takes, as typed.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cli::exit::CliError;
use crate::cli::global::QuantArgs;
use crate::cli::output::apart;
use crate::cli::sampling::{at_least_one, number, temperature, top_p};
use crate::cli::settings::Settings;
use crate::generate::SamplingSettings;
use crate::models::spark::{Gender, Level, Style};

/// The model that speaks where none is named.
pub const DEFAULT_MODEL: &str = "spark-tts-0.5b";
/// Where speech goes where nothing is said.
const DEFAULT_OUTPUT: &str = "out.wav";
/// The same, without a header.
const DEFAULT_RAW_OUTPUT: &str = "out.raw";

#[derive(Debug, Clone, Args)]
pub struct TtsArgs {
    /// The text; several words are joined by spaces, '-' stands for stdin (which is read where no text is given)
    #[arg(value_name = "TEXT", conflicts_with_all = ["file", "tokens"])]
    pub words: Vec<String>,
    /// The model: an alias, org/repo or a Spark-TTS folder
    #[arg(short, long, value_name = "MODEL", default_value = DEFAULT_MODEL)]
    pub model: String,
    /// Read the text from a file ('-' is stdin)
    #[arg(short, long, value_name = "FILE", conflicts_with = "tokens", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Where the speech goes ('-': stdout) [default: out.wav, or out.raw with --format raw]
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// WAV, or 16-bit little-endian samples without a header
    #[arg(long, value_name = "FORMAT", default_value = "wav")]
    pub format: AudioFormat,
    /// Hand samples on as soon as they are certain (to stdout, a pipe or a player)
    #[arg(long)]
    pub stream: bool,
    /// Play the speech (through aplay, paplay, ffplay or play)
    #[arg(long, conflicts_with = "output")]
    pub play: bool,

    /// A described voice: female or male [default: female]
    #[arg(long, value_name = "WHO", help_heading = "Voice", conflicts_with_all = ["clone", "voice", "tokens"])]
    pub gender: Option<GenderArg>,
    /// How high: very_low, low, moderate, high, very_high [default: moderate]
    #[arg(long, value_name = "LEVEL", help_heading = "Voice", conflicts_with_all = ["clone", "voice", "tokens"])]
    pub pitch: Option<LevelArg>,
    /// How fast: very_low, low, moderate, high, very_high [default: moderate]
    #[arg(long, value_name = "LEVEL", help_heading = "Voice", conflicts_with_all = ["clone", "voice", "tokens"])]
    pub speed: Option<LevelArg>,
    /// The voice of a recording (3 to 30 s of speech)
    #[arg(long, value_name = "REF.wav", help_heading = "Voice", conflicts_with_all = ["voice", "tokens"], value_hint = clap::ValueHint::FilePath)]
    pub clone: Option<PathBuf>,
    /// The words of the recording, which make the voice truer
    #[arg(long, value_name = "TEXT", help_heading = "Voice", requires = "clone")]
    pub ref_text: Option<String>,
    /// A voice that --save-voice kept ('crane voices list')
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Voice",
        conflicts_with = "tokens"
    )]
    pub voice: Option<String>,
    /// Keep the voice under this name
    #[arg(long, value_name = "NAME", help_heading = "Voice", conflicts_with_all = ["voice", "tokens"])]
    pub save_voice: Option<String>,

    /// Where a text is cut: sentences, lines, or none
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "sentences",
        help_heading = "Pieces"
    )]
    pub split: Split,
    /// Seconds of silence between pieces; two and a half times as long between paragraphs
    #[arg(long, value_name = "SECONDS", default_value_t = 0.2, value_parser = pause, help_heading = "Pieces")]
    pub pause: f64,
    /// How often an answer that is no speech is tried again with another seed
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = "Pieces")]
    pub retries: usize,
    /// Tokens of a piece at most [default: 3000, and what the text can take]
    #[arg(short = 'n', long, value_name = "N", value_parser = at_least_one, help_heading = "Pieces")]
    pub max_tokens: Option<usize>,

    /// Write what was spoken as numbers, to be spoken again with --tokens ('-': stdout)
    #[arg(long, value_name = "FILE.json", conflicts_with = "tokens", value_hint = clap::ValueHint::FilePath)]
    pub tokens_out: Option<PathBuf>,
    /// Speak the tokens of such a file, without the language model
    #[arg(long, value_name = "FILE.json", value_hint = clap::ValueHint::FilePath)]
    pub tokens: Option<PathBuf>,

    /// Temperature; 0 always takes the likeliest token
    #[arg(long, visible_alias = "temperature", value_name = "T", default_value_t = 0.8, value_parser = temperature, help_heading = "Generation")]
    pub temp: f64,
    /// Sample from the K likeliest tokens (0: from all)
    #[arg(
        long,
        value_name = "K",
        default_value_t = 50,
        help_heading = "Generation"
    )]
    pub top_k: usize,
    /// Sample from the likeliest tokens that together reach probability P (1: from all)
    #[arg(long, value_name = "P", default_value_t = 0.95, value_parser = top_p, help_heading = "Generation")]
    pub top_p: f64,
    /// Seed; the same seed gives the same samples [default: random]
    #[arg(short, long, value_name = "N", help_heading = "Generation")]
    pub seed: Option<u64>,
    /// Tokens the context holds [default: the model's own length]
    #[arg(short = 'c', long, value_name = "N", value_parser = at_least_one, help_heading = "Generation")]
    pub ctx_size: Option<usize>,
    /// Times, speeds and memory on stderr
    #[arg(long)]
    pub stats: bool,
    #[command(flatten)]
    pub quant: QuantArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AudioFormat {
    Wav,
    Raw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Split {
    Sentences,
    Lines,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GenderArg {
    Female,
    Male,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum LevelArg {
    #[value(alias = "very-low")]
    VeryLow,
    Low,
    Moderate,
    High,
    #[value(alias = "very-high")]
    VeryHigh,
}

impl From<LevelArg> for Level {
    fn from(typed: LevelArg) -> Self {
        match typed {
            LevelArg::VeryLow => Self::VeryLow,
            LevelArg::Low => Self::Low,
            LevelArg::Moderate => Self::Moderate,
            LevelArg::High => Self::High,
            LevelArg::VeryHigh => Self::VeryHigh,
        }
    }
}

/// Where speech goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    File(PathBuf, AudioFormat),
    Stdout(AudioFormat),
    Player,
}

impl TtsArgs {
    /// What clap cannot see.
    pub fn check(&self, settings: &Settings) -> Result<(), CliError> {
        let to_stdout = self.output.as_deref() == Some(Path::new("-"));
        if to_stdout && settings.json {
            return Err(CliError::Usage(
                "-o - and --json both want stdout; name a file with -o".into(),
            ));
        }
        if let Some(tokens) = &self.tokens_out {
            let default = Path::new(self.default_output());
            let speech = self.output.as_deref().unwrap_or(default);
            if !self.play {
                apart(("the speech", speech), ("--tokens-out", tokens))?;
            }
            if settings.json {
                apart(("--json", Path::new("-")), ("--tokens-out", tokens))?;
            }
        }
        if self.tokens.is_some() && settings.json {
            return Err(CliError::Usage(
                "--tokens speaks what is already numbers; there is nothing for --json to say"
                    .into(),
            ));
        }
        Ok(())
    }

    fn default_output(&self) -> &'static str {
        match self.format {
            AudioFormat::Wav => DEFAULT_OUTPUT,
            AudioFormat::Raw => DEFAULT_RAW_OUTPUT,
        }
    }

    /// Where the speech goes; binary is refused on a terminal.
    pub fn output(&self, settings: &Settings) -> Result<Output, CliError> {
        match &self.output {
            _ if self.play => Ok(Output::Player),
            None => Ok(Output::File(self.default_output().into(), self.format)),
            Some(path) if path == Path::new("-") => match settings.terminal.stdout {
                true => Err(CliError::Usage(
                    "-o - would write samples to the terminal; name a file, use --play, or pipe stdout into a program".into(),
                )),
                false => Ok(Output::Stdout(self.format)),
            },
            Some(path) => Ok(Output::File(path.clone(), self.format)),
        }
    }

    /// The described voice.
    pub fn style(&self) -> Style {
        Style {
            gender: match self.gender {
                Some(GenderArg::Male) => Gender::Male,
                _ => Gender::Female,
            },
            pitch: self.pitch.map(Level::from).unwrap_or_default(),
            speed: self.speed.map(Level::from).unwrap_or_default(),
        }
    }

    /// A recording may be kept as a voice without a word being said.
    pub fn only_keeps_a_voice(&self) -> bool {
        self.clone.is_some() && self.save_voice.is_some()
    }

    pub fn sampling(&self) -> SamplingSettings {
        SamplingSettings {
            temperature: self.temp,
            top_k: self.top_k,
            top_p: self.top_p,
            ..SamplingSettings::default()
        }
    }
}

fn pause(text: &str) -> Result<f64, CliError> {
    number(
        text,
        |p| (0.0..=60.0).contains(&p),
        "of seconds from 0 to 60",
    )
}
