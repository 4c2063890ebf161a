//! Ids → text, one id at a time.
//!
//! Every kind of vocabulary comes down to one rule: a token is some bytes, and the text is the UTF-8 reading of
//! all bytes in a row. So a stream needs to hold back no more than the bytes of one unfinished character.

use serde_json::Value;

use super::{TextError, Tokenizer};

/// How a vocabulary spells bytes, as the `decoder` of tokenizer.json says it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Spelling {
    /// GPT-2's alphabet: every byte is one printable character.
    ByteLevel,
    /// Pieces of text, with replacements, and possibly `<0xNN>` tokens for single bytes.
    Pieces(Pieces),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Pieces {
    /// Replacements in every token (`▁` → space).
    pub replace: Vec<(String, String)>,
    /// Whether `<0xNN>` is a byte.
    pub byte_fallback: bool,
    /// Up to so many of this character are dropped at the start of the text.
    pub strip_start: Option<(char, usize)>,
    /// A character that the first token loses (Metaspace's `▁` for the space put before the text).
    pub first_loses: Option<char>,
    /// What stands between tokens: a space where tokenizer.json names no decoder, as in `tokenizers`.
    pub separator: &'static str,
}

impl Spelling {
    /// As SentencePiece vocabularies are decoded (`strip`: the text was given a space in front).
    pub fn sentencepiece(strip: bool) -> Self {
        Self::Pieces(Pieces {
            replace: vec![("▁".into(), " ".into())],
            byte_fallback: true,
            strip_start: strip.then_some((' ', 1)),
            ..Pieces::default()
        })
    }

    /// From the `decoder` of tokenizer.json; the error says what it holds that crane cannot do.
    pub fn from_json(decoder: &Value) -> Result<Self, String> {
        let mut pieces = Pieces::default();
        if decoder.is_null() {
            pieces.separator = " ";
            return Ok(Self::Pieces(pieces));
        }
        let mut fused = false;
        for step in flatten(decoder) {
            let text = |key: &str| step.get(key).and_then(Value::as_str);
            match text("type").unwrap_or("") {
                "ByteLevel" => return Ok(Self::ByteLevel),
                "ByteFallback" => pieces.byte_fallback = true,
                "Fuse" => fused = true,
                "Replace" => {
                    let from = step
                        .pointer("/pattern/String")
                        .and_then(Value::as_str)
                        .ok_or("its decoder replaces by a regular expression")?;
                    if !from.is_empty() {
                        let to = text("content").unwrap_or("");
                        pieces.replace.push((from.into(), to.into()));
                    }
                }
                "Strip" if fused => {
                    let count = |key| step.get(key).and_then(Value::as_u64).unwrap_or(0);
                    if count("stop") > 0 {
                        return Err("its decoder strips the end of the text".into());
                    }
                    if let Some(content) = text("content").and_then(|s| s.chars().next()) {
                        pieces.strip_start = Some((content, count("start") as usize));
                    }
                }
                "Metaspace" => {
                    let mark = text("replacement").unwrap_or("▁");
                    let never = text("prepend_scheme") == Some("never")
                        || step.get("add_prefix_space") == Some(&Value::Bool(false));
                    if !never {
                        pieces.first_loses = mark.chars().next();
                    }
                    pieces.replace.push((mark.into(), " ".into()));
                }
                other => {
                    return Err(format!(
                        "its decoder {other:?} is not one that crane knows (ByteLevel, or a Sequence of Replace, ByteFallback, Fuse and Strip)"
                    ))
                }
            }
        }
        Ok(Self::Pieces(pieces))
    }

    /// The bytes that `token` adds to a text; `first` where it begins the text.
    pub fn bytes(&self, token: &str, first: bool) -> Vec<u8> {
        match self {
            Self::ByteLevel => {
                let bytes = token.chars().map(byte_of).collect::<Option<Vec<u8>>>();
                bytes.unwrap_or_else(|| token.as_bytes().to_vec())
            }
            Self::Pieces(pieces) => pieces.bytes(token, first),
        }
    }
}

impl Pieces {
    fn bytes(&self, token: &str, first: bool) -> Vec<u8> {
        let before = match first {
            true => "",
            false => self.separator,
        };
        let mut bytes = before.as_bytes().to_vec();
        if let Some(byte) = byte_token(token).filter(|_| self.byte_fallback) {
            bytes.push(byte);
            return bytes;
        }
        let mut text = match self.first_loses {
            Some(mark) if first => token.replace(mark, ""),
            _ => token.to_string(),
        };
        for (from, to) in &self.replace {
            if text.contains(from.as_str()) {
                text = text.replace(from.as_str(), to);
            }
        }
        bytes.extend(text.as_bytes());
        bytes
    }
}

fn flatten(decoder: &Value) -> Vec<&Value> {
    match decoder.get("decoders").and_then(Value::as_array) {
        Some(steps) => steps.iter().flat_map(flatten).collect(),
        None => vec![decoder],
    }
}

/// The byte that a character of GPT-2's alphabet stands for.
pub(super) fn byte_of(c: char) -> Option<u8> {
    let byte = match u32::from(c) {
        c @ (33..=126 | 161..=172 | 174..=255) => c,
        c @ 256..=288 => c - 256,
        c @ 289..=322 => c - 289 + 127,
        323 => 173,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// The state of one text being decoded.
#[derive(Debug, Clone)]
pub(super) struct Decoding {
    /// Bytes of an unfinished character.
    pending: Vec<u8>,
    /// Characters that may still be dropped at the start.
    strip: usize,
    first: bool,
}

impl Decoding {
    pub fn new(spelling: &Spelling) -> Self {
        let strip = match spelling {
            Spelling::Pieces(Pieces {
                strip_start: Some((_, n)),
                ..
            }) => *n,
            _ => 0,
        };
        Self {
            pending: Vec::new(),
            strip,
            first: true,
        }
    }

    /// The state in the middle of a text: nothing is dropped at its start.
    pub fn within() -> Self {
        Self {
            pending: Vec::new(),
            strip: 0,
            first: false,
        }
    }

    /// Appends the text that `token` completes to `out`.
    pub fn push(&mut self, spelling: &Spelling, token: &str, out: &mut String) {
        self.pending.extend(spelling.bytes(token, self.first));
        self.first = false;
        self.emit(spelling, false, out);
    }

    /// Appends what is left: an unfinished character becomes U+FFFD.
    pub fn finish(&mut self, spelling: &Spelling, out: &mut String) {
        self.emit(spelling, true, out);
    }

    /// Moves whole characters from `pending` to `out`, and all of it at the end.
    fn emit(&mut self, spelling: &Spelling, end: bool, out: &mut String) {
        let start = out.len();
        let mut done = 0;
        loop {
            let rest = self.pending.get(done..).unwrap_or(&[]);
            let (valid, bad) = match std::str::from_utf8(rest) {
                Ok(text) => (text, None),
                Err(e) => {
                    let (good, _) = rest.split_at(e.valid_up_to());
                    let bad = e.error_len().or(end.then_some(rest.len() - good.len()));
                    (std::str::from_utf8(good).unwrap_or_default(), bad)
                }
            };
            out.push_str(valid);
            done += valid.len();
            let Some(bad) = bad else { break };
            // As in `tokenizers`: one mark for a broken sequence of a byte-level vocabulary, one for each byte token.
            let marks = match spelling {
                Spelling::ByteLevel => 1,
                Spelling::Pieces(_) => bad,
            };
            (0..marks).for_each(|_| out.push(char::REPLACEMENT_CHARACTER));
            done += bad;
        }
        self.pending.drain(..done.min(self.pending.len()));
        self.strip_start(spelling, start, out);
    }

    fn strip_start(&mut self, spelling: &Spelling, start: usize, out: &mut String) {
        let Spelling::Pieces(Pieces {
            strip_start: Some((mark, _)),
            ..
        }) = spelling
        else {
            return;
        };
        while self.strip > 0 && out.len() > start {
            if out.get(start..).is_some_and(|s| s.starts_with(*mark)) {
                out.remove(start);
                self.strip -= 1;
            } else {
                self.strip = 0;
            }
        }
    }
}

/// The byte of a `<0xNN>` token.
pub(super) fn byte_token(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let two_digits = hex.len() == 2 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    two_digits
        .then(|| u8::from_str_radix(hex, 16).ok())
        .flatten()
}

/// Streaming detokenisation: never half a UTF-8 sequence, never a lost one. Special tokens give no text.
///
/// The pieces put together are what [`Tokenizer::decode`] gives for all ids with `skip_special = true`. The cost
/// of a token does not depend on how many came before it.
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    state: Decoding,
}

impl<'a> StreamDecoder<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            state: Decoding::new(tokenizer.spelling()),
        }
    }

    pub(super) fn within(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            state: Decoding::within(),
        }
    }
}

impl StreamDecoder<'_> {
    /// The text that `id` completes; empty while a character is incomplete.
    pub fn push(&mut self, id: u32) -> Result<String, TextError> {
        let mut out = String::new();
        if let Some(token) = self.tokenizer.visible(id, true) {
            self.state.push(self.tokenizer.spelling(), &token, &mut out);
        }
        Ok(out)
    }

    /// What is left at the end (an incomplete sequence becomes U+FFFD).
    pub fn finish(&mut self) -> Result<String, TextError> {
        let mut out = String::new();
        self.state.finish(self.tokenizer.spelling(), &mut out);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{byte_of, byte_token, Decoding, Spelling};

    fn decode(spelling: &Spelling, tokens: &[&str]) -> String {
        let mut state = Decoding::new(spelling);
        let mut out = String::new();
        tokens
            .iter()
            .for_each(|t| state.push(spelling, t, &mut out));
        state.finish(spelling, &mut out);
        out
    }

    #[test]
    fn every_byte_has_one_character() {
        let mut seen = [false; 256];
        for c in (0..400).filter_map(char::from_u32) {
            if let Some(byte) = byte_of(c) {
                assert!(!std::mem::replace(&mut seen[byte as usize], true), "{c:?}");
            }
        }
        assert!(seen.iter().all(|s| *s));
        assert_eq!(byte_of('Ġ'), Some(b' '));
        assert_eq!(byte_of('Ċ'), Some(b'\n'));
        assert_eq!(byte_of('Ń'), Some(0xAD));
    }

    #[test]
    fn only_two_hexadecimal_digits_make_a_byte() {
        assert_eq!(byte_token("<0x0A>"), Some(10));
        for other in ["<0xA>", "<0x+A>", "<0x0A", "0x0A>", "<0x00A>", "<0xé>"] {
            assert_eq!(byte_token(other), None, "{other}");
        }
    }

    #[test]
    fn broken_bytes_become_marks() {
        // As String::from_utf8_lossy: one mark for a sequence that was begun rightly.
        assert_eq!(
            decode(&Spelling::ByteLevel, &["a", "ä", "½", "b"]),
            "a\u{fffd}b"
        );
        let pieces = Spelling::sentencepiece(true);
        // As `tokenizers`: one for each byte token.
        assert_eq!(
            decode(&pieces, &["▁a", "<0xE4>", "<0xBD>", "b"]),
            "a\u{fffd}\u{fffd}b"
        );
        // What is whole stays.
        assert_eq!(
            decode(&pieces, &["<0xC3>", "<0xA9>", "<0xFF>", "<0xC3>"]),
            "é\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn the_space_in_front_is_dropped_once() {
        let pieces = Spelling::sentencepiece(true);
        assert_eq!(decode(&pieces, &["▁▁", "▁Hi", "▁you"]), "  Hi you");
        assert_eq!(decode(&pieces, &["<0x20>", "▁Hi"]), " Hi");
        assert_eq!(decode(&pieces, &["Hi", "▁you"]), "Hi you");
        assert_eq!(decode(&Spelling::sentencepiece(false), &["▁Hi"]), " Hi");
    }

    #[test]
    fn decoders_of_tokenizer_json_are_understood() {
        let metaspace =
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"});
        let spelling = Spelling::from_json(&metaspace).unwrap();
        assert_eq!(decode(&spelling, &["▁Hi", "▁you"]), "Hi you");
        let none = Spelling::from_json(&json!(null)).unwrap();
        assert_eq!(decode(&none, &["two", "words"]), "two words");
        let sequence = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]});
        assert_eq!(
            Spelling::from_json(&sequence),
            Ok(Spelling::sentencepiece(true))
        );
        assert!(Spelling::from_json(&json!({"type": "CTC"})).is_err());
        let regex = json!({"type": "Replace", "pattern": {"Regex": "a"}, "content": "b"});
        assert!(Spelling::from_json(&regex).is_err());
    }
}
