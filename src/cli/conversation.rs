//! What has been said in a chat.

use crate::text::Message;

/// Messages in order, with the system message apart.
#[derive(Debug, Default, Clone)]
pub struct Conversation {
    system: Option<String>,
    turns: Vec<Message>,
}

impl Conversation {
    pub fn new(system: Option<String>) -> Self {
        Self {
            system,
            turns: Vec::new(),
        }
    }

    /// Sets or (empty) removes the system message; what was said stays.
    pub fn set_system(&mut self, text: &str) {
        self.system = (!text.is_empty()).then(|| text.to_string());
    }

    /// Forgets what was said; the system message stays.
    pub fn clear(&mut self) {
        self.turns.clear();
    }

    pub fn ask(&mut self, text: &str) {
        self.push("user", text.to_string());
    }

    pub fn answer(&mut self, text: String) {
        self.push("assistant", text);
    }

    /// Takes back the question that could not be answered.
    pub fn take_back(&mut self) {
        self.turns.pop();
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
