//! Text → speech: a piece of text becomes tokens, is looked at, and becomes samples.
//!
//! [`Speaker`] holds the language model and the codec and says one piece after the other, whole or as it is made
//! ([`stream`], `line`); `check` tells an answer that is no speech; [`reference`] listens to a recording whose voice is to be
//! spoken with; [`Joiner`] puts the pieces together.

mod check;
mod joiner;
mod line;
pub mod reference;
mod speaker;
pub mod stream;
mod voice;

pub use check::Problem;
pub use joiner::Joiner;
pub use speaker::{Listener, Manner, SayOptions, Speaker, Spoken};
pub use voice::{VoiceTokens, WrongVoice};

use crate::audio::AudioError;
use crate::generate::GenerateError;
use crate::models::ModelError;
use crate::text::TextError;
use crate::weights::WeightsError;

/// Why nothing is said.
#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    #[error(transparent)]
    Audio(#[from] AudioError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Voice(#[from] WrongVoice),
    #[error("the prompt of \"{text}\" has {tokens} tokens, which leaves no room in a context of {context}; shorten the text (--split sentences) or the reference, or raise --ctx-size")]
    Context {
        text: String,
        tokens: usize,
        context: usize,
    },
    /// The samples could not be handed on.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The caller said stop.
    #[error("interrupted")]
    Interrupted,
}
