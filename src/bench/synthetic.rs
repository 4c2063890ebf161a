//! The catalogue's text models without their weights: the published sizes, so that a model can be measured before
//! anything is downloaded.

use serde_json::{json, Value};

use crate::hub::catalogue;
use crate::weights::{Checkpoint, Format, WeightsError};

/// What is measured when no model is named.
pub const DEFAULT: &str = "qwen2.5-0.5b";

/// The sizes in a published config.json.
struct Sizes {
    alias: &'static str,
    family: Family,
    hidden: usize,
    intermediate: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocab: usize,
    tied: bool,
    context: usize,
    rope_theta: f64,
    rms_norm_eps: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Family {
    Llama,
    /// Llama with the frequencies of Llama 3.1 and later.
    Llama3,
    Qwen2,
    Qwen3,
}

/// The columns as in [`Sizes`], those that a family shares left out.
macro_rules! sizes {
    ($family:ident, $vocab:expr, $context:expr, $theta:expr, $eps:expr;
     $($alias:literal $hidden:literal $intermediate:literal $layers:literal $heads:literal $kv_heads:literal $head_dim:literal $tied:literal;)*) => {
        [$(Sizes {
            alias: $alias,
            family: Family::$family,
            hidden: $hidden,
            intermediate: $intermediate,
            layers: $layers,
            heads: $heads,
            kv_heads: $kv_heads,
            head_dim: $head_dim,
            vocab: $vocab,
            tied: $tied,
            context: $context,
            rope_theta: $theta,
            rms_norm_eps: $eps,
        }),*]
    };
}

static SMOLLM2_SMALL: [Sizes; 2] = sizes! {
    Llama, 49_152, 8192, 100_000.0, 1e-5;
    "smollm2-135m" 576 1536 30 9 3 64 true;
    "smollm2-360m" 960 2560 32 15 5 64 true;
};
static SMOLLM2: [Sizes; 1] = sizes! {
    Llama, 49_152, 8192, 130_000.0, 1e-5;
    "smollm2-1.7b" 2048 8192 24 32 32 64 true;
};
static TINYLLAMA: [Sizes; 1] = sizes! {
    Llama, 32_000, 2048, 10_000.0, 1e-5;
    "tinyllama-1.1b" 2048 5632 22 32 4 64 false;
};
static LLAMA3: [Sizes; 2] = sizes! {
    Llama3, 128_256, 131_072, 500_000.0, 1e-5;
    "llama3.2-1b" 2048 8192 16 32 8 64 true;
    "llama3.2-3b" 3072 8192 28 24 8 128 true;
};
static QWEN2: [Sizes; 5] = sizes! {
    Qwen2, 151_936, 32_768, 1e6, 1e-6;
    "qwen2.5-0.5b" 896 4864 24 14 2 64 true;
    "qwen2.5-1.5b" 1536 8960 28 12 2 128 true;
    "qwen2.5-3b" 2048 11008 36 16 2 128 true;
    "qwen2.5-coder-0.5b" 896 4864 24 14 2 64 true;
    "qwen2.5-coder-1.5b" 1536 8960 28 12 2 128 true;
};
static QWEN2_LARGE: [Sizes; 2] = sizes! {
    Qwen2, 152_064, 32_768, 1e6, 1e-6;
    "qwen2.5-7b" 3584 18944 28 28 4 128 false;
    "qwen2.5-coder-7b" 3584 18944 28 28 4 128 false;
};
/// The language model of Spark-TTS: no text model, and none of the names.
static SPARK: [Sizes; 1] = sizes! {
    Qwen2, 166_000, 32_768, 1e6, 1e-6;
    "spark-tts-0.5b/LLM" 896 4864 24 14 2 64 true;
};
static QWEN3: [Sizes; 4] = sizes! {
    Qwen3, 151_936, 40_960, 1e6, 1e-6;
    "qwen3-0.6b" 1024 3072 28 16 8 128 true;
    "qwen3-1.7b" 2048 6144 28 16 8 128 true;
    "qwen3-4b" 2560 9728 36 32 8 128 true;
    "qwen3-8b" 4096 12288 36 32 8 128 false;
};

fn all() -> impl Iterator<Item = &'static Sizes> {
    SMOLLM2_SMALL
        .iter()
        .chain(&SMOLLM2)
        .chain(&TINYLLAMA)
        .chain(&LLAMA3)
        .chain(&QWEN2)
        .chain(&QWEN2_LARGE)
        .chain(&QWEN3)
}

/// The names that [`checkpoint`] takes, in the catalogue's order.
pub fn names() -> Vec<&'static str> {
    catalogue::ROWS
        .iter()
        .map(|row| row.alias)
        .filter(|alias| all().any(|sizes| sizes.alias == *alias))
        .collect()
}

/// The model `alias` of the catalogue with seeded weights, stored as `format`.
///
/// # Errors
/// A name without published sizes here (the message lists those that have them); a `format` that is no float type.
pub fn checkpoint(alias: &str, format: Format) -> Result<Checkpoint, WeightsError> {
    let sizes = all()
        .find(|sizes| sizes.alias.eq_ignore_ascii_case(alias))
        .ok_or_else(|| WeightsError::Missing {
            file: label(alias).into(),
            reason: format!(
                "no sizes are known for this name; there are {}",
                names().join(", ")
            ),
        })?;
    Checkpoint::synthetic(&label(sizes.alias), sizes.config(), sizes.tensors(), format)
}

/// The language model of Spark-TTS with seeded weights, stored as f32 like the published one.
pub(super) fn spark_llm() -> Result<Checkpoint, WeightsError> {
    let [sizes] = &SPARK;
    Checkpoint::synthetic(
        &label(sizes.alias),
        sizes.config(),
        sizes.tensors(),
        Format::F32,
    )
}

/// Names and shapes of the tensors of the text model `alias`; none where its sizes are not known.
pub(super) fn text_tensors(alias: &str) -> Vec<(String, Vec<usize>)> {
    let found = all().find(|sizes| sizes.alias == alias);
    found.map(Sizes::tensors).unwrap_or_default()
}

/// What stands for a file name.
fn label(alias: &str) -> String {
    format!("synthetic:{alias}")
}

impl Sizes {
    /// As config.json says it.
    fn config(&self) -> Value {
        let (architecture, model_type) = match self.family {
            Family::Llama | Family::Llama3 => ("LlamaForCausalLM", "llama"),
            Family::Qwen2 => ("Qwen2ForCausalLM", "qwen2"),
            Family::Qwen3 => ("Qwen3ForCausalLM", "qwen3"),
        };
        let rope_scaling = match self.family {
            Family::Llama3 => json!({
                "rope_type": "llama3",
                "factor": 32.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            }),
            _ => Value::Null,
        };
        json!({
            "architectures": [architecture],
            "model_type": model_type,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab,
            "tie_word_embeddings": self.tied,
            "max_position_embeddings": self.context,
            "rope_theta": self.rope_theta,
            "rope_scaling": rope_scaling,
            "rms_norm_eps": self.rms_norm_eps,
        })
    }

    /// Names and shapes of all tensors, as the published files have them.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, queries, keys) = (
            self.hidden,
            self.heads * self.head_dim,
            self.kv_heads * self.head_dim,
        );
        let mut all = vec![(
            "model.embed_tokens.weight".to_string(),
            vec![self.vocab, hidden],
        )];
        for layer in 0..self.layers {
            let mut add = |name: &str, shape: &[usize]| {
                all.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
            };
            add("input_layernorm.weight", &[hidden]);
            add("self_attn.q_proj.weight", &[queries, hidden]);
            add("self_attn.k_proj.weight", &[keys, hidden]);
            add("self_attn.v_proj.weight", &[keys, hidden]);
            add("self_attn.o_proj.weight", &[hidden, queries]);
            if self.family == Family::Qwen2 {
                add("self_attn.q_proj.bias", &[queries]);
                add("self_attn.k_proj.bias", &[keys]);
                add("self_attn.v_proj.bias", &[keys]);
            }
            if self.family == Family::Qwen3 {
                add("self_attn.q_norm.weight", &[self.head_dim]);
                add("self_attn.k_norm.weight", &[self.head_dim]);
            }
            add("post_attention_layernorm.weight", &[hidden]);
            add("mlp.gate_proj.weight", &[self.intermediate, hidden]);
            add("mlp.up_proj.weight", &[self.intermediate, hidden]);
            add("mlp.down_proj.weight", &[hidden, self.intermediate]);
        }
        all.push(("model.norm.weight".into(), vec![hidden]));
        if !self.tied {
            all.push(("lm_head.weight".into(), vec![self.vocab, hidden]));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::catalogue::Task;
    use crate::models;
    use crate::weights::{names, LoadOptions, Loader, Quant};

    #[test]
    fn every_text_model_of_the_catalogue_is_there_with_its_parameters() {
        for row in catalogue::ROWS.iter().filter(|row| row.task == Task::Text) {
            let checkpoint = checkpoint(row.alias, Format::BF16).unwrap();
            let millions = (checkpoint.parameters() as f64 / 1e6).round() as u32;
            assert_eq!(millions, row.parameters_m, "{}", row.alias);
            let summary = models::summary(&checkpoint).unwrap();
            assert_eq!(summary.vocab_size % 32, 0, "{}", row.alias);
        }
        assert_eq!(names().len(), all().count());
    }

    #[test]
    fn the_language_model_that_speaks_has_its_published_size() {
        let checkpoint = spark_llm().unwrap();
        assert_eq!(checkpoint.parameters(), 506_634_112);
        assert_eq!(checkpoint.tensors().count(), 290);
    }

    #[test]
    fn a_mix_is_that_of_the_published_file_but_for_the_head_that_it_holds_twice() {
        let published = include_str!("../../tests/fixtures/llama_cpp/q4_k_m.txt");
        let checkpoint = checkpoint("qwen2.5-coder-0.5b", Format::BF16).unwrap();
        let options = LoadOptions {
            quant: Some(Quant::Q4KM),
            ..LoadOptions::default()
        };
        let loader = Loader::new(&checkpoint, &options).unwrap();
        // What a layer's tensor is, and its type; which layers get more bits is the mix's own business.
        let kind = |name: &str| name.replace(|c: char| c.is_ascii_digit(), "");
        let mut expected: Vec<(String, String)> = published
            .lines()
            .filter_map(|line| {
                let mut words = line.split(' ');
                let (name, format) = (words.next()?, words.next()?);
                match name {
                    "token_embd.weight" => None,
                    // Tied: the head is the table.
                    "output.weight" => Some((kind("model.embed_tokens.weight"), format.into())),
                    name => Some((kind(&names::to_hf(name)?), format.into())),
                }
            })
            .collect();
        let held = checkpoint.tensors().map(|info| {
            let format = match info.shape.len() {
                2 => loader.held(info).name(),
                _ => "F32",
            };
            (kind(&info.name), format.to_string())
        });
        let mut held: Vec<(String, String)> = held.collect();
        held.sort();
        expected.sort();
        assert_eq!(held, expected);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = checkpoint("gpt-5", Format::F32).err().unwrap().to_string();
        assert!(error.contains("qwen2.5-0.5b"), "{error}");
        assert!(checkpoint("qwen2.5-0.5b", Format::Other("I8")).is_err());
    }
}
