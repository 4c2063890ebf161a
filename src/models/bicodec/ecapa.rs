//! ECAPA-TDNN (Desplanques et al., 2020, arXiv:2005.07143), as far as BiCodec reads it: the features before its pooling.
//! Here the batch norm follows the ReLU, and each unit of a Res2 block reads what the one before it made.

use crate::kernels::Unit;
use crate::nn::conv::{Conv, ConvShape, Failed, Function, Out, Signal, Space, Vector};
use crate::weights::{Loader, WeightsError};

/// Channels of the blocks; the reference takes no other.
pub(super) const CHANNELS: usize = 512;
/// Channels of the features.
pub(super) const FEATURES: usize = 3 * CHANNELS;
/// Groups of a Res2 block.
pub(super) const GROUPS: usize = 8;
/// Width inside of squeeze and excitation.
pub(super) const SQUEEZED: usize = 128;
/// Dilations of the blocks.
const DILATIONS: [usize; 3] = [2, 3, 4];
const BATCH_NORM_EPS: f32 = 1e-5;

/// Mel frames → features.
pub struct Ecapa {
    first: UnitLayer,
    blocks: Vec<Block>,
    last: Conv,
}

/// Convolution, ReLU, batch norm.
struct UnitLayer {
    conv: Conv,
    scale: Vector,
    shift: Vector,
}

struct Block {
    enter: UnitLayer,
    groups: Vec<UnitLayer>,
    leave: UnitLayer,
    squeeze: Conv,
    excite: Conv,
}

impl UnitLayer {
    fn load(
        loader: &Loader,
        conv_name: &str,
        norm_name: &str,
        shape: ConvShape,
    ) -> Result<Self, WeightsError> {
        let numbers = |name: &str| loader.numbers(&format!("{norm_name}.{name}"), &[shape.rows]);
        let (weight, bias) = (numbers("weight")?, numbers("bias")?);
        let (mean, variance) = (numbers("running_mean")?, numbers("running_var")?);
        let scale: Vec<f32> = weight
            .iter()
            .zip(&variance)
            .map(|(w, v)| w / (v + BATCH_NORM_EPS).sqrt())
            .collect();
        let shift = bias
            .iter()
            .zip(mean.iter().zip(&scale))
            .map(|(b, (m, s))| b - m * s)
            .collect();
        Ok(Self {
            conv: Conv::load(loader, Unit::F32, conv_name, shape)?,
            scale: Vector::given(loader, scale)?,
            shift: Vector::given(loader, shift)?,
        })
    }

    /// Reads the channels of `x` from `first` on.
    fn forward(
        &self,
        x: (&Signal, usize),
        out: &mut Signal,
        space: &mut Space,
    ) -> Result<(), Failed> {
        let function = Function::ReluAffine {
            scale: &self.scale,
            shift: &self.shift,
        };
        let out = Out::active(out, function);
        self.conv.apply_within(x, out, 0, space)
    }
}

impl Ecapa {
    /// Reads `layer1` to `layer4` and `conv` below `loader`, for `mels` bands.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(loader: &Loader, mels: usize) -> Result<Self, WeightsError> {
        let blocks = DILATIONS.iter().enumerate().map(|(i, &dilation)| {
            let at = loader.under(&format!("layer{}.se_res2block", i + 2));
            Block::load(&at, dilation)
        });
        Ok(Self {
            first: UnitLayer::load(
                &loader.under("layer1"),
                "conv",
                "bn",
                ConvShape::same(CHANNELS, mels, 5),
            )?,
            blocks: blocks.collect::<Result<_, _>>()?,
            last: Conv::load(
                loader,
                Unit::F32,
                "conv",
                ConvShape::same(FEATURES, FEATURES, 1),
            )?,
        })
    }

    /// `mel` `[bands, frames]` → `features` `[FEATURES, frames]`.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn forward(
        &self,
        mel: &Signal,
        features: &mut Signal,
        space: &mut Space,
    ) -> Result<(), Failed> {
        let [mut x, mut y, mut all] = [(); 3].map(|()| Signal::default());
        self.first.forward((mel, 0), &mut x, space)?;
        all.reshape(FEATURES, mel.len(), space)?;
        let mut work = Work::default();
        for (i, block) in self.blocks.iter().enumerate() {
            block.forward(&x, &mut y, &mut work, space)?;
            all.put(i * CHANNELS, 0, &y)?;
            std::mem::swap(&mut x, &mut y);
        }
        let out = Out::active(features, Function::Relu);
        self.last.apply(&all, out, space)
    }
}

/// Memory of a block, used again by the next.
#[derive(Default)]
struct Work {
    entered: Signal,
    made: Signal,
    means: Signal,
    squeezed: Signal,
    gates: Signal,
}

impl Block {
    fn load(loader: &Loader, dilation: usize) -> Result<Self, WeightsError> {
        let point = ConvShape::same(CHANNELS, CHANNELS, 1);
        let width = CHANNELS / GROUPS;
        let res2 = loader.under("1");
        let groups = (0..GROUPS - 1).map(|i| {
            let shape = ConvShape::dilated(width, width, 3, dilation);
            UnitLayer::load(&res2, &format!("convs.{i}"), &format!("bns.{i}"), shape)
        });
        Ok(Self {
            enter: UnitLayer::load(&loader.under("0"), "conv", "bn", point)?,
            groups: groups.collect::<Result<_, _>>()?,
            leave: UnitLayer::load(&loader.under("2"), "conv", "bn", point)?,
            squeeze: Conv::pointwise(loader, Unit::F32, "3.linear1", [SQUEEZED, CHANNELS], None)?,
            excite: Conv::pointwise(loader, Unit::F32, "3.linear2", [CHANNELS, SQUEEZED], None)?,
        })
    }

    fn forward(
        &self,
        x: &Signal,
        y: &mut Signal,
        work: &mut Work,
        space: &mut Space,
    ) -> Result<(), Failed> {
        let Work {
            entered,
            made,
            means,
            squeezed,
            gates,
        } = work;
        self.enter.forward((x, 0), entered, space)?;
        let width = CHANNELS / GROUPS;
        for (i, group) in self.groups.iter().enumerate() {
            group.forward((&*entered, i * width), made, space)?;
            entered.put(i * width, 0, made)?;
            if i + 1 < self.groups.len() {
                entered.add((i + 1) * width, made)?;
            }
        }
        self.leave.forward((&*entered, 0), y, space)?;
        y.mean(means)?;
        let out = Out::active(squeezed, Function::Relu);
        self.squeeze.apply(means, out, space)?;
        self.excite.apply(squeezed, Out::plain(gates), space)?;
        y.gate(gates, x)
    }
}
