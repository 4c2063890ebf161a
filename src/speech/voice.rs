//! A voice as tokens.

use serde::{Deserialize, Serialize};

use crate::models::spark::GLOBALS;

/// What a voice sounds like and, of a recording, what it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VoiceTokens {
    /// 32 of them.
    pub global: Vec<u32>,
    /// Of the recording, 50 a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semantic: Option<Vec<u32>>,
    /// The words of the recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Tokens that are no voice.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongVoice(String);

impl VoiceTokens {
    /// A voice without words.
    pub fn of(global: Vec<u32>) -> Self {
        Self {
            global,
            ..Self::default()
        }
    }

    /// The words of the recording with its tokens, where both are known and there is anything to go on from. The
    /// published code takes a text of one letter for none.
    pub fn said(&self) -> Option<(&str, &[u32])> {
        let text = self
            .text
            .as_deref()
            .filter(|t| t.trim().chars().count() >= 2)?;
        let semantic = self.semantic.as_deref().filter(|s| !s.is_empty())?;
        Some((text, semantic))
    }

    /// Checks the number of tokens and their range (`global_codes`, `semantic_codes`: how many there are).
    ///
    /// # Errors
    /// What is wrong, with its number.
    pub fn check(&self, global_codes: usize, semantic_codes: usize) -> Result<(), WrongVoice> {
        if self.global.len() != GLOBALS {
            return Err(WrongVoice(format!(
                "a voice has {GLOBALS} global tokens, and here are {}",
                self.global.len()
            )));
        }
        let past = |tokens: &[u32], codes: usize| {
            tokens
                .iter()
                .copied()
                .find(|&token| token as usize >= codes)
        };
        if let Some(token) = past(&self.global, global_codes) {
            return Err(WrongVoice(format!(
                "global token {token} is past the {global_codes} that there are"
            )));
        }
        let semantic = self.semantic.as_deref().unwrap_or_default();
        match past(semantic, semantic_codes) {
            Some(token) => Err(WrongVoice(format!(
                "semantic token {token} is past the {semantic_codes} that there are"
            ))),
            None => Ok(()),
        }
    }
}
