//! The Vocos backbone (Siuzdak, 2023, arXiv:2306.00814): ConvNeXt blocks over time, whose norms may depend on a voice.

use crate::kernels::conv::{channel_norm, depthwise, Activation, ChannelNorm, Filter, Out, Signal};
use crate::kernels::{Simd, Unit};
use crate::nn::conv::{packed, pointwise, ConvShape};
use crate::weights::{Loader, WeightsError};

/// Taps of every kernel.
const SIZE: usize = 7;
const EPS: f32 = 1e-6;

/// Shape of a backbone.
#[derive(Debug, Clone, Copy)]
pub struct BackboneShape {
    pub inputs: usize,
    pub dim: usize,
    pub intermediate: usize,
    pub layers: usize,
    /// Width of the condition of its norms.
    pub condition: Option<usize>,
}

/// Convolution to `dim` channels, norm, blocks, norm.
pub struct Backbone {
    embed: Filter,
    norms: Norms,
    blocks: Vec<ConvNeXt>,
    last: ChannelNorm,
}

struct ConvNeXt {
    /// `[dim, 7]`.
    depthwise: Vec<f32>,
    depthwise_bias: Vec<f32>,
    expand: Filter,
    /// With the layer scale in it.
    contract: Filter,
}

/// The norms after the embedding and in each block.
enum Norms {
    Fixed(Vec<ChannelNorm>),
    Adaptive(Vec<AdaptiveNorm>),
}

/// A norm whose scale and shift are linear functions of a condition.
struct AdaptiveNorm {
    scale: Affine,
    shift: Affine,
}

struct Affine {
    /// `[rows, condition]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Affine {
    fn load(loader: &Loader, name: &str, rows: usize, inputs: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: loader.numbers(&format!("{name}.weight"), &[rows, inputs])?,
            bias: loader.numbers(&format!("{name}.bias"), &[rows])?,
        })
    }

    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let rows = self.weight.chunks_exact(x.len().max(1));
        rows.zip(&self.bias)
            .map(|(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>())
            .collect()
    }
}

/// Memory of a pass, used again by the next.
#[derive(Default)]
pub struct Work {
    x: Signal,
    y: Signal,
    normed: Signal,
    wide: Signal,
}

impl Backbone {
    /// Reads `embed`, `norm`, `convnext.*` and `final_layer_norm` below `loader`; what it reads is multiplied by `gain`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(
        loader: &Loader,
        unit: Unit,
        shape: BackboneShape,
        gain: f32,
    ) -> Result<Self, WeightsError> {
        let dim = shape.dim;
        let embed = {
            let form = ConvShape::same(dim, shape.inputs, SIZE);
            let weights = loader.numbers("embed.weight", &[dim, shape.inputs, SIZE])?;
            let bias = loader.numbers("embed.bias", &[dim])?;
            packed(loader, unit, &weights, Some(&vec![gain; dim]), bias, form)?
        };
        let blocks: Vec<Loader> = (0..shape.layers)
            .map(|i| loader.under(&format!("convnext.{i}")))
            .collect();
        let places = || std::iter::once(loader).chain(&blocks);
        let norms = match shape.condition {
            None => Norms::Fixed(
                places()
                    .map(|at| layer_norm(at, "norm", dim))
                    .collect::<Result<_, _>>()?,
            ),
            Some(width) => Norms::Adaptive(
                places()
                    .map(|at| {
                        Ok(AdaptiveNorm {
                            scale: Affine::load(at, "norm.scale", dim, width)?,
                            shift: Affine::load(at, "norm.shift", dim, width)?,
                        })
                    })
                    .collect::<Result<_, WeightsError>>()?,
            ),
        };
        Ok(Self {
            embed,
            norms,
            blocks: blocks
                .iter()
                .map(|at| ConvNeXt::load(at, unit, dim, shape.intermediate))
                .collect::<Result<_, _>>()?,
            last: layer_norm(loader, "final_layer_norm", dim)?,
        })
    }

    /// Frames on either side that an output depends on.
    pub fn reach(&self) -> usize {
        SIZE / 2 * (1 + self.blocks.len())
    }

    /// The norms for `condition`, which counts only where they depend on one.
    pub fn norms(&self, condition: &[f32]) -> Vec<ChannelNorm> {
        match &self.norms {
            Norms::Fixed(norms) => norms.clone(),
            Norms::Adaptive(norms) => norms
                .iter()
                .map(|norm| ChannelNorm {
                    scale: norm.scale.apply(condition),
                    shift: norm.shift.apply(condition),
                    eps: EPS,
                })
                .collect(),
        }
    }

    /// `x` `[inputs, frames]` in units of the weights → `out` `[dim, frames]` in the same, with `norms` as
    /// [`Backbone::norms`] gave them.
    pub fn forward(&self, x: &Signal, norms: &[ChannelNorm], work: &mut Work, out: &mut Signal) {
        let (simd, unit) = (Simd::detect(), self.embed.unit());
        self.embed.apply(x, Out::plain(&mut work.y));
        channel_norm(simd, &work.y, &norms[0], false, Unit::F32, &mut work.x);
        for (block, norm) in self.blocks.iter().zip(&norms[1..]) {
            depthwise(
                simd,
                &work.x,
                &block.depthwise,
                &block.depthwise_bias,
                &mut work.y,
            );
            channel_norm(simd, &work.y, norm, false, unit, &mut work.normed);
            block.expand.apply(
                &work.normed,
                Out::active(&mut work.wide, unit, Activation::Gelu),
            );
            block.contract.apply(&work.wide, Out::added(&mut work.x));
        }
        channel_norm(simd, &work.x, &self.last, false, unit, out);
    }
}

impl ConvNeXt {
    fn load(
        loader: &Loader,
        unit: Unit,
        dim: usize,
        intermediate: usize,
    ) -> Result<Self, WeightsError> {
        let gamma = loader.numbers("gamma", &[dim])?;
        Ok(Self {
            depthwise: loader.numbers("dwconv.weight", &[dim, 1, SIZE])?,
            depthwise_bias: loader.numbers("dwconv.bias", &[dim])?,
            expand: pointwise(loader, unit, "pwconv1", [intermediate, dim], None)?,
            contract: pointwise(loader, unit, "pwconv2", [dim, intermediate], Some(&gamma))?,
        })
    }
}

/// Reads `name.weight` and `name.bias`, `[dim]`.
fn layer_norm(loader: &Loader, name: &str, dim: usize) -> Result<ChannelNorm, WeightsError> {
    Ok(ChannelNorm {
        scale: loader.numbers(&format!("{name}.weight"), &[dim])?,
        shift: loader.numbers(&format!("{name}.bias"), &[dim])?,
        eps: EPS,
    })
}

/// Backbones without a condition one after the other, below `downsample.J.1`. A sampling stage of ratio 1 lies before
/// each of them, whose three paths all pass on what they read: it multiplies by three.
pub struct Stages(Vec<Backbone>);

impl Stages {
    /// Reads `count` of them below `loader`.
    ///
    /// # Errors
    /// As [`Backbone::load`].
    pub fn load(
        loader: &Loader,
        unit: Unit,
        count: usize,
        dim: usize,
        intermediate: usize,
    ) -> Result<Self, WeightsError> {
        let shape = BackboneShape {
            inputs: dim,
            dim,
            intermediate,
            layers: STAGE_LAYERS,
            condition: None,
        };
        let stage = |j| {
            Backbone::load(
                &loader.under(&format!("downsample.{j}.1")),
                unit,
                shape,
                3.0,
            )
        };
        Ok(Self((0..count).map(stage).collect::<Result<_, _>>()?))
    }

    /// As [`Backbone::reach`].
    pub fn reach(&self) -> usize {
        self.0.iter().map(Backbone::reach).sum()
    }

    /// `x` in and out.
    pub fn forward(&self, x: &mut Signal, work: &mut Work) {
        let mut out = Signal::default();
        for stage in &self.0 {
            stage.forward(x, &stage.norms(&[]), work, &mut out);
            std::mem::swap(x, &mut out);
        }
    }
}

/// Layers of a backbone in [`Stages`].
pub(super) const STAGE_LAYERS: usize = 2;
