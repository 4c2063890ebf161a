//! Sound in and out: WAV files, sample rates, and what a reference clip must be like.
//!
//! [`read_wav`] gives the samples of a file's first channel as f64 in −1 … 1, [`resample`] brings them to a model's
//! rate, [`normalise_volume`] and [`reference_clip`] prepare them as Spark-TTS was trained. For what is spoken there
//! is [`to_i16`], and [`wav_header`] for a pipe, where no header can be filled in afterwards. [`Mel`] is a spectrogram.

mod container;
mod error;
mod mel;
mod output;
mod reference;
mod resample;
mod wav;

pub use error::AudioError;
pub use mel::{Mel, MelSpec};
pub use output::{to_i16, wav_header, WAV_HEADER_BYTES};
pub use reference::{normalise_volume, reference_clip};
pub use resample::resample;
pub use wav::{read_wav, Clip, MAX_SECONDS, MIN_SECONDS};
