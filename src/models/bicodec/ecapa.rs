//! ECAPA-TDNN (Desplanques et al., 2020, arXiv:2005.07143), as far as BiCodec reads it: the features before its pooling.
//! Here the batch norm follows the ReLU, and each unit of a Res2 block reads what the one before it made.

use crate::kernels::conv::{add, Activation, Filter, Out, Signal};
use crate::kernels::Unit;
use crate::nn::conv::{conv, pointwise, ConvShape};
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
    last: Filter,
}

/// Convolution, ReLU, batch norm.
struct UnitLayer {
    filter: Filter,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

struct Block {
    enter: UnitLayer,
    groups: Vec<UnitLayer>,
    leave: UnitLayer,
    squeeze: Filter,
    excite: Filter,
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
            filter: conv(loader, Unit::F32, conv_name, shape)?,
            scale,
            shift,
        })
    }

    fn forward(&self, x: &Signal, out: &mut Signal) {
        let function = Activation::ReluAffine {
            scale: &self.scale,
            shift: &self.shift,
        };
        self.filter.apply(x, Out::active(out, Unit::F32, function));
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
            last: conv(
                loader,
                Unit::F32,
                "conv",
                ConvShape::same(FEATURES, FEATURES, 1),
            )?,
        })
    }

    /// `mel` `[bands, frames]` → `[FEATURES, frames]`.
    pub fn forward(&self, mel: &Signal) -> Signal {
        let mut x = Signal::default();
        self.first.forward(mel, &mut x);
        let mut all = Signal::default();
        all.reshape(Unit::F32, FEATURES, mel.len());
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x);
            for channel in 0..CHANNELS {
                all.channel_mut(i * CHANNELS + channel)
                    .copy_from_slice(x.channel(channel));
            }
        }
        let mut features = Signal::default();
        self.last.apply(
            &all,
            Out::active(&mut features, Unit::F32, Activation::Relu),
        );
        features
    }
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
            squeeze: pointwise(loader, Unit::F32, "3.linear1", [SQUEEZED, CHANNELS], None)?,
            excite: pointwise(loader, Unit::F32, "3.linear2", [CHANNELS, SQUEEZED], None)?,
        })
    }

    fn forward(&self, x: &Signal) -> Signal {
        let mut entered = Signal::default();
        self.enter.forward(x, &mut entered);
        let width = CHANNELS / GROUPS;
        let mut before: Option<Signal> = None;
        for (i, group) in self.groups.iter().enumerate() {
            let mut read = Signal::default();
            read.reshape(Unit::F32, width, x.len());
            for channel in 0..width {
                read.channel_mut(channel)
                    .copy_from_slice(entered.channel(i * width + channel));
            }
            if let Some(before) = &before {
                add(before, &mut read);
            }
            let mut made = Signal::default();
            group.forward(&read, &mut made);
            for channel in 0..width {
                entered
                    .channel_mut(i * width + channel)
                    .copy_from_slice(made.channel(channel));
            }
            before = Some(made);
        }
        let mut y = Signal::default();
        self.leave.forward(&entered, &mut y);
        let means: Vec<f32> = (0..CHANNELS)
            .map(|c| y.channel(c).iter().sum::<f32>() / y.len() as f32)
            .collect();
        let (mut squeezed, mut excited) = (Signal::default(), Signal::default());
        self.squeeze.apply(
            &Signal::from_channels(&means, CHANNELS),
            Out::active(&mut squeezed, Unit::F32, Activation::Relu),
        );
        self.excite.apply(&squeezed, Out::plain(&mut excited));
        for channel in 0..CHANNELS {
            let gate = 1.0 / (1.0 + (-excited.channel(channel)[0]).exp());
            for (y, x) in y.channel_mut(channel).iter_mut().zip(x.channel(channel)) {
                *y = *y * gate + x;
            }
        }
        y
    }
}
