//! What Namo's config.json says of tower and connector.

use serde_json::Value as Json;

use super::connector::Kind;
use crate::models::vision::fields::Fields;
use crate::models::vision::text_config;
use crate::models::ModelError;
use crate::weights::Checkpoint;

/// The shape of tower and connector.
#[derive(Debug, Clone, PartialEq)]
pub struct NamoConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_heads: usize,
    /// Blocks that are computed: those behind the features are not.
    pub blocks: usize,
    /// Side of a patch, pixels.
    pub patch: usize,
    pub eps: f64,
    pub qkv_bias: bool,
    pub use_bias: bool,
    /// Width of the decoder.
    pub out_hidden_size: usize,
    pub connector: Kind,
    /// Limits of a side that stand in config.json, pixels.
    pub longest: Option<usize>,
    pub shortest: Option<usize>,
}

impl NamoConfig {
    /// Reads config.json; what it leaves out is what transformers' `Aimv2VisionConfig` has.
    ///
    /// # Errors
    /// A value of another type, or that asks for something crane does not compute.
    pub fn read(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let json = checkpoint.config().unwrap_or(&Json::Null);
        Self::from_json(json, checkpoint).map_err(|reason| ModelError::Config {
            file: checkpoint.path().display().to_string(),
            reason,
        })
    }

    /// Numbers of a patch.
    pub fn row(&self) -> usize {
        3 * self.patch * self.patch
    }

    fn from_json(json: &Json, checkpoint: &Checkpoint) -> Result<Self, String> {
        let vision = Fields::of(json, "vision_config")?;
        vision.one_of("hidden_act", &["silu", "swish"])?;
        vision.one_of("model_type", &["aimv2", "aimv2_vision_model"])?;
        if vision.size("num_channels", 3)? != 3 {
            return Err("config.json: vision_config.num_channels is not 3".into());
        }
        let tower = "namo.ve.vision_tower";
        if checkpoint.contains(&format!("{tower}.preprocessor.pos_embed")) {
            return Err("the tower is AIMv2 for one image size, not the native one".into());
        }
        let text = text_config(json, "namo", checkpoint)?;
        let out_hidden_size =
            Fields::of(&serde_json::json!({ "text_config": text }), "text_config")?
                .size("hidden_size", 4096)?;
        let depth = vision.size("num_hidden_layers", 24)?;
        let hidden_size = vision.size("hidden_size", 1024)?;
        let num_heads = vision.size("num_attention_heads", 8)?;
        if !hidden_size.is_multiple_of(num_heads) || !hidden_size.is_multiple_of(4) {
            return Err(format!(
                "{hidden_size} numbers do not split into {num_heads} heads"
            ));
        }
        let kind = match json.get("conn_ve_llm_type") {
            None | Some(Json::Null) => Kind::named("mlp2x_gelu"),
            Some(Json::String(name)) => Kind::named(name),
            Some(other) => {
                return Err(format!("config.json: conn_ve_llm_type is {other}, no name"))
            }
        };
        let side = |key: &str| match json.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => match value.as_u64().filter(|n| (1..1 << 20).contains(n)) {
                Some(n) => Ok(Some(n as usize)),
                None => Err(format!(
                    "config.json: '{key}' is {value}, no number of pixels"
                )),
            },
        };
        Ok(Self {
            hidden_size,
            intermediate_size: vision.size("intermediate_size", 2816)?,
            num_heads,
            blocks: blocks(json, depth)?,
            patch: vision.size("patch_size", 14)?,
            eps: vision.eps("rms_norm_eps", 1e-5)?,
            qkv_bias: vision.flag("qkv_bias", false)?,
            use_bias: vision.flag("use_bias", false)?,
            out_hidden_size,
            connector: kind?,
            longest: side("longest_edge")?,
            shortest: side("shortest_edge")?,
        })
    }
}

/// Blocks up to the one whose output the connector reads: `vision_feature_layer`, counted from the end where it is
/// negative.
fn blocks(json: &Json, depth: usize) -> Result<usize, String> {
    let layer = match json.get("vision_feature_layer") {
        None | Some(Json::Null) => -2,
        Some(value) => value
            .as_i64()
            .ok_or_else(|| format!("config.json: vision_feature_layer is {value}, no number"))?,
    };
    let depth = depth as i64;
    match if layer < 0 { depth + layer } else { layer } {
        index if (0..depth).contains(&index) => Ok(index as usize + 1),
        _ => Err(format!(
            "config.json: vision_feature_layer {layer} is none of {depth} blocks"
        )),
    }
}
