//! What has been said in a chat.

use serde::{Deserialize, Serialize};

use crate::generate::FinishReason;
use crate::text::{thinking, Content, Message, Part};

/// A question and its reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    pub question: Message,
    /// All that the model wrote, its thinking too.
    pub reply: String,
    /// Whether the prompt had begun the thinking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thinking_begun: bool,
    /// Whether `reply` may hold thinking at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thinks: bool,
    /// The ids of the reply, for the model named in the file.
    pub tokens: Vec<u32>,
    pub seed: u64,
    pub finish_reason: FinishReason,
    /// Tokens of the context that were taken when it ended.
    #[serde(default)]
    pub context: usize,
}

impl Turn {
    /// The reply taken apart.
    pub fn parted(&self) -> thinking::Parted {
        let parts = match self.thinks {
            true => thinking::Thinking::new(self.thinking_begun),
            false => thinking::Thinking::none(),
        };
        parts.part(&self.reply)
    }

    /// The reply as later prompts have it: without its thinking.
    pub fn answer(&self) -> String {
        self.parted().answer
    }
}

/// Turns in order, with the system message apart.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    pub system: Option<String>,
    pub turns: Vec<Turn>,
    /// Turns at the start that the model does not see any more, for want of room.
    #[serde(default)]
    pub forgotten: usize,
    /// What was in them, in the model's words.
    #[serde(default)]
    pub summary: Option<String>,
    /// Images and texts that the next question is about.
    #[serde(skip)]
    images: Vec<String>,
    #[serde(skip)]
    texts: Vec<String>,
}

impl Conversation {
    pub fn new(system: Option<String>) -> Self {
        Self {
            system,
            ..Self::default()
        }
    }

    /// Forgets what was said; the system message stays.
    pub fn clear(&mut self) {
        *self = Self::new(self.system.take());
    }

    /// An image for the next question, by its path.
    pub fn show(&mut self, image: &str) {
        self.images.push(image.to_string());
    }

    /// A text that stands before the next question.
    pub fn attach(&mut self, text: String) {
        self.texts.push(text);
    }

    /// The question `content` about the images and texts that were given for it.
    pub fn question(&self, content: &Content) -> Message {
        let mut texts: Vec<&str> = self.texts.iter().map(String::as_str).collect();
        let images = self.images.iter().cloned();
        let mut parts: Vec<Part> = images.map(|image| Part::Image { image }).collect();
        match content {
            Content::Text(text) if parts.is_empty() => {
                texts.push(text);
                return Message::text("user", texts.join("\n\n"));
            }
            Content::Text(text) => {
                texts.push(text);
                let text = texts.join("\n\n");
                parts.push(Part::Text { text });
            }
            Content::Parts(own) => {
                let texts = texts.iter().map(|text| Part::Text {
                    text: format!("{text}\n\n"),
                });
                parts.extend(texts);
                parts.extend(own.iter().cloned());
            }
        }
        Message {
            role: "user".into(),
            content: Content::Parts(parts),
        }
    }

    /// The ids of replies mean nothing to another model.
    pub fn forget_tokens(&mut self) {
        for turn in &mut self.turns {
            turn.tokens.clear();
        }
    }

    /// A turn is complete; images and texts were for it.
    pub fn push(&mut self, turn: Turn) {
        self.turns.push(turn);
        self.images.clear();
        self.texts.clear();
    }

    /// Takes back the last turn that the model sees.
    pub fn pop(&mut self) -> Option<Turn> {
        match self.turns.len() > self.forgotten {
            true => self.turns.pop(),
            false => None,
        }
    }

    /// The last turn that the model sees.
    pub fn last(&self) -> Option<&Turn> {
        self.seen().last()
    }

    /// The turns that the model sees.
    pub fn seen(&self) -> &[Turn] {
        self.turns.get(self.forgotten..).unwrap_or_default()
    }

    /// What the model is told before the first turn.
    fn heading(&self) -> Option<String> {
        let summary = self
            .summary
            .as_ref()
            .map(|summary| format!("Summary of the conversation so far:\n{summary}"));
        match (&self.system, summary) {
            (Some(system), Some(summary)) => Some(format!("{system}\n\n{summary}")),
            (system, summary) => summary.or_else(|| system.clone()),
        }
    }

    /// As the template takes it, with `question` at its end; `skip` more turns are left out at the start.
    pub fn messages(&self, question: Option<&Message>, skip: usize) -> Vec<Message> {
        let heading = self.heading().map(|text| Message::text("system", text));
        let turns = self.seen().iter().skip(skip).flat_map(|turn| {
            let answer = Message::text("assistant", turn.answer());
            [turn.question.clone(), answer]
        });
        heading
            .into_iter()
            .chain(turns)
            .chain(question.cloned())
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn turn(question: &str, reply: &str) -> Turn {
        Turn {
            question: Message::text("user", question),
            reply: reply.into(),
            thinking_begun: false,
            thinks: false,
            tokens: vec![1, 2],
            seed: 7,
            finish_reason: FinishReason::Stop,
            context: 10,
        }
    }

    fn roles(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|m| m.role.as_str()).collect()
    }

    #[test]
    fn images_and_texts_belong_to_the_next_question() {
        let mut talk = Conversation::new(None);
        talk.show("a.png");
        talk.show("b.png");
        talk.attach("notes".into());
        let asked = talk.question(&"same?".to_string().into());
        assert_eq!(
            asked.content.images().collect::<Vec<_>>(),
            ["a.png", "b.png"]
        );
        assert_eq!(asked.content.to_text(), "notes\n\nsame?");
        // Not answered, they stay.
        assert_eq!(
            talk.question(&"again".to_string().into())
                .content
                .images()
                .count(),
            2
        );
        talk.push(turn("again", "no"));
        assert_eq!(
            talk.question(&"why?".to_string().into()),
            Message::text("user", "why?")
        );
    }

    #[test]
    fn turns_keep_their_order() {
        let mut talk = Conversation::new(Some("be brief".into()));
        talk.push(turn("hi", "hello"));
        let again = Message::text("user", "again");
        let messages = talk.messages(Some(&again), 0);
        assert_eq!(roles(&messages), ["system", "user", "assistant", "user"]);
        assert_eq!(roles(&talk.messages(Some(&again), 1)), ["system", "user"]);
        assert_eq!(talk.pop().map(|turn| turn.reply), Some("hello".into()));
        assert_eq!(talk.pop(), None);
        talk.push(turn("hi", "hello"));
        talk.clear();
        assert_eq!(roles(&talk.messages(None, 0)), ["system"]);
    }

    #[test]
    fn thinking_stays_out_of_the_history() {
        let mut talk = Conversation::new(None);
        let mut thought = turn("1+1?", "<think>\nhm\n</think>\n\n2");
        talk.push(thought.clone());
        assert_eq!(
            talk.messages(None, 0)[1],
            Message::text("assistant", thought.reply.clone())
        );
        talk.pop();
        thought.thinks = true;
        assert_eq!(thought.parted().thinking, "hm");
        talk.push(thought);
        assert_eq!(talk.messages(None, 0)[1], Message::text("assistant", "2"));
    }

    #[test]
    fn what_is_forgotten_is_summarised_beside_the_system_message() {
        let mut talk = Conversation::new(Some("be brief".into()));
        talk.push(turn("a", "b"));
        talk.push(turn("c", "d"));
        talk.forgotten = 1;
        talk.summary = Some("a was asked".into());
        let messages = talk.messages(None, 0);
        assert_eq!(roles(&messages), ["system", "user", "assistant"]);
        let heading = messages[0].content.to_text();
        assert!(heading.starts_with("be brief\n\nSummary") && heading.ends_with("a was asked"));
        talk.pop();
        // The forgotten turn is not what /undo takes back.
        assert_eq!(talk.pop(), None);
        assert_eq!(talk.turns.len(), 1);
    }
}
