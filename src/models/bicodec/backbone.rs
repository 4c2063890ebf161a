//! The Vocos backbone (Siuzdak, 2023, arXiv:2306.00814): ConvNeXt blocks over time, whose norms may depend on a voice.

use crate::kernels::Unit;
use crate::nn::conv::{
    Affine, Conv, ConvShape, Depthwise, Failed, Function, Norm, Out, Signal, Space, Vector,
};
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
    embed: Conv,
    norms: Norms,
    blocks: Vec<ConvNeXt>,
    last: Norm,
}

struct ConvNeXt {
    depthwise: Depthwise,
    expand: Conv,
    /// With the layer scale in it.
    contract: Conv,
}

/// The norms after the embedding and in each block.
enum Norms {
    Fixed(Vec<Norm>),
    Adaptive(Vec<AdaptiveNorm>),
}

/// A norm whose scale and shift are linear functions of a condition.
struct AdaptiveNorm {
    scale: Affine,
    shift: Affine,
}

/// Memory of a pass, used again by the next.
#[derive(Default)]
pub struct Work {
    x: Signal,
    y: Signal,
    normed: Signal,
    wide: Signal,
    /// What a stage makes.
    made: Signal,
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
        let form = ConvShape::same(dim, shape.inputs, SIZE);
        let embed = Conv::scaled(loader, unit, "embed", form, gain)?;
        let blocks: Vec<Loader> = (0..shape.layers)
            .map(|i| loader.under(&format!("convnext.{i}")))
            .collect();
        let places = || std::iter::once(loader).chain(&blocks);
        let norms = match shape.condition {
            None => Norms::Fixed(
                places()
                    .map(|at| Norm::load(at, "norm", dim, EPS))
                    .collect::<Result<_, _>>()?,
            ),
            Some(width) => Norms::Adaptive(
                places()
                    .map(|at| {
                        Ok(AdaptiveNorm {
                            scale: Affine::load(at, "norm.scale", [dim, width])?,
                            shift: Affine::load(at, "norm.shift", [dim, width])?,
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
            last: Norm::load(loader, "final_layer_norm", dim, EPS)?,
        })
    }

    /// Frames on either side that an output depends on.
    pub fn reach(&self) -> usize {
        reach(self.blocks.len())
    }

    /// The norms for `condition`; there is one where they depend on it.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn norms(&self, condition: Option<&Vector>) -> Result<Vec<Norm>, Failed> {
        match (&self.norms, condition) {
            (Norms::Fixed(norms), _) => Ok(norms.clone()),
            (Norms::Adaptive(norms), Some(condition)) => norms
                .iter()
                .map(|norm| {
                    let (scale, shift) =
                        (norm.scale.apply(condition)?, norm.shift.apply(condition)?);
                    Norm::new(scale, shift, EPS)
                })
                .collect(),
            (Norms::Adaptive(_), None) => Ok(Vec::new()),
        }
    }

    /// `x` `[inputs, frames]` for the convolutions of `space` → `out` `[dim, frames]` for others, with `norms` as
    /// [`Backbone::norms`] gave them.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn forward(
        &self,
        x: &Signal,
        norms: &[Norm],
        work: &mut Work,
        space: &mut Space,
        out: &mut Signal,
    ) -> Result<(), Failed> {
        self.embed.apply(x, Out::plain(&mut work.y), space)?;
        norms[0].apply(&work.y, true, &mut work.x, space)?;
        for (block, norm) in self.blocks.iter().zip(&norms[1..]) {
            let made = [&mut work.y, &mut work.normed];
            block.depthwise.normed(&work.x, norm, made, space)?;
            let wide = Out::active(&mut work.wide, Function::Gelu);
            block.expand.apply(&work.normed, wide, space)?;
            let added = Out::added(&mut work.x);
            block.contract.apply(&work.wide, added, space)?;
        }
        self.last.apply(&work.x, false, out, space)
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
        let (wide, narrow) = ([intermediate, dim], [dim, intermediate]);
        Ok(Self {
            depthwise: Depthwise::load(loader, "dwconv", dim, SIZE)?,
            expand: Conv::pointwise(loader, unit, "pwconv1", wide, None)?,
            contract: Conv::pointwise(loader, unit, "pwconv2", narrow, Some(&gamma))?,
        })
    }
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
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn forward(
        &self,
        x: &mut Signal,
        work: &mut Work,
        space: &mut Space,
    ) -> Result<(), Failed> {
        let mut made = std::mem::take(&mut work.made);
        for stage in &self.0 {
            stage.forward(x, &stage.norms(None)?, work, space, &mut made)?;
            std::mem::swap(x, &mut made);
        }
        work.made = made;
        Ok(())
    }
}

/// As [`Backbone::reach`], of so many blocks.
pub(super) fn reach(blocks: usize) -> usize {
    SIZE / 2 * (1 + blocks)
}

/// Layers of a backbone in [`Stages`].
pub(super) const STAGE_LAYERS: usize = 2;
