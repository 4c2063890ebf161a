//! The token ids of a conversation, kept from turn to turn, so that the engine finds them in its cache.

use crate::text::{TextError, Tokenizer};

/// What the model has read and written so far, as text and as ids. The ids of a reply are those that the model chose,
/// which need not be those that its text is split into.
#[derive(Debug, Default)]
pub struct Transcript {
    text: String,
    ids: Vec<u32>,
    /// Where a special token begins, in `text` and in `ids`: what stands before is split independently of what follows.
    marks: Vec<(usize, usize)>,
}

impl Transcript {
    /// The ids of the prompt `conversation` + `opening`, the second the start of the answer. As far as the text is known
    /// its ids are kept, the rest is split anew.
    ///
    /// # Errors
    /// Text that the tokenizer refuses.
    pub fn prompt(
        &mut self,
        tokenizer: &Tokenizer,
        conversation: &str,
        opening: &str,
    ) -> Result<Vec<u32>, TextError> {
        while let Some(&(text, ids)) = self.marks.last() {
            // Of a conversation that ends here nothing would follow that could be looked at.
            if text <= conversation.len()
                && conversation.as_bytes()[..text] == self.text.as_bytes()[..text]
            {
                let rest = tokenizer.encode(&conversation[text..], false)?;
                if rest.first().is_none_or(|&id| tokenizer.is_special(id)) {
                    self.keep(text, ids);
                    return self.extend(tokenizer, rest, &conversation[text..], opening);
                }
            }
            self.marks.pop();
        }
        self.keep(0, 0);
        let all = tokenizer.encode(conversation, false)?;
        self.extend(tokenizer, all, conversation, opening)
    }

    /// The reply that followed, as far as its text is that of its tokens.
    pub fn reply(&mut self, tokenizer: &Tokenizer, text: &str, tokens: &[u32]) {
        if tokenizer
            .decode(tokens, true)
            .is_ok_and(|decoded| decoded == text)
        {
            self.text.push_str(text);
            self.ids.extend_from_slice(tokens);
            self.marks.push((self.text.len(), self.ids.len()));
        }
    }

    fn keep(&mut self, text: usize, ids: usize) {
        self.text.truncate(text);
        self.ids.truncate(ids);
    }

    fn extend(
        &mut self,
        tokenizer: &Tokenizer,
        ids: Vec<u32>,
        text: &str,
        opening: &str,
    ) -> Result<Vec<u32>, TextError> {
        let start = tokenizer.encode(opening, false)?;
        if !start.first().is_some_and(|&id| tokenizer.is_special(id)) && !opening.is_empty() {
            // The opening is split together with what stands before it.
            self.text.push_str(text);
            self.text.push_str(opening);
            self.ids = tokenizer.encode(&self.text, false)?;
            self.marks.clear();
            return Ok(self.ids.clone());
        }
        self.text.push_str(text);
        self.ids.extend(ids);
        let mark = (self.text.len(), self.ids.len());
        if self.marks.last() != Some(&mark) {
            self.marks.push(mark);
        }
        self.text.push_str(opening);
        self.ids.extend(start);
        Ok(self.ids.clone())
    }
}
