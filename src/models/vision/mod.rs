//! Models that read images: an encoder turns an image into rows in the place of embeddings, and a decoder of the llama
//! family reads them among its tokens. Video is not read.

mod fields;
pub mod mmproj;
pub mod namo;
pub mod qwen;
#[cfg(feature = "cuda")]
mod room;

#[cfg(feature = "cuda")]
pub use room::Shape;
use serde_json::Value as Json;

use super::{Encoded, ModelError};
use crate::image::Wants;
#[cfg(feature = "cuda")]
use crate::kernels::cuda;
use crate::kernels::Simd;
use crate::nn::{Linear, Rows, Workspace};
use crate::weights::{Checkpoint, Loader};

/// The patches of one image, rows of `channels · side · side` numbers (channel, y, x), in the order that the model
/// reads them.
#[derive(Debug, Clone, Copy)]
pub struct Patches<'a> {
    pub rows: &'a [f32],
    /// Patches from top to bottom, and from left to right.
    pub height: usize,
    pub width: usize,
}

/// How images stand in a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// As this token, once for each row.
    Token(u32),
    /// As the token of this text, once for each row.
    Named(&'static str),
    /// As a text that is no token: the texts before and behind it are tokenised apart, and nothing of it is left.
    Text(&'static str),
}

/// Where an encoder stands: its activations, `[patches, hidden]`, in the order in which it holds them.
pub struct Stage<'a>(Held<'a>);

enum Held<'a> {
    Host(&'a [f32]),
    /// So many numbers of the residual stream.
    #[cfg(feature = "cuda")]
    Gpu(&'a cuda::Work, usize),
}

impl Stage<'_> {
    /// A copy of the activations; waits for a GPU.
    ///
    /// # Errors
    /// Those of the GPU.
    pub fn to_vec(&self) -> Result<Vec<f32>, ModelError> {
        match self.0 {
            Held::Host(x) => Ok(x.to_vec()),
            #[cfg(feature = "cuda")]
            Held::Gpu(work, numbers) => {
                let mut x = vec![0f32; numbers];
                work.rows(0, 0, &mut x)?;
                Ok(x)
            }
        }
    }
}

/// Turns images into rows for a decoder.
pub trait ImageEncoder: Send {
    /// The rows of one image. `after` is called behind the embedding of the patches and behind each block; on a GPU that
    /// may be while it computes the last two. Once it says no the result is None.
    ///
    /// # Errors
    /// Patches of another shape than the model's, no memory.
    fn encode(
        &mut self,
        patches: Patches,
        after: &mut dyn FnMut(Stage) -> bool,
    ) -> Result<Option<Encoded>, ModelError>;

    /// How images stand in a prompt.
    fn marker(&self) -> Marker;

    /// Rows that [`ImageEncoder::encode`] gives for so many patches from top to bottom and from left to right.
    fn rows(&self, height: usize, width: usize) -> usize;

    /// Numbers of a row that [`ImageEncoder::encode`] gives.
    fn width(&self) -> usize;

    /// What the model asks of an image.
    fn wants(&self) -> Wants;
}

/// The configuration of the decoder of a model of images and text: what `text_config` says, over what stands beside it
/// (as checkpoints of before transformers 4.52 have it), over the defaults of the class, which transformers leaves out
/// when it saves.
pub(super) fn text_config(
    json: &Json,
    model_type: &str,
    checkpoint: &Checkpoint,
) -> Result<Json, String> {
    let (defaults, flat) = match model_type {
        "namo" => (namo::text_defaults(), false),
        _ => (qwen::text_defaults(), true),
    };
    let mut all = defaults;
    if flat {
        fields::put_over(&mut all, json);
    }
    match json.get("text_config") {
        None | Some(Json::Null) if flat => {}
        None | Some(Json::Null) => return Err("config.json has no 'text_config'".into()),
        Some(text) if text.is_object() => fields::put_over(&mut all, text),
        Some(other) => return Err(format!("config.json: 'text_config' is {other}, no object")),
    }
    let head = checkpoint.contains("lm_head.weight");
    if let Some(all) = all.as_object_mut() {
        let tied = all.get("tie_word_embeddings").and_then(Json::as_bool);
        match tied {
            // A head of its own is there to be used.
            Some(true) if head && model_type == "namo" => {
                all.insert("tie_word_embeddings".into(), false.into());
            }
            None => {
                all.insert("tie_word_embeddings".into(), (!head).into());
            }
            Some(_) => {}
        }
    }
    Ok(all)
}

/// What the user should know of where the encoder of `loader` computes.
pub fn note(loader: &Loader) -> Option<String> {
    #[cfg(feature = "cuda")]
    return loader.encoder_note();
    #[cfg(not(feature = "cuda"))]
    {
        let _ = loader;
        None
    }
}

/// Whether the encoder of `loader` computes in this machine's memory.
pub fn on_host(loader: &Loader) -> bool {
    #[cfg(feature = "cuda")]
    return loader.for_encoder().is_none();
    #[cfg(not(feature = "cuda"))]
    {
        let _ = loader;
        true
    }
}

/// `x · Wᵀ + b` in this machine's memory, `[rows, outputs]`.
fn product(
    linear: &Linear,
    x: Vec<f32>,
    width: usize,
    work: &mut Workspace,
) -> Result<Vec<f32>, ModelError> {
    match linear.forward(&Rows::Host { x, width }, work)? {
        Rows::Host { x, .. } => Ok(x),
        Rows::Tensor(_) => Err(ModelError::Compute(candle_core::Error::Msg(
            "an image encoder's layer is on another device".into(),
        ))),
    }
}

/// Exact GELU in place (Hendrycks & Gimpel, 2016, arXiv:1606.08415).
fn gelu(x: &mut [f32]) {
    crate::kernels::conv::gelu_in_place(Simd::detect(), x);
}

/// That an image has the rows that its size says, and some.
fn check(patches: &Patches, row: usize, merge: usize) -> Result<(), ModelError> {
    let count = patches.height.checked_mul(patches.width);
    let numbers = count.and_then(|count| count.checked_mul(row));
    let whole = patches.height.is_multiple_of(merge) && patches.width.is_multiple_of(merge);
    match numbers == Some(patches.rows.len()) && whole && !patches.rows.is_empty() {
        true => Ok(()),
        false => Err(ModelError::Tokens(format!(
            "{} x {} patches of {row} numbers are not {} numbers; preprocessor_config.json and config.json may belong \
             to different models",
            patches.height,
            patches.width,
            patches.rows.len()
        ))),
    }
}
