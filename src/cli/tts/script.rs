//! What was spoken, as numbers: `--tokens-out` and `--tokens`.

use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use crate::cli::exit::CliError;
use crate::cli::input;
use crate::cli::output::{Sink, Stdout};
use crate::cli::settings::Settings;
use crate::models::bicodec::Decoder;
use crate::speech::{Spoken, VoiceTokens};

/// A file of tokens, as far as speaking it needs.
#[derive(Debug, Deserialize)]
pub struct Script {
    pub global: Vec<u32>,
    pub pieces: Vec<PieceTokens>,
}

#[derive(Debug, Deserialize)]
pub struct PieceTokens {
    pub semantic: Vec<u32>,
}

impl Script {
    pub fn read(file: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let text = input::read_named(file, settings)?;
        Ok(serde_json::from_str(&text).map_err(|e| {
            CliError::Corrupt(format!(
                "{} holds no tokens of speech: {e}; 'crane tts --tokens-out FILE.json' writes such a file",
                file.display()
            ))
        })?)
    }

    /// Whether all tokens mean something to the codec.
    pub fn check(&self, file: &Path, decoder: &Decoder) -> Result<(), CliError> {
        let semantic = self.pieces.iter().flat_map(|p| &p.semantic).copied();
        let voice = VoiceTokens {
            global: self.global.clone(),
            semantic: Some(semantic.collect()),
            text: None,
        };
        voice
            .check(decoder.global_codes(), decoder.codes())
            .map_err(|e| CliError::Corrupt(format!("{}: {e}", file.display())))
    }
}

/// Writes what was spoken.
pub fn save(file: &Path, voice: Option<VoiceTokens>, pieces: &[Spoken]) -> anyhow::Result<()> {
    let global = voice.map(|voice| voice.global).unwrap_or_default();
    let mut stdout = Stdout::lock();
    let mut sink = Sink::open(Some(file), &mut stdout)?;
    writeln!(sink, "{}", json!({"global": global, "pieces": pieces}))?;
    sink.finish()
}
