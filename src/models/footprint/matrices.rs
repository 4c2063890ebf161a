//! The matrices of a decoder as a GPU holds them.

#[cfg(feature = "cuda")]
use crate::kernels::cuda::fits_block;
use crate::kernels::planes::{self, Kind, Layout};
use crate::models::part::{product, taken};
use crate::models::{Config, ModelError};
use crate::weights::{Format, Loader, WeightsError};

/// Matrices while they are counted.
pub(super) struct Matrices<'a> {
    loader: &'a Loader<'a>,
    /// Bytes of all that were seen, as they are held.
    pub held: u64,
    /// Kind, rows and width of all that prompts meet.
    largest: Vec<(Kind, usize, usize)>,
}

/// What the layers have in common.
pub(super) struct Layers {
    /// The numbers that many tokens meet the matrices in.
    pub operand: Kind,
    /// Bytes of the largest matrices that are put below each other.
    pub joined: u64,
}

impl<'a> Matrices<'a> {
    /// None seen yet of those that `loader` brings.
    pub fn new(loader: &'a Loader<'a>) -> Self {
        Self {
            loader,
            held: 0,
            largest: Vec::new(),
        }
    }

    /// Kind and bytes of the matrix `name`. One that the checkpoint lacks is the loader's to name.
    fn see(&mut self, name: &str, rows: usize, width: usize) -> Result<(Kind, u64), ModelError> {
        let checkpoint = self.loader.checkpoint();
        let Some(info) = checkpoint.info(name) else {
            return Ok((Kind::F32, 0));
        };
        let layout = match self.loader.held(info) {
            Format::Quantized(dtype) => Layout::of(dtype, rows, width),
            Format::F16 => Layout::new(Kind::F16, rows, width),
            Format::BF16 => Layout::new(Kind::BF16, rows, width),
            _ => Layout::new(Kind::F32, rows, width),
        };
        let layout = layout.filter(|layout| width.is_multiple_of(layout.kind.widths()));
        let Some(layout) = layout else {
            let format = self.loader.held(info).name();
            return Err(WeightsError::unsupported(
                checkpoint.path(),
                format!("crane's GPU kernels take no {format} matrix of {rows} x {width} ('{name}'); use --device cpu"),
            )
            .into());
        };
        #[cfg(feature = "cuda")]
        if let Some(gpu) = self.loader.gpu() {
            let room = gpu.info().block_memory;
            if !fits_block(layout.kind, width, room) {
                return Err(WeightsError::unsupported(
                    checkpoint.path(),
                    format!(
                        "rows of {width} numbers ('{name}') have no room in a block's memory on this GPU ({} KiB); use --device cpu",
                        room >> 10
                    ),
                )
                .into());
            }
        }
        let seen = (layout.kind, rows, width);
        if !self.largest.contains(&seen) {
            self.largest.push(seen);
        }
        Ok((layout.kind, layout.bytes as u64))
    }

    /// Counts an allocation.
    fn hold(&mut self, bytes: u64) {
        self.held = self.held.saturating_add(taken(bytes));
    }

    /// Sees those of all layers.
    ///
    /// # Errors
    /// One that the GPU's kernels do not take.
    pub fn layers(&mut self, config: &Config) -> Result<Layers, ModelError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let queries = config.n_heads * config.head_dim;
        let keys = config.n_kv_heads * config.head_dim;
        let groups: [&[(&str, usize, usize)]; 4] = [
            &[
                ("self_attn.q_proj", queries, hidden),
                ("self_attn.k_proj", keys, hidden),
                ("self_attn.v_proj", keys, hidden),
            ],
            &[("self_attn.o_proj", hidden, queries)],
            &[
                ("mlp.gate_proj", inner, hidden),
                ("mlp.up_proj", inner, hidden),
            ],
            &[("mlp.down_proj", hidden, inner)],
        ];
        let (mut operand, mut joined) = (None, 0);
        for layer in 0..config.n_layers {
            for group in groups {
                let mut parts = Vec::new();
                for &(name, rows, width) in group {
                    let name = format!("model.layers.{layer}.{name}.weight");
                    let (kind, bytes) = self.see(&name, rows, width)?;
                    parts.push((kind, bytes));
                    let meets = match kind {
                        Kind::F16 | Kind::F32 => kind,
                        _ => Kind::BF16,
                    };
                    operand = match operand {
                        Some(other) if other != meets => Some(Kind::F32),
                        _ => Some(meets),
                    };
                }
                // Floats of one kind become one matrix, others stay where they are.
                let kind = parts.first().map_or(Kind::F32, |part| part.0);
                let same = parts.iter().all(|part| part.0 == kind);
                if same && kind.float_bytes().is_some() && parts.len() > 1 {
                    let whole = parts.iter().map(|part| part.1).fold(0, u64::saturating_add);
                    self.hold(whole);
                    joined = taken(whole).max(joined);
                } else {
                    parts.iter().for_each(|part| self.hold(part.1));
                }
            }
        }
        Ok(Layers {
            operand: operand.unwrap_or(Kind::F32),
            joined,
        })
    }

    /// Sees the embedding and the head; what the head is.
    ///
    /// # Errors
    /// As [`Matrices::layers`].
    pub fn vocabulary(&mut self, config: &Config) -> Result<(Kind, usize, usize), ModelError> {
        let (rows, width) = (config.vocab_size, config.hidden_size);
        let (mut kind, bytes) = self.see("model.embed_tokens.weight", rows, width)?;
        self.hold(bytes);
        if !config.tie_word_embeddings {
            let head = self.see("lm_head.weight", rows, width)?;
            self.hold(head.1);
            kind = head.0;
        }
        Ok((kind, rows, width))
    }

    /// Room for the largest matrix that has to become floats before many tokens meet it.
    pub fn dequantised(&self, operand: Kind, head: (Kind, usize, usize)) -> u64 {
        let size = operand.float_bytes().unwrap_or(4);
        let others = self.largest.iter().chain([&head]);
        let others = others.filter(|(kind, ..)| *kind != operand);
        others
            .map(|&(_, rows, width)| {
                taken(product(&[size, planes::piece_rows(rows, width), width]))
            })
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Footprint;
    use super::*;
    use crate::weights::{Checkpoint, LoadOptions};

    #[test]
    fn what_the_kernels_do_not_take_is_refused_before_it_is_loaded() {
        let config = serde_json::json!({
            "model_type": "llama", "hidden_size": 36, "intermediate_size": 64,
            "num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 8, "vocab_size": 32,
            "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        });
        let name = "model.layers.0.self_attn.q_proj.weight".to_string();
        let made = Checkpoint::synthetic("m", config, vec![(name, vec![8, 36])], Format::BF16);
        let checkpoint = made.unwrap();
        let loader = Loader::new(&checkpoint, &LoadOptions::default()).unwrap();
        let refused = Footprint::of(&loader, None).unwrap_err().to_string();
        assert!(
            refused.contains("8 x 36") && refused.contains("--device cpu"),
            "{refused}"
        );
    }
}
