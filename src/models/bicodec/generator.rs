//! The wave generator: transposed convolutions that multiply the length, each followed by dilated residual units, with
//! Snake as the activation (the decoder of DAC: Kumar et al., 2023, arXiv:2306.06546).

use super::config::GeneratorConfig;
use crate::kernels::conv::{activate, Activation, Filter, Out, Signal};
use crate::kernels::{Simd, Unit};
use crate::nn::conv::{weight_norm_conv, weight_norm_transposed, ConvShape};
use crate::weights::{Loader, WeightsError};

/// Taps of the convolutions that are not pointwise.
const SIZE: usize = 7;
/// Dilations of the residual units of a stage.
const DILATIONS: [usize; 3] = [1, 3, 9];

/// Frames of features → samples.
pub struct Generator {
    first: Filter,
    stages: Vec<Stage>,
    last_alpha: Vec<f32>,
    last: Filter,
    reach: usize,
}

struct Stage {
    alpha: Vec<f32>,
    up: Filter,
    units: Vec<Residual>,
}

struct Residual {
    alphas: [Vec<f32>; 2],
    wide: Filter,
    point: Filter,
}

/// Memory of a pass, used again by the next.
#[derive(Default)]
pub struct Work {
    x: Signal,
    a: Signal,
    b: Signal,
    y: Signal,
}

impl Generator {
    /// Reads all below `loader` (`decoder.model`).
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(
        loader: &Loader,
        unit: Unit,
        config: &GeneratorConfig,
    ) -> Result<Self, WeightsError> {
        let form = ConvShape::same(config.channels, config.input_channel, SIZE);
        let first = weight_norm_conv(loader, unit, "0", form)?;
        let mut channels = config.channels;
        let mut stages = Vec::new();
        for (i, (&rate, &size)) in config.rates.iter().zip(&config.kernel_sizes).enumerate() {
            let at = loader.under(&format!("{}.block", i + 1));
            stages.push(Stage::load(&at, unit, channels, rate, size)?);
            channels /= 2;
        }
        let n = config.rates.len();
        Ok(Self {
            first,
            stages,
            last_alpha: loader.numbers(&format!("{}.alpha", n + 1), &[1, channels, 1])?,
            last: weight_norm_conv(
                loader,
                unit,
                &format!("{}", n + 2),
                ConvShape::same(1, channels, SIZE),
            )?,
            reach: reach(config),
        })
    }

    /// Frames on either side that a frame's samples depend on.
    pub fn reach(&self) -> usize {
        self.reach
    }

    /// `x` `[channels, frames]` in units of the weights → samples.
    pub fn forward(&self, x: &Signal, work: &mut Work) -> Vec<f32> {
        let (simd, unit) = (Simd::detect(), self.first.unit());
        let Work { x: sum, a, b, y } = work;
        let alphas = |stage: usize| match self.stages.get(stage) {
            Some(stage) => &stage.alpha,
            None => &self.last_alpha,
        };
        self.first
            .apply(x, Out::active(a, unit, Activation::Snake(alphas(0))));
        for (i, stage) in self.stages.iter().enumerate() {
            stage.up.apply(a, Out::plain(sum));
            if let Some(first) = stage.units.first() {
                activate(simd, sum, Activation::Snake(&first.alphas[0]), unit, a);
            }
            for (j, residual) in stage.units.iter().enumerate() {
                residual.wide.apply(
                    a,
                    Out::active(b, unit, Activation::Snake(&residual.alphas[1])),
                );
                let next = match stage.units.get(j + 1) {
                    Some(next) => &next.alphas[0],
                    None => alphas(i + 1),
                };
                residual.point.apply(
                    b,
                    Out {
                        plain: Some(sum),
                        add: true,
                        active: Some((a, unit, Activation::Snake(next))),
                        ..Out::default()
                    },
                );
            }
        }
        self.last.apply(a, Out::plain(y));
        y.channel(0).iter().map(|y| y.tanh()).collect()
    }
}

impl Stage {
    fn load(
        loader: &Loader,
        unit: Unit,
        channels: usize,
        rate: usize,
        size: usize,
    ) -> Result<Self, WeightsError> {
        let half = channels / 2;
        let form = ConvShape {
            rows: half,
            channels,
            size,
            stride: rate,
            dilation: 1,
            padding: (size - rate) / 2,
        };
        let units = DILATIONS.iter().enumerate().map(|(i, &dilation)| {
            let at = loader.under(&format!("{}.block", i + 2));
            let alpha = |name: &str| at.numbers(&format!("{name}.alpha"), &[1, half, 1]);
            Ok(Residual {
                alphas: [alpha("0")?, alpha("2")?],
                wide: weight_norm_conv(
                    &at,
                    unit,
                    "1",
                    ConvShape::dilated(half, half, SIZE, dilation),
                )?,
                point: weight_norm_conv(&at, unit, "3", ConvShape::same(half, half, 1))?,
            })
        });
        Ok(Self {
            alpha: loader.numbers("0.alpha", &[1, channels, 1])?,
            up: weight_norm_transposed(loader, unit, "1", form)?,
            units: units.collect::<Result<_, WeightsError>>()?,
        })
    }
}

/// Frames on either side of a frame that its samples depend on: from the last convolution back to the first.
fn reach(config: &GeneratorConfig) -> usize {
    let wide = SIZE / 2;
    let units: usize = DILATIONS.iter().map(|dilation| wide * dilation).sum();
    let stages = config.rates.iter().zip(&config.kernel_sizes);
    let samples = stages.rev().fold(wide, |samples, (&rate, &size)| {
        (samples + units + size).div_ceil(rate)
    });
    samples + wide
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reach_of_the_published_model_is_twelve_frames() {
        let config = GeneratorConfig {
            input_channel: 1024,
            channels: 1536,
            rates: vec![8, 5, 4, 2],
            kernel_sizes: vec![16, 11, 8, 4],
        };
        assert_eq!(reach(&config), 12);
    }
}
