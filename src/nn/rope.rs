//! Rotary position embedding (Su et al., 2021, arXiv:2104.09864) and its ways of reaching longer contexts.

use std::cell::RefCell;
use std::rc::Rc;

use candle_core::{DType, Device, Result, Tensor};

use super::attention::Mask;
use crate::kernels;
use crate::weights::Loader;

/// Which elements of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeLayout {
    /// Element `i` with `i + head_dim/2`: Hugging Face's checkpoints, and GGUF of qwen2 and qwen3.
    Halves,
    /// Element `2i` with `2i + 1`: GGUF of the llama architecture, whose query and key rows are permuted.
    Pairs,
}

/// How frequencies are changed for contexts longer than those of training.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    None,
    /// Positions divided by `factor` (Chen et al., 2023, arXiv:2306.15595).
    Linear {
        factor: f64,
    },
    /// Llama 3.1's smooth interpolation between wave lengths (transformers, `modeling_rope_utils`).
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_context: usize,
    },
    /// Peng et al., 2023, arXiv:2309.00071.
    Yarn {
        factor: f64,
        original_context: usize,
        beta_fast: f64,
        beta_slow: f64,
        /// Multiplies cosine and sine.
        attention_factor: f64,
        /// Whether the ends of the ramp are rounded to whole dimensions.
        truncate: bool,
    },
    /// One divisor a frequency, `head_dim / 2` of them (GGUF's `rope_freqs.weight`).
    Divisors(Vec<f32>),
}

/// The rotary embedding of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    pub theta: f64,
    pub layout: RopeLayout,
    pub scaling: RopeScaling,
    /// Positions have three axes (time, height, width), and so many frequencies from the first on read each
    /// (`mrope_section`; Wang et al., 2024, arXiv:2409.12191).
    pub sections: Option<[usize; 3]>,
}

/// Frequencies of a rotary embedding, ready to rotate.
pub struct Rope {
    inv_freq: Vec<f32>,
    magnitude: f32,
    layout: RopeLayout,
    sections: Option<[usize; 3]>,
    dtype: DType,
    device: Device,
    /// Whether angles are for the kernels.
    on_host: bool,
    #[cfg(feature = "cuda")]
    gpu: Option<crate::kernels::cuda::Rope>,
}

/// What all layers of a forward pass share: cosines and sines of its positions, and what each token sees.
pub struct PassTables {
    tokens: usize,
    cached: usize,
    head_dim: usize,
    layout: RopeLayout,
    angles: Angles,
    masks: RefCell<Vec<Rc<Mask>>>,
}

/// `[tokens, head_dim / 2]` each.
enum Angles {
    Host { cos: Vec<f32>, sin: Vec<f32> },
    Tensor { cos: Tensor, sin: Tensor },
}

impl Rope {
    /// For where the tensors of `loader` go.
    ///
    /// # Errors
    /// An odd `head_dim`; divisors or sections that are not `head_dim / 2` in number.
    pub fn new(config: &RopeConfig, head_dim: usize, loader: &Loader) -> Result<Self> {
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            candle_core::bail!("a rotary embedding needs an even head_dim, not {head_dim}")
        }
        let (inv_freq, magnitude) = frequencies(config, head_dim)?;
        if let Some(sections) = config.sections {
            if sections.iter().sum::<usize>() != head_dim / 2 {
                candle_core::bail!(
                    "mrope_section {sections:?} has to name {} frequencies",
                    head_dim / 2
                )
            }
        }
        #[cfg(feature = "cuda")]
        let gpu = match loader.gpu() {
            Some(gpu) => {
                let made =
                    crate::kernels::cuda::Rope::new(gpu, &inv_freq, config.sections, magnitude);
                Some(made.map_err(candle_core::Error::wrap)?)
            }
            None => None,
        };
        Ok(Self {
            #[cfg(feature = "cuda")]
            gpu,
            inv_freq,
            magnitude,
            layout: config.layout,
            sections: config.sections,
            dtype: loader.dtype(),
            device: loader.device().clone(),
            on_host: loader.on_host(),
        })
    }

    /// Its frequencies on a GPU.
    ///
    /// # Errors
    /// They are not there.
    #[cfg(feature = "cuda")]
    pub fn on_gpu(
        &self,
    ) -> std::result::Result<&crate::kernels::cuda::Rope, crate::kernels::cuda::GpuError> {
        let elsewhere = crate::kernels::cuda::GpuError::elsewhere;
        self.gpu.as_ref().ok_or_else(elsewhere)
    }

    /// Whether positions have three axes, see [`Rope::tables_of`].
    pub fn has_axes(&self) -> bool {
        self.sections.is_some()
    }

    /// The tables for positions `start .. start + tokens`. Angles are computed in f32, as transformers does.
    pub fn tables(&self, start: usize, tokens: usize) -> Result<PassTables> {
        let positions = (start..start + tokens).map(|position| [position; 3]);
        self.tables_of(start, positions)
    }

    /// The tables for tokens after `start` others, whose positions on the axes time, height and width are given; a
    /// model without such axes reads the first.
    pub fn tables_of(
        &self,
        start: usize,
        positions: impl ExactSizeIterator<Item = [usize; 3]>,
    ) -> Result<PassTables> {
        let tokens = positions.len();
        let [time, height, _] = self.sections.unwrap_or([self.inv_freq.len(), 0, 0]);
        let axis = |i: usize| usize::from(i >= time) + usize::from(i >= time + height);
        let mut cos = Vec::with_capacity(tokens * self.inv_freq.len());
        let mut sin = Vec::with_capacity(tokens * self.inv_freq.len());
        for position in positions {
            for (i, &freq) in self.inv_freq.iter().enumerate() {
                let (s, c) = (position[axis(i)] as f32 * freq).sin_cos();
                cos.push(c * self.magnitude);
                sin.push(s * self.magnitude);
            }
        }
        let shape = (tokens, self.inv_freq.len());
        let tensor = |x| Tensor::from_vec(x, shape, &self.device)?.to_dtype(self.dtype);
        let angles = match self.on_host {
            true => Angles::Host { cos, sin },
            false => Angles::Tensor {
                cos: tensor(cos)?,
                sin: tensor(sin)?,
            },
        };
        Ok(PassTables {
            tokens,
            cached: start,
            head_dim: 2 * self.inv_freq.len(),
            layout: self.layout,
            angles,
            masks: RefCell::default(),
        })
    }
}

impl PassTables {
    /// Tokens of the pass.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The angles for the kernels; none where they are on another device.
    pub(super) fn angles(&self) -> kernels::Angles<'_> {
        let (cos, sin): (&[f32], &[f32]) = match &self.angles {
            Angles::Host { cos, sin } => (cos, sin),
            Angles::Tensor { .. } => (&[], &[]),
        };
        kernels::Angles {
            cos,
            sin,
            head_dim: self.head_dim,
            neighbours: self.layout == RopeLayout::Pairs,
        }
    }

    /// Rotates `x`, `[heads, tokens, head_dim]`.
    pub(super) fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let Angles::Tensor { cos, sin } = &self.angles else {
            candle_core::bail!("angles of this device meet activations of another one")
        };
        let x = x.contiguous()?.unsqueeze(0)?;
        let y = match self.layout {
            RopeLayout::Halves => candle_nn::rotary_emb::rope(&x, cos, sin)?,
            RopeLayout::Pairs => candle_nn::rotary_emb::rope_i(&x, cos, sin)?,
        };
        y.squeeze(0)
    }

    /// What the tokens see in a layer of that window; made once for all layers that share it.
    pub(super) fn mask(&self, window: Option<usize>) -> Result<Rc<Mask>> {
        let mut masks = self.masks.borrow_mut();
        if let Some(mask) = masks.iter().find(|mask| mask.window() == window) {
            return Ok(mask.clone());
        }
        let Angles::Tensor { cos, .. } = &self.angles else {
            candle_core::bail!("a mask for activations of this device")
        };
        let mask = Mask::new(self.tokens, self.cached, window, cos.dtype(), cos.device())?;
        masks.push(Rc::new(mask));
        Ok(masks[masks.len() - 1].clone())
    }
}

/// Inverse frequencies (radians a position) and the factor on cosine and sine.
fn frequencies(config: &RopeConfig, head_dim: usize) -> Result<(Vec<f32>, f32)> {
    let half = head_dim / 2;
    let theta = config.theta as f32;
    let base: Vec<f32> = (0..half)
        .map(|i| 1.0 / theta.powf((2 * i) as f32 / head_dim as f32))
        .collect();
    Ok(match &config.scaling {
        RopeScaling::None => (base, 1.0),
        RopeScaling::Linear { factor } => (base.iter().map(|f| f / *factor as f32).collect(), 1.0),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_context,
        } => {
            let scaled = base.iter().map(|&freq| {
                let freq = f64::from(freq);
                // How many turns the frequency makes in the context of training.
                let turns = *original_context as f64 * freq / (2.0 * std::f64::consts::PI);
                let new = if turns < *low_freq_factor {
                    freq / factor
                } else if turns > *high_freq_factor {
                    freq
                } else {
                    let smooth = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * freq / factor + smooth * freq
                };
                new as f32
            });
            (scaled.collect(), 1.0)
        }
        RopeScaling::Yarn {
            factor,
            original_context,
            beta_fast,
            beta_slow,
            attention_factor,
            truncate,
        } => {
            // The dimension that makes `turns` turns in the context of training.
            let dimension = |turns: f64| {
                head_dim as f64
                    * (*original_context as f64 / (turns * 2.0 * std::f64::consts::PI)).ln()
                    / (2.0 * config.theta.ln())
            };
            let (mut low, mut high) = (dimension(*beta_fast), dimension(*beta_slow));
            if *truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            let low = low.max(0.0);
            let mut high = high.min(head_dim as f64 - 1.0);
            if low == high {
                high += 0.001;
            }
            let scaled = base.iter().enumerate().map(|(i, &freq)| {
                let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                let freq = f64::from(freq);
                (freq / factor * ramp + freq * (1.0 - ramp)) as f32
            });
            (scaled.collect(), *attention_factor as f32)
        }
        RopeScaling::Divisors(divisors) => {
            if divisors.len() != half {
                candle_core::bail!(
                    "rope_freqs.weight has {} values where head_dim {head_dim} needs {half}",
                    divisors.len()
                )
            }
            (base.iter().zip(divisors).map(|(f, d)| f / d).collect(), 1.0)
        }
    })
}
