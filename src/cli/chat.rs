//! `crane chat`: a conversation, line by line.

use std::io::{self, Write};

use clap::Args;

use crate::generate::{FinishReason, Output, Step};
use crate::image::ImageSource;

use super::constraint::{self, ConstraintArgs, Guide};
use super::conversation::Conversation;
use super::exit::{self, CliError};
use super::global::QuantArgs;
use super::input;
use super::interrupt;
use super::lines::{Line, Lines};
use super::report;
use super::sampling::{Resolved, SamplingArgs};
use super::session::Session;
use super::settings::Settings;

#[derive(Debug, Clone, Args)]
pub struct ChatArgs {
    /// Alias, org/repo, folder or .gguf file (see 'crane --help')
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// System message
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub system: Option<String>,
    #[command(flatten)]
    pub quant: QuantArgs,
    /// Times, speeds and memory on stderr after each reply
    #[arg(long)]
    pub stats: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub constraint: ConstraintArgs,
}

const HELP: &str = "\
/help           this list
/system TEXT    set the system message (without TEXT: remove it)
/image PATH     show an image with the next message (vision models)
/clear          forget the conversation, keep the system message
/bye            leave (also Ctrl-D)
Ctrl-C stops a reply; on an empty line, twice, it leaves.";

/// A line that begins with a slash.
#[derive(Debug, PartialEq, Eq)]
enum Slash<'a> {
    Help,
    System(&'a str),
    Image(&'a str),
    Clear,
    Bye,
    Unknown(&'a str),
}

/// The command in `line`, if it is one.
fn slash(line: &str) -> Option<Slash<'_>> {
    let line = line.trim();
    if !line.starts_with('/') {
        return None;
    }
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    Some(match name {
        "/help" | "/?" => Slash::Help,
        "/system" => Slash::System(rest.trim()),
        "/image" => Slash::Image(rest.trim()),
        "/clear" => Slash::Clear,
        "/bye" | "/exit" | "/quit" => Slash::Bye,
        other => Slash::Unknown(other),
    })
}

/// Talks until the user leaves or stdin ends.
pub fn run(args: &ChatArgs, settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    if settings.json {
        let text = "chat prints text alone; 'crane run MODEL --messages FILE.json --json' answers a conversation";
        return Err(CliError::Usage(text.into()).into());
    }
    let asked = args.constraint.read(&args.sampling)?;
    let mut session = Session::open(
        &args.model,
        settings,
        args.quant.quant.choice(),
        args.sampling.ctx_size,
    )?;
    if session.template.is_none() {
        return Err(session.no_template().into());
    }
    let mut resolved = args.sampling.resolve(&session.defaults);
    let guide = asked.prepare(&mut session, &mut resolved, settings)?;
    session.announce(settings);
    let mut lines = Lines::open(settings);
    if lines.interactive() && !settings.quiet {
        settings.terminal.note(&format!(
            "{} on {} ({}). /help lists the commands, Ctrl-D leaves.",
            session.located.resolved, session.device, session.dtype
        ));
    }
    let mut chat = Chat {
        session,
        resolved,
        guide,
        conversation: Conversation::new(args.system.clone()),
        settings,
        stats: args.stats,
    };
    chat.talk(&mut lines, out)
}

struct Chat<'a> {
    session: Session,
    resolved: Resolved,
    /// The structure of every reply.
    guide: Guide,
    conversation: Conversation,
    settings: &'a Settings,
    stats: bool,
}

impl Chat<'_> {
    fn talk(&mut self, lines: &mut Lines, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut warned = false;
        loop {
            let line = match lines.read()? {
                Line::End => return Ok(()),
                Line::Interrupted if warned => return Err(CliError::Interrupted.into()),
                Line::Interrupted => {
                    warned = true;
                    self.settings
                        .terminal
                        .note("Ctrl-C once more leaves (or Ctrl-D, or /bye)");
                    continue;
                }
                Line::Text(line) => line,
            };
            warned = false;
            if line.trim().is_empty() {
                continue;
            }
            match slash(&line) {
                // A file may well hold a line like "/etc/hosts: what is it?".
                Some(Slash::Unknown(_)) if !lines.interactive() => {}
                Some(Slash::Bye) => return Ok(()),
                Some(command) => {
                    match self.obey(&command) {
                        Ok(()) => {}
                        Err(error) if lines.interactive() => {
                            exit::report(&error, self.settings.terminal.stderr_color);
                        }
                        Err(error) => return Err(error),
                    }
                    continue;
                }
                None => {}
            }
            match self.reply(&line, out) {
                Ok(FinishReason::Interrupted) if !lines.interactive() => {
                    return Err(CliError::Interrupted.into());
                }
                Ok(_) => {}
                Err(error) if lines.interactive() && exit::code(&error) != exit::CLOSED_PIPE => {
                    exit::report(&error, self.settings.terminal.stderr_color);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn obey(&mut self, command: &Slash) -> anyhow::Result<()> {
        let said = match command {
            Slash::Help => HELP.to_string(),
            Slash::System(text) => {
                self.conversation.set_system(text);
                match text.is_empty() {
                    true => "The system message is removed.".into(),
                    false => "The system message is set.".into(),
                }
            }
            Slash::Clear => {
                self.conversation.clear();
                "The conversation is forgotten.".into()
            }
            Slash::Unknown(name) => format!("{name} is no command; /help lists them"),
            Slash::Image(path) => self.show(path)?,
            Slash::Bye => return Ok(()),
        };
        self.settings.terminal.note(&said);
        Ok(())
    }

    /// Looks at an image at once, so that what is wrong with it is said before a question is typed.
    fn show(&mut self, path: &str) -> anyhow::Result<String> {
        let path = match path {
            "" | "-" => {
                return Err(CliError::Usage("/image needs the path of a picture".into()).into())
            }
            path => path,
        };
        let path = &input::at_home(path);
        let source = ImageSource::parse(path)?;
        let look = self.session.look(&source);
        // Ctrl-C while it was looked at is not for the reply.
        interrupt::take();
        let look = look?;
        self.conversation.show(path);
        Ok(look.to_string() + "; the next message is about it")
    }

    /// One question and its answer. On an error the question is taken back; the conversation stays.
    fn reply(&mut self, line: &str, out: &mut dyn Write) -> anyhow::Result<FinishReason> {
        self.conversation.ask(line);
        let (output, prompt_tokens) = match self.generate(out) {
            Ok(answer) => answer,
            Err(error) => {
                self.conversation.take_back();
                return Err(error);
            }
        };
        if !output.text.ends_with('\n') {
            writeln!(out)?;
        }
        out.flush()?;
        let terminal = &self.settings.terminal;
        let stopped = output.finish_reason == FinishReason::Interrupted;
        // Also when Ctrl-C came too late to stop this reply: it must not stop the next.
        interrupt::take();
        if stopped {
            terminal.note("[stopped; the part above is kept]");
        }
        let limit = self.resolved.max_tokens.unwrap_or(usize::MAX);
        if output.finish_reason == FinishReason::Length && output.tokens.len() < limit {
            terminal.note(
                "[the context is full: /clear starts afresh, a larger --ctx-size holds more]",
            );
        }
        if self.stats {
            terminal.note(&report::stats(
                &self.session,
                &self.resolved,
                prompt_tokens,
                output.tokens.len(),
                &output.timings,
            ));
        }
        let unmet = constraint::unmet(&output, &self.resolved);
        self.conversation.answer(output.text);
        unmet.map_or(Ok(output.finish_reason), |error| Err(error.into()))
    }

    /// The whole conversation goes to the engine each time, which computes only what its cache does not hold.
    fn generate(&mut self, out: &mut dyn Write) -> anyhow::Result<(Output, usize)> {
        let prompt = self
            .session
            .chat_prompt(&self.conversation.messages(), "")?;
        let context = self.session.engine.context();
        if prompt.ids.len() >= context {
            return Err(CliError::TooLarge(format!(
                "the conversation with this message has {} tokens and the context holds {context}; the message \
                 is not sent: shorten it, /clear the conversation, or start with a larger --ctx-size",
                prompt.ids.len()
            ))
            .into());
        }
        let _polled = interrupt::Deferred::new();
        let mut wrote = false;
        let mut failed: Option<io::Error> = None;
        let mut on_step = |step: Step| {
            wrote |= !step.text.is_empty();
            let result = out
                .write_all(step.text.as_bytes())
                .and_then(|()| out.flush());
            failed = result.err();
            failed.is_none()
        };
        if let Guide::Choices(choices) = &self.guide {
            let ends = &self.resolved.eos_ids;
            let picked = constraint::choose(&mut self.session, &prompt, choices, ends)?;
            out.write_all(picked.output.text.as_bytes())?;
            return Ok((picked.output, prompt.ids.len()));
        }
        let options = self.guide.lead(self.resolved.options(None));
        let generated = self.session.engine.generate(
            prompt.sequence(),
            &options,
            &interrupt::pressed,
            &mut on_step,
        );
        if let Some(error) = failed {
            return Err(error.into());
        }
        if generated.is_err() && wrote {
            // The reply broke off in the middle of a line.
            writeln!(out)?;
        }
        Ok((generated?, prompt.ids.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_text() {
        assert_eq!(slash("hello"), None);
        assert_eq!(slash("1/2"), None);
        assert_eq!(slash("/help"), Some(Slash::Help));
        assert_eq!(
            slash(" /system  be brief "),
            Some(Slash::System("be brief"))
        );
        assert_eq!(slash("/system"), Some(Slash::System("")));
        assert_eq!(slash("/image a b.png"), Some(Slash::Image("a b.png")));
        assert_eq!(slash("/clear"), Some(Slash::Clear));
        assert_eq!(slash("/bye"), Some(Slash::Bye));
        assert_eq!(slash("/claer"), Some(Slash::Unknown("/claer")));
    }
}
