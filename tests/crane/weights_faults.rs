//! Damaged weight files.
