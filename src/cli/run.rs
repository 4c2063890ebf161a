//! `crane run`: one prompt, one answer; or many, see [`super::batch`].

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::generate::{FinishReason, Output, Step};
use crate::text::thinking::Piece;

use super::batch::{self, BatchArgs};
use super::constraint::{self, Asked, Choice, ConstraintArgs, Guide};
use super::exit::CliError;
use super::global::QuantArgs;
use super::input::{self, Input, InputArgs};
use super::interrupt;
use super::output::{self, Sink};
use super::overflow::{self, Overflow};
use super::receipt::{self, Subject};
use super::report::{Report, StepJson};
use super::sampling::{Resolved, SamplingArgs};
use super::session::{Prompt, Session, Sight, Wish};
use super::settings::Settings;
use super::thinking::{Aside, ThinkingArgs};
use super::waiting::Waiting;

#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Alias, org/repo, folder or .gguf file (see 'crane --help')
    #[arg(value_name = "MODEL")]
    pub model: String,
    #[command(flatten)]
    pub input: InputArgs,
    /// System message
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["raw", "messages"], allow_hyphen_values = true)]
    pub system: Option<String>,
    /// Send the prompt as it is, without the model's chat template
    #[arg(long, conflicts_with = "messages")]
    pub raw: bool,
    /// Start of the answer, which the model continues; not repeated in the output
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub prefill: String,
    /// What to do with a prompt that is longer than the context
    #[arg(long, value_name = "WHAT", default_value = "error")]
    pub overflow: Overflow,
    /// Shape of the output; --json alone is --format json
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Shape>,
    /// For each output token, its log-probability and those of the K likeliest (in JSON; at most the vocabulary)
    #[arg(long, value_name = "K")]
    pub logprobs: Option<u32>,
    /// Write to a file, which appears when it is complete, or grows line by line with --batch ('-': stdout)
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Times, speeds, memory and settings on stderr
    #[arg(long)]
    pub stats: bool,
    /// Write what determines the answer, for 'crane replay' ('-': stdout, where the answer goes to a file)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["batch", "choices"], value_hint = clap::ValueHint::FilePath)]
    pub receipt: Option<PathBuf>,
    #[command(flatten)]
    pub batch: BatchArgs,
    #[command(flatten)]
    pub thinking: ThinkingArgs,
    #[command(flatten)]
    pub quant: QuantArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub constraint: ConstraintArgs,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// The answer as it is made
    Text,
    /// One object on one line
    Json,
    /// One object a token, and the whole object last
    Ndjson,
}

/// Reads the prompt, loads the model, writes the answer.
pub fn run(args: &RunArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    if let Some(path) = &args.batch.batch {
        return batch::run(path, args, settings, out);
    }
    args.batch.refuse_alone()?;
    let shape = shape(args, settings)?;
    let asked = asked(args)?;
    let input = input::gather(&args.input, args.raw, settings)?;
    let mut nowhere = io::sink();
    let stdout = Path::new("-");
    let (out, receipt_out): (&mut dyn Write, &mut dyn Write) = match &args.receipt {
        Some(path) if path == stdout => (&mut nowhere, out),
        _ => (out, &mut nowhere),
    };
    let receipt = match &args.receipt {
        Some(path) => {
            let output = args.output.as_deref().unwrap_or(stdout);
            output::apart(("the answer", output), ("--receipt", path))?;
            Some(Sink::open(Some(path), receipt_out)?)
        }
        None => None,
    };
    let mut sink = Sink::open(args.output.as_deref(), out)?;
    let mut session = Session::open(
        &args.model,
        settings,
        Wish {
            quant: args.quant.quant.choice(),
            context: args.sampling.ctx_size,
            sight: input.has_images().then(Sight::default),
        },
    )?;
    let guide = asked.prepare(&mut session, settings)?;
    session.think = guide.think(args.thinking.asked());
    let mut prompt = render(&mut session, input, args)?;
    let context = session.engine.context();
    let truncated = overflow::fit(
        &mut prompt.ids,
        context,
        args.sampling.max_tokens,
        args.overflow,
    )?;
    if truncated > 0 && !prompt.pictures.is_empty() {
        return Err(CliError::TooLarge(format!(
            "the prompt does not fit the context of {context} tokens, and one with images is not cut; raise --ctx-size"
        ))
        .into());
    }
    if receipt.is_some() {
        receipt::check(&prompt)?;
        session.hash_files()?;
    }
    let mut resolved = args.sampling.resolve(&session.defaults);
    guide.limit(&mut resolved);
    session.announce(settings);
    if truncated > 0 {
        settings.note(&format!(
            "{truncated} tokens were left out of the middle of the prompt, {} are kept (context {context})",
            prompt.ids.len()
        ));
    }
    let logprobs = args.logprobs.map(|k| k as usize);
    let aside = Aside::new(args.thinking.shown(&settings.terminal), settings.terminal);
    let (mut output, choices) = match &guide {
        Guide::Choices(choices) => {
            choose(&mut session, &prompt, choices, &resolved, shape, &mut sink)?
        }
        _ => {
            let options = guide.lead(resolved.options(logprobs));
            let output = generate(&mut session, &prompt, &options, shape, &mut sink, aside)?;
            (output, None)
        }
    };
    let parted = session.thinking(&prompt).part(&output.text);
    output.text = parted.answer;
    let report = Report {
        session: &session,
        settings: &resolved,
        prompt: &prompt,
        prefill: &args.prefill,
        truncated_tokens: truncated,
        overflow: args.overflow.name(),
        threads: settings.threads,
        output: &output,
        thinking: &parted.thinking,
        logprobs: logprobs.is_some(),
        constraint: guide.json(&output),
        choices: choices.map(|choices| serde_json::json!(choices)),
        images: None,
        boxes: None,
    };
    let interrupted = output.finish_reason == FinishReason::Interrupted;
    if interrupted && shape == Shape::Text && sink.is_file() {
        // Half a text looks like a whole one; half an answer in JSON says that it is.
        settings.note("interrupted; the output file is left as it was");
        return Err(CliError::Interrupted.into());
    }
    let unmet = constraint::unmet(&output, &resolved);
    if let (Some(error), Shape::Text, true) = (&unmet, shape, sink.is_file()) {
        let left = format!("{error}; the output file is left as it was");
        return Err(CliError::Condition(left).into());
    }
    match shape {
        Shape::Text if output.text.ends_with('\n') => {}
        Shape::Text => writeln!(sink)?,
        Shape::Json | Shape::Ndjson => writeln!(sink, "{}", report.json()?)?,
    }
    sink.finish()?;
    if args.stats {
        settings.terminal.note(&report.stats());
    }
    if receipt.is_some() && interrupted {
        settings.note("interrupted; no receipt is written");
    } else if let Some(receipt) = receipt {
        let subject = Subject {
            session: &session,
            settings,
            quant: args.quant.quant,
            resolved: &resolved,
            guide: &guide,
            prompt: &prompt,
            output: &output,
        };
        receipt::write(receipt, subject)?;
    }
    match (interrupted, unmet) {
        (true, _) => Err(CliError::Interrupted.into()),
        (false, Some(error)) => Err(error.into()),
        (false, None) => Ok(()),
    }
}

/// The structure that is asked for; it is looked at before stdin is read.
fn asked(args: &RunArgs) -> anyhow::Result<Asked> {
    let asked = args.constraint.read(&args.sampling)?;
    match (&asked, args.logprobs) {
        (Asked::Choices(_), Some(_)) => Err(CliError::Usage(
            "--choices gives each choice its log-probability with --json: leave out --logprobs"
                .into(),
        )
        .into()),
        _ => Ok(asked),
    }
}

fn shape(args: &RunArgs, settings: &Settings) -> Result<Shape, CliError> {
    let shape = match (args.format, settings.json) {
        (Some(shape), _) => shape,
        (None, true) => Shape::Json,
        (None, false) => Shape::Text,
    };
    match (shape, args.logprobs) {
        (Shape::Text, Some(_)) => Err(CliError::Usage(
            "--logprobs needs a place to be printed: add --format json or --format ndjson".into(),
        )),
        _ => Ok(shape),
    }
}

/// The prompt through the template, or as it is.
fn render(session: &mut Session, input: Input, args: &RunArgs) -> anyhow::Result<Prompt> {
    match input {
        Input::Messages(messages) => session.chat_prompt(&messages, &args.prefill),
        Input::Prompt(text) => {
            session.prompt(text, args.system.as_deref(), args.raw, &args.prefill)
        }
    }
}

/// Generates, writing each piece as it comes. A failed write ends the output and is the error.
pub(super) fn generate(
    session: &mut Session,
    prompt: &Prompt,
    options: &crate::generate::GenerateOptions,
    shape: Shape,
    sink: &mut Sink,
    mut aside: Aside,
) -> anyhow::Result<Output> {
    session.commit();
    let mut thinking = session.thinking(prompt);
    let mut waiting = Some(Waiting::start(
        &aside.terminal,
        format!("reading {} tokens", prompt.ids.len()),
    ));
    // Until the first token there is nothing to bring to an end, and a long prompt is not waited for.
    let mut polled = None;
    let mut failed: Option<io::Error> = None;
    let mut on_step = |step: Step| {
        waiting = None;
        polled.get_or_insert_with(interrupt::Deferred::new);
        let mut pieces = thinking.push(step.text);
        if step.token.is_none() {
            pieces.extend(thinking.finish());
        }
        match write_step(sink, shape, &step, &pieces, &mut aside) {
            Ok(()) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    };
    let output = session.engine.generate(
        prompt.sequence(),
        options,
        &interrupt::pressed,
        &mut on_step,
    )?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    // Text that might have been a mark.
    let rest = thinking.finish();
    let end = Step {
        token: None,
        text: "",
        logprob: None,
    };
    write_step(sink, shape, &end, rest.as_slice(), &mut aside)?;
    aside.end();
    Ok(output)
}

/// The best choice, written at once.
fn choose(
    session: &mut Session,
    prompt: &Prompt,
    choices: &[String],
    resolved: &Resolved,
    shape: Shape,
    sink: &mut Sink,
) -> anyhow::Result<(Output, Option<Vec<Choice>>)> {
    session.commit();
    let picked = constraint::choose(session, prompt, choices, &resolved.eos_ids)?;
    if shape == Shape::Text {
        sink.write_all(picked.output.text.as_bytes())?;
    }
    Ok((picked.output, Some(picked.choices)))
}

/// A step in its shape; `pieces` is its text, told apart.
fn write_step(
    sink: &mut Sink,
    shape: Shape,
    step: &Step,
    pieces: &[Piece],
    aside: &mut Aside,
) -> io::Result<()> {
    let (mut answer, mut thought) = (String::new(), String::new());
    for piece in pieces {
        match piece {
            Piece::Answer(text) => answer.push_str(text),
            Piece::Thinking(text) => thought.push_str(text),
        }
    }
    match shape {
        Shape::Json => return Ok(()),
        Shape::Ndjson if step.token.is_none() && pieces.is_empty() => return Ok(()),
        Shape::Ndjson => {
            let line = StepJson::new(step, &answer, &thought);
            writeln!(sink, "{}", serde_json::to_string(&line)?)?;
        }
        Shape::Text => {
            aside.push(&thought);
            if answer.is_empty() {
                return Ok(());
            }
            aside.end();
            sink.write_all(answer.as_bytes())?;
        }
    }
    sink.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::Terminal;

    #[test]
    fn steps_are_written_in_their_shape() {
        let step = Step {
            token: Some(3),
            text: "a",
            logprob: None,
        };
        for (shape, expected) in [
            (Shape::Text, "a"),
            (Shape::Json, ""),
            (Shape::Ndjson, "{\"token\":3,\"text\":\"a\"}\n"),
        ] {
            let mut bytes = Vec::new();
            let terminal = Terminal::detect(Default::default(), &|_| None);
            let mut aside = Aside::new(false, terminal);
            let pieces = [Piece::Answer("a".into())];
            write_step(
                &mut Sink::Stdout(&mut bytes),
                shape,
                &step,
                &pieces,
                &mut aside,
            )
            .unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
    }
}
