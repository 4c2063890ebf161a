//! Samples while the tokens are still coming: a chunk is decoded as soon as all the tokens that its samples depend on are
//! known, so that it equals that part of the whole, bit for bit.

use crate::models::bicodec::{Decoder, Voice};
use crate::models::ModelError;

/// Tokens of the first chunk, which is waited for.
const FIRST: usize = 15;
/// Of the later ones at most: a chunk's context is computed twice.
const MOST: usize = 200;

/// One piece on its way to samples.
pub struct Stream {
    voice: Voice,
    tokens: Vec<u32>,
    /// Tokens whose samples were handed on.
    done: usize,
    next: usize,
}

impl Stream {
    /// Nothing said yet.
    pub fn new(voice: Voice) -> Self {
        Self {
            voice,
            tokens: Vec::new(),
            done: 0,
            next: FIRST,
        }
    }

    /// Tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Whether samples were handed on.
    pub fn has_spoken(&self) -> bool {
        self.done > 0
    }

    /// Takes a token; samples that are certain now, most of the time none.
    ///
    /// # Errors
    /// As [`Decoder::samples`].
    pub fn push(&mut self, token: u32, decoder: &mut Decoder) -> Result<Vec<f32>, ModelError> {
        self.tokens.push(token);
        let end = self.done + self.next;
        if self.tokens.len() < end + decoder.context() {
            return Ok(Vec::new());
        }
        self.next = (2 * self.next).min(MOST);
        self.samples(end, decoder)
    }

    /// The piece is at its end: the rest.
    ///
    /// # Errors
    /// As [`Decoder::samples`].
    pub fn finish(&mut self, decoder: &mut Decoder) -> Result<Vec<f32>, ModelError> {
        self.samples(self.tokens.len(), decoder)
    }

    fn samples(&mut self, end: usize, decoder: &mut Decoder) -> Result<Vec<f32>, ModelError> {
        let range = self.done..end;
        self.done = end;
        let samples = decoder.samples(&self.voice, &self.tokens, range, &|| true)?;
        Ok(samples.unwrap_or_default())
    }
}
