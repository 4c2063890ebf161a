//! What the headers of a llama-family checkpoint say: config.json and GGUF metadata read into one [`Config`].

use serde_json::Value as Json;

use super::rope_config;
use super::vision;
use super::ModelError;
use crate::nn::{RopeConfig, RopeLayout};
use crate::weights::{Checkpoint, Header, Metadata};

/// No model has as many; a count from a damaged header must cost no memory.
const MOST_LAYERS: usize = 10_000;

/// The configuration of a decoder of the llama family, whatever file it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub n_layers: usize,
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    pub rms_norm_eps: f64,
    /// Tokens the model was made for (`max_position_embeddings`).
    pub context_length: usize,
    /// The head is the embedding.
    pub tie_word_embeddings: bool,
    pub qkv_bias: bool,
    pub output_bias: bool,
    pub mlp_bias: bool,
    /// RMS norm of each query and key head (Qwen3).
    pub qk_norm: bool,
    /// For each layer, how many tokens it sees; None: all.
    pub windows: Vec<Option<usize>>,
    pub rope: RopeConfig,
    /// The file holds a divisor for each frequency, `rope_freqs.weight` (GGUF of Llama 3).
    pub rope_freqs: bool,
}

impl Config {
    /// Reads the configuration of `checkpoint`'s decoder; `model_type` as in [`super::ARCHITECTURES`].
    ///
    /// # Errors
    /// A field that is missing, of another type, or that asks for something crane does not compute.
    pub fn read(checkpoint: &Checkpoint, model_type: &str) -> Result<Self, ModelError> {
        let file = checkpoint.path().display().to_string();
        // The decoders of these models of images and text are Qwen2's.
        let decoder = match model_type {
            "qwen2_5_vl" | "namo" => "qwen2",
            other => other,
        };
        let config = match checkpoint.header() {
            Header::Gguf(metadata) => Self::from_gguf(checkpoint, metadata, decoder),
            Header::HuggingFace(json) if decoder == model_type => Self::from_json(json, decoder),
            Header::HuggingFace(json) => vision::text_config(json, model_type, checkpoint)
                .and_then(|json| Self::from_json(&json, decoder)),
        };
        config
            .and_then(|config| config.checked())
            .and_then(|config| config.without_more_layers(checkpoint))
            .map_err(|reason| ModelError::Config { file, reason })
    }

    fn from_json(json: &Json, model_type: &str) -> Result<Self, String> {
        let hidden_size = required(json, "hidden_size")?;
        let n_layers = required(json, "num_hidden_layers")?;
        let n_heads = required(json, "num_attention_heads")?;
        let n_kv_heads = optional(json, "num_key_value_heads")?.unwrap_or(n_heads);
        let head_dim = match optional(json, "head_dim")? {
            Some(head_dim) => head_dim,
            None => hidden_size.checked_div(n_heads).unwrap_or(0),
        };
        match json.get("hidden_act") {
            None | Some(Json::Null) => {}
            Some(Json::String(name)) if matches!(name.as_str(), "silu" | "swish") => {}
            Some(other) => {
                return Err(format!(
                    "config.json: hidden_act {other} is not supported (silu is)"
                ))
            }
        }
        match json.get("partial_rotary_factor") {
            None | Some(Json::Null) => {}
            Some(factor) if factor.as_f64() == Some(1.0) => {}
            Some(factor) => {
                return Err(format!(
                    "config.json: partial_rotary_factor {factor} is not supported"
                ))
            }
        }
        let attention_bias = flag(json, "attention_bias")?;
        let context_length = required(json, "max_position_embeddings")?;
        Ok(Self {
            vocab_size: required(json, "vocab_size")?,
            hidden_size,
            intermediate_size: required(json, "intermediate_size")?,
            n_layers,
            n_heads,
            n_kv_heads,
            head_dim,
            rms_norm_eps: json
                .get("rms_norm_eps")
                .and_then(Json::as_f64)
                .ok_or("config.json has no number 'rms_norm_eps'")?,
            context_length,
            tie_word_embeddings: flag(json, "tie_word_embeddings")?,
            qkv_bias: model_type == "qwen2" || attention_bias,
            output_bias: model_type != "qwen2" && attention_bias,
            mlp_bias: flag(json, "mlp_bias")? && model_type == "llama",
            qk_norm: model_type == "qwen3",
            windows: windows(json, model_type, n_layers)?,
            rope: rope_config::from_json(json, context_length)?,
            rope_freqs: false,
        })
    }

    fn from_gguf(
        checkpoint: &Checkpoint,
        metadata: &Metadata,
        model_type: &str,
    ) -> Result<Self, String> {
        let arch = metadata
            .str("general.architecture")
            .ok_or("general.architecture is missing")?;
        let number = |key: &str| metadata.usize(&format!("{arch}.{key}"));
        let needed =
            |key: &str| number(key).ok_or_else(|| format!("metadata has no number '{arch}.{key}'"));
        let hidden_size = needed("embedding_length")?;
        let n_layers = needed("block_count")?;
        let n_heads = needed("attention.head_count")?;
        let head_dim = match number("attention.key_length") {
            Some(head_dim) => head_dim,
            None => hidden_size.checked_div(n_heads).unwrap_or(0),
        };
        if number("attention.value_length").is_some_and(|length| length != head_dim) {
            return Err("keys and values of different lengths are not supported".into());
        }
        if let Some(rotated) = number("rope.dimension_count").filter(|&r| r != head_dim) {
            return Err(format!(
                "a rotary embedding of {rotated} of {head_dim} dimensions is not supported"
            ));
        }
        if number("expert_count").is_some_and(|experts| experts > 0) {
            return Err("mixtures of experts are not supported".into());
        }
        let vocab_size = checkpoint
            .tensors()
            .find(|tensor| tensor.name == "token_embd.weight")
            .and_then(|tensor| tensor.shape.first().copied())
            .ok_or("tensor 'token_embd.weight' is missing")?;
        let has = |name: &str| checkpoint.contains(name);
        let layout = match model_type {
            "llama" | "mistral" => RopeLayout::Pairs,
            _ => RopeLayout::Halves,
        };
        let context_length = needed("context_length")?;
        Ok(Self {
            vocab_size,
            hidden_size,
            intermediate_size: needed("feed_forward_length")?,
            n_layers,
            n_heads,
            n_kv_heads: number("attention.head_count_kv").unwrap_or(n_heads),
            head_dim,
            rms_norm_eps: metadata
                .f64(&format!("{arch}.attention.layer_norm_rms_epsilon"))
                .ok_or_else(|| {
                    format!("metadata has no number '{arch}.attention.layer_norm_rms_epsilon'")
                })?,
            context_length,
            tie_word_embeddings: !has("output.weight"),
            qkv_bias: model_type == "qwen2" || has("blk.0.attn_q.bias"),
            output_bias: has("blk.0.attn_output.bias"),
            mlp_bias: has("blk.0.ffn_gate.bias"),
            qk_norm: model_type == "qwen3",
            windows: vec![None; n_layers.min(MOST_LAYERS + 1)],
            rope: rope_config::from_gguf(metadata, arch, layout, context_length)?,
            rope_freqs: has("rope_freqs.weight"),
        })
    }

    /// A model cut off after `n_layers` of its layers would answer, and answer nonsense.
    fn without_more_layers(self, checkpoint: &Checkpoint) -> Result<Self, String> {
        let n = self.n_layers;
        let names = [
            format!("model.layers.{n}.input_layernorm.weight"),
            format!("blk.{n}.attn_norm.weight"),
        ];
        match names.iter().find(|name| checkpoint.contains(name)) {
            Some(name) => Err(format!(
                "num_hidden_layers is {n}, but there is a tensor '{name}'"
            )),
            None => Ok(self),
        }
    }

    /// Refuses what no model has and what would fail later with a message nobody understands.
    fn checked(self) -> Result<Self, String> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", self.n_heads),
            ("num_key_value_heads", self.n_kv_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.context_length),
        ];
        // No size of a real model comes near; products of two stay far below usize's end.
        const LARGEST: usize = 1 << 28;
        for (name, size) in sizes {
            if size == 0 || size > LARGEST {
                return Err(format!("{name} is {size}"));
            }
        }
        if self.n_layers == 0 || self.n_layers > MOST_LAYERS {
            return Err(format!("num_hidden_layers is {}", self.n_layers));
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            return Err(format!(
                "{} attention heads cannot share {} key/value heads",
                self.n_heads, self.n_kv_heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(format!("head_dim is odd: {}", self.head_dim));
        }
        // It guards a mean of squares against 0; what is not far below 1 would drown the signal.
        if !(0.0..1.0).contains(&self.rms_norm_eps) {
            return Err(format!("rms_norm_eps is {}", self.rms_norm_eps));
        }
        Ok(self)
    }
}

/// Sliding windows a layer, by transformers' rules: `layer_types` where it stands, else Qwen2's
/// `use_sliding_window` with `max_window_layers`, else Mistral's `sliding_window` for all layers.
fn windows(json: &Json, model_type: &str, n_layers: usize) -> Result<Vec<Option<usize>>, String> {
    let n_layers = n_layers.min(MOST_LAYERS + 1);
    let window = optional(json, "sliding_window")?;
    let used = match model_type {
        "qwen2" | "qwen3" => flag(json, "use_sliding_window")?,
        "mistral" => true,
        _ => false,
    };
    let types = match json.get("layer_types") {
        None | Some(Json::Null) => None,
        Some(Json::Array(types)) => Some(types),
        Some(other) => return Err(format!("config.json: 'layer_types' is {other}, not a list")),
    };
    let Some(window) = window.filter(|_| used) else {
        return Ok(vec![None; n_layers]);
    };
    if window == 0 {
        return Err("config.json: sliding_window is 0".into());
    }
    if let Some(types) = types {
        if types.len() != n_layers {
            return Err(format!(
                "config.json: {} layer_types for {n_layers} layers",
                types.len()
            ));
        }
        return types
            .iter()
            .map(|layer| match layer.as_str() {
                Some("full_attention") => Ok(None),
                Some("sliding_attention") => Ok(Some(window)),
                _ => Err(format!("config.json: layer type {layer} is not supported")),
            })
            .collect();
    }
    let first = match model_type {
        "mistral" => 0,
        _ => optional(json, "max_window_layers")?.unwrap_or(28),
    };
    Ok((0..n_layers)
        .map(|layer| (layer >= first).then_some(window))
        .collect())
}

/// true or false; missing and null are false, as transformers reads them.
fn flag(json: &Json, key: &str) -> Result<bool, String> {
    match json.get(key) {
        None | Some(Json::Null) => Ok(false),
        Some(Json::Bool(value)) => Ok(*value),
        Some(other) => Err(format!(
            "config.json: '{key}' is {other}, not true or false"
        )),
    }
}

/// A non-negative whole number that must be there.
fn required(json: &Json, key: &str) -> Result<usize, String> {
    optional(json, key)?.ok_or_else(|| format!("config.json has no '{key}'"))
}

/// A non-negative whole number; missing and null are None.
fn optional(json: &Json, key: &str) -> Result<Option<usize>, String> {
    match json.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .map(Some)
            .ok_or_else(|| format!("config.json: '{key}' is {value}, not a whole number")),
    }
}
