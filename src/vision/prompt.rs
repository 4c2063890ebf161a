//! A conversation with images → what the decoder reads.

use std::borrow::Cow;
use std::sync::Arc;

use super::VisionError;
use crate::models::picture::NO_TOKEN;
use crate::models::vision::Marker;
use crate::models::{Encoded, Picture};
use crate::text::{ChatTemplate, Content, Message, Tokenizer};

/// A prompt with the places of its images.
#[derive(Debug)]
pub struct Composed {
    /// As the template wrote it, an image's marker once.
    pub text: String,
    /// An image's token once for each of its rows; [`NO_TOKEN`] where the model has none.
    pub ids: Vec<u32>,
    pub pictures: Vec<Picture>,
}

/// How the conversations of a model with images are put together.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    pub marker: Marker,
    /// What stands for a system message where the conversation has none and the template names none.
    pub system: Option<&'static str>,
}

impl Form {
    /// The prompt of `messages`, whose images are `images` in order, followed by the start of the answer.
    ///
    /// # Errors
    /// A template that fails or names another number of images, text that cannot be tokenised.
    pub fn compose(
        &self,
        (template, tokenizer): (&ChatTemplate, &Tokenizer),
        messages: &[Message],
        images: &[Arc<Encoded>],
        prefill: &str,
    ) -> Result<Composed, VisionError> {
        let messages = self.written(messages);
        let mut text = template.render(&messages, true)?;
        text.push_str(prefill);
        let token = match self.marker {
            Marker::Token(id) => Some(id),
            Marker::Named(name) => tokenizer.token_id(name),
            Marker::Text(_) => None,
        };
        let pieces: Vec<Vec<u32>> = match (self.marker, token) {
            (Marker::Text(marker), _) => {
                let pieces = text.split(marker);
                let pieces = pieces.map(|piece| tokenizer.encode(piece, false));
                pieces.collect::<Result<_, _>>()?
            }
            (_, token) => {
                let ids = tokenizer.encode(&text, false)?;
                ids.split(|id| Some(*id) == token)
                    .map(<[u32]>::to_vec)
                    .collect()
            }
        };
        let found = token.unwrap_or(NO_TOKEN);
        if pieces.len() != images.len() + 1 {
            return Err(VisionError::Places {
                places: pieces.len() - 1,
                images: images.len(),
            });
        }
        let (mut ids, mut pictures) = (Vec::new(), Vec::new());
        for (i, piece) in pieces.into_iter().enumerate() {
            if let Some(image) = i.checked_sub(1).and_then(|i| images.get(i)) {
                pictures.push(Picture {
                    start: ids.len(),
                    image: Arc::clone(image),
                });
                ids.resize(ids.len() + image.tokens, found);
            }
            ids.extend(piece);
        }
        Ok(Composed {
            text,
            ids,
            pictures,
        })
    }

    /// The messages as the template takes them.
    fn written<'m>(&self, messages: &'m [Message]) -> Cow<'m, [Message]> {
        let Marker::Text(marker) = self.marker else {
            return Cow::Borrowed(messages);
        };
        let has_system = messages.first().is_some_and(|m| m.role == "system");
        let system = self.system.filter(|_| !has_system);
        let system = system.map(|text| Message::text("system", text));
        let written = messages.iter().map(|message| Message {
            role: message.role.clone(),
            content: Content::Text(as_text(&message.content, marker)),
        });
        system.into_iter().chain(written).collect()
    }
}

/// A message of a model that knows text alone, as Namo writes it: one image stands before the text and a newline ends
/// it, several are numbered on lines of their own.
fn as_text(content: &Content, marker: &str) -> String {
    let text = content.to_text();
    match content.images().count() {
        0 => text,
        1 => format!("{marker}{text}\n"),
        several => {
            let lines = (1..=several).map(|n| format!("\nImage{n}:{marker}"));
            let all = lines.collect::<String>() + &text;
            all.trim().to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Part;

    fn content(images: usize, text: &str) -> Content {
        let image = Part::Image { image: "x".into() };
        let text = Part::Text { text: text.into() };
        Content::Parts(std::iter::repeat_n(image, images).chain([text]).collect())
    }

    #[test]
    fn namo_writes_images_before_the_text() {
        let written = |images| as_text(&content(images, "What?"), "<image>");
        assert_eq!(written(0), "What?");
        assert_eq!(written(1), "<image>What?\n");
        assert_eq!(written(2), "Image1:<image>\nImage2:<image>What?");
    }

    #[test]
    fn a_system_message_is_added_where_none_stands() {
        let form = Form {
            marker: Marker::Text("<image>"),
            system: Some("Be kind."),
        };
        let asked = [Message::text("user", "hi")];
        assert_eq!(form.written(&asked)[0], Message::text("system", "Be kind."));
        let own = [Message::text("system", "s"), Message::text("user", "hi")];
        assert_eq!(*form.written(&own), own);
        let form = Form {
            marker: Marker::Token(1),
            ..form
        };
        assert_eq!(*form.written(&asked), asked);
    }
}
