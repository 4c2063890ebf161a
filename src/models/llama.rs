//! The llama family: one decoder definition for Llama 2 and 3, SmolLM2, TinyLlama, Mistral, Qwen2, Qwen2.5 and
//! Qwen3, float or quantised, from safetensors or GGUF. The equations are those of transformers'
//! `LlamaForCausalLM`, `Qwen2ForCausalLM` and `Qwen3ForCausalLM`.

#[cfg(feature = "cuda")]
mod on_gpu;
mod several;

use std::io::{self, Read, Write};
use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use super::picture::{self, Picture};
#[cfg(feature = "cuda")]
use super::Logits;
use super::{Config, LanguageModel, ModelError, Reuse};
use crate::kernels::{attention, Simd};
use crate::nn::{
    Attention, AttentionConfig, Embedding, Linear, Mlp, PassTables, RmsNorm, Rope, RopeScaling,
    Rows, Workspace,
};
use crate::weights::{Loader, WeightsError};

/// Tokens computed together while a prompt is read: so many that weights are unpacked once for many tokens, so few
/// that their activations stay in the caches.
const CHUNK: usize = 512;
/// The same where logits of all positions are wanted (a row of the vocabulary each).
const LOGITS_CHUNK: usize = 64;

/// A decoder with its caches.
pub struct Llama {
    embed_tokens: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    lm_head: Linear,
    rope: Rope,
    /// Tokens of each sequence in the caches.
    cached: Vec<usize>,
    /// The current sequence.
    slot: usize,
    context: usize,
    vocab_size: usize,
    /// The tokens whose logits are wanted, where not all are.
    vocabulary: Option<Range<usize>>,
    /// Images of the sequence, in order.
    pictures: Vec<Picture>,
    work: Workspace,
    #[cfg(feature = "cuda")]
    gpu: Option<on_gpu::OnGpu>,
}

struct Layer {
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
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
            rope: Rope::new(&rope, config.head_dim, loader)?,
            cached: vec![0],
            slot: 0,
            context,
            vocab_size: config.vocab_size,
            vocabulary: None,
            pictures: Vec::new(),
            work: Workspace::new(Simd::detect()),
            #[cfg(feature = "cuda")]
            gpu: on_gpu::OnGpu::new(loader, config.vocab_size)?,
        })
    }

    /// Runs one chunk through all layers; `[tokens, hidden]`, before the last norm. None, and the cache as it was,
    /// once `go_on` says no.
    fn hidden(
        &mut self,
        tokens: &[u32],
        go_on: &dyn Fn() -> bool,
    ) -> candle_core::Result<Option<Rows>> {
        let cached = self.cached();
        let mut x = self.embed(tokens)?;
        let tables = match self.rope.has_axes() && !self.pictures.is_empty() {
            true => {
                let positions = picture::axes(&self.pictures, cached..cached + tokens.len());
                self.rope.tables_of(cached, positions.into_iter())?
            }
            false => self.rope.tables(cached, tokens.len())?,
        };
        for layer in &mut self.layers {
            if !go_on() {
                self.truncate(cached);
                return Ok(None);
            }
            layer.forward(&mut x, &tables, &mut self.work)?;
        }
        self.cached[self.slot] += tokens.len();
        Ok(Some(x))
    }

    /// Embeddings of the next tokens, and rows of images where these stand.
    fn embed(&self, tokens: &[u32]) -> candle_core::Result<Rows> {
        if self.pictures.is_empty() {
            return self.embed_tokens.forward(tokens);
        }
        // What no token names is written over.
        let known = tokens
            .iter()
            .map(|&id| if id == picture::NO_TOKEN { 0 } else { id });
        let mut x = self.embed_tokens.forward(&known.collect::<Vec<_>>())?;
        picture::put(&self.pictures, self.cached(), &mut x)?;
        Ok(x)
    }

    /// Logits of `x`, `[tokens, hidden]`, as f32.
    fn logits(&mut self, x: &Rows) -> candle_core::Result<Tensor> {
        let x = self.norm.forward(x, &mut self.work)?;
        self.lm_head.forward(&x, &mut self.work)?.into_tensor()
    }

    /// Logits of the one token `x`, `[1, hidden]`: `[vocab]`, −∞ where they are not wanted.
    fn last_logits(&mut self, x: &Rows) -> candle_core::Result<Tensor> {
        let Some(wanted) = self.vocabulary.clone() else {
            return self.logits(x)?.squeeze(0);
        };
        let x = self.norm.forward(x, &mut self.work)?;
        let rows = self
            .lm_head
            .forward_rows(&x, wanted.clone(), &mut self.work)?;
        let mut all = vec![f32::NEG_INFINITY; self.vocab_size];
        all[wanted].copy_from_slice(&rows);
        Tensor::from_vec(all, self.vocab_size, &Device::Cpu)
    }

    /// Whether `slot` has room for `tokens`, at least one.
    fn check_room(&self, slot: usize, tokens: usize) -> Result<(), ModelError> {
        let needed = self.cached[slot] + tokens;
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
    fn forward_while(
        &mut self,
        tokens: &[u32],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Tensor>, ModelError> {
        self.check_room(self.slot, tokens.len())?;
        #[cfg(feature = "cuda")]
        if self.gpu.is_some() {
            return self.forward_on_gpu(tokens, go_on);
        }
        let mut last = None;
        // Chunks end at the same places wherever a prompt is taken up.
        let to_border = (CHUNK - self.cached() % CHUNK).min(tokens.len());
        let (first, others) = tokens.split_at(to_border);
        for chunk in std::iter::once(first).chain(others.chunks(CHUNK)) {
            match self.hidden(chunk, go_on)? {
                Some(x) => last = Some(x.last()?),
                None => return Ok(None),
            }
        }
        match last {
            Some(x) => Ok(Some(self.last_logits(&x)?)),
            None => Ok(None),
        }
    }

    #[cfg(feature = "cuda")]
    fn forward_likely(
        &mut self,
        tokens: &[u32],
        k: usize,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Logits>, ModelError> {
        if self.gpu.is_none() {
            return Ok(self.forward_while(tokens, go_on)?.map(Logits::All));
        }
        self.check_room(self.slot, tokens.len())?;
        self.likely_on_gpu(tokens, k, go_on)
    }

    fn forward_all(&mut self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        self.check_room(self.slot, tokens.len())?;
        #[cfg(feature = "cuda")]
        if self.gpu.is_some() {
            return self.all_on_gpu(tokens);
        }
        let mut rows = Vec::new();
        for chunk in tokens.chunks(LOGITS_CHUNK) {
            if let Some(x) = self.hidden(chunk, &|| true)? {
                rows.push(self.logits(&x)?);
            }
        }
        Ok(Tensor::cat(&rows, 0)?)
    }

    fn cached(&self) -> usize {
        self.cached[self.slot]
    }

    fn truncate(&mut self, len: usize) {
        let len = self.cached().min(len);
        self.cached[self.slot] = len;
        for layer in &mut self.layers {
            layer.self_attn.caches_mut().truncate(len);
        }
    }

    fn save_cache(&self, out: &mut dyn Write) -> io::Result<bool> {
        for layer in &self.layers {
            if !layer.self_attn.caches().save(self.cached(), out)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn restore_cache(&mut self, len: usize, source: &mut dyn Read) -> io::Result<bool> {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &mut self.gpu {
            gpu.forget_one(self.slot);
        }
        for layer in &mut self.layers {
            let restored = layer.self_attn.caches_mut().restore(len, source);
            if !matches!(restored, Ok(true)) {
                self.truncate(0);
                return restored;
            }
        }
        self.cached[self.slot] = len;
        Ok(true)
    }

    fn context(&self) -> usize {
        self.context
    }

    fn restrict(&mut self, vocabulary: Option<Range<u32>>) {
        let size = self.vocab_size;
        self.vocabulary = vocabulary
            .map(|ids| (ids.start as usize).min(size)..(ids.end as usize).min(size))
            .filter(|ids| !ids.is_empty());
    }

    fn place(&mut self, pictures: &[Picture]) {
        self.pictures = pictures.to_vec();
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn hold(&mut self, count: usize) {
        self.cached.resize(count.max(1), 0);
        self.slot = 0;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &mut self.gpu {
            gpu.forget();
        }
        for layer in &mut self.layers {
            layer.self_attn.caches_mut().resize(count);
        }
    }

    fn sequence_bytes(&self, tokens: usize) -> usize {
        let caches = self
            .layers
            .iter()
            .map(|layer| layer.self_attn.cache_bytes());
        caches.sum::<usize>().saturating_mul(tokens)
    }

    fn select(&mut self, slot: usize) {
        assert!(slot < self.cached.len(), "one of the sequences");
        self.slot = slot;
        for layer in &mut self.layers {
            layer.self_attn.caches_mut().select(slot);
        }
    }

    fn reuse(&self) -> Reuse {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &self.gpu {
            return gpu.reuse();
        }
        let packed = |layer: &Layer| layer.self_attn.is_packed() && layer.mlp.is_packed();
        match self.lm_head.on_host() {
            true => Reuse {
                chunk: CHUNK,
                settled: self
                    .layers
                    .iter()
                    .all(packed)
                    .then_some(attention::SETTLED_TOKENS),
            },
            false => Reuse::NONE,
        }
    }

    fn begin_as(&mut self, slot: usize, len: usize) -> Result<(), ModelError> {
        if slot != self.slot {
            // Should it fail, some layers have begun and others not.
            self.cached[self.slot] = 0;
        }
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &mut self.gpu {
            gpu.forget_one(self.slot);
        }
        for layer in &mut self.layers {
            layer.self_attn.caches_mut().begin_as(slot, len)?;
        }
        self.cached[self.slot] = len;
        Ok(())
    }

    fn forward_each(
        &mut self,
        next: &[(usize, u32)],
        logits: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        self.grow(next, |model| model.all_of(next, logits))
    }

    #[cfg(feature = "cuda")]
    fn forward_each_likely(
        &mut self,
        next: &[(usize, u32)],
        few: &[Option<usize>],
    ) -> Result<Option<Vec<Logits>>, ModelError> {
        if self.gpu.is_none() || !self.pictures.is_empty() || few.iter().all(Option::is_none) {
            return Ok(None);
        }
        let grown = self.grow(next, |model| model.likely_of_each(next, few));
        grown.map(Some)
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
            rope_layout: config.rope.layout,
            window,
            context,
            cache: loader.cache_type(),
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
        })
    }

    fn forward(
        &mut self,
        x: &mut Rows,
        tables: &PassTables,
        work: &mut Workspace,
    ) -> candle_core::Result<()> {
        self.self_attn
            .add_to(x, &self.input_layernorm, tables, work)?;
        self.mlp.add_to(x, &self.post_attention_layernorm, work)
    }
}
