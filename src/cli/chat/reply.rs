//! A question and its reply.

use std::io::{self, Write};

use serde_json::json;

use crate::generate::{FinishReason, Output, Step};
use crate::hub::Reference;
use crate::text::{thinking, Message};

use super::conversation::Turn;
use super::script;
use super::slash::turns;
use super::store::Kept;
use super::view::{Look, View};
use super::{Chat, Shape, Told};
use crate::cli::constraint::{self, Guide};
use crate::cli::interrupt;
use crate::cli::report;
use crate::cli::sampling::Resolved;
use crate::cli::session::Prompt;
use crate::cli::thinking::Switch;
use crate::cli::waiting::Waiting;

/// What is known of the last reply.
pub(super) struct Last {
    pub resolved: Resolved,
    pub prompt_tokens: usize,
    pub output_tokens: usize,
    pub timings: crate::generate::Timings,
}

impl Chat<'_> {
    /// One question and its reply. On an error the conversation is as it was, with the question for /retry.
    pub(super) fn ask(
        &mut self,
        question: Message,
        seed: Option<u64>,
        out: &mut dyn Write,
    ) -> anyhow::Result<FinishReason> {
        self.session.think = self.guide.think(self.panel.now.reply.thinking.asked());
        let mut resolved = self.panel.now.sampling.resolve(&self.session.defaults);
        resolved.seed = seed.unwrap_or(resolved.seed);
        self.guide.limit(&mut resolved);
        self.unanswered = Some((question.clone(), resolved.seed));
        let prompt = self.make_room(&question)?;
        self.settle();
        let output = self.generate(&prompt, &resolved, out)?;
        let stopped = output.finish_reason == FinishReason::Interrupted;
        // Also when Ctrl-C came too late to stop this reply: it must not stop the next.
        interrupt::take();
        let terminal = &self.settings.terminal;
        if stopped && output.text.is_empty() {
            terminal.note(
                "[stopped before the first word: the question is not kept; /retry asks it again]",
            );
            return Ok(FinishReason::Interrupted);
        }
        self.unanswered = None;
        self.unsaved_warned = false;
        if stopped {
            terminal.note("[stopped; the part above is kept]");
        }
        let (used, context) = (
            prompt.ids.len() + output.tokens.len(),
            self.session.engine.context(),
        );
        let limit = resolved.max_tokens.unwrap_or(usize::MAX);
        let cut = output.finish_reason == FinishReason::Length;
        match cut && output.tokens.len() < limit {
            true => terminal.note(
                "[the context is full and the reply is cut off: /clear starts afresh, a larger --ctx-size holds more]",
            ),
            false => self.warn_of_the_end(used.min(context)),
        }
        let turn = Turn {
            thinking_begun: thinking::begun(&prompt.text),
            thinks: self.session.thinks(),
            question,
            reply: output.text.clone(),
            tokens: output.tokens.clone(),
            seed: resolved.seed,
            finish_reason: output.finish_reason,
            context: used.min(context),
        };
        let tokenizer = self.session.engine.tokenizer();
        self.transcript.reply(tokenizer, &turn.reply, &turn.tokens);
        self.conversation.push(turn);
        let last = Last {
            resolved: resolved.clone(),
            prompt_tokens: prompt.ids.len(),
            output_tokens: output.tokens.len(),
            timings: output.timings,
        };
        // Kept before it is said to be there, and said also where it could not be kept.
        let unmet = constraint::unmet(&output, &resolved).map(anyhow::Error::from);
        let mut fault = self.keep().err().or(unmet);
        if self.shape == Shape::Ndjson {
            self.write_object(&last, fault.as_ref(), out)?;
            fault = fault.map(|error| Told(error).into());
        }
        if self.panel.now.reply.stats {
            self.settings.terminal.note(&self.stats(&last));
        }
        self.last = Some(last);
        match fault {
            Some(error) => Err(error),
            None => Ok(output.finish_reason),
        }
    }

    /// After images were looked at, or a model was loaded again: says what came to be known, where the model computes
    /// among it.
    pub(super) fn settle(&mut self) {
        self.session.announce(self.settings);
        if let Some(keeper) = &mut self.keeper {
            keeper.follow(&self.session);
        }
    }

    /// The whole conversation goes to the engine each time, which computes only what its cache does not hold.
    pub(super) fn prompt(&mut self, question: &Message, skip: usize) -> anyhow::Result<Prompt> {
        let messages = self.conversation.messages(Some(question), skip);
        let plain = messages.iter().all(|m| m.content.images().next().is_none());
        let rendered = match plain {
            true => self.session.rendered(&messages)?,
            false => None,
        };
        let Some((conversation, opening)) = rendered else {
            self.transcript = Default::default();
            return self.session.chat_prompt(&messages, "");
        };
        let tokenizer = self.session.engine.tokenizer();
        let ids = self.transcript.prompt(tokenizer, &conversation, &opening)?;
        Ok(Prompt {
            text: conversation + &opening,
            ids,
            raw: false,
            pictures: Vec::new(),
            looks: Vec::new(),
        })
    }

    fn generate(
        &mut self,
        prompt: &Prompt,
        resolved: &Resolved,
        out: &mut dyn Write,
    ) -> anyhow::Result<Output> {
        let terminal = self.settings.terminal;
        let look = Look {
            silent: self.shape == Shape::Ndjson,
            markdown: self.panel.now.reply.markdown == Switch::On,
            show_thinking: self.panel.now.reply.thinking.shown(&terminal),
            terminal,
        };
        self.session.commit();
        let mut view = View::new(out, look, self.session.thinking(prompt));
        let _polled = interrupt::Deferred::new();
        if let Guide::Choices(choices) = &self.guide {
            let ends = &resolved.eos_ids;
            let picked = constraint::choose(&mut self.session, prompt, choices, ends)?;
            view.push(&picked.output.text)?;
            view.finish()?;
            return Ok(picked.output);
        }
        let mut failed: Option<io::Error> = None;
        let new = prompt
            .ids
            .len()
            .saturating_sub(self.session.engine.cached());
        let mut waiting = Some(Waiting::start(&terminal, format!("reading {new} tokens")));
        let mut on_step = |step: Step| {
            waiting = None;
            failed = view.push(step.text).err();
            failed.is_none()
        };
        let options = self.guide.lead(resolved.options(None));
        let generated = self.session.engine.generate(
            prompt.sequence(),
            &options,
            &interrupt::pressed,
            &mut on_step,
        );
        drop(waiting);
        if let Some(error) = failed {
            return Err(error.into());
        }
        view.finish()?;
        Ok(generated?)
    }

    fn write_object(
        &self,
        last: &Last,
        fault: Option<&anyhow::Error>,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let Some(turn) = self.conversation.last() else {
            return Ok(());
        };
        let parted = turn.parted();
        let mut object = json!({
            "turn": self.conversation.turns.len(),
            "text": parted.answer,
            "finish_reason": turn.finish_reason,
            "seed": turn.seed,
            "prompt_tokens": last.prompt_tokens,
            "tokens": last.output_tokens,
            "timings": last.timings,
        });
        if let (false, Some(map)) = (parted.thinking.is_empty(), object.as_object_mut()) {
            map.insert("thinking".into(), parted.thinking.into());
        }
        if let (Some(error), Some(map)) = (fault, object.as_object_mut()) {
            map.insert("error".into(), script::error(error));
        }
        writeln!(out, "{object}")?;
        Ok(out.flush()?)
    }

    pub(super) fn stats(&self, last: &Last) -> String {
        report::stats(
            &self.session,
            &last.resolved,
            last.prompt_tokens,
            last.output_tokens,
            &last.timings,
        )
    }

    /// How much of the context the conversation takes, from 0 to 1.
    pub(super) fn full(&self) -> f64 {
        self.used() as f64 / self.session.engine.context().max(1) as f64
    }

    /// Tokens of the context that the conversation takes.
    pub(super) fn used(&self) -> usize {
        self.conversation.last().map_or(0, |turn| turn.context)
    }

    /// Writes the conversation to its place.
    pub(super) fn keep(&mut self) -> anyhow::Result<()> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        let located = &self.session.located;
        // A path is found from any folder.
        let model = match Reference::parse(&located.typed, None, None) {
            Ok(Reference::Local(path)) => std::path::absolute(path)
                .ok()
                .and_then(|path| Some(path.to_str()?.to_string())),
            _ => None,
        };
        let model = model.as_deref().unwrap_or(&located.typed);
        let kept = Kept::new(model, &located.resolved, self.conversation.clone());
        place.save(&kept)?;
        self.keep_cache(false);
        Ok(())
    }

    /// Goes on with `kept`; says what that is.
    pub(super) fn go_on(&mut self, kept: Kept, system: Option<&str>) -> anyhow::Result<String> {
        let here = &self.session.located.resolved;
        let same = kept.resolved == *here;
        let mut said = format!("going on after {}", turns(kept.conversation.turns.len()));
        if !same {
            said.push_str(&format!(
                " with another model: they were held with {}",
                kept.model
            ));
        }
        self.conversation = kept.conversation;
        if let Some(system) = system {
            self.conversation.system = Some(system.to_string());
        }
        if !same {
            self.conversation.forget_tokens();
        }
        self.last = None;
        self.unanswered = None;
        self.retrace()?;
        self.restore_cache();
        Ok(said)
    }

    /// Brings the transcript to where it was when the last turn ended.
    pub(super) fn retrace(&mut self) -> anyhow::Result<()> {
        self.transcript = Default::default();
        let all = self.conversation.clone();
        self.conversation.turns.truncate(all.forgotten);
        let mut result = Ok(());
        for turn in &all.turns[all.forgotten..] {
            result = self.prompt_of_kept(turn);
            if result.is_err() {
                break;
            }
            let tokenizer = self.session.engine.tokenizer();
            self.transcript.reply(tokenizer, &turn.reply, &turn.tokens);
            self.conversation.turns.push(turn.clone());
        }
        self.conversation = all;
        result
    }

    fn prompt_of_kept(&mut self, turn: &Turn) -> anyhow::Result<()> {
        let messages = self.conversation.messages(Some(&turn.question), 0);
        if messages.iter().any(|m| m.content.images().next().is_some()) {
            return Ok(());
        }
        if let Some((conversation, opening)) = self.session.rendered(&messages)? {
            let tokenizer = self.session.engine.tokenizer();
            self.transcript.prompt(tokenizer, &conversation, &opening)?;
        }
        Ok(())
    }
}
