//! The published sizes of models that read images, so that they can be measured before anything is downloaded.

use serde_json::{json, Value};

use crate::bench::synthetic::text_tensors;
use crate::weights::{Checkpoint, Format, WeightsError};

/// What is measured when no model is named.
pub const DEFAULT: &str = "namo-500m";

/// A published model: its name in the catalogue, its config.json as far as it is no default, its tensors.
struct Published {
    alias: &'static str,
    config: fn() -> Value,
    tensors: fn() -> Vec<(String, Vec<usize>)>,
}

static ALL: [Published; 2] = [
    Published {
        alias: "namo-500m",
        config: namo_config,
        tensors: namo_tensors,
    },
    Published {
        alias: "qwen2.5-vl-3b",
        config: qwen_config,
        tensors: qwen_tensors,
    },
];

/// The names that [`checkpoint`] takes.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|model| model.alias).collect()
}

/// The model `alias` with seeded weights, stored as `format`.
///
/// # Errors
/// A name that is none of [`names`]; a `format` that is no float type.
pub fn checkpoint(alias: &str, format: Format) -> Result<Checkpoint, WeightsError> {
    let label = format!("synthetic:{alias}");
    let found = ALL
        .iter()
        .find(|model| model.alias.eq_ignore_ascii_case(alias));
    let model = found.ok_or_else(|| WeightsError::Missing {
        file: label.clone().into(),
        reason: format!(
            "no sizes are known for this name; there are {}",
            names().join(", ")
        ),
    })?;
    Checkpoint::synthetic(&label, (model.config)(), (model.tensors)(), format)
}

/// The values of Qwen2.5-VL-3B-Instruct's config.json.
fn qwen_config() -> Value {
    json!({
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "tie_word_embeddings": true,
        "max_position_embeddings": 128_000,
        "rope_theta": 1e6,
        "rope_scaling": {"type": "default", "mrope_section": [16, 24, 24]},
        "rms_norm_eps": 1e-6,
        "use_sliding_window": false,
        "image_token_id": 151_655,
        "vision_config": {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 2048,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
    })
}

fn qwen_tensors() -> Vec<(String, Vec<usize>)> {
    let mut all = text_tensors("qwen2.5-3b");
    let mut add =
        |name: String, shape: &[usize]| all.push((format!("visual.{name}"), shape.to_vec()));
    let (hidden, wide, merged) = (1280, 3420, 4 * 1280);
    add("patch_embed.proj.weight".into(), &[hidden, 3, 2, 14, 14]);
    for block in 0..32 {
        add(format!("blocks.{block}.norm1.weight"), &[hidden]);
        add(format!("blocks.{block}.norm2.weight"), &[hidden]);
        for (layer, rows, width) in [
            ("attn.qkv", 3 * hidden, hidden),
            ("attn.proj", hidden, hidden),
            ("mlp.gate_proj", wide, hidden),
            ("mlp.up_proj", wide, hidden),
            ("mlp.down_proj", hidden, wide),
        ] {
            add(format!("blocks.{block}.{layer}.weight"), &[rows, width]);
            add(format!("blocks.{block}.{layer}.bias"), &[rows]);
        }
    }
    add("merger.ln_q.weight".into(), &[hidden]);
    for (layer, rows) in [("mlp.0", merged), ("mlp.2", 2048)] {
        add(format!("merger.{layer}.weight"), &[rows, merged]);
        add(format!("merger.{layer}.bias"), &[rows]);
    }
    all
}

/// The values of Namo-500M-V1's config.json; those of the tower are the defaults.
fn namo_config() -> Value {
    json!({
        "architectures": ["NamoForCausalLM"],
        "model_type": "namo",
        "conn_ve_llm_type": "pixelshuffle_2x",
        "vision_feature_layer": -2,
        "text_config": {
            "model_type": "qwen2",
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "max_window_layers": 21,
            "rope_theta": 1e6,
            "tie_word_embeddings": true,
        },
        "vision_config": {"model_type": "aimv2"},
    })
}

fn namo_tensors() -> Vec<(String, Vec<usize>)> {
    let own = |(name, shape): (String, Vec<usize>)| {
        let name = name.strip_prefix("model.").unwrap_or(&name);
        (format!("namo.llm.{name}"), shape)
    };
    let mut all: Vec<_> = text_tensors("qwen2.5-0.5b").into_iter().map(own).collect();
    let (hidden, wide, text) = (1024, 2816, 896);
    let joined = 4 * hidden;
    let mut add =
        |name: String, shape: &[usize]| all.push((format!("namo.{name}"), shape.to_vec()));
    for (name, shape) in [
        ("linear_proj.weight", &[text, joined][..]),
        ("norm1.weight", &[text]),
        ("norm1.bias", &[text]),
        ("gate_proj.weight", &[joined, text]),
        ("dense_h_to_4h.weight", &[joined, text]),
        ("dense_4h_to_h.weight", &[text, joined]),
    ] {
        add(format!("conn_ve_llm.layers.0.linear_proj.{name}"), shape);
    }
    for (name, shape) in [
        (
            "preprocessor.patchifier.proj.weight",
            &[hidden, 3, 14, 14][..],
        ),
        ("preprocessor.patchifier.proj.bias", &[hidden]),
        ("preprocessor.patchifier.norm.weight", &[hidden]),
        ("trunk.post_trunk_norm.weight", &[hidden]),
    ] {
        add(format!("ve.vision_tower.{name}"), shape);
    }
    for block in 0..24 {
        for (name, shape) in [
            ("attn.qkv.weight", &[3 * hidden, hidden][..]),
            ("attn.proj.weight", &[hidden, hidden]),
            ("mlp.fc1.weight", &[wide, hidden]),
            ("mlp.fc2.weight", &[hidden, wide]),
            ("mlp.fc3.weight", &[wide, hidden]),
            ("norm_1.weight", &[hidden]),
            ("norm_2.weight", &[hidden]),
        ] {
            add(
                format!("ve.vision_tower.trunk.blocks.{block}.{name}"),
                shape,
            );
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Names and shapes that PyTorch lists.
    fn published(name: &str) -> BTreeMap<String, Vec<usize>> {
        let file = format!(
            "{}/tests/fixtures/vision/{name}.tensors.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let json: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let mut all = BTreeMap::new();
        for row in json["tensors"].as_array().unwrap() {
            let shape: Vec<usize> = serde_json::from_value(row[1].clone()).unwrap();
            for i in 0..row[2].as_u64().unwrap_or(1) {
                let name = row[0].as_str().unwrap().replace("{}", &i.to_string());
                all.insert(name, shape.clone());
            }
        }
        all
    }

    #[test]
    fn tensors_are_the_published_ones() {
        for (name, count) in [("qwen2.5-vl-3b", 824), ("namo-500m", 468)] {
            let expected = published(name);
            let model = ALL.iter().find(|model| model.alias == name).unwrap();
            let made: BTreeMap<_, _> = (model.tensors)().into_iter().collect();
            assert_eq!(made.len(), count, "{name}");
            for (name, shape) in &expected {
                assert_eq!(made.get(name), Some(shape), "{name}");
            }
            assert_eq!(expected.len(), count, "{name}");
            assert_eq!(
                checkpoint(name, Format::BF16).unwrap().tensors().count(),
                count
            );
        }
        assert_eq!(names().len(), 2);
        assert!(checkpoint("qwen2.5-3b", Format::BF16).is_err());
    }
}
