//! What the commands of a chat do.

mod files;
mod turns;

use super::command::{self, Name};
use super::conversation::Turn;
use super::kv::Owner;
use super::lines::Lines;
use super::{Chat, Panel};
use crate::cli::constraint::Guide;
use crate::cli::exit::CliError;
use crate::cli::session::{Opening, Session};
use crate::text::Message;

/// What a command comes to.
pub(super) enum Outcome {
    /// To be said.
    Said(String),
    /// A question, with its seed.
    Ask(Message, Option<u64>),
    /// A question in the place of a turn that was taken back.
    Again {
        replaced: Box<Turn>,
        question: Message,
        seed: Option<u64>,
    },
}

impl Chat<'_> {
    pub(super) fn command(
        &mut self,
        name: Name,
        rest: &str,
        lines: &mut Lines,
    ) -> anyhow::Result<Outcome> {
        let said = match name {
            Name::Help => command::help(),
            Name::System => self.system(rest)?,
            Name::Set => self.set(rest)?,
            Name::Show => self.show(),
            Name::Model => self.change_model(rest)?,
            Name::Clear => self.clear()?,
            Name::Undo => self.undo()?,
            Name::Regen => return self.regen(rest),
            Name::Retry => return self.retry(),
            Name::Edit => return self.edit(),
            Name::Save => self.save(rest)?,
            Name::Load => self.load(rest)?,
            Name::Sessions => files::sessions()?,
            Name::Export => self.export(rest)?,
            Name::Read => self.read(rest)?,
            Name::Image => self.image(rest)?,
            Name::Tokens => self.tokens()?,
            Name::Stats => self.stats_of(rest)?,
            Name::Multi => match lines.toggle_multi() {
                Some(true) => {
                    "Enter begins a new line; a line with '.' alone, or Alt-Enter, sends.".into()
                }
                Some(false) => "Enter sends; Alt-Enter begins a new line.".into(),
                None => {
                    return Err(usage(
                        "/multi is for a terminal; here each line is a message",
                    ))
                }
            },
            Name::Bye => String::new(),
        };
        Ok(Outcome::Said(said))
    }

    fn system(&mut self, text: &str) -> anyhow::Result<String> {
        let system = &mut self.conversation.system;
        Ok(match text {
            "" => match system {
                Some(text) => text.clone(),
                None => "There is no system message but what the model's template says.".into(),
            },
            "-" => {
                *system = None;
                self.keep()?;
                "The system message is removed.".into()
            }
            text => {
                *system = Some(text.to_string());
                self.keep()?;
                "The system message is set.".into()
            }
        })
    }

    fn set(&mut self, rest: &str) -> anyhow::Result<String> {
        let (name, value) = rest.split_once([' ', '=', '\t']).unwrap_or((rest, ""));
        if name.is_empty() {
            return Ok(format!(
                "/set NAME VALUE; names: {}",
                Panel::names().join(", ")
            ));
        }
        if value.trim().is_empty() {
            return Err(usage(&format!(
                "/set {name} needs a value ('default': as it was at the start)"
            )));
        }
        self.panel.set(name, value.trim())?;
        let mut said = format!("{name} is {}", value.trim());
        if name == "think" && !self.session.thinks() {
            said.push_str(", but this model's template knows of no thinking");
        }
        Ok(said)
    }

    fn show(&self) -> String {
        let session = &self.session;
        let resolved = self.panel.now.sampling.resolve(&session.defaults);
        let s = &resolved.sampling;
        let kept = match &self.place {
            Some(place) => place.name.clone(),
            None => "not kept (/save NAME)".into(),
        };
        let seed = match self.panel.now.sampling.seed {
            Some(seed) => seed.to_string(),
            None => "random".into(),
        };
        let changes = self.panel.changes().iter();
        let changes: Vec<String> = changes
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let mut lines = vec![
            format!("model     {} ({})", session.located.typed, session.located.resolved),
            format!("computed  {} ({})", session.device(), session.dtype),
            format!("context   {} of {} tokens", self.used(), session.engine.context()),
            format!("session   {kept}"),
            format!(
                "sampling  temperature {}, top-k {}, top-p {}, min-p {}, repeat penalty {}; seed {seed}; defaults from {}",
                s.temperature, s.top_k, s.top_p, s.min_p, s.repeat_penalty, resolved.defaults_from
            ),
            format!("turns     {}", self.conversation.turns.len()),
        ];
        if !changes.is_empty() {
            lines.push(format!("set       {}", changes.join(", ")));
        }
        if let Some(system) = &self.conversation.system {
            lines.push(format!("system    {system}"));
        }
        if let Some(summary) = &self.conversation.summary {
            lines.push(format!(
                "summary   of {} turns: {summary}",
                self.conversation.forgotten
            ));
        }
        lines.join("\n")
    }

    fn change_model(&mut self, name: &str) -> anyhow::Result<String> {
        if name.is_empty() {
            return Ok(format!(
                "{} ({})",
                self.session.located.typed, self.session.located.resolved
            ));
        }
        let context = self.panel.now.sampling.ctx_size;
        let opening = super::find(name, self.settings, self.quant, context)?;
        let (mut session, guide) = self.load_beside(opening)?;
        session.announce(self.settings);
        let other = session.located.resolved != self.session.located.resolved;
        self.session = session;
        self.guide = guide;
        if other {
            self.conversation.forget_tokens();
        }
        self.last = None;
        if let Some(keeper) = &self.keeper {
            let owner = Owner::of(&self.session, self.settings)?;
            self.keeper = Some(keeper.of(owner));
        }
        self.retrace()?;
        self.keep()?;
        let located = &self.session.located;
        Ok(format!(
            "{} on {} ({}) goes on",
            located.resolved,
            self.session.device(),
            self.session.dtype
        ))
    }

    /// Loads the model that goes on in the place of this one, and the structure of its replies. Both of them need not have
    /// room: where they do not, this one is let go of first, and loaded again where the other one fails.
    fn load_beside(&mut self, opening: Opening) -> anyhow::Result<(Session, Guide)> {
        let placed = opening.place(self.settings, self.session.held())?;
        let crowded = placed.is_crowded();
        if crowded {
            self.session.release();
        }
        let loaded = placed.load().and_then(|mut session| {
            let guide = self.asked.clone().prepare(&mut session, self.settings)?;
            Ok((session, guide))
        });
        loaded.map_err(|error| {
            let again = match crowded {
                true => self.session.load_again(),
                false => Ok(()),
            };
            match again {
                Ok(()) => {
                    self.settle();
                    error
                }
                Err(why) => error.context(format!(
                    "{} could not be loaded again ({why}); /model NAME loads a model",
                    self.session.located.typed
                )),
            }
        })
    }

    fn tokens(&self) -> anyhow::Result<String> {
        let engine = &self.session.engine;
        let (used, context) = (self.used(), engine.context());
        let mut lines = Vec::new();
        if let Some(system) = &self.conversation.system {
            let n = engine.tokenizer().encode(system, false)?.len();
            lines.push(format!("system    {n}"));
        }
        let hidden = self.conversation.forgotten;
        for (index, turn) in self.conversation.turns.iter().enumerate() {
            let question = turn.question.content.to_text();
            let question = engine.tokenizer().encode(&question, false)?.len();
            let reply = match turn.tokens.len() {
                0 => engine.tokenizer().encode(&turn.reply, false)?.len(),
                n => n,
            };
            let seen = if index < hidden {
                " (no longer seen)"
            } else {
                ""
            };
            lines.push(format!(
                "turn {:<4} {question} asked, {reply} replied{seen}",
                index + 1
            ));
        }
        lines.push(format!(
            "{used} of {context} tokens ({:.1} %), the template's marks included; {} of them are computed",
            100.0 * self.full(),
            engine.cached()
        ));
        Ok(lines.join("\n"))
    }

    fn stats_of(&mut self, rest: &str) -> anyhow::Result<String> {
        match rest {
            "" => match &self.last {
                Some(last) => Ok(self.stats(last)),
                None => Ok("nothing was answered yet".into()),
            },
            "on" | "off" => {
                self.panel.set("stats", rest)?;
                Ok(format!("stats is {rest}"))
            }
            other => Err(usage(&format!("/stats is on or off, not '{other}'"))),
        }
    }
}

/// So many turns, in words.
pub(super) fn turns(n: usize) -> String {
    match n {
        1 => "1 turn".into(),
        n => format!("{n} turns"),
    }
}

/// The beginning of a text, on one line.
fn beginning(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.chars().count() > most {
        true => line.chars().take(most).collect::<String>() + "…",
        false => line,
    }
}

fn usage(text: &str) -> anyhow::Error {
    CliError::Usage(text.into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_questions_are_shown_by_their_beginning() {
        assert_eq!(beginning("a\n b", 10), "a b");
        assert_eq!(beginning("héllo wörld", 5), "héllo…");
    }
}
