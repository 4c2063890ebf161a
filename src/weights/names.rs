//! Tensor names: Hugging Face's (`model.layers.0.self_attn.q_proj.weight`) and GGUF's (`blk.0.attn_q.weight`),
//! for the decoders of the llama, qwen2 and qwen3 families and the image encoder of Qwen2.5-VL (llama.cpp's
//! `gguf-py/gguf/tensor_mapping.py`); and other spellings of Hugging Face's.

/// Names outside the layers: Hugging Face's, GGUF's.
const TOP: &[(&str, &str)] = &[
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
    ("rope_freqs", "rope_freqs"),
    ("visual.merger.ln_q", "v.post_ln"),
    ("visual.merger.mlp.0", "mm.0"),
    ("visual.merger.mlp.2", "mm.2"),
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

/// Names within a block of an image encoder: after `visual.blocks.N.`, after `v.blk.N.`. GGUF has query, key and value
/// apart, where Hugging Face's name is `attn.qkv`.
const BLOCK: &[(&str, &str)] = &[
    ("norm1", "ln1"),
    ("norm2", "ln2"),
    ("attn.q", "attn_q"),
    ("attn.k", "attn_k"),
    ("attn.v", "attn_v"),
    ("attn.proj", "attn_out"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// What stands before the number of a layer: Hugging Face's, GGUF's, and the table that goes on.
type Layers = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);
const LAYERS: [Layers; 2] = [
    ("model.layers.", "blk.", LAYER),
    ("visual.blocks.", "v.blk.", BLOCK),
];

/// How a name may begin, and how the same name begins in some files: transformers writes models of images and text so
/// since 4.52, and Namo its decoder.
const SPELLINGS: &[(&str, &str)] = &[
    ("model.", "model.language_model."),
    ("visual.", "model.visual."),
    ("model.", "namo.llm."),
];

/// Other spellings of Hugging Face's `name`, which a file may have in its place.
pub fn spellings(name: &str) -> impl Iterator<Item = String> + '_ {
    SPELLINGS
        .iter()
        .filter_map(move |(from, to)| Some(format!("{to}{}", name.strip_prefix(from)?)))
}

/// Hugging Face's name → GGUF's, or None for a name that neither table knows.
pub fn to_gguf(name: &str) -> Option<String> {
    translate(name, |&(hf, gguf)| (hf, gguf), |&(hf, gguf, _)| (hf, gguf))
}

/// GGUF's name → Hugging Face's.
pub fn to_hf(name: &str) -> Option<String> {
    translate(name, |&(hf, gguf)| (gguf, hf), |&(hf, gguf, _)| (gguf, hf))
}

fn translate(
    name: &str,
    direction: impl Fn(&'static (&'static str, &'static str)) -> (&'static str, &'static str),
    layers: impl Fn(&'static Layers) -> (&'static str, &'static str),
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
    for row in &LAYERS {
        let (from, to) = layers(row);
        if let Some(rest) = stem.strip_prefix(from) {
            let (layer, part) = rest.split_once('.')?;
            if layer.is_empty() || !layer.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let part = find(row.2, part)?;
            return Some(format!("{to}{layer}.{part}.{kind}"));
        }
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
        for (before, gguf_before, table) in LAYERS {
            for (hf, gguf) in table {
                for kind in ["weight", "bias"] {
                    let hf = format!("{before}17.{hf}.{kind}");
                    let gguf = format!("{gguf_before}17.{gguf}.{kind}");
                    assert_eq!(to_gguf(&hf).as_deref(), Some(gguf.as_str()));
                    assert_eq!(to_hf(&gguf), Some(hf));
                }
            }
        }
    }

    #[test]
    fn a_name_may_begin_otherwise() {
        let spelled = |name| spellings(name).collect::<Vec<_>>();
        assert_eq!(
            spelled("model.norm.weight"),
            ["model.language_model.norm.weight", "namo.llm.norm.weight"]
        );
        assert_eq!(spelled("visual.x"), ["model.visual.x"]);
        assert!(spelled("lm_head.weight").is_empty());
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
            "visual.blocks.x.norm1.weight",
        ] {
            assert_eq!(to_gguf(name), None, "{name}");
        }
        assert_eq!(to_hf("blk.0.attn_qkv.weight"), None);
    }
}
