//! A GPU that fails before what is measured is loaded.

use crate::bench::{self, parts, BenchError};
use crate::cli::devices::{Place, Purpose};

/// A row, and why it has no figures.
pub(super) trait Measured {
    /// Whether its model was loaded.
    fn is_loaded(&self) -> bool;
    /// The error itself, if it is with this row.
    fn take_error(&mut self) -> Option<BenchError>;
}

impl Measured for bench::Outcome {
    fn is_loaded(&self) -> bool {
        self.row.load_ms.is_some()
    }

    fn take_error(&mut self) -> Option<BenchError> {
        self.error.take()
    }
}

impl Measured for parts::Outcome {
    fn is_loaded(&self) -> bool {
        self.row.load_ms.is_some()
    }

    fn take_error(&mut self) -> Option<BenchError> {
        self.error.take()
    }
}

/// Whether all has to be measured again on the CPU, which is taken as in [`Place::leave`]: where nothing of `rows` came to
/// be loaded.
///
/// # Errors
/// Why it did not, where the device stays.
pub(super) fn fall_back(
    place: &mut Place,
    purpose: Purpose,
    rows: &mut [impl Measured],
) -> anyhow::Result<bool> {
    if rows.iter().any(Measured::is_loaded) {
        return Ok(false);
    }
    let mut first = None;
    for error in rows.iter_mut().filter_map(Measured::take_error) {
        match place.leave(purpose, error.into()) {
            Ok(()) => return Ok(true),
            // A test that does not fit the context has its own.
            Err(error) => first = first.or(Some(error)),
        }
    }
    first.map_or(Ok(false), Err)
}
