//! What lies between the convolutions of an encoder of speech, wherever it is computed: sums, means, gates, attention.

use super::{Failed, Signal, Space};
use crate::kernels::conv::{self as host, activate, gelu_in_place, Activation};
#[cfg(feature = "cuda")]
use crate::kernels::cuda;
use crate::kernels::{Simd, Unit};
use crate::weights::{Loader, WeightsError};

impl Signal {
    /// Adds `x` to the channels from `first` on.
    ///
    /// # Errors
    /// Those of a GPU.
    ///
    /// # Panics
    /// It has more channels, or another number of samples.
    pub fn add(&mut self, first: usize, x: &Self) -> Result<(), Failed> {
        match self {
            Self::Host(out) => add(out, first, x.host()?),
            #[cfg(feature = "cuda")]
            Self::Gpu(out) => out.add(first, x.gpu()?, false)?,
        }
        Ok(())
    }

    /// Adds the GELU of `x`, a signal of the same shape.
    ///
    /// # Errors
    /// Those of a GPU.
    ///
    /// # Panics
    /// A signal of another shape.
    pub fn add_gelu(&mut self, x: &Self) -> Result<(), Failed> {
        match self {
            Self::Host(out) => {
                let (simd, mut curved) = (Simd::detect(), host::Signal::default());
                activate(simd, x.host()?, Activation::Gelu, Unit::F32, &mut curved);
                add(out, 0, &curved);
            }
            #[cfg(feature = "cuda")]
            Self::Gpu(out) => out.add(0, x.gpu()?, true)?,
        }
        Ok(())
    }

    /// `out` becomes the mean of each channel, a single sample.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn mean(&self, out: &mut Self) -> Result<(), Failed> {
        match self {
            Self::Host(x) => {
                let mean = |c: usize| x.channel(c).iter().sum::<f32>() / x.len() as f32;
                let means: Vec<f32> = (0..x.channels()).map(mean).collect();
                *out.host_mut() = host::Signal::from_channels(&means, means.len());
            }
            #[cfg(feature = "cuda")]
            Self::Gpu(x) => x.mean(out.gpu_mut())?,
        }
        Ok(())
    }

    /// Each channel becomes itself times the sigmoid of its one sample of `gates`, and `x` (squeeze and excitation: Hu
    /// et al., 2018, arXiv:1709.01507).
    ///
    /// # Errors
    /// Those of a GPU.
    ///
    /// # Panics
    /// Signals of other shapes.
    pub fn gate(&mut self, gates: &Self, x: &Self) -> Result<(), Failed> {
        match self {
            Self::Host(out) => {
                let (gates, x) = (gates.host()?, x.host()?);
                for channel in 0..out.channels() {
                    let gate = 1.0 / (1.0 + (-gates.channel(channel)[0]).exp());
                    for (y, x) in out.channel_mut(channel).iter_mut().zip(x.channel(channel)) {
                        *y = *y * gate + x;
                    }
                }
            }
            #[cfg(feature = "cuda")]
            Self::Gpu(out) => out.gate(gates.gpu()?, x.gpu()?)?,
        }
        Ok(())
    }

    /// `out` becomes the first half of the channels times the GELU of the second (Shazeer, 2020, arXiv:2002.05202).
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn gated(&self, out: &mut Self) -> Result<(), Failed> {
        match self {
            Self::Host(x) => {
                let (inner, out) = (x.channels() / 2, out.host_mut());
                out.reshape(Unit::F32, inner, x.len());
                for channel in 0..inner {
                    let mut gate = x.channel(inner + channel).to_vec();
                    gelu_in_place(Simd::detect(), &mut gate);
                    let values = x.channel(channel).iter().zip(&gate);
                    for (out, (x, gate)) in out.channel_mut(channel).iter_mut().zip(values) {
                        *out = x * gate;
                    }
                }
            }
            #[cfg(feature = "cuda")]
            Self::Gpu(x) => x.gated(out.gpu_mut())?,
        }
        Ok(())
    }

    /// Becomes the samples of `x`, where `space` computes.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn put_all(&mut self, x: &host::Signal, space: &Space) -> Result<(), Failed> {
        self.put_rows(&x.to_rows(), x.channels(), space)
    }
}

fn add(out: &mut host::Signal, first: usize, x: &host::Signal) {
    for channel in 0..x.channels() {
        let to = out.channel_mut(first + channel);
        assert_eq!(to.len(), x.len(), "as many samples");
        to.iter_mut()
            .zip(x.channel(channel))
            .for_each(|(to, x)| *to += x);
    }
}

/// Softmax attention over time: every sample of the queries sees every sample of the keys, a head for itself.
pub enum Heads {
    Host {
        heads: usize,
        dim: usize,
    },
    #[cfg(feature = "cuda")]
    Gpu(cuda::conv::Heads),
}

impl Heads {
    /// So many heads of `dim` channels, where `loader` has its tensors.
    ///
    /// # Errors
    /// Heads that a GPU's kernels do not take.
    pub fn new(loader: &Loader, heads: usize, dim: usize) -> Result<Self, WeightsError> {
        if loader.on_gpu() {
            #[cfg(feature = "cuda")]
            return Ok(Self::Gpu(cuda::conv::Heads::new(heads, dim)?));
        }
        Ok(Self::Host { heads, dim })
    }

    /// `out` becomes what the queries `q` find in `k` and `v`, all of them so many heads one below the other: `k` from
    /// channel `first[0]` of its signal on, `v` from `first[1]` on.
    ///
    /// # Errors
    /// Those of a GPU.
    ///
    /// # Panics
    /// Signals of other shapes.
    pub fn attend(
        &self,
        q: &Signal,
        [k, v]: [&Signal; 2],
        first: [usize; 2],
        out: &mut Signal,
    ) -> Result<(), Failed> {
        match self {
            Self::Host { heads, dim } => {
                let (q, kv) = (q.host()?, [k.host()?, v.host()?]);
                attend([*heads, *dim], q, kv, first, out.host_mut());
                Ok(())
            }
            #[cfg(feature = "cuda")]
            Self::Gpu(heads) => heads.attend(q.gpu()?, [k.gpu()?, v.gpu()?], first, out.gpu_mut()),
        }
    }
}

/// A few queries, one after the other.
fn attend(
    [heads, dim]: [usize; 2],
    q: &host::Signal,
    [k, v]: [&host::Signal; 2],
    first: [usize; 2],
    out: &mut host::Signal,
) {
    out.reshape(Unit::F32, heads * dim, q.len());
    let scale = (dim as f32).powf(-0.5);
    let mut scores = vec![0f32; k.len()];
    for head in 0..heads {
        let channels = head * dim..(head + 1) * dim;
        for token in 0..q.len() {
            scores.fill(0.0);
            for channel in channels.clone() {
                let x = q.channel(channel)[token] * scale;
                for (score, key) in scores.iter_mut().zip(k.channel(first[0] + channel)) {
                    *score += x * key;
                }
            }
            let most = scores.iter().copied().fold(f32::MIN, f32::max);
            scores.iter_mut().for_each(|s| *s = (*s - most).exp());
            let sum: f32 = scores.iter().sum();
            for channel in channels.clone() {
                let values = v.channel(first[1] + channel).iter().zip(&scores);
                let total: f32 = values.map(|(value, score)| value * score).sum();
                out.channel_mut(channel)[token] = total / sum;
            }
        }
    }
}
