//! `crane chat`: a conversation.

mod command;
mod conversation;
mod editor;
mod export;
mod helper;
mod knobs;
mod kv;
mod lines;
mod markdown;
mod reply;
mod room;
mod script;
mod slash;
mod store;
mod transcript;
mod view;

use std::io::Write;

use clap::{Args, ValueEnum};
use serde_json::{json, Value};

use crate::generate::FinishReason;
use crate::hub::{catalogue, store as models};
use crate::text::Message;
use crate::weights::Quant;

use super::constraint::{Asked, ConstraintArgs, Guide};
use super::devices::Freed;
use super::exit::{self, CliError};
use super::global::QuantArgs;
use super::input;
use super::interrupt;
use super::sampling::SamplingArgs;
use super::session::{Opening, Session, Sight, Wish};
use super::settings::Settings;
use command::{Name, Typed};
use conversation::Conversation;
use helper::Names;
use knobs::{Knobs, Panel, ReplyArgs};
use kv::{Keeper, Owner};
use lines::{Entry, Line, Lines};
use reply::Last;
use script::Request;
use slash::Outcome;
use store::Place;
use transcript::Transcript;

#[derive(Debug, Clone, Args)]
pub struct ChatArgs {
    /// Alias, org/repo, folder or .gguf file (see 'crane --help') [default: that of the session]
    #[arg(value_name = "MODEL", required_unless_present_any = ["session", "continue_last"])]
    pub model: Option<String>,
    /// System message
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub system: Option<String>,
    /// Keep the conversation under this name, and go on with what is there
    #[arg(long, value_name = "NAME", conflicts_with = "continue_last")]
    pub session: Option<String>,
    /// Go on with the session that was used last
    #[arg(short = 'C', long = "continue")]
    pub continue_last: bool,
    /// Keep the state of the cache beside the session, so that it goes on without being computed again; all states
    /// together take MIB at most [default: 2048]
    #[arg(long, value_name = "MIB", num_args = 0..=1, require_equals = true, default_missing_value = "2048")]
    pub cache_prompt: Option<u64>,
    /// The first message ('-': all of stdin, and then the terminal)
    #[arg(long, value_name = "TEXT|-", allow_hyphen_values = true)]
    pub initial: Option<String>,
    /// Do not remember the typed lines
    #[arg(long)]
    pub no_history: bool,
    /// ndjson (also --json): each line of stdin is a JSON object, and each reply is one
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Shape,
    #[command(flatten)]
    pub quant: QuantArgs,
    #[command(flatten)]
    pub reply: ReplyArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub constraint: ConstraintArgs,
}

/// `--format` of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    Text,
    Ndjson,
}

/// Talks until the user leaves or stdin ends.
pub fn run(args: &ChatArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let shape = match settings.json {
        true => Shape::Ndjson,
        false => args.format,
    };
    let asked = args.constraint.read(&args.sampling)?;
    let place = place(args)?;
    if args.cache_prompt.is_some() && place.is_none() {
        let text = "--cache-prompt keeps the cache beside a session: add --session NAME";
        return Err(CliError::Usage(text.into()).into());
    }
    let kept = place.as_ref().map(Place::load).transpose()?.flatten();
    let named = args.model.as_deref();
    let model = match named.or(kept.as_ref().map(|kept| kept.model.as_str())) {
        Some(model) => model.to_string(),
        None => {
            return Err(CliError::Usage(
                "a new session needs a model: crane chat MODEL --session NAME".into(),
            )
            .into())
        }
    };
    let first = first(args.initial.as_deref(), settings)?;
    let quant = args.quant.quant.choice();
    let opening = find(&model, settings, quant, args.sampling.ctx_size)?;
    let mut session = opening.place(settings, Freed::default())?.load()?;
    let guide = asked.clone().prepare(&mut session, settings)?;
    session.announce(settings);
    let entry = Entry {
        stdin_spent: args.initial.as_deref() == Some("-"),
        keep_history: !args.no_history,
        scripted: shape == Shape::Ndjson,
    };
    let lines = Lines::open(settings, entry, names(settings));
    let knobs = Knobs {
        sampling: args.sampling.clone(),
        reply: args.reply.clone(),
    };
    let mut chat = Chat {
        session,
        quant,
        asked,
        guide,
        panel: Panel::new(knobs),
        conversation: Conversation::new(args.system.clone()),
        transcript: Transcript::default(),
        place,
        keeper: None,
        last: None,
        unanswered: None,
        unsaved_warned: false,
        settings,
        shape,
        interactive: lines.interactive(),
    };
    if lines.interactive() && !settings.quiet {
        settings.terminal.note(&format!(
            "{} on {} ({}). /help lists the commands, Ctrl-D leaves.",
            chat.session.located.resolved,
            chat.session.device(),
            chat.session.dtype
        ));
    }
    if let Some(mib) = args.cache_prompt {
        let owner = Owner::of(&chat.session, settings)?;
        chat.keeper = Some(Keeper::new(owner, mib.saturating_mul(1 << 20)));
    }
    if let Some(kept) = kept {
        settings.note(&chat.go_on(kept, args.system.as_deref())?);
    }
    let result = chat.talk(first, lines, out);
    chat.keep_cache(true);
    result
}

/// Finds a model to talk to, which may be shown images.
fn find(
    model: &str,
    settings: &Settings,
    quant: Option<Quant>,
    context: Option<usize>,
) -> anyhow::Result<Opening> {
    let wish = Wish {
        quant,
        context,
        sight: Some(Sight::default()),
    };
    let opening = Opening::find(model, settings, wish)?;
    match opening.has_template() {
        true => Ok(opening),
        false => Err(opening.no_template().into()),
    }
}

/// Where the conversation is kept, if it is.
fn place(args: &ChatArgs) -> anyhow::Result<Option<Place>> {
    let last = match args.continue_last {
        false => None,
        true => match store::list()?.into_iter().next() {
            Some(last) => Some(last.name),
            None => return Err(CliError::Missing(
                "there is no session to go on with; 'crane chat MODEL --session NAME' keeps one"
                    .into(),
            )
            .into()),
        },
    };
    let name = args.session.as_deref().or(last.as_deref());
    name.map(Place::take).transpose()
}

/// `--initial`.
fn first(initial: Option<&str>, settings: &Settings) -> anyhow::Result<Option<String>> {
    let text = match initial {
        Some("-") => input::read_stdin(settings)?,
        Some(text) => text.to_string(),
        None => return Ok(None),
    };
    match text.trim().is_empty() {
        true => {
            Err(CliError::Usage("the first message is empty: --initial needs a text".into()).into())
        }
        false => Ok(Some(text.trim_end_matches(['\n', '\r']).to_string())),
    }
}

/// What commands are completed from.
fn names(settings: &Settings) -> Names {
    let cached = models::list(&settings.hub.cache_dir).unwrap_or_default();
    let mut all: Vec<String> = cached
        .iter()
        .map(|model| model.label().to_string())
        .collect();
    let speech = catalogue::Task::Speech;
    let aliases = catalogue::ROWS.iter().filter(|row| row.task != speech);
    all.extend(aliases.map(|row| row.alias.to_string()));
    all.sort();
    all.dedup();
    Names {
        models: all,
        knobs: Panel::names(),
    }
}

/// What the object of a reply has told already.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct Told(anyhow::Error);

/// A conversation with a loaded model.
struct Chat<'a> {
    session: Session,
    quant: Option<Quant>,
    /// The structure of every reply: as asked for, and for this model.
    asked: Asked,
    guide: Guide,
    panel: Panel,
    conversation: Conversation,
    transcript: Transcript,
    /// Where the conversation is kept.
    place: Option<Place>,
    /// What keeps the cache's state beside it.
    keeper: Option<Keeper>,
    last: Option<Last>,
    /// A question that got no reply, and its seed.
    unanswered: Option<(Message, u64)>,
    /// It was said that what would be lost is not kept.
    unsaved_warned: bool,
    settings: &'a Settings,
    shape: Shape,
    interactive: bool,
}

impl Chat<'_> {
    fn talk(
        &mut self,
        first: Option<String>,
        mut lines: Lines,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let (mut warned, mut failures) = (false, 0);
        if let Some(text) = first {
            failures += usize::from(!self.turn(Request::say(text), &mut lines, out)?);
        }
        loop {
            let line = match lines.read(self.full())? {
                Line::End => break,
                Line::Interrupted { empty: false } => {
                    warned = false;
                    continue;
                }
                Line::Interrupted { .. } if warned => return Err(CliError::Interrupted.into()),
                Line::Interrupted { .. } => {
                    warned = true;
                    let hint = "Ctrl-C once more leaves (or Ctrl-D, or /bye)";
                    self.settings.terminal.note(hint);
                    continue;
                }
                Line::Edit(line) => match editor::edit(&line, true) {
                    Ok(text) => {
                        self.settings.terminal.note(&text);
                        text
                    }
                    Err(error) => {
                        exit::report(&error, self.settings.terminal.stderr_color);
                        continue;
                    }
                },
                Line::Unreadable(why) => {
                    let error = CliError::Usage(why).into();
                    failures += usize::from(!self.failed(error, out)?);
                    continue;
                }
                Line::Text(line) => line,
            };
            warned = false;
            if line.trim().is_empty() {
                continue;
            }
            let request = match self.shape {
                Shape::Text => Ok(Request::of_text(&line)),
                Shape::Ndjson => script::parse(&line).map_err(anyhow::Error::from),
            };
            let went_on = match request {
                Ok(Request::Command(command)) if self.is_bye(&command) => break,
                Ok(request) => self.turn(request, &mut lines, out),
                Err(error) => self.failed(error, out),
            };
            failures += usize::from(!went_on?);
        }
        match failures {
            0 => Ok(()),
            _ if self.interactive => Ok(()),
            n => Err(
                CliError::Failed(format!("{n} of the lines failed; their answers say why")).into(),
            ),
        }
    }

    fn is_bye(&self, command: &str) -> bool {
        matches!(command::parse(command), Typed::Command(Name::Bye, ""))
    }

    /// One line of the user; false where it failed and the conversation goes on all the same.
    fn turn(
        &mut self,
        request: Request,
        lines: &mut Lines,
        out: &mut dyn Write,
    ) -> anyhow::Result<bool> {
        let result = match request {
            Request::Command(command) => self.obey(&command, lines, out),
            Request::Say { content, seed } => {
                let question = self.conversation.question(&content);
                self.ask(question, seed, out)
            }
        };
        match result {
            Ok(FinishReason::Interrupted) if !self.interactive => Err(CliError::Interrupted.into()),
            Ok(_) => Ok(true),
            Err(error) => self.failed(error, out),
        }
    }

    /// A person reads what went wrong and goes on, and so does a program that gets objects; a script ends.
    fn failed(&mut self, error: anyhow::Error, out: &mut dyn Write) -> anyhow::Result<bool> {
        // A Ctrl-C that led here is not for the next reply.
        interrupt::take();
        let fatal = [exit::CLOSED_PIPE, exit::INTERRUPTED].contains(&exit::code(&error));
        match self.shape {
            _ if fatal && !self.interactive => Err(error),
            _ if exit::code(&error) == exit::CLOSED_PIPE => Err(error),
            Shape::Ndjson if error.is::<Told>() => Ok(false),
            Shape::Ndjson => {
                writeln!(out, "{}", script::failure(&error))?;
                out.flush()?;
                Ok(false)
            }
            Shape::Text if self.interactive => {
                exit::report(&error, self.settings.terminal.stderr_color);
                Ok(false)
            }
            Shape::Text => Err(error),
        }
    }

    /// Does what a line with a slash says.
    fn obey(
        &mut self,
        line: &str,
        lines: &mut Lines,
        out: &mut dyn Write,
    ) -> anyhow::Result<FinishReason> {
        let outcome = match command::parse(line) {
            Typed::Command(name, rest) if !rest.is_empty() && !command::takes_words(name) => {
                let command = line.trim().strip_suffix(rest).unwrap_or(line).trim();
                return Err(CliError::Usage(format!(
                    "{command} stands alone; '/{}' says it to the model",
                    line.trim()
                ))
                .into());
            }
            Typed::Command(name, rest) => self.command(name, rest, lines)?,
            Typed::Unknown(word) => self.unknown(word, line)?,
            Typed::Text(text) => {
                Outcome::Ask(self.conversation.question(&text.into_owned().into()), None)
            }
        };
        match outcome {
            Outcome::Said(text) => {
                match self.shape {
                    Shape::Text => self.settings.terminal.note(&text),
                    Shape::Ndjson => {
                        let said: Value = json!({ "command": line.trim(), "said": text });
                        writeln!(out, "{said}")?;
                        out.flush()?;
                    }
                }
                Ok(FinishReason::Stop)
            }
            Outcome::Ask(question, seed) => self.ask(question, seed, out),
            Outcome::Again {
                replaced,
                question,
                seed,
            } => {
                let result = self.ask(question, seed, out);
                // What was there before is not lost to a reply that did not come.
                if self.unanswered.take().is_some() {
                    self.conversation.turns.push(*replaced);
                    self.keep()?;
                }
                result
            }
        }
    }
}
