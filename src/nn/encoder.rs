//! A block of an image encoder: every patch sees all of its segment (a window, or the whole image).

#[cfg(feature = "cuda")]
mod on_gpu;

use std::ops::Range;

use candle_core::{bail, Result};

use super::rows::sized;
use super::{Linear, Mlp, RmsNorm, Workspace};
use crate::kernels::{self, Angles, CacheType, KvCache};
use crate::weights::{Loader, WeightsError};

/// Patches computed together: so many that weights are read once for many, so few that activations stay in the caches
/// and a large image needs little more memory than its rows.
const CHUNK: usize = 1024;

/// The shape of a block and what its tensors are called.
#[derive(Debug, Clone)]
pub struct EncoderConfig {
    pub hidden: usize,
    pub intermediate: usize,
    pub heads: usize,
    pub eps: f64,
    /// Biases on query, key and value; on all other layers.
    pub qkv_bias: bool,
    pub bias: bool,
    /// The norms before attention and feed-forward.
    pub norms: [&'static str; 2],
    /// Gate, up and down, below `mlp`.
    pub mlp: [&'static str; 3],
}

impl EncoderConfig {
    /// What a pass holds for each patch, in f32: activations, and query, key and value where all patches see each other.
    pub fn bytes_a_patch(&self) -> usize {
        4 * 4 * self.hidden
    }
}

/// Attention and a gated feed-forward block, each behind an RMS norm and added to its input.
pub struct EncoderBlock {
    norms: [RmsNorm; 2],
    qkv: Qkv,
    proj: Linear,
    mlp: Mlp,
    attention: kernels::Attention,
    hidden: usize,
}

/// Query, key and value: rows of one matrix as Hugging Face's checkpoints have them, or three as GGUF's do.
enum Qkv {
    One(Box<Linear>),
    Three(Box<[Linear; 3]>),
}

/// What all blocks share.
pub struct EncoderSpace {
    cache: KvCache,
    /// Queries of a segment that is longer than [`CHUNK`].
    queries: Vec<f32>,
}

/// How the patches of an image lie: what angles they are rotated by, and who sees whom.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// Of each patch; none: nothing is rotated.
    pub angles: Option<Angles<'a>>,
    /// Lengths of the segments, which lie one behind the other.
    pub segments: &'a [usize],
}

impl EncoderSpace {
    /// For blocks of `config`, and images of so many `patches` at most.
    pub fn new(config: &EncoderConfig, patches: usize) -> Self {
        let head_dim = config.hidden / config.heads.max(1);
        Self {
            cache: KvCache::new(config.heads, head_dim, patches, CacheType::F32),
            queries: Vec::new(),
        }
    }
}

impl EncoderBlock {
    /// Reads the norms, `attn.qkv` (or `attn.q`, `attn.k` and `attn.v`), `attn.proj` and `mlp` below `loader`.
    pub fn load(
        loader: &Loader,
        config: &EncoderConfig,
    ) -> std::result::Result<Self, WeightsError> {
        let (hidden, bias) = (config.hidden, config.qkv_bias);
        let attn = loader.under("attn");
        let norm = |name: &str| RmsNorm::load(loader, name, hidden, config.eps);
        let part = |name: &str| Linear::load(&attn, name, hidden, hidden, bias);
        let qkv = match attn.contains("q.weight") {
            true => Qkv::Three(Box::new([part("q")?, part("k")?, part("v")?])),
            false => Qkv::One(Box::new(Linear::load(
                &attn,
                "qkv",
                hidden,
                3 * hidden,
                bias,
            )?)),
        };
        let head_dim = hidden / config.heads.max(1);
        // As the products around it are.
        let rounded = match &qkv {
            Qkv::One(qkv) => qkv.is_bf16(),
            Qkv::Three(parts) => parts.iter().all(Linear::is_bf16),
        };
        Ok(Self {
            norms: [norm(config.norms[0])?, norm(config.norms[1])?],
            qkv,
            proj: Linear::load(&attn, "proj", hidden, hidden, config.bias)?,
            mlp: Mlp::load_named(
                &loader.under("mlp"),
                config.mlp,
                hidden,
                config.intermediate,
                config.bias,
            )?,
            attention: kernels::Attention {
                heads: config.heads,
                kv_heads: config.heads,
                head_dim,
                window: None,
                scale: (head_dim as f32).powf(-0.5),
                causal: false,
                rounded,
            },
            hidden,
        })
    }

    /// Adds the block's output to `x`, `[patches, hidden]`.
    ///
    /// # Errors
    /// Segments that are not those of `x`, no memory for the keys of a long one.
    pub fn forward(
        &self,
        x: &mut [f32],
        layout: Layout,
        space: &mut EncoderSpace,
        work: &mut Workspace,
    ) -> Result<()> {
        let width = self.hidden;
        if layout.segments.iter().sum::<usize>() * width != x.len() {
            bail!("segments of other lengths than the image")
        }
        let (mut start, mut rest) = (0, layout.segments);
        while let Some(&first) = rest.first() {
            if first > CHUNK {
                let range = start..start + first;
                self.whole(
                    &mut x[range.start * width..range.end * width],
                    layout.part(range),
                    space,
                    work,
                )?;
                (start, rest) = (start + first, &rest[1..]);
                continue;
            }
            // As many segments together as a product takes.
            let (mut count, mut len) = (0, 0);
            while rest.get(count).is_some_and(|next| len + next <= CHUNK) {
                len += rest[count];
                count += 1;
            }
            let range = start..start + len;
            let part = Layout {
                segments: &rest[..count],
                ..layout.part(range.clone())
            };
            self.windows(
                &mut x[range.start * width..range.end * width],
                part,
                space,
                work,
            )?;
            (start, rest) = (range.end, &rest[count..]);
        }
        for x in x.chunks_mut(CHUNK * width) {
            self.mlp.add_to_host(x, &self.norms[1], work)?;
        }
        Ok(())
    }

    /// Attention of patches whose segments all end among them.
    fn windows(
        &self,
        x: &mut [f32],
        layout: Layout,
        space: &mut EncoderSpace,
        work: &mut Workspace,
    ) -> Result<()> {
        let (width, simd) = (self.hidden, work.simd);
        let mut qkv = std::mem::take(&mut work.qkv);
        let parts = self.project(x, layout, &mut qkv, work)?;
        let mut inner = std::mem::take(&mut work.inner);
        let seen = sized(&mut inner, x.len());
        let mut start = 0;
        for &len in layout.segments {
            let at = start * parts.stride;
            space.cache.truncate(0);
            space
                .cache
                .append(simd, &parts.k[at..], &parts.v[at..], parts.stride, len)
                .map_err(candle_core::Error::wrap)?;
            self.attention.forward(
                simd,
                &parts.q[at..],
                parts.stride,
                &space.cache,
                len,
                &mut work.attention,
                &mut seen[start * width..(start + len) * width],
            );
            start += len;
        }
        self.proj.host()?.multiply_into(&inner, x, true, work);
        (work.qkv, work.inner) = (qkv, inner);
        Ok(())
    }

    /// Attention of a segment that is taken in chunks.
    fn whole(
        &self,
        x: &mut [f32],
        layout: Layout,
        space: &mut EncoderSpace,
        work: &mut Workspace,
    ) -> Result<()> {
        let (width, simd) = (self.hidden, work.simd);
        let mut qkv = std::mem::take(&mut work.qkv);
        space.cache.truncate(0);
        let queries = sized(&mut space.queries, x.len());
        let chunk = CHUNK * width;
        for (i, (x, kept)) in x.chunks(chunk).zip(queries.chunks_mut(chunk)).enumerate() {
            let tokens = x.len() / width;
            let part = layout.part(i * CHUNK..i * CHUNK + tokens);
            let parts = self.project(x, part, &mut qkv, work)?;
            space
                .cache
                .append(simd, parts.k, parts.v, parts.stride, tokens)
                .map_err(candle_core::Error::wrap)?;
            for (kept, q) in kept
                .chunks_exact_mut(width)
                .zip(parts.q.chunks(parts.stride))
            {
                kept.copy_from_slice(&q[..width]);
            }
        }
        let mut inner = std::mem::take(&mut work.inner);
        for (x, q) in x.chunks_mut(chunk).zip(queries.chunks(chunk)) {
            let tokens = x.len() / width;
            self.attention.forward(
                simd,
                q,
                width,
                &space.cache,
                tokens,
                &mut work.attention,
                sized(&mut inner, x.len()),
            );
            self.proj.host()?.multiply_into(&inner, x, true, work);
        }
        (work.qkv, work.inner) = (qkv, inner);
        Ok(())
    }

    /// Query, key and value of `x` behind its norm, the first two rotated.
    fn project<'a>(
        &self,
        x: &[f32],
        layout: Layout,
        qkv: &'a mut [Vec<f32>; 3],
        work: &mut Workspace,
    ) -> Result<Parts<'a>> {
        let (width, simd) = (self.hidden, work.simd);
        let tokens = x.len() / width;
        self.norms[0].to_workspace(x, work);
        let [q, k, v] = qkv;
        let turn = |x: &mut [f32], stride: usize| {
            if let Some(angles) = layout.angles {
                kernels::rotate(simd, x, stride, self.attention.heads, angles);
            }
        };
        match &self.qkv {
            Qkv::One(one) => {
                let product = [one.host()?.product(q, tokens)];
                kernels::multiply(simd, &work.normed, product, &mut work.inputs);
                let stride = 3 * width;
                turn(q, stride);
                turn(&mut q[width..], stride);
                Ok(Parts {
                    q,
                    k: &q[width..],
                    v: &q[2 * width..],
                    stride,
                })
            }
            Qkv::Three(three) => {
                let [to_q, to_k, to_v] = &**three;
                let products = [
                    to_q.host()?.product(q, tokens),
                    to_k.host()?.product(k, tokens),
                    to_v.host()?.product(v, tokens),
                ];
                kernels::multiply(simd, &work.normed, products, &mut work.inputs);
                turn(q, width);
                turn(k, width);
                Ok(Parts {
                    q,
                    k,
                    v,
                    stride: width,
                })
            }
        }
    }
}

/// Query, key and value, rows `stride` numbers apart.
struct Parts<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    stride: usize,
}

impl<'a> Layout<'a> {
    /// The angles of some of the patches; segments as they are.
    fn part(self, patches: Range<usize>) -> Self {
        let cut = |angles: Angles<'a>| {
            let half = angles.head_dim / 2;
            let numbers = patches.start * half..patches.end * half;
            Angles {
                cos: &angles.cos[numbers.clone()],
                sin: &angles.sin[numbers],
                ..angles
            }
        };
        Self {
            angles: self.angles.map(cut),
            ..self
        }
    }
}
