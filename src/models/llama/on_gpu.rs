//! The decoder on an NVIDIA GPU: prompts in passes of many tokens, and steps, of one token or of one each of several
//! sequences, that are recorded once.

mod each;

use std::ops::Range;

use candle_core::{Device, Tensor};

use super::{picture, Llama, LOGITS_CHUNK};
use crate::kernels::cuda::{GpuError, Graph, Likely, NextToken, Work};
use crate::models::{LanguageModel, Logits, ModelError, Reuse};
use crate::nn::GpuPass;
use crate::weights::Loader;

/// Tokens computed together while a prompt is read: so many that tensor cores have enough to do.
const CHUNK: usize = 2048;

/// What the model keeps beside its layers.
pub(super) struct OnGpu {
    work: Work,
    /// A recorded step for each sequence.
    steps: Vec<Option<Step>>,
    /// Recorded steps of several sequences, the newest last.
    each: Vec<each::Step>,
    /// How often the workspace had moved when the last step ended.
    settled: Option<u64>,
}

struct Step {
    graph: Graph,
    /// What it was recorded for: where the workspace lies, and which logits are computed.
    moved: u64,
    vocabulary: Option<Range<usize>>,
    splits: usize,
}

impl OnGpu {
    /// None where the loader's matrices go elsewhere.
    pub fn new(loader: &Loader, vocabulary: usize) -> Result<Option<Self>, ModelError> {
        let Some(gpu) = loader.gpu() else {
            return Ok(None);
        };
        Ok(Some(Self {
            work: Work::new(gpu, loader.operand(), vocabulary)?,
            steps: Vec::new(),
            each: Vec::new(),
            settled: None,
        }))
    }

    /// Sequences have changed: nothing that was recorded of one holds.
    pub fn forget(&mut self) {
        self.steps.clear();
    }

    /// The cache of sequence `slot` may have moved.
    pub fn forget_one(&mut self, slot: usize) {
        if let Some(step) = self.steps.get_mut(slot) {
            *step = None;
        }
    }

    /// Tokens of a prompt that are computed together. Without cuBLASLt it is read a token at a time.
    fn chunk(&self) -> usize {
        match self.work.gpu().blas() {
            Ok(_) => CHUNK,
            Err(_) => 1,
        }
    }

    /// Prompts that begin alike share whole passes: a smaller one need not give the same numbers.
    pub fn reuse(&self) -> Reuse {
        Reuse {
            chunk: self.chunk(),
            settled: None,
        }
    }
}

/// Tokens that were counted from the first of those that are `wanted`.
fn likely(mut tokens: Vec<(u32, f32)>, wanted: &Range<usize>) -> Logits {
    for (id, _) in &mut tokens {
        *id += wanted.start as u32;
    }
    Logits::Likely(tokens)
}

impl Llama {
    /// As [`crate::models::LanguageModel::forward_while`].
    pub(super) fn forward_on_gpu(
        &mut self,
        tokens: &[u32],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Tensor>, ModelError> {
        if !self.compute_on_gpu(tokens, go_on)? {
            return Ok(None);
        }
        self.all_logits().map(Some)
    }

    /// As [`crate::models::LanguageModel::forward_likely`].
    pub(super) fn likely_on_gpu(
        &mut self,
        tokens: &[u32],
        k: usize,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Logits>, ModelError> {
        if !self.compute_on_gpu(tokens, go_on)? {
            return Ok(None);
        }
        let wanted = self.wanted();
        let Some(gpu) = &mut self.gpu else {
            return Err(GpuError::elsewhere().into());
        };
        Ok(Some(match gpu.work.likely(wanted.len(), k)? {
            Likely::Tokens(tokens) => likely(tokens, &wanted),
            Likely::NoNumber => Logits::NoNumber,
            Likely::TooMany => Logits::All(self.all_logits()?),
        }))
    }

    /// The logits of the last step or pass, `[vocab]`.
    fn all_logits(&mut self) -> Result<Tensor, ModelError> {
        let wanted = self.wanted();
        let Some(gpu) = &mut self.gpu else {
            return Err(GpuError::elsewhere().into());
        };
        let logits = gpu.work.logits(wanted.len())?;
        let all = match wanted.len() == self.vocab_size {
            true => logits.to_vec(),
            false => {
                let mut all = vec![f32::NEG_INFINITY; self.vocab_size];
                all[wanted].copy_from_slice(logits);
                all
            }
        };
        Ok(Tensor::from_vec(all, self.vocab_size, &Device::Cpu)?)
    }

    /// Puts `tokens` and the logits of the last one on the way; whether all of them were.
    fn compute_on_gpu(
        &mut self,
        tokens: &[u32],
        go_on: &dyn Fn() -> bool,
    ) -> Result<bool, ModelError> {
        self.check_tokens(tokens)?;
        let before = self.cached();
        let done = self.compute_chunks(tokens, go_on);
        if done.is_err() {
            // Some layers may hold the tokens and others not.
            self.cached[self.slot] = before;
        }
        done
    }

    fn compute_chunks(
        &mut self,
        tokens: &[u32],
        go_on: &dyn Fn() -> bool,
    ) -> Result<bool, ModelError> {
        if let &[token] = tokens {
            self.step_on_gpu(token)?;
            return Ok(true);
        }
        let Some(gpu) = &self.gpu else {
            return Err(GpuError::elsewhere().into());
        };
        let mut chunks = tokens.chunks(gpu.chunk()).peekable();
        while let Some(chunk) = chunks.next() {
            if !go_on() {
                return Ok(false);
            }
            if let &[token] = chunk {
                self.step_on_gpu(token)?;
                if let (Some(_), Some(gpu)) = (chunks.peek(), &self.gpu) {
                    // The next step is told in the words that this one reads.
                    gpu.work.gpu().synchronize()?;
                }
                continue;
            }
            self.pass_on_gpu(chunk)?;
            if chunks.peek().is_none() {
                self.logits_on_gpu(chunk.len() - 1)?;
            }
        }
        Ok(true)
    }

    /// As [`crate::models::LanguageModel::forward_all`].
    pub(super) fn all_on_gpu(&mut self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        self.check_tokens(tokens)?;
        let vocabulary = self.vocab_size;
        let mut all = vec![0f32; tokens.len() * vocabulary];
        let chunks = tokens.chunks(LOGITS_CHUNK);
        for (chunk, logits) in chunks.zip(all.chunks_mut(LOGITS_CHUNK * vocabulary)) {
            let together = match &self.gpu {
                Some(gpu) => gpu.work.gpu().blas().is_ok(),
                None => return Err(GpuError::elsewhere().into()),
            };
            if !together || chunk.len() == 1 {
                for (&token, logits) in chunk.iter().zip(logits.chunks_exact_mut(vocabulary)) {
                    let one: Vec<f32> = match self.forward_on_gpu(&[token], &|| true)? {
                        Some(one) => one.to_vec1()?,
                        None => Vec::new(),
                    };
                    logits.copy_from_slice(&one);
                }
                continue;
            }
            self.pass_on_gpu(chunk)?;
            let norm = self.norm.on_gpu()?;
            let head = self.lm_head.on_gpu().ok_or_else(GpuError::elsewhere)?;
            if let Some(gpu) = &mut self.gpu {
                gpu.work.pass_logits(chunk.len(), head, norm, logits)?;
            }
        }
        Ok(Tensor::from_vec(
            all,
            (tokens.len(), vocabulary),
            &Device::Cpu,
        )?)
    }

    fn check_tokens(&self, tokens: &[u32]) -> Result<(), ModelError> {
        let known = |&id: &u32| (id as usize) < self.vocab_size;
        let placed = !self.pictures.is_empty();
        match tokens
            .iter()
            .find(|id| !(known(id) || placed && **id == picture::NO_TOKEN))
        {
            Some(id) => Err(ModelError::Tokens(format!(
                "token id {id} is past the model's vocabulary of {}",
                self.vocab_size
            ))),
            None => Ok(()),
        }
    }

    /// The rows of the head that are computed.
    fn wanted(&self) -> Range<usize> {
        self.vocabulary.clone().unwrap_or(0..self.vocab_size)
    }

    /// Positions of the next `count` tokens on the axes time, height and width.
    fn positions(&self, count: usize) -> Vec<[usize; 3]> {
        let range = self.cached()..self.cached() + count;
        match self.rope.has_axes() && !self.pictures.is_empty() {
            true => picture::axes(&self.pictures, range),
            false => range.map(|position| [position; 3]).collect(),
        }
    }

    /// Room for `count` more tokens in the caches of sequence `slot`.
    fn reserve(&mut self, slot: usize, count: usize) -> Result<(), GpuError> {
        let cached = self.cached[slot];
        for layer in &mut self.layers {
            let moved = layer
                .self_attn
                .reserve_on_gpu(slot, cached + count, cached)?;
            if let (true, Some(gpu)) = (moved, &mut self.gpu) {
                gpu.forget_one(slot);
                gpu.settled = None;
            }
        }
        Ok(())
    }

    /// Runs `tokens` through all layers together.
    fn pass_on_gpu(&mut self, tokens: &[u32]) -> Result<(), ModelError> {
        self.reserve(self.slot, tokens.len())?;
        let (cached, positions) = (self.cached(), self.positions(tokens.len()));
        let Some(gpu) = &mut self.gpu else {
            return Err(GpuError::elsewhere().into());
        };
        let work = &mut gpu.work;
        let table = self.embed_tokens.on_gpu().ok_or_else(GpuError::elsewhere)?;
        // What no token names is written over.
        let known = |&id: &u32| if id == picture::NO_TOKEN { 0 } else { id };
        work.embed(table, &tokens.iter().map(known).collect::<Vec<_>>())?;
        let range = cached..cached + tokens.len();
        for (at, rows) in picture::rows(&self.pictures, range, table.width())? {
            work.put_rows(at, table.width(), rows)?;
        }
        work.angles(self.rope.on_gpu()?, &positions)?;
        let count = tokens.len();
        for layer in &self.layers {
            let norm = layer.input_layernorm.on_gpu()?;
            let pass = GpuPass::Tokens {
                tokens: count,
                cached,
            };
            layer.self_attn.add_on_gpu(work, norm, pass)?;
            let norm = layer.post_attention_layernorm.on_gpu()?;
            layer.mlp.add_on_gpu(work, norm, Some(count))?;
        }
        self.cached[self.slot] += count;
        Ok(())
    }

    /// Computes the logits of row `row` of the pass.
    fn logits_on_gpu(&mut self, row: usize) -> Result<(), ModelError> {
        let wanted = self.wanted();
        let head = self.lm_head.on_gpu().ok_or_else(GpuError::elsewhere)?;
        let norm = self.norm.on_gpu()?;
        if let Some(gpu) = &mut self.gpu {
            gpu.work.row_logits(&head.slice(wanted), norm, row, 1)?;
        }
        Ok(())
    }

    /// Runs one token, and the logits behind it, as it was recorded.
    fn step_on_gpu(&mut self, token: u32) -> Result<(), ModelError> {
        self.reserve(self.slot, 1)?;
        let (cached, slot, wanted) = (self.cached(), self.slot, self.vocabulary.clone());
        // A row of an image comes from this machine, which cannot be recorded.
        let placed = self.pictures.iter().any(|p| p.range().contains(&cached));
        let position = self.positions(1).first().copied().unwrap_or([cached; 3]);
        let Some(gpu) = &mut self.gpu else {
            return Err(GpuError::elsewhere().into());
        };
        gpu.work.begin_step(&NextToken {
            // What no token names is written over.
            token: if token == picture::NO_TOKEN { 0 } else { token },
            cached,
            position,
        });
        let splits = gpu.work.splits();
        gpu.steps
            .resize_with(gpu.steps.len().max(slot + 1), || None);
        let moved = gpu.work.moved();
        let recorded = gpu.steps[slot]
            .as_ref()
            .filter(|step| (step.moved, &step.vocabulary, step.splits) == (moved, &wanted, splits));
        if placed {
            self.put_step(false)?;
        } else if let Some(step) = recorded {
            step.graph.launch()?;
        } else if gpu.settled == Some(moved) {
            let handle = gpu.work.gpu().clone();
            let graph = Graph::record(&handle, || self.put_step(false))?;
            graph.launch()?;
            if let Some(gpu) = &mut self.gpu {
                gpu.steps[slot] = Some(Step {
                    graph,
                    moved,
                    vocabulary: wanted,
                    splits,
                });
            }
        } else {
            // The first time memory is found and kernels are loaded, which cannot be recorded.
            self.put_step(false)?;
            if let Some(gpu) = &mut self.gpu {
                gpu.settled = Some(gpu.work.moved());
            }
        }
        self.cached[self.slot] += 1;
        Ok(())
    }

    /// Puts the kernels of a step on the stream: that of the current sequence, or of `several`.
    fn put_step(&mut self, several: bool) -> Result<(), ModelError> {
        let wanted = self.wanted();
        let Some(gpu) = &mut self.gpu else {
            return Err(GpuError::elsewhere().into());
        };
        let work = &mut gpu.work;
        let table = self.embed_tokens.on_gpu().ok_or_else(GpuError::elsewhere)?;
        work.step_embed(table, self.rope.on_gpu()?)?;
        if !several {
            let at = self.cached[self.slot];
            for (row, rows) in picture::rows(&self.pictures, at..at + 1, table.width())? {
                work.put_rows(row, table.width(), rows)?;
            }
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let pass = match several {
                true => GpuPass::Each { layer: index },
                false => GpuPass::Step,
            };
            layer
                .self_attn
                .add_on_gpu(work, layer.input_layernorm.on_gpu()?, pass)?;
            layer
                .mlp
                .add_on_gpu(work, layer.post_attention_layernorm.on_gpu()?, None)?;
        }
        let head = self.lm_head.on_gpu().ok_or_else(GpuError::elsewhere)?;
        work.step_logits(&head.slice(wanted), self.norm.on_gpu()?)?;
        Ok(())
    }
}
