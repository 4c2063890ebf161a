//! The wave generator: transposed convolutions that multiply the length, each followed by dilated residual units, with
//! Snake as the activation (the decoder of DAC: Kumar et al., 2023, arXiv:2306.06546).

use super::config::GeneratorConfig;
use crate::kernels::Unit;
use crate::nn::conv::{Conv, ConvShape, Failed, Function, Out, Signal, Space, Vector};
use crate::weights::{Loader, WeightsError};

/// Taps of the convolutions that are not pointwise.
const SIZE: usize = 7;
/// Dilations of the residual units of a stage.
const DILATIONS: [usize; 3] = [1, 3, 9];

/// Frames of features → samples.
pub struct Generator {
    first: Conv,
    stages: Vec<Stage>,
    last_alpha: Vector,
    last: Conv,
    reach: usize,
}

struct Stage {
    alpha: Vector,
    up: Conv,
    units: Vec<Residual>,
}

struct Residual {
    alphas: [Vector; 2],
    wide: Conv,
    point: Conv,
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
        let first = Conv::weight_norm(loader, unit, "0", form)?;
        let (mut channels, mut samples) = (config.channels, 1);
        let mut stages = Vec::new();
        for (i, (&rate, &size)) in config.rates.iter().zip(&config.kernel_sizes).enumerate() {
            let at = loader.under(&format!("{}.block", i + 1));
            stages.push(Stage::load(&at, unit, channels, [rate, size], samples)?);
            channels /= 2;
            samples *= rate;
        }
        let n = config.rates.len();
        Ok(Self {
            first,
            stages,
            last_alpha: Vector::load(loader, &format!("{}.alpha", n + 1), &[1, channels, 1])?,
            last: Conv::weight_norm(
                loader,
                unit,
                &format!("{}", n + 2),
                ConvShape::same(1, channels, SIZE).at_rate(samples),
            )?,
            reach: reach(config),
        })
    }

    /// Frames on either side that a frame's samples depend on.
    pub fn reach(&self) -> usize {
        self.reach
    }

    /// `x` `[channels, frames]` for the convolutions of `space` → samples.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn forward(
        &self,
        x: &Signal,
        work: &mut Work,
        space: &mut Space,
    ) -> Result<Vec<f32>, Failed> {
        let Work { x: sum, a, b, y } = work;
        let alphas = |stage: usize| match self.stages.get(stage) {
            Some(stage) => &stage.alpha,
            None => &self.last_alpha,
        };
        let snake = |alpha| Function::Snake(alpha);
        self.first
            .apply(x, Out::active(a, snake(alphas(0))), space)?;
        for (i, stage) in self.stages.iter().enumerate() {
            let mut out = Out::plain(sum);
            if let Some(first) = stage.units.first() {
                out = out.and(b, snake(&first.alphas[0]));
            }
            stage.up.apply(a, out, space)?;
            std::mem::swap(a, b);
            for (j, residual) in stage.units.iter().enumerate() {
                let active = Out::active(b, snake(&residual.alphas[1]));
                residual.wide.apply(a, active, space)?;
                let next = match stage.units.get(j + 1) {
                    Some(next) => &next.alphas[0],
                    None => alphas(i + 1),
                };
                let added = Out::added(sum).and(a, snake(next));
                residual.point.apply(b, added, space)?;
            }
        }
        self.last.apply(a, Out::exact(y, Function::Tanh), space)?;
        y.first_channel()
    }
}

impl Stage {
    /// Of a signal of `channels` with `samples` a frame, which becomes `rate` times as long.
    fn load(
        loader: &Loader,
        unit: Unit,
        channels: usize,
        [rate, size]: [usize; 2],
        samples: usize,
    ) -> Result<Self, WeightsError> {
        let half = channels / 2;
        let form = ConvShape {
            rows: half,
            channels,
            size,
            stride: rate,
            dilation: 1,
            padding: (size - rate) / 2,
            rate: samples,
        };
        let units = DILATIONS.iter().enumerate().map(|(i, &dilation)| {
            let at = loader.under(&format!("{}.block", i + 2));
            let alpha = |name: &str| Vector::load(&at, &format!("{name}.alpha"), &[1, half, 1]);
            let wide = ConvShape::dilated(half, half, SIZE, dilation).at_rate(samples * rate);
            let point = ConvShape::same(half, half, 1).at_rate(samples * rate);
            Ok(Residual {
                alphas: [alpha("0")?, alpha("2")?],
                wide: Conv::weight_norm(&at, unit, "1", wide)?,
                point: Conv::weight_norm(&at, unit, "3", point)?,
            })
        });
        Ok(Self {
            alpha: Vector::load(loader, "0.alpha", &[1, channels, 1])?,
            up: Conv::weight_norm_transposed(loader, unit, "1", form)?,
            units: units.collect::<Result<_, WeightsError>>()?,
        })
    }
}

/// Frames on either side of a frame that its samples depend on: from the last convolution back to the first.
pub(super) fn reach(config: &GeneratorConfig) -> usize {
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
