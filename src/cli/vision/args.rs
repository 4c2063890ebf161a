//! The flags of `crane vision`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::exit::CliError;
use crate::cli::global::QuantArgs;
use crate::cli::input;
use crate::cli::run::Shape;
use crate::cli::sampling::SamplingArgs;
use crate::cli::settings::Settings;
use crate::image::{ImageSource, Limits};

use super::DESCRIBE;

/// As typed.
#[derive(Debug, Clone, Args)]
pub struct VisionArgs {
    /// Alias, org/repo, folder or .gguf file (see 'crane --help')
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Images in order: files, '-' for stdin, data: URLs
    #[arg(value_name = "IMAGE", conflicts_with = "messages", value_hint = clap::ValueHint::FilePath)]
    pub images: Vec<String>,
    /// An image, behind those above (repeatable)
    #[arg(long, value_name = "IMAGE", conflicts_with = "messages", value_hint = clap::ValueHint::FilePath)]
    pub image: Vec<String>,
    /// What is asked about the images [default: stdin where it is a pipe, else "Describe this image."]
    #[arg(
        short,
        long,
        value_name = "TEXT",
        conflicts_with_all = ["messages", "each_prompt"],
        allow_hyphen_values = true
    )]
    pub prompt: Option<String>,
    /// Read a file into the question, before that of --prompt (repeatable; '-' is stdin)
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["messages", "each_prompt"], value_hint = clap::ValueHint::FilePath)]
    pub file: Vec<PathBuf>,
    /// A conversation with image parts: a JSON list of {"role": …, "content": [{"type": "image", "image": PATH}, …]} ('-' is stdin)
    #[arg(long, value_name = "FILE.json", value_hint = clap::ValueHint::FilePath)]
    pub messages: Option<PathBuf>,
    /// System message
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "messages",
        allow_hyphen_values = true
    )]
    pub system: Option<String>,
    /// Answer for every image by itself, from one load: a line of JSON each (--format text: the answers alone)
    #[arg(long, conflicts_with = "messages")]
    pub each: bool,
    /// Answer every line of a file, the images being encoded once: a line of JSON each ('-' is stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "messages", value_hint = clap::ValueHint::FilePath)]
    pub each_prompt: Option<PathBuf>,
    /// Print the boxes and points of the answer (Qwen2.5-VL), in pixels of the picture as it is shown
    #[arg(long, value_name = "FORMAT")]
    pub boxes: Option<Boxes>,
    /// Enlarge pictures with fewer pixels than this [default: the model's own]
    #[arg(long, value_name = "N", value_parser = pixels)]
    pub min_pixels: Option<usize>,
    /// Shrink pictures with more pixels than this [default: the model's own, as far as the memory goes]
    #[arg(long, value_name = "N", value_parser = pixels)]
    pub max_pixels: Option<usize>,
    /// The file that reads the images of a GGUF model [default: mmproj-….gguf beside it]
    #[arg(long, value_name = "FILE.gguf", value_hint = clap::ValueHint::FilePath)]
    pub mmproj: Option<PathBuf>,
    /// Start of the answer, which the model continues; not repeated in the output
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub prefill: String,
    /// Shape of the output; --json alone is --format json
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Shape>,
    /// For each output token, its log-probability and those of the K likeliest (in JSON; at most the vocabulary)
    #[arg(long, value_name = "K")]
    pub logprobs: Option<u32>,
    /// Write to a file, which appears when it is complete ('-': stdout)
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Times, speeds, memory and settings on stderr
    #[arg(long)]
    pub stats: bool,
    #[command(flatten)]
    pub quant: QuantArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// `--boxes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Boxes {
    /// A JSON list
    Json,
}

fn pixels(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("give a number of pixels, 1 or more".into()),
    }
}

impl VisionArgs {
    /// What clap cannot see.
    pub fn check(&self, settings: &Settings) -> Result<(), CliError> {
        let usage = |text: &str| Err(CliError::Usage(text.into()));
        if let (Some(min), Some(max)) = (self.min_pixels, self.max_pixels) {
            if min > max {
                return Err(CliError::Usage(format!(
                    "--min-pixels {min} is more than --max-pixels {max}"
                )));
            }
        }
        let images = self.images.len() + self.image.len();
        if images == 0 && self.messages.is_none() {
            return usage(
                "there is no image; name one after the model ('crane run' answers without)",
            );
        }
        if self.boxes.is_some() && images != 1 && !self.each {
            return usage("--boxes needs to know which image is meant: give one, or --each");
        }
        let lines = self.each || self.each_prompt.is_some();
        match self.shape(settings) {
            Shape::Ndjson if lines => {
                usage("with several answers a line is one of them: use --format json or text")
            }
            Shape::Ndjson if self.boxes.is_some() => {
                usage("boxes are known when the answer is whole: use --format json or text")
            }
            Shape::Text if self.logprobs.is_some() => usage(
                "--logprobs needs a place to be printed: add --format json or --format ndjson",
            ),
            _ => Ok(()),
        }
    }

    /// Whether several answers come, a line each.
    pub fn lines(&self) -> bool {
        self.each || self.each_prompt.is_some()
    }

    /// The shape of an answer; of several, short objects are Text's and whole ones Json's.
    pub fn shape(&self, settings: &Settings) -> Shape {
        match (self.format, settings.json) {
            (Some(shape), _) => shape,
            (None, true) => Shape::Json,
            (None, false) => Shape::Text,
        }
    }

    /// Limits of the picture that the model sees.
    pub fn limits(&self) -> Limits {
        Limits {
            min_pixels: self.min_pixels,
            max_pixels: self.max_pixels,
            memory: None,
        }
    }

    /// The images in order.
    ///
    /// # Errors
    /// A name that is none, stdin twice or for a question too.
    pub fn sources(&self) -> anyhow::Result<Vec<ImageSource>> {
        let names = self.images.iter().chain(&self.image);
        let sources: Vec<ImageSource> = names
            .map(|name| ImageSource::parse(name))
            .collect::<Result<_, _>>()?;
        let is_stdin = |path: &PathBuf| path.as_os_str() == "-";
        let readers = sources.iter().filter(|source| source.is_stdin()).count()
            + self.file.iter().filter(|file| is_stdin(file)).count()
            + usize::from(self.each_prompt.as_ref().is_some_and(is_stdin));
        match readers > 1 {
            true => Err(CliError::Usage("stdin ('-') can be read once".into()).into()),
            false => Ok(sources),
        }
    }

    /// The question: files, then `--prompt`; where neither is named stdin, unless it is a terminal or an image.
    pub fn question(&self, takes_stdin: bool, settings: &Settings) -> anyhow::Result<String> {
        let mut parts = Vec::new();
        for file in &self.file {
            parts.push(input::read_named(file, settings)?.trim_end().to_string());
        }
        parts.extend(self.prompt.clone());
        if parts.is_empty() && !takes_stdin && !settings.terminal.stdin {
            parts.push(
                input::read_named("-".as_ref(), settings)?
                    .trim_end()
                    .to_string(),
            );
        }
        parts.retain(|part| !part.trim().is_empty());
        Ok(match parts.is_empty() {
            true => DESCRIBE.into(),
            false => parts.join("\n\n"),
        })
    }
}
