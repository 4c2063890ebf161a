//! Tensor names: Hugging Face's (`model.layers.0.self_attn.q_proj.weight`) and GGUF's (`blk.0.attn_q.weight`),
//! for the decoders of the llama, qwen2 and qwen3 families (llama.cpp's `gguf-py/gguf/tensor_mapping.py`).

/// Names outside the layers: Hugging Face's, GGUF's.
const TOP: &[(&str, &str)] = &[
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
    ("rope_freqs", "rope_freqs"),
];

/// Names within a layer: after `model.layers.N.`, after `blk.N.`.
const LAYER: &[(&str, &str)] = &[
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Hugging Face's name → GGUF's, or None for a name that neither table knows.
pub fn to_gguf(name: &str) -> Option<String> {
    translate(name, "model.layers.", "blk.", |&(hf, gguf)| (hf, gguf))
}

/// GGUF's name → Hugging Face's.
pub fn to_hf(name: &str) -> Option<String> {
    translate(name, "blk.", "model.layers.", |&(hf, gguf)| (gguf, hf))
}

fn translate(
    name: &str,
    from_layers: &str,
    to_layers: &str,
    direction: impl Fn(&'static (&'static str, &'static str)) -> (&'static str, &'static str),
) -> Option<String> {
    let (stem, kind) = name.rsplit_once('.')?;
    if kind != "weight" && kind != "bias" {
        return None;
    }
    let find = |table: &'static [(&'static str, &'static str)], key: &str| {
        table
            .iter()
            .map(&direction)
            .find_map(|(from, to)| (from == key).then_some(to))
    };
    if let Some(rest) = stem.strip_prefix(from_layers) {
        let (layer, part) = rest.split_once('.')?;
        if layer.is_empty() || !layer.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let part = find(LAYER, part)?;
        return Some(format!("{to_layers}{layer}.{part}.{kind}"));
    }
    Some(format!("{}.{kind}", find(TOP, stem)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_translates_there_and_back() {
        for (hf, gguf) in TOP {
            let hf = format!("{hf}.weight");
            assert_eq!(to_gguf(&hf), Some(format!("{gguf}.weight")));
            assert_eq!(to_hf(&format!("{gguf}.weight")), Some(hf));
        }
        for (hf, gguf) in LAYER {
            for kind in ["weight", "bias"] {
                let hf = format!("model.layers.17.{hf}.{kind}");
                let gguf = format!("blk.17.{gguf}.{kind}");
                assert_eq!(to_gguf(&hf).as_deref(), Some(gguf.as_str()));
                assert_eq!(to_hf(&gguf), Some(hf));
            }
        }
    }

    #[test]
    fn unknown_names_stay_unknown() {
        for name in [
            "",
            "weight",
            "model.layers.weight",
            "model.layers.x.mlp.up_proj.weight",
            "model.layers..mlp.up_proj.weight",
            "model.layers.0.mlp.up_proj.scale",
            "model.layers.0.mlp.weight",
            "visual.blocks.0.attn.qkv.weight",
        ] {
            assert_eq!(to_gguf(name), None, "{name}");
        }
        assert_eq!(to_hf("blk.0.attn_qkv.weight"), None);
    }
}
