//! Spark-TTS (Wang et al., 2025, arXiv:2503.01710): a Qwen2.5 language model that answers a text with tokens of
//! [`super::bicodec`]. This file knows its folder, its token ids and its prompts.

use std::fmt;
use std::path::{Path, PathBuf};

use super::ModelError;
use crate::weights::WeightsError;

/// Global tokens of a voice.
pub const GLOBALS: usize = 32;
/// Semantic tokens of a second of speech.
pub const TOKENS_A_SECOND: usize = 50;

const FIRST_GLOBAL: u32 = 151_665;
const FIRST_SEMANTIC: u32 = 155_761;
const PITCH_LABEL: u32 = 164_965;
const SPEED_LABEL: u32 = 164_986;
const GENDER: u32 = 165_032;
const TASK_TTS: u32 = 165_137;
const TASK_CONTROLLABLE_TTS: u32 = 165_143;
const START_CONTENT: u32 = 165_146;
const START_STYLE_LABEL: u32 = 165_147;
const START_GLOBAL: u32 = 165_150;
const START_SEMANTIC: u32 = 165_151;
const END_CONTENT: u32 = 165_152;
const END_STYLE_LABEL: u32 = 165_153;
const END_GLOBAL: u32 = 165_156;
const END_SEMANTIC: u32 = 165_157;
/// `<|im_end|>` and `<|endoftext|>`.
const IM_END: u32 = 151_645;
const END_OF_TEXT: u32 = 151_643;

/// Ids that end an answer.
pub const ENDS: [u32; 3] = [IM_END, END_SEMANTIC, END_OF_TEXT];
/// Ids that an answer is made of, its end among them: everything before is text.
pub const ANSWER: std::ops::Range<u32> = END_OF_TEXT..END_SEMANTIC + 1;

/// Whose voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gender {
    Female,
    Male,
}

/// How high, or how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    VeryLow,
    Low,
    #[default]
    Moderate,
    High,
    VeryHigh,
}

impl fmt::Display for Gender {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Female => "female",
            Self::Male => "male",
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::VeryLow => "very_low",
            Self::Low => "low",
            Self::Moderate => "moderate",
            Self::High => "high",
            Self::VeryHigh => "very_high",
        })
    }
}

/// A voice that is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub gender: Gender,
    pub pitch: Level,
    pub speed: Level,
}

/// The answer to a text is asked for in the `style`: `text` are its ids.
pub fn controllable(text: &[u32], style: Style) -> Vec<u32> {
    let mut ids = vec![TASK_CONTROLLABLE_TTS, START_CONTENT];
    ids.extend(text);
    ids.extend([
        END_CONTENT,
        START_STYLE_LABEL,
        GENDER + style.gender as u32,
        PITCH_LABEL + style.pitch as u32,
        SPEED_LABEL + style.speed as u32,
        END_STYLE_LABEL,
    ]);
    ids
}

/// The same in the voice of `globals`. With `said`, the semantic tokens of a recording whose words begin `text`, the
/// answer goes on where they end.
pub fn in_voice(text: &[u32], globals: &[u32], said: Option<&[u32]>) -> Vec<u32> {
    let mut ids = vec![TASK_TTS, START_CONTENT];
    ids.extend(text);
    ids.extend([END_CONTENT, START_GLOBAL]);
    ids.extend(globals.iter().map(|token| FIRST_GLOBAL + token));
    ids.push(END_GLOBAL);
    if let Some(said) = said {
        ids.push(START_SEMANTIC);
        ids.extend(said.iter().map(|token| FIRST_SEMANTIC + token));
    }
    ids
}

/// The semantic token that `id` names.
pub fn semantic(id: u32) -> Option<u32> {
    (FIRST_SEMANTIC..PITCH_VALUE)
        .contains(&id)
        .then(|| id - FIRST_SEMANTIC)
}

/// The global token that `id` names.
pub fn global(id: u32) -> Option<u32> {
    (FIRST_GLOBAL..FIRST_SEMANTIC)
        .contains(&id)
        .then(|| id - FIRST_GLOBAL)
}

/// The first id past the semantic tokens.
const PITCH_VALUE: u32 = 163_953;

/// All of an answer before its semantic tokens, with the mark where they start; None where it has no such mark.
pub fn before_semantic(answer: &[u32]) -> Option<&[u32]> {
    let at = answer.iter().position(|&id| id == START_SEMANTIC)?;
    answer.get(..=at)
}

/// The parts of a model's folder.
#[derive(Debug, Clone)]
pub struct SparkFolder {
    pub llm: PathBuf,
    pub bicodec: PathBuf,
    /// Needed for the tokens of a recording alone.
    pub wav2vec2: PathBuf,
}

impl SparkFolder {
    /// The parts in `folder`.
    ///
    /// # Errors
    /// A folder without `LLM` and `BiCodec`.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let part = |name: &str| folder.join(name);
        let found = Self {
            llm: part("LLM"),
            bicodec: part("BiCodec"),
            wav2vec2: part("wav2vec2-large-xlsr-53"),
        };
        for needed in [&found.llm, &found.bicodec] {
            if !needed.is_dir() {
                return Err(WeightsError::missing(
                    needed,
                    "no such folder, which a Spark-TTS model has; name such a model with -m, for example spark-tts-0.5b",
                )
                .into());
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_styled_prompt_is_that_of_the_published_code() {
        let style = Style {
            gender: Gender::Male,
            pitch: Level::Moderate,
            speed: Level::High,
        };
        // 身临其境，hello world.
        let text = [95256, 99635, 41146, 99279, 3837, 14990, 1879, 13];
        let expected = [
            165143, 165146, 95256, 99635, 41146, 99279, 3837, 14990, 1879, 13, 165152, 165147,
            165033, 164967, 164989, 165153,
        ];
        assert_eq!(controllable(&text, style), expected);
    }

    #[test]
    fn ids_of_tokens_have_their_ranges() {
        assert_eq!(
            (semantic(155_761), semantic(163_952)),
            (Some(0), Some(8191))
        );
        assert_eq!((semantic(155_760), semantic(163_953)), (None, None));
        assert_eq!((global(151_665), global(155_760)), (Some(0), Some(4095)));
        assert_eq!((global(151_664), global(155_761)), (None, None));
        assert_eq!(
            before_semantic(&[1, START_SEMANTIC, 7]),
            Some([1, START_SEMANTIC].as_slice())
        );
        assert_eq!(before_semantic(&[1, 2]), None);
    }
}
