//! A conversation that outgrows its context: `--overflow`.

use crate::generate::{FinishReason, GenerateOptions, SamplingSettings};
use crate::text::Message;

use super::knobs::ChatOverflow;
use super::Chat;
use crate::cli::exit::CliError;
use crate::cli::interrupt;
use crate::cli::session::Prompt;

/// What the model is asked for a summary.
const SUMMARISE: &str =
    "Summarise our conversation so far in at most 150 words: facts, names, numbers, decisions, \
     open points. Nothing but the summary.";
/// From this share of the context on the user is told how much is left.
const NEARLY_FULL: f64 = 0.85;

impl Chat<'_> {
    /// The prompt of `question`, with room for a reply; what has to go for that, goes and is said.
    pub(super) fn make_room(&mut self, question: &Message) -> anyhow::Result<Prompt> {
        let prompt = self.prompt(question, 0)?;
        let context = self.session.engine.context();
        let reply = self.room_for_reply();
        if prompt.ids.len() + reply <= context {
            return Ok(prompt);
        }
        match self.panel.now.reply.overflow {
            ChatOverflow::Error => self.refuse_overflow(prompt),
            ChatOverflow::Oldest => self.drop_oldest(question),
            ChatOverflow::Summarise => self.summarise(question),
        }
    }

    /// Tokens that a reply should have at least.
    fn room_for_reply(&self) -> usize {
        let context = self.session.engine.context();
        let wanted = self.panel.now.sampling.max_tokens.unwrap_or(usize::MAX);
        wanted.min(context / 8).max(1)
    }

    fn refuse_overflow(&self, prompt: Prompt) -> anyhow::Result<Prompt> {
        let context = self.session.engine.context();
        match prompt.ids.len() < context {
            true => Ok(prompt),
            false => {
                let room = match self.panel.now.reply.overflow {
                    ChatOverflow::Error => "/clear the conversation, '/set overflow oldest', ",
                    ChatOverflow::Oldest | ChatOverflow::Summarise => "",
                };
                Err(CliError::TooLarge(format!(
                    "the conversation with this message has {} tokens and the context holds {context}; the message is \
                     not sent: shorten it, {room}or start with a larger --ctx-size",
                    prompt.ids.len()
                ))
                .into())
            }
        }
    }

    /// Leaves out as many turns as have to go for the context to be three quarters full with the reply: fewer would mean
    /// computing all that stays again at the next turn.
    fn drop_oldest(&mut self, question: &Message) -> anyhow::Result<Prompt> {
        let context = self.session.engine.context();
        let (reply, turns) = (self.room_for_reply(), self.conversation.seen().len());
        for skip in 1..=turns {
            let prompt = self.prompt(question, skip)?;
            let needed = prompt.ids.len() + reply;
            let last = skip == turns && prompt.ids.len() < context;
            if needed <= context * 3 / 4 || last {
                let first = self.conversation.forgotten + 1;
                self.conversation.forgotten += skip;
                let through = self.conversation.forgotten;
                self.settings.terminal.note(&format!(
                    "[the context is full: the model no longer sees {}; what was said stays in /export]",
                    turns_named(first, through)
                ));
                return Ok(prompt);
            }
        }
        let prompt = self.prompt(question, turns)?;
        self.refuse_overflow(prompt)
    }

    /// Has the model put the turns but the last into few words, which stand beside the system message from then on.
    fn summarise(&mut self, question: &Message) -> anyhow::Result<Prompt> {
        let context = self.session.engine.context();
        let turns = self.conversation.seen().len();
        // With a single turn nothing stands before the last.
        let gone = turns.saturating_sub(1).max(turns.min(1));
        if gone == 0 {
            let prompt = self.prompt(question, 0)?;
            return self.refuse_overflow(prompt);
        }
        let instruction = Message::text("user", SUMMARISE);
        let tokens = (context / 8).clamp(1, 300);
        let fitting = (0..gone).find_map(|skip| {
            let prompt = self.prompt(&instruction, skip);
            match prompt {
                Ok(prompt) if prompt.ids.len() + tokens > context => None,
                other => Some(other.map(|prompt| (prompt, skip))),
            }
        });
        let Some((prompt, skip)) = fitting.transpose()? else {
            return self.drop_oldest(question);
        };
        let first = self.conversation.forgotten + 1;
        let through = self.conversation.forgotten + gone;
        let named = turns_named(first, through);
        let without = match skip {
            0 => String::new(),
            n => format!(
                "; {} no longer fit and are lost to the model",
                turns_named(first, first + n - 1)
            ),
        };
        self.settings.terminal.note(&format!(
            "[the context is nearly full: summarising {named}{without}]"
        ));
        let options = GenerateOptions {
            sampling: SamplingSettings {
                temperature: 0.0,
                ..SamplingSettings::default()
            },
            max_tokens: Some(tokens),
            ..self
                .panel
                .now
                .sampling
                .resolve(&self.session.defaults)
                .options(None)
        };
        let _polled = interrupt::Deferred::new();
        let output = self.session.engine.generate(
            prompt.sequence(),
            &options,
            &interrupt::pressed,
            &mut |_| true,
        )?;
        if output.finish_reason == FinishReason::Interrupted {
            interrupt::take();
            return Err(CliError::Failed(
                "the summary was stopped; the message is not sent".into(),
            )
            .into());
        }
        let thinking = self.session.thinking(&prompt);
        let before = (
            self.conversation.forgotten,
            self.conversation.summary.take(),
        );
        self.conversation.summary = Some(thinking.part(&output.text).answer.trim().to_string());
        self.conversation.forgotten = through;
        let prompt = self.prompt(question, 0)?;
        if prompt.ids.len() < context {
            return Ok(prompt);
        }
        // Not even the last turn fits beside it.
        self.conversation.forgotten = self.conversation.turns.len();
        let prompt = self.prompt(question, 0)?;
        if prompt.ids.len() >= context {
            (self.conversation.forgotten, self.conversation.summary) = before;
        }
        self.refuse_overflow(prompt)
    }

    /// Says how little is left, once it is little.
    pub(super) fn warn_of_the_end(&self, used: usize) {
        let context = self.session.engine.context();
        if (used as f64) < NEARLY_FULL * context as f64 {
            return;
        }
        let next = match self.panel.now.reply.overflow {
            ChatOverflow::Error => "then messages are refused: /clear, or '/set overflow oldest'",
            ChatOverflow::Oldest => "then the oldest turns are left out",
            ChatOverflow::Summarise => "then the older turns are summarised",
        };
        self.settings.terminal.note(&format!(
            "[{used} of {context} tokens of the context are used; {next}]"
        ));
    }
}

fn turns_named(first: usize, through: usize) -> String {
    match first == through {
        true => format!("turn {first}"),
        false => format!("turns {first} to {through}"),
    }
}
