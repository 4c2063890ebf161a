//! The fast arithmetic under [`crate::nn`].
