//! How checkpoints spell their rotary embedding.

use serde_json::Value as Json;

use crate::nn::{RopeConfig, RopeLayout, RopeScaling};
use crate::weights::Metadata;

/// transformers' default for `beta_fast` and `beta_slow` of YaRN.
const YARN_BETAS: (f64, f64) = (32.0, 1.0);

/// From config.json, in the spelling of transformers 4 (`rope_theta`, `rope_scaling`) or 5 (`rope_parameters`).
pub fn from_json(json: &Json, context: usize) -> Result<RopeConfig, String> {
    let mut scaling = None;
    for key in ["rope_parameters", "rope_scaling"] {
        match json.get(key) {
            None | Some(Json::Null) => {}
            Some(value) if value.is_object() => scaling = scaling.or(Some(value)),
            Some(other) => return Err(format!("config.json: '{key}' is {other}, not an object")),
        }
    }
    let number = |key: &str| scaling.and_then(|s| s.get(key)).and_then(Json::as_f64);
    let stated = scaling
        .and_then(|s| s.get("rope_theta"))
        .or_else(|| json.get("rope_theta"))
        .filter(|value| !value.is_null());
    let theta = match stated {
        None => 10_000.0,
        Some(value) => value
            .as_f64()
            .ok_or_else(|| format!("config.json: 'rope_theta' is {value}, not a number"))?,
    };
    if !(theta.is_finite() && theta > 1.0) {
        return Err(format!("config.json: rope_theta is {theta}"));
    }
    let kind = match scaling.and_then(|s| s.get("rope_type").or_else(|| s.get("type"))) {
        None | Some(Json::Null) => "default",
        Some(Json::String(kind)) => kind,
        Some(other) => return Err(format!("config.json: rope_type is {other}, not a name")),
    };
    let needed = |key: &str| {
        number(key)
            .filter(|value| value.is_finite() && *value > 0.0)
            .ok_or_else(|| format!("config.json: rope scaling '{kind}' has no positive '{key}'"))
    };
    let sections =
        match scaling.and_then(|s| s.get("mrope_section")) {
            None | Some(Json::Null) => None,
            Some(value) => Some(sections(value).ok_or_else(|| {
                format!("config.json: mrope_section is {value}, not three counts")
            })?),
        };
    let original = || {
        number("original_max_position_embeddings")
            .map(|n| n as usize)
            .filter(|&n| n > 0)
            .unwrap_or(context)
    };
    let scaling = match kind {
        "default" | "mrope" => RopeScaling::None,
        "linear" => RopeScaling::Linear {
            factor: needed("factor")?,
        },
        "llama3" => RopeScaling::Llama3 {
            factor: needed("factor")?,
            low_freq_factor: needed("low_freq_factor")?,
            high_freq_factor: needed("high_freq_factor")?,
            original_context: original(),
        },
        "yarn" => {
            let factor = needed("factor")?;
            RopeScaling::Yarn {
                factor,
                original_context: original(),
                beta_fast: number("beta_fast").unwrap_or(YARN_BETAS.0),
                beta_slow: number("beta_slow").unwrap_or(YARN_BETAS.1),
                attention_factor: number("attention_factor").unwrap_or_else(|| {
                    yarn_magnitude(factor, number("mscale"), number("mscale_all_dim"))
                }),
                truncate: scaling
                    .and_then(|s| s.get("truncate"))
                    .and_then(Json::as_bool)
                    .unwrap_or(true),
            }
        }
        other => {
            return Err(format!(
                "config.json: rope scaling '{other}' is not supported (default, linear, llama3 and yarn are)"
            ))
        }
    };
    Ok(RopeConfig {
        theta,
        layout: RopeLayout::Halves,
        scaling,
        sections,
    })
}

/// Frequencies of the axes time, height and width.
fn sections(value: &Json) -> Option<[usize; 3]> {
    let counts = value.as_array()?.iter().map(|n| {
        let n = usize::try_from(n.as_u64()?).ok()?;
        (n < 1 << 16).then_some(n)
    });
    counts.collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// YaRN's factor on cosine and sine (section 3.4), with DeepSeek's two scales where they stand.
fn yarn_magnitude(factor: f64, mscale: Option<f64>, mscale_all_dim: Option<f64>) -> f64 {
    let magnitude = |scale: f64| match factor <= 1.0 {
        true => 1.0,
        false => 0.1 * scale * factor.ln() + 1.0,
    };
    match (mscale, mscale_all_dim) {
        (Some(m), Some(all)) if m != 0.0 && all != 0.0 => magnitude(m) / magnitude(all),
        _ => magnitude(1.0),
    }
}

/// From GGUF metadata. (Llama 3's divisors are a tensor, read with the weights.)
pub fn from_gguf(
    metadata: &Metadata,
    arch: &str,
    layout: RopeLayout,
    context: usize,
) -> Result<RopeConfig, String> {
    let number = |key: &str| metadata.f64(&format!("{arch}.rope.{key}"));
    let theta = number("freq_base").unwrap_or(10_000.0);
    if !(theta.is_finite() && theta > 1.0) {
        return Err(format!("{arch}.rope.freq_base is {theta}"));
    }
    let factor = number("scaling.factor").filter(|f| f.is_finite() && *f > 0.0);
    let kind = metadata.str(&format!("{arch}.rope.scaling.type"));
    let scaling = match (kind, factor) {
        (None | Some("none"), _) => RopeScaling::None,
        (Some("linear"), Some(factor)) => RopeScaling::Linear { factor },
        (Some("yarn"), Some(factor)) => RopeScaling::Yarn {
            factor,
            original_context: metadata
                .usize(&format!("{arch}.rope.scaling.original_context_length"))
                .filter(|&n| n > 0)
                .unwrap_or(context),
            beta_fast: number("scaling.yarn_beta_fast").unwrap_or(YARN_BETAS.0),
            beta_slow: number("scaling.yarn_beta_slow").unwrap_or(YARN_BETAS.1),
            attention_factor: yarn_magnitude(factor, None, None)
                * number("scaling.attn_factor").unwrap_or(1.0),
            truncate: true,
        },
        (Some(kind), None) => return Err(format!("rope scaling '{kind}' has no factor")),
        (Some(other), _) => {
            return Err(format!(
                "rope scaling '{other}' is not supported (none, linear and yarn are)"
            ))
        }
    };
    // llama.cpp writes a fourth section, which is 0.
    let sections = match metadata.array(&format!("{arch}.rope.dimension_sections")) {
        None => None,
        Some(counts) => {
            let counts: Option<Vec<usize>> = counts.iter().map(|n| n.as_usize()).collect();
            match counts.as_deref() {
                // llama.cpp writes a fourth section, which is 0.
                Some(&[time, height, width] | &[time, height, width, 0]) => {
                    Some([time, height, width])
                }
                _ => {
                    return Err(format!(
                        "{arch}.rope.dimension_sections are not three counts"
                    ))
                }
            }
        }
    };
    Ok(RopeConfig {
        theta,
        layout,
        scaling,
        sections,
    })
}
