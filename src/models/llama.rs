//! The llama family: one decoder definition for Llama 2 and 3, SmolLM2, TinyLlama, Mistral, Qwen2, Qwen2.5 and
//! Qwen3, float or quantised, from safetensors or GGUF. The equations are those of transformers'
//! `LlamaForCausalLM`, `Qwen2ForCausalLM` and `Qwen3ForCausalLM`.

use candle_core::{DType, Device, Tensor};

use super::{Config, LanguageModel, ModelError};
use crate::nn::{
    Attention, AttentionConfig, Embedding, Linear, Mask, Mlp, RmsNorm, Rope, RopeScaling, RopeTable,
};
use crate::weights::{Loader, WeightsError};

/// Tokens computed together while a prompt is read: enough to keep the arithmetic busy, few enough to bound the
/// score matrices.
const CHUNK: usize = 128;
/// The same where logits of all positions are wanted (a row of the vocabulary each).
const LOGITS_CHUNK: usize = 64;

/// A decoder with its cache.
pub struct Llama {
    embed_tokens: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    lm_head: Linear,
    rope: Rope,
    cached: usize,
    context: usize,
    vocab_size: usize,
    dtype: DType,
    device: Device,
}

struct Layer {
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
    window: Option<usize>,
}

impl Llama {
    /// Reads all tensors of the model below `loader`, with room for `context` tokens.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape, named with its file.
    pub fn load(loader: &Loader, config: &Config, context: usize) -> Result<Self, ModelError> {
        let model = loader.under("model");
        let embed_tokens = Embedding::load(
            &model,
            "embed_tokens",
            config.vocab_size,
            config.hidden_size,
        )?;
        let layers = (0..config.n_layers)
            .map(|index| {
                Layer::load(
                    &model.under(&format!("layers.{index}")),
                    config,
                    index,
                    context,
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        let lm_head = match config.tie_word_embeddings {
            true => Linear::new(embed_tokens.weight(), None)?,
            false => Linear::load(
                loader,
                "lm_head",
                config.hidden_size,
                config.vocab_size,
                false,
            )?,
        };
        let mut rope = config.rope.clone();
        if config.rope_freqs {
            let divisors = loader.tensor("rope_freqs.weight", &[config.head_dim / 2])?;
            rope.scaling = RopeScaling::Divisors(divisors.to_dtype(DType::F32)?.to_vec1()?);
        }
        Ok(Self {
            embed_tokens,
            layers,
            norm: RmsNorm::load(&model, "norm", config.hidden_size, config.rms_norm_eps)?,
            lm_head,
            rope: Rope::new(&rope, config.head_dim, loader.dtype(), loader.device())?,
            cached: 0,
            context,
            vocab_size: config.vocab_size,
            dtype: loader.dtype(),
            device: loader.device().clone(),
        })
    }

    /// Runs one chunk through all layers; `[tokens, hidden]`, before the last norm.
    fn hidden(&mut self, tokens: &[u32]) -> candle_core::Result<Tensor> {
        let mut x = self.embed_tokens.forward(tokens)?;
        let rope = self.rope.table(self.cached, tokens.len())?;
        let mut mask = Mask::new(tokens.len(), self.cached, None, self.dtype, &self.device)?;
        for layer in &mut self.layers {
            if layer.window != mask.window() {
                mask = Mask::new(
                    tokens.len(),
                    self.cached,
                    layer.window,
                    self.dtype,
                    &self.device,
                )?;
            }
            x = layer.forward(&x, &rope, &mask)?;
        }
        self.cached += tokens.len();
        Ok(x)
    }

    /// Logits of `x`, `[tokens, hidden]`, as f32.
    fn logits(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.lm_head
            .forward(&self.norm.forward(x)?)?
            .to_dtype(DType::F32)
    }

    fn check_room(&self, tokens: usize) -> Result<(), ModelError> {
        let needed = self.cached + tokens;
        if tokens == 0 || needed > self.context {
            return Err(ModelError::ContextFull {
                needed,
                limit: self.context,
            });
        }
        Ok(())
    }
}

impl LanguageModel for Llama {
    fn forward(&mut self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        self.check_room(tokens.len())?;
        let mut last = None;
        for chunk in tokens.chunks(CHUNK) {
            let x = self.hidden(chunk)?;
            last = Some(x.narrow(0, chunk.len() - 1, 1)?);
        }
        match last {
            Some(x) => Ok(self.logits(&x)?.squeeze(0)?),
            None => Err(ModelError::ContextFull {
                needed: 0,
                limit: self.context,
            }),
        }
    }

    fn forward_all(&mut self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        self.check_room(tokens.len())?;
        let mut rows = Vec::new();
        for chunk in tokens.chunks(LOGITS_CHUNK) {
            let x = self.hidden(chunk)?;
            rows.push(self.logits(&x)?);
        }
        Ok(Tensor::cat(&rows, 0)?)
    }

    fn cached(&self) -> usize {
        self.cached
    }

    fn truncate(&mut self, len: usize) {
        self.cached = self.cached.min(len);
        for layer in &mut self.layers {
            layer.self_attn.truncate(self.cached);
        }
    }

    fn context(&self) -> usize {
        self.context
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }
}

impl Layer {
    fn load(
        loader: &Loader,
        config: &Config,
        index: usize,
        context: usize,
    ) -> Result<Self, WeightsError> {
        let (hidden, eps) = (config.hidden_size, config.rms_norm_eps);
        let window = config.windows.get(index).copied().flatten();
        let attention = AttentionConfig {
            hidden,
            heads: config.n_heads,
            kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            qkv_bias: config.qkv_bias,
            output_bias: config.output_bias,
            qk_norm: config.qk_norm.then_some(eps),
            window,
            context,
        };
        Ok(Self {
            input_layernorm: RmsNorm::load(loader, "input_layernorm", hidden, eps)?,
            self_attn: Attention::load(&loader.under("self_attn"), &attention)?,
            post_attention_layernorm: RmsNorm::load(
                loader,
                "post_attention_layernorm",
                hidden,
                eps,
            )?,
            mlp: Mlp::load(
                &loader.under("mlp"),
                hidden,
                config.intermediate_size,
                config.mlp_bias,
            )?,
            window,
        })
    }

    fn forward(
        &mut self,
        x: &Tensor,
        rope: &RopeTable,
        mask: &Mask,
    ) -> candle_core::Result<Tensor> {
        let attended = self
            .self_attn
            .forward(&self.input_layernorm.forward(x)?, rope, mask)?;
        let x = (x + attended)?;
        let fed = self
            .mlp
            .forward(&self.post_attention_layernorm.forward(&x)?)?;
        x + fed
    }
}
