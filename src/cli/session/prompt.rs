//! Prompts as a session's model takes them.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Session;
use crate::generate::Sequence;
use crate::image::ImageSource;
use crate::models::Picture;
use crate::text::thinking::{self, Thinking};
use crate::text::Message;
use crate::vision::Look;

/// A prompt as the model sees it.
pub struct Prompt {
    pub text: String,
    pub ids: Vec<u32>,
    /// Whether the chat template was left out.
    pub raw: bool,
    /// The images in it, and what was seen of them.
    pub pictures: Vec<Picture>,
    pub looks: Vec<Arc<Look>>,
}

impl Prompt {
    /// As the engine takes it.
    pub fn sequence(&self) -> Sequence<'_> {
        Sequence {
            ids: &self.ids,
            pictures: &self.pictures,
        }
    }
}

impl Session {
    /// Text without a template, with the special tokens that the tokenizer adds by itself.
    pub fn raw_prompt(&self, text: String) -> anyhow::Result<Prompt> {
        let ids = self.engine.tokenizer().encode(&text, true)?;
        Ok(Prompt {
            text,
            ids,
            raw: true,
            pictures: Vec::new(),
            looks: Vec::new(),
        })
    }

    /// One question through the template, or as it is with `raw`. A model without a template (a base model) takes a plain
    /// prompt as it is; a system message needs one.
    pub fn prompt(
        &mut self,
        text: String,
        system: Option<&str>,
        raw: bool,
        prefill: &str,
    ) -> anyhow::Result<Prompt> {
        if !raw && (self.template.is_some() || system.is_some()) {
            let system = system.map(|text| Message::text("system", text));
            let messages: Vec<_> = system
                .into_iter()
                .chain([Message::text("user", text)])
                .collect();
            return self.chat_prompt(&messages, prefill);
        }
        let note = "the model has no chat template; the prompt is sent as it is (--raw)";
        if !raw && !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.into());
        }
        self.raw_prompt(text + prefill)
    }

    /// A conversation through the model's template, followed by the start of the answer. Images are looked at, those
    /// that were seen before are remembered.
    pub fn chat_prompt(&mut self, messages: &[Message], prefill: &str) -> anyhow::Result<Prompt> {
        let mut looks = Vec::new();
        for image in messages.iter().flat_map(|m| m.content.images()) {
            looks.push(self.look(&ImageSource::parse(image)?)?);
        }
        let template = self.template.as_ref().ok_or_else(|| self.no_template())?;
        let tokenizer = self.engine.tokenizer();
        let Some(form) = &self.form else {
            let mut text = template.render_with(messages, true, &self.variables())?;
            text.push_str(self.no_thinking(&text));
            text.push_str(prefill);
            let ids = tokenizer.encode(&text, false)?;
            return Ok(Prompt {
                text,
                ids,
                raw: false,
                pictures: Vec::new(),
                looks,
            });
        };
        let images: Vec<_> = looks.iter().map(|look| Arc::clone(&look.image)).collect();
        let composed = form.compose((template, tokenizer), messages, &images, prefill)?;
        Ok(Prompt {
            text: composed.text,
            ids: composed.ids,
            raw: false,
            pictures: composed.pictures,
            looks,
        })
    }

    /// A conversation through the model's template, and the start of the answer behind it. None for a model that puts
    /// its prompts together by rules of its own.
    pub fn rendered(&self, messages: &[Message]) -> anyhow::Result<Option<(String, String)>> {
        if self.form.is_some() {
            return Ok(None);
        }
        let template = self.template.as_ref().ok_or_else(|| self.no_template())?;
        let variables = self.variables();
        let mut whole = template.render_with(messages, true, &variables)?;
        whole.push_str(self.no_thinking(&whole));
        let conversation = template.render_with(messages, false, &variables)?;
        Ok(Some(match whole.strip_prefix(conversation.as_str()) {
            Some(opening) => {
                let opening = opening.to_string();
                (conversation, opening)
            }
            None => (whole, String::new()),
        }))
    }

    /// Whether the model may think before it answers, as its template tells.
    pub fn thinks(&self) -> bool {
        let template = self.template.as_ref();
        template.is_some_and(|template| thinking::thinks(template.source()))
    }

    /// What takes the reply to `prompt` apart.
    pub fn thinking(&self, prompt: &Prompt) -> Thinking {
        match self.thinks() && !prompt.raw {
            true => Thinking::new(thinking::begun(&prompt.text)),
            false => Thinking::none(),
        }
    }

    /// The end of a prompt whose template begins the thinking although there is to be none.
    fn no_thinking(&self, prompt: &str) -> &'static str {
        match self.think == Some(false) && thinking::begun(prompt) {
            true => "\n</think>\n\n",
            false => "",
        }
    }

    /// What the template may ask for.
    fn variables(&self) -> Map<String, Value> {
        let think = self.think.map(|on| ("enable_thinking".into(), on.into()));
        think.into_iter().collect()
    }
}
