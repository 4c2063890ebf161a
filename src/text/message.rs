//! What is said in a conversation: text, and images among it.

use serde::{Deserialize, Serialize};

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub role: String,
    pub content: Content,
}

/// A text, or parts in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a text, or a list of parts {\"type\": \"text\", \"text\": …} and {\"type\": \"image\", \"image\": PATH}"
)]
pub enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    Text {
        text: String,
    },
    /// An image by its path or `data:` URL, as transformers' chat templates and Qwen's utilities spell it.
    Image {
        #[serde(alias = "path", alias = "url")]
        image: String,
    },
    /// The same as OpenAI's interface spells it.
    ImageUrl {
        image_url: ImageUrl,
    },
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImageUrl {
    Bare(String),
    Object { url: String },
}

impl Message {
    /// A message of text.
    pub fn text(role: &str, text: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: Content::Text(text.into()),
        }
    }
}

impl Part {
    /// Where its image is, if it is one.
    pub fn image(&self) -> Option<&str> {
        match self {
            Self::Text { .. } => None,
            Self::Image { image } => Some(image),
            Self::ImageUrl { image_url } => Some(match image_url {
                ImageUrl::Bare(url) | ImageUrl::Object { url } => url,
            }),
        }
    }
}

impl Content {
    /// Where its images are, in order.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        let parts = match self {
            Self::Text(_) => &[][..],
            Self::Parts(parts) => parts,
        };
        parts.iter().filter_map(Part::image)
    }

    /// Its text alone, parts joined.
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Text { text } => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
        }
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Message, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn images_stand_among_text_in_all_spellings() {
        let message = read(
            r#"{"role":"user","content":[{"type":"image","image":"a.png"},{"type":"text","text":"what "},
                {"type":"image","path":"b"},{"type":"image_url","image_url":{"url":"c"}},
                {"type":"image_url","image_url":"d"},{"type":"text","text":"is it?"}]}"#,
        )
        .unwrap();
        let images: Vec<_> = message.content.images().collect();
        assert_eq!(images, ["a.png", "b", "c", "d"]);
        assert_eq!(message.content.to_text(), "what is it?");
    }

    #[test]
    fn a_text_stays_a_text() {
        let message = read(r#"{"role":"user","content":"hi"}"#).unwrap();
        assert_eq!(message, Message::text("user", "hi"));
        assert_eq!(message.content.images().count(), 0);
        for wrong in [
            r#"{"role":"user","content":1}"#,
            r#"{"role":"user","content":[{"type":"video","video":"x"}]}"#,
            r#"{"role":"user","content":[{"text":"x"}]}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let error = read(r#"{"role":"user","content":[{"type":"video"}]}"#).unwrap_err();
        assert!(error.to_string().contains("list of parts"), "{error}");
    }
}
