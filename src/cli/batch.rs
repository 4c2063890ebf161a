//! `crane run --batch`: many prompts in one load, a line of JSON in for a line of JSON out.

mod answers;
mod line;
mod lines;
mod told;

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{json, Map, Value};

use self::answers::Answers;
use self::line::{Ask, Asked, Flags};
use self::lines::{Line, Lines, Next};
use self::told::Told;
use super::constraint::{self, Guide};
use super::exit::{self, CliError};
use super::interrupt;
use super::overflow;
use super::report::Report;
use super::run::{RunArgs, Shape};
use super::sampling::Resolved;
use super::session::{Prompt, Session, Wish};
use super::settings::Settings;
use crate::generate::{Batch, Finished, Started};

/// Prompts answered side by side where nobody says how many.
const PARALLEL: usize = 8;
/// Tokens that a sequence is thought to have where memory decides how many sequences there may be.
const USUAL_TOKENS: usize = 4096;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Many prompts")]
pub struct BatchArgs {
    /// Answer a file of prompts, one JSON object a line: "prompt" or "messages", and if wanted "id", "system", "raw",
    /// "prefill", "schema", "regex" and the flags of generation ("max_tokens", "temperature", …); one line a line comes out, in the same
    /// order ('-': stdin)
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["words", "prompt", "file", "messages"], value_hint = clap::ValueHint::FilePath)]
    pub batch: Option<PathBuf>,
    /// Answer so many prompts at the same time; the answers do not depend on it [default: 8, fewer where memory is short]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: Option<u16>,
    /// Go on with the file of -o: what it has is kept, what is missing is added
    #[arg(long)]
    pub resume: bool,
}

impl BatchArgs {
    /// What means nothing without `--batch`. (clap asks for no argument that conflicts with another one.)
    pub fn refuse_alone(&self) -> Result<(), CliError> {
        match (self.parallel, self.resume) {
            (None, false) => Ok(()),
            _ => Err(CliError::Usage(
                "--parallel and --resume are for many prompts: name a file of them with --batch FILE.jsonl"
                    .into(),
            )),
        }
    }
}

/// What is kept of a line while it is answered.
struct Pending {
    id: Option<Value>,
    print: String,
    prompt: Prompt,
    settings: Resolved,
    prefill: String,
    truncated: usize,
    guide: Guide,
}

/// Answers the lines of `path`.
pub fn run(
    path: &std::path::Path,
    args: &RunArgs,
    settings: &Settings,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let whole = whole(args, settings)?;
    let asked = args.constraint.read(&args.sampling)?;
    if let constraint::Asked::Choices(_) = asked {
        let text = "--choices is for one prompt; with --batch, --regex 'yes|no' answers with one of several texts";
        return Err(CliError::Usage(text.into()).into());
    }
    let lines = Lines::open(path)?;
    let answers = Answers::open(args.output.as_deref(), args.batch.resume, out)?;
    let mut session = Session::open(
        &args.model,
        settings,
        Wish {
            quant: args.quant.quant.choice(),
            context: args.sampling.ctx_size,
            ..Wish::default()
        },
    )?;
    let guide = asked.prepare(&mut session, settings)?;
    session.announce(settings);
    session.commit();
    if whole {
        session.hash_files()?;
    }
    let parallel = match args.batch.parallel {
        Some(asked) => usize::from(asked),
        None => usual_parallel(&session),
    };
    if parallel > 1 && !session.engine.computes_together() {
        settings
            .note("on this device each answer is computed by itself; --parallel changes nothing");
    }
    if path == std::path::Path::new("-") && settings.terminal.stdin {
        settings.note("reading prompts from the terminal, one JSON object a line (Ctrl-D ends)");
    }
    let tokenizer = session.engine.shared_tokenizer();
    let batch = Batch::new(&mut session.engine, &tokenizer, parallel);
    let mut work = Work {
        args,
        settings,
        whole,
        guide,
        told: Told::new(settings, &answers, parallel),
        noted: session.notes.len(),
        session: &mut session,
        answers,
        batch,
        pending: HashMap::new(),
        failed: 0,
        unmet: 0,
    };
    let done = {
        let _polled = interrupt::Deferred::new();
        work.all(&lines)
    };
    work.end(done)
}

/// Whether lines are the objects of `run --json`.
fn whole(args: &RunArgs, settings: &Settings) -> Result<bool, CliError> {
    let whole = match args.format {
        None => settings.json,
        Some(Shape::Json) => true,
        Some(Shape::Text | Shape::Ndjson) => {
            return Err(CliError::Usage(
                "--batch writes one JSON object a line; leave --format out, or take --format json for longer ones"
                    .into(),
            ))
        }
    };
    match args.logprobs {
        Some(_) if !whole => Err(CliError::Usage(
            "--logprobs needs a place to be printed: add --format json".into(),
        )),
        _ => Ok(whole),
    }
}

/// As many as usual, fewer where their caches would take more than half of the memory that is free.
fn usual_parallel(session: &Session) -> usize {
    let tokens = session.engine.context().min(USUAL_TOKENS);
    let each = session.engine.sequence_bytes(tokens).max(1);
    let free = session.free_memory();
    let room = free.map_or(usize::MAX, |free| (free / 2) as usize / each);
    room.clamp(1, PARALLEL)
}

/// A batch under way.
struct Work<'a> {
    args: &'a RunArgs,
    settings: &'a Settings,
    whole: bool,
    guide: Guide,
    session: &'a mut Session,
    answers: Answers<'a>,
    batch: Batch<'a>,
    pending: HashMap<usize, Pending>,
    told: Told<'a>,
    /// Notes of the session that were said.
    noted: usize,
    /// Lines without an answer, in this run.
    failed: usize,
    /// Answers that were cut off before their structure was complete.
    unmet: usize,
}

impl Work<'_> {
    /// Until the input ends and all is answered; whether Ctrl-C came before.
    fn all(&mut self, lines: &Lines) -> anyhow::Result<bool> {
        let (mut ended, mut count) = (false, 0);
        loop {
            while !ended && self.batch.has_room() {
                match lines.next(self.batch.live() == 0)? {
                    Next::Line(line) => {
                        count = line.index + 1;
                        if !self.answers.has(line.index, &line.print)? && !self.take(line)? {
                            return Ok(true);
                        }
                    }
                    Next::Later => break,
                    Next::Interrupted => return Ok(true),
                    Next::End => {
                        self.answers.check_end(count)?;
                        ended = true;
                    }
                }
            }
            if interrupt::pressed() {
                return Ok(true);
            }
            if ended && self.batch.live() == 0 {
                return Ok(false);
            }
            for finished in self.batch.step(&mut self.session.engine) {
                self.finish(finished)?;
            }
            self.told.step(&self.answers, &self.batch);
        }
    }

    /// Starts the answer to a line; false where Ctrl-C came.
    fn take(&mut self, line: Line) -> anyhow::Result<bool> {
        let Line { index, print, text } = line;
        let object = text.and_then(|text| line::object(&text));
        let (map, id) = match object {
            Ok(object) => object,
            Err(error) => {
                self.fail(index, None, &print, &error.into())?;
                return Ok(true);
            }
        };
        let pending = match self.prepare(map, id.clone(), print.clone()) {
            Ok(pending) => pending,
            Err(error) => {
                self.fail(index, id, &print, &error)?;
                return Ok(true);
            }
        };
        let logprobs = self.args.logprobs.map(|k| k as usize);
        let options = pending.guide.lead(pending.settings.options(logprobs));
        let ids = pending.prompt.ids.clone();
        self.pending.insert(index, pending);
        let engine = &mut self.session.engine;
        let started = self
            .batch
            .start(engine, (index, ids), &options, &interrupt::pressed);
        match started {
            Started::Running => Ok(true),
            Started::Finished(finished) => self.finish(finished).map(|()| true),
            Started::Interrupted => Ok(false),
        }
    }

    /// The prompt of a line, as the model takes it, and its settings.
    fn prepare(
        &mut self,
        map: Map<String, Value>,
        id: Option<Value>,
        print: String,
    ) -> anyhow::Result<Pending> {
        let flags = Flags {
            system: self.args.system.as_deref(),
            raw: self.args.raw,
            prefill: &self.args.prefill,
            sampling: &self.args.sampling,
        };
        let asked = Asked::read(map, flags)?;
        let guide = match &asked.structure {
            Some(structure) => {
                constraint::Asked::again(structure)?.prepare(self.session, self.settings)?
            }
            None => self.guide.clone(),
        };
        self.session.think = guide.think(self.args.thinking.asked());
        let mut prompt = match asked.ask {
            Ask::Messages(messages) => self.session.chat_prompt(&messages, &asked.prefill)?,
            Ask::Prompt(text) => {
                let system = asked.system.as_deref();
                self.session
                    .prompt(text, system, asked.raw, &asked.prefill)?
            }
        };
        for note in &self.session.notes[self.noted..] {
            self.told.note(note);
        }
        self.noted = self.session.notes.len();
        let truncated = overflow::fit(
            &mut prompt.ids,
            self.session.engine.context(),
            asked.sampling.max_tokens,
            self.args.overflow,
        )?;
        let mut settings = asked.sampling.resolve(&self.session.defaults);
        guide.limit(&mut settings);
        Ok(Pending {
            id,
            print,
            prompt,
            settings,
            prefill: asked.prefill,
            truncated,
            guide,
        })
    }

    /// Writes an answer, or why there is none.
    fn finish(&mut self, Finished { key, answer }: Finished) -> anyhow::Result<()> {
        let Some(pending) = self.pending.remove(&key) else {
            return Ok(());
        };
        let mut output = match answer {
            Ok(output) => output,
            Err(error) => return self.fail(key, pending.id, &pending.print, &error.into()),
        };
        self.unmet += usize::from(constraint::unmet(&output, &pending.settings).is_some());
        let parted = self.session.thinking(&pending.prompt).part(&output.text);
        output.text = parted.answer;
        let mut object = begin(key, pending.id);
        let fields = match self.whole {
            true => Report {
                session: self.session,
                settings: &pending.settings,
                prompt: &pending.prompt,
                prefill: &pending.prefill,
                truncated_tokens: pending.truncated,
                overflow: self.args.overflow.name(),
                threads: self.settings.threads,
                output: &output,
                thinking: &parted.thinking,
                logprobs: self.args.logprobs.is_some(),
                constraint: pending.guide.json(&output),
                choices: None,
                images: None,
                boxes: None,
            }
            .json()?,
            false => {
                let mut fields = json!({
                    "text": output.text,
                    "finish_reason": output.finish_reason,
                    "prompt_tokens": pending.prompt.ids.len(),
                    "tokens": output.tokens.len(),
                    "seed": pending.settings.seed,
                });
                if pending.truncated > 0 {
                    fields["truncated_tokens"] = pending.truncated.into();
                }
                if !parted.thinking.is_empty() {
                    fields["thinking"] = parted.thinking.clone().into();
                }
                if let Some(constraint) = pending.guide.json(&output) {
                    fields["constraint"] = constraint;
                }
                fields
            }
        };
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        object.insert("input".into(), pending.print.into());
        self.answers.put(key, &Value::Object(object))
    }

    fn fail(
        &mut self,
        index: usize,
        id: Option<Value>,
        print: &str,
        error: &anyhow::Error,
    ) -> anyhow::Result<()> {
        self.failed += 1;
        let mut object = begin(index, id);
        let what = json!({"code": exit::code(error), "message": exit::message(error)});
        object.insert("error".into(), what);
        object.insert("input".into(), print.into());
        self.answers.put(index, &Value::Object(object))
    }

    /// The last words.
    fn end(self, done: anyhow::Result<bool>) -> anyhow::Result<()> {
        let totals = self.batch.close(&mut self.session.engine);
        self.told.finish();
        if self.args.stats {
            let text = self.told.stats(self.session, totals, self.failed);
            self.settings.terminal.note(&text);
        }
        let written = self.answers.written();
        if done? {
            self.settings.note(&match self.answers.is_file() {
                true => format!(
                    "interrupted; {written} lines are answered, and the same command with --resume goes on"
                ),
                false => format!("interrupted; {written} lines are answered"),
            });
            return Err(CliError::Interrupted.into());
        }
        match self.failed + self.answers.failed_before {
            0 if self.unmet > 0 => Err(CliError::Condition(format!(
                "{} of {written} answers were cut off before their structure was complete; raise -n",
                self.unmet
            ))
            .into()),
            0 => Ok(()),
            failed => Err(CliError::Failed(format!(
                "{failed} of {written} lines have an error in place of an answer"
            ))
            .into()),
        }
    }
}

/// What every line of output begins with.
fn begin(index: usize, id: Option<Value>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("index".into(), index.into());
    if let Some(id) = id {
        object.insert("id".into(), id);
    }
    object
}
