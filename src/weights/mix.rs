//! Which block type `--quant` gives each matrix of a checkpoint.

use candle_core::quantized::GgmlDType;

use super::checkpoint::{Checkpoint, Header};
use super::notes::{is_encoder, is_vocabulary};
use super::options::Quant;

/// What a matrix is for, as far as its block type depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The output head, and an embedding table that is the head too.
    Head,
    /// An embedding table beside a head of its own.
    Embedding,
    /// Values, or the MLP's way back, in a layer that a mix gives more bits.
    Sensitive,
    Other,
}

/// `--quant` for one checkpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mix {
    quant: Quant,
    layers: usize,
    tied: bool,
}

impl Mix {
    pub fn new(quant: Quant, checkpoint: &Checkpoint) -> Self {
        let decoder = checkpoint.tensors().filter(|info| !is_encoder(&info.name));
        let layers = decoder.filter_map(|info| layer(&info.name));
        let said = match checkpoint.header() {
            Header::HuggingFace(config) => config["tie_word_embeddings"].as_bool(),
            Header::Gguf(_) => None,
        };
        Self {
            quant,
            layers: layers.max().map_or(0, |last| last + 1),
            tied: said == Some(true) || !checkpoint.contains("lm_head.weight"),
        }
    }

    /// The block type of the matrix `name` (Hugging Face's or GGUF's) of `width` columns, or None if no block fits and it
    /// stays as it is.
    pub fn block_type(&self, name: &str, width: usize) -> Option<GgmlDType> {
        let types = self.quant.block_types(self.part(name));
        let fits = |t: &GgmlDType| width > 0 && width.is_multiple_of(t.block_size());
        types.into_iter().find(fits)
    }

    fn part(&self, name: &str) -> Part {
        let stem = name.strip_suffix(".weight").unwrap_or(name);
        if is_vocabulary(name) {
            let head = self.tied || stem.ends_with("lm_head") || stem == "output";
            return if head { Part::Head } else { Part::Embedding };
        }
        let sensitive = ["self_attn.v_proj", ".attn_v", "mlp.down_proj", ".ffn_down"];
        let sensitive = sensitive.iter().any(|end| stem.ends_with(end));
        match layer(name) {
            Some(layer) if sensitive && more_bits(layer, self.layers) => Part::Sensitive,
            _ => Part::Other,
        }
    }
}

/// Whether a layer's sensitive matrices get more bits: the first and the last eighth of `layers`, and every third between.
fn more_bits(layer: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

/// The number of the layer that a tensor belongs to.
fn layer(name: &str) -> Option<usize> {
    let mut words = name
        .split('.')
        .skip_while(|w| *w != "layers" && *w != "blk");
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::weights::format::{quantized_name, Format};

    /// Name, type and shape (rows x columns) of the tensors of Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF's
    /// qwen2.5-coder-0.5b-instruct-q4_k_m.gguf, as `crane show --tensors` lists them.
    const PUBLISHED: &str = include_str!("../../tests/fixtures/llama_cpp/q4_k_m.txt");

    fn mix(quant: Quant, tied: bool) -> Mix {
        Mix {
            quant,
            layers: 24,
            tied,
        }
    }

    #[test]
    fn widths_are_respected_and_the_vocabulary_is_spared() {
        use GgmlDType as G;
        let cases = [
            (Quant::Q4K, 1536, false, Some(G::Q4K)),
            (Quant::Q4K, 896, false, Some(G::Q4_0)),
            (Quant::Q4K, 100, false, None),
            (Quant::Q6K, 896, false, Some(G::Q8_0)),
            (Quant::Q6K, 1536, true, Some(G::Q6K)),
            (Quant::Q6K, 896, true, Some(G::Q8_0)),
            (Quant::Q4_0, 1536, true, Some(G::Q8_0)),
            (Quant::Q4K, 1536, true, Some(G::Q8_0)),
            (Quant::Q8_0, 33, true, None),
            (Quant::Q8_0, 0, false, None),
            (Quant::Q4KM, 1536, false, Some(G::Q4K)),
            (Quant::Q4KM, 896, false, Some(G::Q5_0)),
            (Quant::Q4KM, 1536, true, Some(G::Q6K)),
            (Quant::Q4KM, 896, true, Some(G::Q8_0)),
            (Quant::Q4KM, 100, true, None),
        ];
        for (quant, width, vocabulary, expected) in cases {
            let name = match vocabulary {
                true => "lm_head.weight",
                false => "model.layers.3.mlp.up_proj.weight",
            };
            let made = mix(quant, false).block_type(name, width);
            assert_eq!(made, expected, "{quant} {width} {vocabulary}");
        }
    }

    #[test]
    fn an_embedding_is_as_good_as_the_head_where_it_is_the_head() {
        let of = |tied| mix(Quant::Q4KM, tied).block_type("model.embed_tokens.weight", 1024);
        assert_eq!(of(true), Some(GgmlDType::Q6K));
        assert_eq!(of(false), Some(GgmlDType::Q4K));
    }

    #[test]
    fn layers_are_told_by_any_spelling() {
        for name in [
            "model.layers.23.self_attn.v_proj.weight",
            "model.language_model.layers.23.mlp.down_proj.weight",
            "namo.llm.layers.23.mlp.down_proj.weight",
            "blk.23.ffn_down.weight",
        ] {
            assert_eq!(mix(Quant::Q4KM, true).part(name), Part::Sensitive, "{name}");
        }
        for name in [
            "blk.23.attn_k.weight",
            "model.layers.4.mlp.down_proj.weight",
        ] {
            assert_eq!(mix(Quant::Q4KM, true).part(name), Part::Other, "{name}");
        }
    }

    /// llama.cpp counted the layers as they lay in the file, 10 before 2, when that one was made (its issue 9005); today
    /// it goes by their numbers. The layers that get more bits are others, and as many.
    #[test]
    fn the_mix_is_that_of_the_published_file() {
        let mut order: Vec<usize> = Vec::new();
        let mut listed = Vec::new();
        for line in PUBLISHED.lines() {
            let [name, format, shape] = *line.split(' ').collect::<Vec<_>>() else {
                panic!("{line}");
            };
            let shape: Vec<usize> = shape.split('x').map(|n| n.parse().unwrap()).collect();
            let name = match layer(name) {
                None => name.to_string(),
                Some(layer) => {
                    let at = order.iter().position(|known| *known == layer);
                    let at = at.unwrap_or_else(|| {
                        order.push(layer);
                        order.len() - 1
                    });
                    name.replace(&format!("blk.{layer}."), &format!("blk.{at}."))
                }
            };
            listed.push((name, format, shape));
        }
        assert_eq!((listed.len(), order.len()), (291, 24));
        let tensors = listed.iter();
        let tensors = tensors.map(|(name, _, shape)| (name.clone(), shape.clone()));
        // A head of its own, as the file has one.
        let head = ("lm_head.weight".to_string(), vec![32, 896]);
        let tensors = tensors.chain([head]).collect();
        let checkpoint = Checkpoint::synthetic("x", json!({}), tensors, Format::BF16).unwrap();
        let mix = Mix::new(Quant::Q4KM, &checkpoint);
        for (name, format, shape) in &listed {
            let made = match shape.len() {
                2 => quantized_name(mix.block_type(name, shape[1]).unwrap()),
                _ => "F32",
            };
            assert_eq!(made, *format, "{name}");
        }
    }
}
