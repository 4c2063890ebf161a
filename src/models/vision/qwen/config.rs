//! `vision_config` of Qwen2.5-VL, or the metadata of its mmproj file.

use serde_json::Value as Json;

use crate::models::vision::fields::{token, Fields};
use crate::models::vision::{mmproj, Marker};
use crate::models::ModelError;
use crate::weights::{Checkpoint, Header, Metadata};

/// What stands in a prompt for each row of an image.
const IMAGE_PAD: &str = "<|image_pad|>";

/// The shape of the encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct QwenVisionConfig {
    pub depth: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_heads: usize,
    /// Width of the decoder.
    pub out_hidden_size: usize,
    /// Side of a patch, pixels.
    pub patch: usize,
    /// Frames of a patch.
    pub frames: usize,
    /// Patches of a cell, in each direction.
    pub merge: usize,
    /// Cells of a window, in each direction.
    pub window: usize,
    /// The blocks that see the whole image.
    pub whole: Vec<usize>,
    pub eps: f64,
    pub marker: Marker,
    /// Mean and standard deviation, where the file names them.
    pub normalisation: Option<[[f64; 3]; 2]>,
}

impl QwenVisionConfig {
    /// Reads the configuration of `checkpoint`.
    ///
    /// # Errors
    /// A value of another type, or that asks for something crane does not compute.
    pub fn read(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let config = match checkpoint.header() {
            Header::HuggingFace(json) => Self::from_json(json),
            Header::Gguf(metadata) => Self::from_mmproj(metadata),
        };
        config
            .and_then(|config| config.checked(checkpoint))
            .map_err(|reason| ModelError::Config {
                file: checkpoint.path().display().to_string(),
                reason,
            })
    }

    /// Numbers of a patch of one frame.
    pub fn row(&self) -> usize {
        3 * self.patch * self.patch
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        let vision = Fields::of(json, "vision_config")?;
        vision.one_of("hidden_act", &["silu", "swish"])?;
        for key in ["in_chans", "in_channels"] {
            if vision.size(key, 3)? != 3 {
                return Err(format!("config.json: vision_config.{key} is not 3"));
            }
        }
        let patch = vision.size("patch_size", 14)?;
        let merge = vision.size("spatial_merge_size", 2)?;
        let window = vision.size("window_size", 112)?;
        Ok(Self {
            depth: vision.size("depth", 32)?,
            hidden_size: vision.size("hidden_size", 3584)?,
            intermediate_size: vision.size("intermediate_size", 3420)?,
            num_heads: vision.size("num_heads", 16)?,
            out_hidden_size: vision.size("out_hidden_size", 3584)?,
            patch,
            frames: vision.size("temporal_patch_size", 2)?,
            merge,
            window: window / merge / patch,
            whole: vision.indices("fullatt_block_indexes", &[7, 15, 23, 31])?,
            eps: 1e-6,
            marker: match token(json, "image_token_id")? {
                Some(id) => Marker::Token(id),
                None => Marker::Named(IMAGE_PAD),
            },
            normalisation: None,
        })
    }

    /// The keys that llama.cpp's converter writes.
    fn from_mmproj(metadata: &Metadata) -> Result<Self, String> {
        mmproj::check(metadata)?;
        let number = |key: &str| {
            let key = format!("clip.vision.{key}");
            metadata
                .usize(&key)
                .filter(|n| (1..1 << 28).contains(n))
                .ok_or_else(|| format!("metadata has no positive number '{key}'"))
        };
        if metadata.bool("clip.use_silu") == Some(false) {
            return Err("its activation is not SiLU, which Qwen2.5-VL's is".into());
        }
        let depth = number("block_count")?;
        let every = number("n_wa_pattern")?;
        let patch = number("patch_size")?;
        let triple = |key: &str| {
            let all = metadata.array(&format!("clip.vision.{key}"))?;
            let all: Option<Vec<f64>> = all.iter().map(|x| x.as_f64()).collect();
            <[f64; 3]>::try_from(all?).ok()
        };
        // The converter writes neither: they are the architecture's.
        let (merge, window) = (
            number("spatial_merge_size").unwrap_or(2),
            number("window_size"),
        );
        Ok(Self {
            depth,
            hidden_size: number("embedding_length")?,
            intermediate_size: number("feed_forward_length")?,
            num_heads: number("attention.head_count")?,
            out_hidden_size: number("projection_dim")?,
            patch,
            frames: 2,
            merge,
            window: window.unwrap_or(112) / merge / patch,
            whole: (0..depth.min(1 << 16))
                .filter(|i| (i + 1).is_multiple_of(every))
                .collect(),
            eps: metadata
                .f64("clip.vision.attention.layer_norm_epsilon")
                .unwrap_or(1e-6),
            marker: Marker::Named(IMAGE_PAD),
            normalisation: triple("image_mean")
                .zip(triple("image_std"))
                .map(|(m, s)| [m, s]),
        })
    }

    fn checked(self, checkpoint: &Checkpoint) -> Result<Self, String> {
        let (hidden, heads) = (self.hidden_size, self.num_heads);
        if !hidden.is_multiple_of(heads) || !(hidden / heads).is_multiple_of(4) {
            return Err(format!(
                "{hidden} numbers do not split into {heads} heads of a multiple of four"
            ));
        }
        if self.window == 0 || self.merge > 16 || self.patch > 1024 || self.frames > 16 {
            return Err(format!(
                "a window of {} cells of {} patches of {} pixels cannot be computed",
                self.window, self.merge, self.patch
            ));
        }
        if self.depth > 10_000 {
            return Err(format!("the depth is {}", self.depth));
        }
        let next = format!("visual.blocks.{}.norm1.weight", self.depth);
        match checkpoint.contains(&next) {
            true => Err(format!(
                "the depth is {}, but there is '{next}'",
                self.depth
            )),
            false => Ok(self),
        }
    }
}
