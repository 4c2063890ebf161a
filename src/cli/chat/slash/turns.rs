//! Commands that take back, change or repeat what was said.

use super::{beginning, turns, usage, Outcome};
use crate::cli::chat::conversation::Turn;
use crate::cli::chat::{editor, Chat};
use crate::text::{Content, Message, Part};

impl Chat<'_> {
    pub(super) fn clear(&mut self) -> anyhow::Result<String> {
        self.conversation.clear();
        self.transcript = Default::default();
        self.last = None;
        self.unanswered = None;
        self.keep()?;
        Ok("The conversation is forgotten.".into())
    }

    pub(super) fn undo(&mut self) -> anyhow::Result<String> {
        let turn = self.take_last()?;
        self.last = None;
        self.keep()?;
        let left = self.conversation.seen().len();
        Ok(format!(
            "taken back: {}; {} left",
            beginning(&turn.question.content.to_text(), 60),
            turns(left)
        ))
    }

    pub(super) fn take_last(&mut self) -> anyhow::Result<Turn> {
        let reason = match self.conversation.turns.is_empty() {
            true => "nothing was said yet",
            false => "the turns that are left are those that the model no longer sees",
        };
        self.conversation.pop().ok_or_else(|| usage(reason))
    }

    pub(super) fn regen(&mut self, rest: &str) -> anyhow::Result<Outcome> {
        let seed = match rest {
            "" => u64::from(rand::random::<u32>()),
            typed => typed.parse().map_err(|_| {
                usage(&format!(
                    "/regen takes a seed, a whole number, not '{typed}'"
                ))
            })?,
        };
        self.again(Some(seed))
    }

    pub(super) fn again(&mut self, seed: Option<u64>) -> anyhow::Result<Outcome> {
        let turn = self.take_last()?;
        Ok(Outcome::Again {
            question: turn.question.clone(),
            seed: seed.or(Some(turn.seed)),
            replaced: Box::new(turn),
        })
    }

    pub(super) fn retry(&mut self) -> anyhow::Result<Outcome> {
        match self.unanswered.take() {
            Some((question, seed)) => Ok(Outcome::Ask(question, Some(seed))),
            None => self.again(None),
        }
    }

    pub(super) fn edit(&mut self) -> anyhow::Result<Outcome> {
        let last = self.unanswered.as_ref().map(|(question, _)| question);
        let last = last.or(self.conversation.last().map(|turn| &turn.question));
        let before = last
            .map(|question| question.content.to_text())
            .unwrap_or_default();
        let edited = editor::edit(&before, self.interactive)?;
        if edited.trim().is_empty() {
            return Err(usage("nothing was written: nothing is sent"));
        }
        if self.interactive {
            self.settings.terminal.note(&edited);
        }
        if let Some((question, _)) = self.unanswered.take() {
            return Ok(Outcome::Ask(with_text(&question, edited), None));
        }
        match self.conversation.pop() {
            Some(turn) => Ok(Outcome::Again {
                question: with_text(&turn.question, edited),
                seed: None,
                replaced: Box::new(turn),
            }),
            None => Ok(Outcome::Ask(
                self.conversation.question(&edited.into()),
                None,
            )),
        }
    }
}

/// The same question in other words; its images stay.
fn with_text(question: &Message, text: String) -> Message {
    let images = question.content.images();
    let images = images.map(|image| Part::Image {
        image: image.to_string(),
    });
    let images: Vec<Part> = images.collect();
    match images.is_empty() {
        true => Message::text("user", text),
        false => Message {
            role: "user".into(),
            content: Content::Parts(images.into_iter().chain([Part::Text { text }]).collect()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edited_question_keeps_its_images() {
        let parts = vec![
            Part::Image {
                image: "a.png".into(),
            },
            Part::Text {
                text: "what?".into(),
            },
        ];
        let question = Message {
            role: "user".into(),
            content: Content::Parts(parts),
        };
        let edited = with_text(&question, "who?".into());
        assert_eq!(edited.content.to_text(), "who?");
        assert_eq!(edited.content.images().collect::<Vec<_>>(), ["a.png"]);
        assert_eq!(
            with_text(&Message::text("user", "a"), "b".into()),
            Message::text("user", "b")
        );
    }
}
