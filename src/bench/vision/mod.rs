//! How fast images are read: bringing a picture to the model, encoding it, and the language model behind it.
//!
//! [`look`] loads the encoder and [`read`] the language model, one after the other, so that each is measured where both
//! do not fit the memory together. Operations are counted from the configuration (`count`).

mod count;
mod eye;
mod model;
mod reader;
mod synthetic;
mod test;

use std::cell::RefCell;
use std::sync::Arc;

use super::parts::{measured, Outcome, Request, Subject};
use super::{BenchError, Book, Watch};
use crate::models::Encoded;
use eye::Eye;
use reader::Reader;

pub use model::Model;
pub use synthetic::{names, DEFAULT};
pub use test::Test;

/// Measures what reads a picture of `size`, width and height: a row for each test and number of threads, and what the
/// encoder made of it.
pub fn look(
    subject: &Subject<Model>,
    request: &Request,
    size: [usize; 2],
    book: &mut Book,
    watch: &dyn Watch,
) -> (Vec<Outcome>, Option<Arc<Encoded>>) {
    let made = RefCell::default();
    let tests = [Test::Preprocess, Test::Encode];
    let load = || Eye::load(subject, size, &made, watch);
    let rows = measured(subject, request, &tests, book, watch, &load);
    (rows, made.into_inner())
}

/// Measures the language model with an image in its prompt; without one, the rows say so.
pub fn read(
    subject: &Subject<Model>,
    request: &Request,
    image: Option<&Arc<Encoded>>,
    book: &mut Book,
    watch: &dyn Watch,
) -> Vec<Outcome> {
    let load = || {
        let image = image.ok_or(BenchError::NoImage)?;
        Reader::load(subject, image, watch)
    };
    let tests = [Test::Prefill, Test::Decode];
    measured(subject, request, &tests, book, watch, &load)
}
