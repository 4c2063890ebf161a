//! `--receipt` and `crane replay`: what determines an answer, and the same again.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::generate::{FinishReason, GenerateOptions, Output, Sampler, SamplingSettings};
use crate::kernels::{CacheType, Simd};
use crate::models::NO_TOKEN;
use crate::text::Tokenizer;
use crate::weights::DTypeChoice;

use super::constraint::{Asked, Guide, Structure};
use super::exit::CliError;
use super::global::{DTypeArg, DeviceChoice, QuantArg};
use super::input;
use super::interrupt;
use super::output::Sink;
use super::sampling::Resolved;
use super::session::{Prompt, Session, Wish};
use super::settings::Settings;

/// The form of the file.
const VERSION: u32 = 1;

/// What determines an answer, and the answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Receipt {
    version: u32,
    /// crane's own version.
    crane: String,
    /// Seconds since 1970.
    created: u64,
    /// As typed, and what it stood for.
    model: String,
    resolved: String,
    files: Vec<FileSum>,
    device: String,
    /// The instruction set of the CPU that was used.
    simd: String,
    threads: usize,
    /// What the weights were computed from.
    weights: String,
    /// `--dtype`, `--quant`, `--cache-type` as they were given.
    dtype: String,
    quant: String,
    cache_type: Option<String>,
    ctx_size: usize,
    sampler: SamplerRecord,
    seed: u64,
    max_tokens: Option<usize>,
    stop: Vec<String>,
    eos_ids: Vec<u32>,
    structure: Option<Structure>,
    prompt: String,
    prompt_tokens: Vec<u32>,
    tokens: Vec<u32>,
    text: String,
    finish_reason: FinishReason,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileSum {
    name: String,
    sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct SamplerRecord {
    /// Its steps, in the order in which they are done.
    order: Vec<String>,
    #[serde(flatten)]
    settings: SamplingSettings,
}

/// What a receipt is of.
pub struct Subject<'a> {
    /// Its files' sums are known.
    pub session: &'a Session,
    pub settings: &'a Settings,
    pub quant: QuantArg,
    pub resolved: &'a Resolved,
    pub guide: &'a Guide,
    pub prompt: &'a Prompt,
    pub output: &'a Output,
}

/// Refuses a prompt with images, whose files are not in a receipt.
pub fn check(prompt: &Prompt) -> Result<(), CliError> {
    match prompt.looks.is_empty() && !prompt.ids.contains(&NO_TOKEN) {
        true => Ok(()),
        false => Err(CliError::Usage(
            "--receipt is for prompts of text: what images hold is not in it".into(),
        )),
    }
}

/// Writes the receipt of an answer, whose `text` in `output` is for reading alone.
///
/// # Errors
/// A file that cannot be written.
pub fn write(mut to: Sink, subject: Subject) -> anyhow::Result<()> {
    let Subject {
        session,
        settings,
        quant,
        resolved,
        guide,
        prompt,
        output,
    } = subject;
    let receipt = Receipt {
        version: VERSION,
        crane: env!("CARGO_PKG_VERSION").into(),
        created: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs()),
        model: session.located.typed.clone(),
        resolved: session.located.resolved.clone(),
        files: sums(session),
        device: session.device().to_string(),
        simd: Simd::detect().name().into(),
        threads: settings.threads,
        weights: session.dtype.clone(),
        dtype: spelled(&DTypeArg::from(settings.dtype)),
        quant: spelled(&quant),
        cache_type: settings.cache.map(|kind| kind.to_string()),
        ctx_size: session.engine.context(),
        sampler: SamplerRecord {
            order: Sampler::ORDER.iter().map(|step| step.to_string()).collect(),
            settings: resolved.sampling.clone(),
        },
        seed: resolved.seed,
        max_tokens: resolved.max_tokens,
        stop: resolved.stop.clone(),
        eos_ids: resolved.eos_ids.clone(),
        structure: guide.structure(),
        prompt: prompt.text.clone(),
        prompt_tokens: prompt.ids.clone(),
        tokens: output.tokens.clone(),
        text: output.text.clone(),
        finish_reason: output.finish_reason,
    };
    serde_json::to_writer_pretty(&mut to, &receipt).map_err(io::Error::from)?;
    to.write_all(b"\n")?;
    to.finish()
}

fn sums(session: &Session) -> Vec<FileSum> {
    let files = session.located.files.iter();
    let sum = |file: &crate::hub::StoredFile| FileSum {
        name: file.name.clone(),
        sha256: file.sha256.clone().unwrap_or_default(),
    };
    files.map(sum).collect()
}

/// As the command line spells it.
fn spelled(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value
        .map(|value| value.get_name().to_string())
        .unwrap_or_default()
}

#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// What 'crane run --receipt FILE' wrote ('-': stdin)
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// Another place of the same model
    #[arg(short, long, value_name = "MODEL")]
    pub model: Option<String>,
}

/// Runs what a receipt is of again, and says whether the same came.
pub fn replay(args: &ReplayArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let receipt = read(&args.file, settings)?;
    let name = args.file.display();
    let damaged = |what: &str| {
        CliError::Corrupt(format!(
            "{name} is no receipt that can be replayed: its {what} is unknown"
        ))
    };
    let settings = &Settings {
        device: match settings.device {
            DeviceChoice::Auto => receipt.device.parse().map_err(|_| damaged("device"))?,
            asked => asked,
        },
        dtype: match settings.dtype {
            DTypeChoice::Auto => DTypeArg::from_str(&receipt.dtype, false)
                .map_err(|_| damaged("dtype"))?
                .into(),
            asked => asked,
        },
        cache: match (settings.cache, &receipt.cache_type) {
            (None, Some(kind)) => Some(
                kind.parse::<CacheType>()
                    .map_err(|_| damaged("cache_type"))?,
            ),
            (asked, _) => asked,
        },
        ..settings.clone()
    };
    let cached = |kind: Option<String>| kind.unwrap_or_else(|| "auto".into());
    let quant = QuantArg::from_str(&receipt.quant, false).map_err(|_| damaged("quant"))?;
    let asked = match &receipt.structure {
        Some(structure) => Asked::again(structure)?,
        None => Asked::Text,
    };
    let model = args.model.as_deref().unwrap_or(&receipt.model);
    let wish = Wish {
        quant: quant.choice(),
        context: Some(receipt.ctx_size),
        ..Wish::default()
    };
    let mut session = Session::open(model, settings, wish)?;
    session.hash_files()?;
    same_files(&receipt, &session)?;
    let guide = asked.prepare(&mut session, settings)?;
    session.announce(settings);
    for (what, then, now) in [
        ("crane", receipt.crane.as_str(), env!("CARGO_PKG_VERSION")),
        ("the instruction set", &receipt.simd, Simd::detect().name()),
        ("the device", &receipt.device, session.device()),
        (
            "--dtype",
            &receipt.dtype,
            &spelled(&DTypeArg::from(settings.dtype)),
        ),
        (
            "--cache-type",
            &cached(receipt.cache_type.clone()),
            &cached(settings.cache.map(|kind| kind.to_string())),
        ),
        (
            "the sampler's order",
            &receipt.sampler.order.join(", "),
            &Sampler::ORDER.join(", "),
        ),
    ] {
        if then != now {
            settings.note(&format!(
                "{what} is {now}, and was {then}: another answer may come"
            ));
        }
    }
    let options = guide.lead(GenerateOptions {
        sampling: receipt.sampler.settings.clone(),
        seed: receipt.seed,
        max_tokens: receipt.max_tokens,
        stop: receipt.stop.clone(),
        eos_ids: receipt.eos_ids.clone(),
        logprobs: None,
        vocabulary: None,
        constraint: None,
    });
    let prompt = receipt.prompt_tokens.as_slice();
    let output = session
        .engine
        .generate(prompt, &options, &interrupt::pressed, &mut |_| true)?;
    if output.finish_reason == FinishReason::Interrupted {
        return Err(CliError::Interrupted.into());
    }
    let difference = Difference::of(&receipt, &output, session.engine.tokenizer());
    match settings.json {
        true => {
            let same = difference.is_none();
            let object = json!({ "same": same, "tokens": output.tokens.len(), "first_difference": difference });
            writeln!(out, "{object}")?;
        }
        false => match &difference {
            None => writeln!(out, "same: {} tokens", output.tokens.len())?,
            Some(difference) => writeln!(out, "{}", difference.text())?,
        },
    }
    match difference {
        None => Ok(()),
        Some(_) => Err(CliError::Condition("the answer is not the same".into()).into()),
    }
}

fn read(path: &Path, settings: &Settings) -> anyhow::Result<Receipt> {
    let name = path.display();
    let text = input::read_named(path, settings)?;
    let corrupt = |error: serde_json::Error| {
        CliError::Corrupt(format!(
            "{name} is no receipt: {error}; 'crane run --receipt FILE' writes one"
        ))
    };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(corrupt)?;
    if value
        .get("version")
        .and_then(|v| v.as_u64())
        .is_some_and(|v| v > u64::from(VERSION))
    {
        return Err(CliError::Failed(format!(
            "{name} was written by a later crane; update this one"
        ))
        .into());
    }
    Ok(serde_json::from_value(value).map_err(corrupt)?)
}

/// Refuses files that are not those of the receipt.
fn same_files(receipt: &Receipt, session: &Session) -> Result<(), CliError> {
    let here = sums(session);
    let mut there: Vec<&str> = receipt
        .files
        .iter()
        .map(|file| file.sha256.as_str())
        .collect();
    let mut found: Vec<&str> = here.iter().map(|file| file.sha256.as_str()).collect();
    there.sort_unstable();
    found.sort_unstable();
    if there == found {
        return Ok(());
    }
    let changed = receipt
        .files
        .iter()
        .find(|file| !found.contains(&file.sha256.as_str()));
    let name = changed.map_or("a file", |file| file.name.as_str());
    Err(CliError::Condition(format!(
        "not the same model: {name} of {} has another sha256 than in the receipt, or is missing",
        session.located.typed
    )))
}

/// The first place where two answers part.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Difference {
    /// Counted from 0.
    index: usize,
    /// The token and its text in the receipt and now; null where the answer has ended.
    then: Option<(u32, String)>,
    now: Option<(u32, String)>,
    finish_reasons: (FinishReason, FinishReason),
}

impl Difference {
    fn of(receipt: &Receipt, output: &Output, tokenizer: &Tokenizer) -> Option<Self> {
        let (then, now) = (&receipt.tokens, &output.tokens);
        let same = then.iter().zip(now).take_while(|(a, b)| a == b).count();
        let finish_reasons = (receipt.finish_reason, output.finish_reason);
        let ended = same == then.len() && same == now.len();
        if ended && finish_reasons.0 == finish_reasons.1 {
            return None;
        }
        let told = |ids: &[u32]| {
            let id = *ids.get(same)?;
            Some((id, tokenizer.decode(&[id], false).unwrap_or_default()))
        };
        Some(Self {
            index: same,
            then: told(then),
            now: told(now),
            finish_reasons,
        })
    }

    fn text(&self) -> String {
        let told = |token: &Option<(u32, String)>, reason: FinishReason| match token {
            Some((id, text)) => format!("{id} {text:?}"),
            None => format!("the end ({})", json!(reason).as_str().unwrap_or_default()),
        };
        format!(
            "different from token {} on (counted from 0): {} in the receipt, {} now",
            self.index,
            told(&self.then, self.finish_reasons.0),
            told(&self.now, self.finish_reasons.1)
        )
    }
}
