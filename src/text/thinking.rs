//! The thinking of a reply, which stands between `<think>` and `</think>` before its answer (Qwen3, DeepSeek-R1).

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// A piece of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Thinking(String),
    Answer(String),
}

/// Where in the reply the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing but white space so far: a `<think>` may come.
    Start,
    Thinking,
    /// Behind `</think>`: the white space before the answer is left out.
    Between,
    Answer,
}

/// Tells thinking from answer while a reply comes in.
#[derive(Debug)]
pub struct Thinking {
    place: Place,
    /// Text that may be the beginning of a mark, or white space that may be left out.
    held: String,
}

/// A reply taken apart. The marks, and the white space around the thinking, belong to neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parted {
    pub thinking: String,
    pub answer: String,
}

impl Thinking {
    /// For a reply whose prompt ends in the middle of the thinking (`begun`), or not.
    pub fn new(begun: bool) -> Self {
        Self {
            place: match begun {
                true => Place::Thinking,
                false => Place::Start,
            },
            held: String::new(),
        }
    }

    /// For models that do not think: all is answer, as it comes.
    pub fn none() -> Self {
        Self {
            place: Place::Answer,
            held: String::new(),
        }
    }

    /// Whether the model is thinking, as far as is known.
    pub fn is_thinking(&self) -> bool {
        self.place == Place::Thinking
    }

    /// Takes more text; returns what is certain.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        while self.step(&mut pieces) {}
        pieces
    }

    /// What was held back, when the reply has ended.
    pub fn finish(&mut self) -> Option<Piece> {
        let rest = std::mem::take(&mut self.held);
        match self.place {
            _ if rest.is_empty() => None,
            Place::Thinking => Some(Piece::Thinking(rest)),
            Place::Between => None,
            Place::Start | Place::Answer => Some(Piece::Answer(rest)),
        }
    }

    /// Takes `text`, a whole reply, apart.
    pub fn part(mut self, text: &str) -> Parted {
        let mut parted = Parted::default();
        let mut pieces = self.push(text);
        pieces.extend(self.finish());
        for piece in pieces {
            match piece {
                Piece::Thinking(text) => parted.thinking.push_str(&text),
                Piece::Answer(text) => parted.answer.push_str(&text),
            }
        }
        parted.thinking = parted.thinking.trim().to_string();
        parted
    }

    /// One move on; false where more text is needed.
    fn step(&mut self, pieces: &mut Vec<Piece>) -> bool {
        match self.place {
            Place::Start => {
                let text = self.held.trim_start();
                if let Some(rest) = text.strip_prefix(OPEN) {
                    self.held = rest.to_string();
                    self.place = Place::Thinking;
                    return true;
                }
                if OPEN.starts_with(text) {
                    return false;
                }
                self.place = Place::Answer;
                true
            }
            Place::Thinking => {
                if let Some(at) = self.held.find(CLOSE) {
                    let rest = self.held.split_off(at);
                    self.held.truncate(at);
                    let text = std::mem::replace(&mut self.held, rest[CLOSE.len()..].to_string());
                    if !text.is_empty() {
                        pieces.push(Piece::Thinking(text));
                    }
                    self.place = Place::Between;
                    return true;
                }
                let keep = partial_mark(&self.held);
                let held = self.held.split_off(self.held.len() - keep);
                let text = std::mem::replace(&mut self.held, held);
                if !text.is_empty() {
                    pieces.push(Piece::Thinking(text));
                }
                false
            }
            Place::Between => {
                self.held = self.held.trim_start().to_string();
                if self.held.is_empty() {
                    return false;
                }
                self.place = Place::Answer;
                true
            }
            Place::Answer => {
                let text = std::mem::take(&mut self.held);
                if !text.is_empty() {
                    pieces.push(Piece::Answer(text));
                }
                false
            }
        }
    }
}

/// Bytes at the end of `text` that may be the beginning of `</think>`.
fn partial_mark(text: &str) -> usize {
    (1..CLOSE.len())
        .rev()
        .find(|&n| text.ends_with(&CLOSE[..n]))
        .unwrap_or(0)
}

/// Whether the template of a model knows of thinking.
pub fn thinks(template: &str) -> bool {
    template.contains(CLOSE)
}

/// Whether `prompt` ends within the thinking, which the reply then goes on with.
pub fn begun(prompt: &str) -> bool {
    prompt.trim_end().ends_with(OPEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(begun: bool, text: &str) -> (String, String) {
        let parted = Thinking::new(begun).part(text);
        (parted.thinking, parted.answer)
    }

    #[test]
    fn thinking_is_told_from_the_answer() {
        let two = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(part(false, "<think>\na\n</think>\n\nb\n"), two("a", "b\n"));
        assert_eq!(part(false, "\n<think></think>b"), two("", "b"));
        assert_eq!(part(true, "a</think>b"), two("a", "b"));
        assert_eq!(part(true, "a"), two("a", ""));
        assert_eq!(
            part(false, "b <think>c</think>"),
            two("", "b <think>c</think>")
        );
        assert_eq!(part(false, " <thin"), two("", " <thin"));
        assert_eq!(part(false, "<think>a</thi"), two("a</thi", ""));
        let all = Thinking::none().part("<think>a</think>b");
        assert_eq!(all.answer, "<think>a</think>b");
    }

    #[test]
    fn the_prompt_may_have_begun_it() {
        assert!(begun("<|im_start|>assistant\n<think>\n"));
        assert!(!begun("<think>\n\n</think>\n\n"));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(cuts in proptest::collection::vec(0usize..40, 0..6), begun: bool) {
            let text = "<think>\nab</th</think>\n\nc <d> </think> e";
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut thinking = Thinking::new(begun);
            let mut pieces: Vec<Piece> = cuts.windows(2).flat_map(|w| thinking.push(&text[w[0]..w[1]])).collect();
            pieces.extend(thinking.finish());
            let mut parted = Parted::default();
            for piece in pieces {
                match piece {
                    Piece::Thinking(text) => parted.thinking += &text,
                    Piece::Answer(text) => parted.answer += &text,
                }
            }
            parted.thinking = parted.thinking.trim().to_string();
            prop_assert_eq!(parted, Thinking::new(begun).part(text));
        }
    }
}
