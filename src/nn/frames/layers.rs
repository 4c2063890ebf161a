//! The layers themselves.

use super::{Frames, FramesError, FramesSpace};
use crate::kernels::conv::{self as host, gelu_in_place};
use crate::kernels::{self, CacheType, KvCache, Unit};
use crate::nn::conv::{self, Conv, ConvShape, Failed, Function, Heads, Norm, Out, Signal, Space};
use crate::nn::{Linear, Workspace};
use crate::weights::{Loader, WeightsError};

/// `y = x · Wᵀ + b` of each frame.
pub struct Dense(Held);

enum Held {
    Rows(Linear),
    Channels(Conv),
}

/// Normalisation of each frame: `(x − mean) / sqrt(var + eps) · weight + bias` (Ba et al., 2016, arXiv:1607.06450).
pub enum LayerNorm {
    Rows {
        weight: Vec<f32>,
        bias: Vec<f32>,
        eps: f32,
    },
    Channels(Norm),
}

/// Softmax attention without a mask.
pub enum Attention {
    Rows(kernels::Attention),
    Channels(Heads),
}

/// A convolution over frames whose results tell them where they are: every group of channels by itself, as many results
/// as frames (wav2vec 2.0, arXiv:2006.11477).
pub struct Positions {
    groups: Vec<Conv>,
    width: usize,
    taps: usize,
}

impl Dense {
    /// Reads `name.weight` `[outputs, inputs]` and `name.bias` `[outputs]`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape; no memory.
    pub fn load(
        loader: &Loader,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, WeightsError> {
        Ok(Self(match loader.on_gpu() {
            true => Held::Channels(conv::dense(loader, name, [outputs, inputs])?),
            false => Held::Rows(Linear::load(loader, name, inputs, outputs, true)?),
        }))
    }

    /// `out` becomes its results for `x`.
    ///
    /// # Errors
    /// Those of a GPU, frames of another place.
    pub fn apply(
        &self,
        x: &Frames,
        out: &mut Frames,
        space: &mut FramesSpace,
    ) -> Result<(), FramesError> {
        match &self.0 {
            Held::Rows(linear) => {
                multiply(linear, x, out, &mut space.work)?;
            }
            Held::Channels(conv) => {
                let out = Out::plain(out.channels_mut());
                conv.apply(x.channels()?, out, &mut space.conv)?;
            }
        }
        Ok(())
    }

    /// `out` becomes the GELU of its results for `x`.
    ///
    /// # Errors
    /// As [`Dense::apply`].
    pub fn gelu(
        &self,
        x: &Frames,
        out: &mut Frames,
        space: &mut FramesSpace,
    ) -> Result<(), FramesError> {
        match &self.0 {
            Held::Rows(linear) => {
                let simd = space.work.simd;
                gelu_in_place(simd, multiply(linear, x, out, &mut space.work)?);
            }
            Held::Channels(conv) => {
                let out = Out::active(out.channels_mut(), Function::Gelu);
                conv.apply(x.channels()?, out, &mut space.conv)?;
            }
        }
        Ok(())
    }

    /// Adds its results for `x` to `sum`. They go to `between` where both are not done in one.
    ///
    /// # Errors
    /// As [`Dense::apply`].
    pub fn add_to(
        &self,
        sum: &mut Frames,
        x: &Frames,
        between: &mut Frames,
        space: &mut FramesSpace,
    ) -> Result<(), FramesError> {
        match (&self.0, sum) {
            (Held::Channels(conv), Frames::Channels(sum)) => {
                conv.apply(x.channels()?, Out::added(sum), &mut space.conv)?;
                Ok(())
            }
            (_, sum) => {
                self.apply(x, between, space)?;
                sum.add(between)
            }
        }
    }
}

/// The rows that `out` becomes.
fn multiply<'a>(
    linear: &Linear,
    x: &Frames,
    out: &'a mut Frames,
    work: &mut Workspace,
) -> Result<&'a mut [f32], FramesError> {
    let ((x, width), weights) = (x.rows()?, linear.host()?);
    let out = out.rows_mut(x.len() / width.max(1), weights.matrix.rows());
    weights.multiply_into(x, out, false, work);
    Ok(out)
}

impl LayerNorm {
    /// Reads `name.weight` and `name.bias`, `[width]`.
    ///
    /// # Errors
    /// As [`Dense::load`].
    pub fn load(loader: &Loader, name: &str, width: usize, eps: f64) -> Result<Self, WeightsError> {
        let eps = eps as f32;
        if loader.on_gpu() {
            return Ok(Self::Channels(Norm::load(loader, name, width, eps)?));
        }
        Ok(Self::Rows {
            weight: loader.numbers(&format!("{name}.weight"), &[width])?,
            bias: loader.numbers(&format!("{name}.bias"), &[width])?,
            eps,
        })
    }

    /// `out` becomes the norm of `x`.
    ///
    /// # Errors
    /// As [`Dense::apply`].
    pub fn apply(
        &self,
        x: &Frames,
        out: &mut Frames,
        space: &FramesSpace,
    ) -> Result<(), FramesError> {
        match self {
            Self::Rows { weight, bias, eps } => {
                let (x, width) = x.rows()?;
                let out = out.rows_mut(x.len() / width.max(1), width);
                kernels::layer_norm(space.work.simd, x, weight, bias, *eps, out);
            }
            Self::Channels(norm) => {
                norm.apply(x.channels()?, true, out.channels_mut(), &space.conv)?;
            }
        }
        Ok(())
    }
}

impl Attention {
    /// Of so many `heads` in frames of `width` numbers.
    ///
    /// # Errors
    /// Heads that a GPU's kernels do not take.
    pub fn new(loader: &Loader, heads: usize, width: usize) -> Result<Self, WeightsError> {
        let head_dim = width / heads.max(1);
        if loader.on_gpu() {
            return Ok(Self::Channels(Heads::new(loader, heads, head_dim)?));
        }
        Ok(Self::Rows(kernels::Attention {
            heads,
            kv_heads: heads,
            head_dim,
            window: None,
            scale: (head_dim as f32).powf(-0.5),
            causal: false,
            rounded: false,
        }))
    }

    /// `out` becomes what the queries find in keys and values.
    ///
    /// # Errors
    /// As [`Dense::apply`]; no memory.
    pub fn apply(
        &self,
        [q, k, v]: [&Frames; 3],
        out: &mut Frames,
        space: &mut FramesSpace,
    ) -> Result<(), FramesError> {
        let shape = match self {
            Self::Rows(shape) => shape,
            Self::Channels(heads) => {
                let (q, kv) = (q.channels()?, [k.channels()?, v.channels()?]);
                heads.attend(q, kv, [0, 0], out.channels_mut())?;
                return Ok(());
            }
        };
        let ((q, width), (k, _), (v, _)) = (q.rows()?, k.rows()?, v.rows()?);
        let (simd, frames) = (space.work.simd, q.len() / width.max(1));
        let mut cache = KvCache::new(shape.heads, shape.head_dim, frames, CacheType::F32);
        cache
            .append(simd, k, v, width, frames)
            .map_err(candle_core::Error::wrap)?;
        let (work, out) = (&mut space.work.attention, out.rows_mut(frames, width));
        shape.forward(simd, q, width, &cache, frames, work, out);
        Ok(())
    }
}

impl Positions {
    /// Of `weights` `[width, width / groups, taps]` and `bias` `[width]`; `taps` is even.
    ///
    /// # Errors
    /// No memory.
    ///
    /// # Panics
    /// Numbers that do not fit the shape.
    pub fn new(
        loader: &Loader,
        weights: &[f32],
        bias: &[f32],
        groups: usize,
        taps: usize,
    ) -> Result<Self, WeightsError> {
        let (width, each) = (bias.len(), bias.len() / groups);
        let shape = ConvShape::same(each, each, taps).at_rate(conv::RECORDING);
        let groups = weights
            .chunks_exact(each * each * taps)
            .zip(bias.chunks_exact(each))
            .map(|(weights, bias)| {
                Conv::given(loader, Unit::F32, weights.to_vec(), bias.to_vec(), shape)
            });
        Ok(Self {
            groups: groups.collect::<Result<_, _>>()?,
            width,
            taps,
        })
    }

    /// Adds the GELU of its results for `x` to it.
    ///
    /// # Errors
    /// As [`Dense::apply`].
    pub fn add_to(&self, x: &mut Frames, space: &mut FramesSpace) -> Result<(), FramesError> {
        match x {
            Frames::Rows { x, width } => {
                let signal = host::Signal::from_rows_with(x, *width, self.taps);
                let made = self.apply(&Signal::Host(signal), &mut space.conv)?;
                let mut rows = made.into_host()?.to_rows();
                gelu_in_place(space.work.simd, &mut rows);
                x.iter_mut().zip(rows).for_each(|(x, y)| *x += y);
            }
            Frames::Channels(x) => {
                let made = self.apply(x, &mut space.conv)?;
                x.add_gelu(&made)?;
            }
        }
        Ok(())
    }

    fn apply(&self, x: &Signal, space: &mut Space) -> Result<Signal, Failed> {
        let mut out = Signal::default();
        out.reshape(self.width, x.len(), space)?;
        let each = self.width / self.groups.len().max(1);
        for (i, conv) in self.groups.iter().enumerate() {
            let first = i * each;
            conv.apply_within((x, first), Out::plain(&mut out), first, space)?;
        }
        Ok(out)
    }
}
