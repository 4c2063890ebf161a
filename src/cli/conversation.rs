//! What has been said in a chat.

use crate::text::{Content, Message, Part};

/// Messages in order, with the system message apart.
#[derive(Debug, Default, Clone)]
pub struct Conversation {
    system: Option<String>,
    turns: Vec<Message>,
    /// Images that the next question is about.
    images: Vec<String>,
}

impl Conversation {
    pub fn new(system: Option<String>) -> Self {
        Self {
            system,
            turns: Vec::new(),
            images: Vec::new(),
        }
    }

    /// Sets or (empty) removes the system message; what was said stays.
    pub fn set_system(&mut self, text: &str) {
        self.system = (!text.is_empty()).then(|| text.to_string());
    }

    /// Forgets what was said; the system message stays.
    pub fn clear(&mut self) {
        self.turns.clear();
        self.images.clear();
    }

    /// An image for the next question, by its path.
    pub fn show(&mut self, image: &str) {
        self.images.push(image.to_string());
    }

    /// A question about the images that were shown for it.
    pub fn ask(&mut self, text: &str) {
        if self.images.is_empty() {
            return self.push("user", text.to_string());
        }
        let images = std::mem::take(&mut self.images).into_iter();
        let text = Part::Text { text: text.into() };
        let parts = images.map(|image| Part::Image { image }).chain([text]);
        self.turns.push(Message {
            role: "user".into(),
            content: Content::Parts(parts.collect()),
        });
    }

    pub fn answer(&mut self, text: String) {
        self.push("assistant", text);
    }

    /// Takes back the question that could not be answered; its images stay for the next.
    pub fn take_back(&mut self) {
        if let Some(asked) = self.turns.pop() {
            self.images = asked.content.images().map(str::to_string).collect();
        }
    }

    /// As the template takes it.
    pub fn messages(&self) -> Vec<Message> {
        let system = self.system.iter().map(|text| Message::text("system", text));
        system.chain(self.turns.iter().cloned()).collect()
    }

    fn push(&mut self, role: &str, content: String) {
        self.turns.push(Message::text(role, content));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(conversation: &Conversation) -> Vec<String> {
        conversation
            .messages()
            .into_iter()
            .map(|message| message.role)
            .collect()
    }

    #[test]
    fn images_belong_to_the_next_question() {
        let mut talk = Conversation::new(None);
        talk.show("a.png");
        talk.show("b.png");
        talk.ask("same?");
        let shown = |talk: &Conversation| {
            let messages = talk.messages();
            let last = messages.last().map(|m| m.content.clone());
            let all = last.iter().flat_map(Content::images).map(str::to_string);
            all.collect::<Vec<_>>()
        };
        assert_eq!(shown(&talk), ["a.png", "b.png"]);
        talk.take_back();
        talk.ask("again");
        assert_eq!(shown(&talk), ["a.png", "b.png"]);
        talk.answer("no".into());
        talk.ask("why?");
        assert!(shown(&talk).is_empty());
    }

    #[test]
    fn turns_keep_their_order() {
        let mut talk = Conversation::new(Some("be brief".into()));
        talk.ask("hi");
        talk.answer("hello".into());
        talk.ask("again");
        assert_eq!(roles(&talk), ["system", "user", "assistant", "user"]);
        talk.take_back();
        assert_eq!(roles(&talk), ["system", "user", "assistant"]);
        talk.clear();
        assert_eq!(roles(&talk), ["system"]);
        talk.set_system("");
        assert!(roles(&talk).is_empty());
    }
}
