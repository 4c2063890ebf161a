//! crane runs language, speech and vision models on your own machine.
//!
//! The way of the work, module by module:
//!
//! what the user typed ([`cli`]) → which files that names ([`hub`]) → tensors ([`weights`])
//! → a tokenizer and a chat template ([`text`]) → a model ([`models`], built of [`nn`], which
//! runs on [`kernels`]) → a stream of tokens ([`generate`]), speech ([`speech`], with [`audio`] at
//! its ends), or measurements of it ([`bench`]). Pictures ([`image`]) join the tokens in [`vision`].
//!
//! Arrows run one way: `cli → generate, speech, vision, bench → models → nn → kernels` and `cli → hub → weights`.
//! Nothing below `cli` prints, reads the environment or exits.

pub mod audio;
pub mod bench;
pub mod cli;
pub mod generate;
pub mod hub;
pub mod image;
pub mod kernels;
pub mod models;
pub mod nn;
pub mod speech;
mod stack;
pub mod text;
pub mod vision;
pub mod weights;
