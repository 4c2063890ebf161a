//! How fast speech is made: the language model, the codec, both together, and what cloning a voice does first.
//!
//! [`speak`] loads what speaks and [`listen`] what reads a recording, as `crane tts` does one after the other; each returns
//! a [`Row`](super::parts::Row) for each of its [`Test`]s and each number of threads. Operations are counted from the configuration
//! (`count`), and a row says which share of the machine's arithmetic limit they reached.

mod count;
mod listener;
mod model;
mod speaker;
mod synthetic;
mod test;

use super::parts::{measured, Outcome, Request, Subject};
use super::{Book, Watch};
use listener::Listener;
use speaker::Speaker;

pub use model::Model;
pub use speaker::CONTEXT;
pub use test::Test;

/// Measures the language model and the codec, a row for each test and number of threads. What cannot be measured has its
/// reason.
pub fn speak(
    subject: &Subject<Model>,
    request: &Request,
    book: &mut Book,
    watch: &dyn Watch,
) -> Vec<Outcome> {
    let tests = [Test::Llm, Test::Codec, Test::CodecStream, Test::Speech];
    let load = || Speaker::load(subject, watch);
    measured(subject, request, &tests, book, watch, &load)
}

/// Measures what reads a recording: a row for each number of threads.
pub fn listen(
    subject: &Subject<Model>,
    request: &Request,
    book: &mut Book,
    watch: &dyn Watch,
) -> Vec<Outcome> {
    let load = || Listener::load(subject);
    measured(subject, request, &[Test::Encode], book, watch, &load)
}
