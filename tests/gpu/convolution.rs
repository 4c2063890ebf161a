//! Convolutions one by one against sums in f64.

use std::sync::Arc;

use crane::kernels::conv::Kernel;
use crane::kernels::cuda::conv::{
    affine, channel_norm, Affine, ChannelNorm, Depthwise, Filter, Function, Out, Scratch, Signal,
    Spacing,
};
use crane::kernels::cuda::{Buffer, Gpu};

use super::{difference, gpu};

/// Seeded numbers from −1 to 1.
pub(super) fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let ids = super::ids(seed, len, 1 << 20);
    ids.into_iter()
        .map(|x| x as f32 / (1 << 19) as f32 - 1.0)
        .collect()
}

/// Samples of a channel at `at`, which lies before the first or past the last where there are none.
fn sample(x: &[f32], len: usize, channel: usize, at: isize) -> f64 {
    match usize::try_from(at).ok().filter(|at| *at < len) {
        Some(at) => f64::from(x[channel * len + at]),
        None => 0.0,
    }
}

struct Case {
    rows: usize,
    channels: usize,
    size: usize,
    stride: usize,
    dilation: usize,
    padding: usize,
    transposed: bool,
    len: usize,
}

impl Case {
    fn conv([rows, channels, size]: [usize; 3], dilation: usize, len: usize) -> Self {
        Self {
            rows,
            channels,
            size,
            stride: 1,
            dilation,
            padding: dilation * (size / 2),
            transposed: false,
            len,
        }
    }

    fn strided([rows, channels, size]: [usize; 3], stride: usize, len: usize) -> Self {
        Self {
            stride,
            padding: 0,
            ..Self::conv([rows, channels, size], 1, len)
        }
    }

    fn transposed([rows, channels, size]: [usize; 3], stride: usize, len: usize) -> Self {
        Self {
            stride,
            padding: (size - stride) / 2,
            transposed: true,
            ..Self::conv([rows, channels, size], 1, len)
        }
    }

    fn name(&self) -> String {
        let Self {
            rows,
            channels,
            size,
            stride,
            dilation,
            transposed,
            len,
            ..
        } = self;
        let kind = if *transposed { "transposed " } else { "" };
        format!("{kind}{channels} to {rows}, {size} taps, stride {stride}, dilation {dilation}, {len} samples")
    }

    fn out_len(&self) -> usize {
        match self.transposed {
            true => self.len * self.stride,
            false => {
                let padded = self.len + 2 * self.padding;
                let reach = self.dilation * (self.size - 1) + 1;
                match padded < reach || self.len == 0 {
                    true => 0,
                    false => (padded - reach) / self.stride + 1,
                }
            }
        }
    }

    /// `[rows, out_len]`, from samples `[channels, len]`.
    fn expected(&self, x: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f32> {
        let (out_len, mut all) = (self.out_len(), Vec::new());
        for row in 0..self.rows {
            for t in 0..out_len {
                let mut sum = f64::from(bias[row]);
                for channel in 0..self.channels {
                    for tap in 0..self.size {
                        let (weight, at) = match self.transposed {
                            false => (
                                weights[(row * self.channels + channel) * self.size + tap],
                                Some(
                                    (self.stride * t + self.dilation * tap) as isize
                                        - self.padding as isize,
                                ),
                            ),
                            true => {
                                let behind = (t + self.padding) as isize - tap as isize;
                                let whole = behind.rem_euclid(self.stride as isize) == 0;
                                (
                                    weights[(channel * self.rows + row) * self.size + tap],
                                    whole.then_some(behind.div_euclid(self.stride as isize)),
                                )
                            }
                        };
                        let Some(at) = at else { continue };
                        sum += f64::from(weight) * sample(x, self.len, channel, at);
                    }
                }
                all.push(sum as f32);
            }
        }
        all
    }

    fn filter(&self, gpu: &Arc<Gpu>, weights: &[f32], bias: &[f32], expected: usize) -> Filter {
        let kernel = Kernel {
            weights,
            scales: None,
            rows: self.rows,
            channels: self.channels,
            size: self.size,
        };
        let spacing = Spacing {
            stride: self.stride,
            dilation: self.dilation,
            padding: self.padding,
            expected,
        };
        match self.transposed {
            false => Filter::conv(gpu, &kernel, bias, spacing).unwrap(),
            true => Filter::transposed(gpu, &kernel, bias, spacing).unwrap(),
        }
    }
}

/// Channel by channel → sample by sample, and back where the sizes are exchanged.
fn transposed(x: &[f32], channels: usize) -> Vec<f32> {
    let len = x.len() / channels.max(1);
    (0..x.len())
        .map(|i| x[i % channels * len + i / channels])
        .collect()
}

pub(super) fn signal(gpu: &Arc<Gpu>, x: &[f32], channels: usize) -> Signal {
    let mut signal = Signal::default();
    signal
        .put_rows(gpu, &transposed(x, channels), channels)
        .unwrap();
    signal
}

fn snake(x: f32, alpha: f32) -> f32 {
    let (x, alpha) = (f64::from(x), f64::from(alpha));
    (x + (alpha * x).sin().powi(2) / (alpha + 1e-9)) as f32
}

fn check(what: &str, found: &[f32], expected: &[f32]) {
    let off = difference(found, expected);
    assert!(off < 1e-4, "{what}: {off}");
}

#[test]
fn convolutions_of_all_shapes() {
    let Some(gpu) = gpu() else { return };
    let mut scratch = Scratch::new(&gpu);
    let cases = [
        Case::conv([96, 16, 1], 1, 64),
        Case::conv([96, 96, 7], 9, 200),
        Case::conv([200, 33, 7], 3, 131),
        Case::conv([5, 7, 3], 1, 1),
        Case::conv([97, 130, 7], 1, 65),
        Case::conv([768, 300, 7], 1, 50),
        Case::conv([384, 2048, 1], 1, 50),
        Case::conv([1, 96, 7], 1, 1000),
        Case::conv([4, 13, 5], 2, 33),
        Case::strided([40, 20, 10], 5, 401),
        Case::strided([3, 20, 3], 2, 77),
        Case::strided([40, 20, 10], 5, 9),
        Case::transposed([100, 40, 16], 8, 37),
        Case::transposed([50, 90, 11], 5, 66),
        Case::transposed([96, 192, 4], 2, 1),
        Case::transposed([7, 8, 3], 3, 20),
        Case::transposed([9, 20, 8], 1 + 1, 31),
    ];
    for case in &cases {
        let x = numbers(1, case.channels * case.len);
        let weights = numbers(2, case.rows * case.channels * case.size);
        let bias = numbers(3, case.rows);
        let expected = case.expected(&x, &weights, &bias);
        let read = signal(&gpu, &x, case.channels);
        // Many blocks, or few that share their sums.
        for at_a_time in [1, 100_000] {
            let filter = case.filter(&gpu, &weights, &bias, at_a_time);
            let what = format!("{}, {at_a_time} at a time", case.name());
            let mut plain = Signal::default();
            filter
                .apply(
                    &read,
                    Out {
                        plain: Some(&mut plain),
                        ..Out::default()
                    },
                    &mut scratch,
                )
                .unwrap();
            assert_eq!(
                [plain.channels(), plain.len()],
                [case.rows, case.out_len()],
                "{what}"
            );
            if expected.is_empty() {
                continue;
            }
            check(&what, &plain.to_channels().unwrap(), &expected);

            // Added to what is there, with another bias, and a function of it.
            let (alpha, other) = (numbers(4, case.rows), numbers(5, case.rows));
            let alpha: Vec<f32> = alpha.iter().map(|a| a + 1.5).collect();
            let [alphas, others] = [&alpha, &other].map(|x| Buffer::of_numbers(&gpu, x).unwrap());
            let mut active = Signal::default();
            let out = Out {
                plain: Some(&mut plain),
                add: true,
                active: Some((&mut active, Function::Snake(&alphas))),
                bias: Some(&others),
            };
            filter.apply(&read, out, &mut scratch).unwrap();
            let row = |i: usize| i / case.out_len();
            let sums = expected.iter().enumerate();
            let sums = sums.map(|(i, y)| 2.0 * y - bias[row(i)] + other[row(i)]);
            let sums: Vec<f32> = sums.collect();
            check(
                &format!("{what}, added"),
                &plain.to_channels().unwrap(),
                &sums,
            );
            let curved = sums.iter().enumerate();
            let curved: Vec<f32> = curved.map(|(i, &y)| snake(y, alpha[row(i)])).collect();
            check(
                &format!("{what}, snake"),
                &active.to_channels().unwrap(),
                &curved,
            );

            let out = Out {
                active: Some((&mut active, Function::Tanh)),
                ..Out::default()
            };
            filter.apply(&read, out, &mut scratch).unwrap();
            let curved: Vec<f32> = expected.iter().map(|y| y.tanh()).collect();
            check(
                &format!("{what}, tanh"),
                &active.to_channels().unwrap(),
                &curved,
            );
        }
    }
}

#[test]
fn a_part_of_a_signal_has_the_bits_of_the_whole() {
    let Some(gpu) = gpu() else { return };
    let mut scratch = Scratch::new(&gpu);
    for case in [
        Case::conv([200, 130, 7], 3, 300),
        Case::conv([1, 130, 7], 3, 300),
        Case::transposed([100, 130, 11], 5, 300),
    ] {
        let x = numbers(1, case.channels * case.len);
        let weights = numbers(2, case.rows * case.channels * case.size);
        let filter = case.filter(&gpu, &weights, &numbers(3, case.rows), 50);
        let read = signal(&gpu, &x, case.channels);
        let mut of = |read: &Signal| {
            let mut out = Signal::default();
            let plain = Out {
                plain: Some(&mut out),
                ..Out::default()
            };
            filter.apply(read, plain, &mut scratch).unwrap();
            (out.to_channels().unwrap(), out.len())
        };
        let (whole, whole_len) = of(&read);
        let mut part = Signal::default();
        read.part(37, 150, &mut part).unwrap();
        let (found, len) = of(&part);
        // Nine samples on either side are not known to the part.
        let rate = whole_len / case.len;
        for row in 0..case.rows {
            let inner = 9 * rate..len - 9 * rate;
            let from = row * whole_len + 37 * rate;
            assert_eq!(
                found[row * len..][inner.clone()],
                whole[from + inner.start..from + inner.end],
                "{} row {row}",
                case.name()
            );
        }
    }
}

#[test]
fn norms_over_channels_and_linear_functions() {
    let Some(gpu) = gpu() else { return };
    for (channels, len) in [(384, 50), (50, 131), (1, 3), (1500, 9), (16, 1)] {
        let x = numbers(1, channels * len);
        let [weights, bias, scale, shift] = [
            (2, 7 * channels),
            (3, channels),
            (4, channels),
            (5, channels),
        ]
        .map(|(seed, len)| numbers(seed, len));
        let buffer = |x: &[f32]| Buffer::of_numbers(&gpu, x).unwrap();
        let norm = ChannelNorm {
            scale: Arc::new(buffer(&scale)),
            shift: Arc::new(buffer(&shift)),
            eps: 1e-6,
        };
        let first = Depthwise {
            weights: buffer(&weights),
            bias: buffer(&bias),
        };
        let read = signal(&gpu, &x, channels);
        for taps in [false, true] {
            let mut out = Signal::default();
            channel_norm(&read, taps.then_some(&first), &norm, false, &mut out).unwrap();
            let before = |c: usize, t: usize| match taps {
                false => f64::from(x[c * len + t]),
                true => {
                    let tap = |k: usize| {
                        f64::from(weights[c * 7 + k])
                            * sample(&x, len, c, t as isize + k as isize - 3)
                    };
                    f64::from(bias[c]) + (0..7).map(tap).sum::<f64>()
                }
            };
            let mut expected = vec![0f32; channels * len];
            for t in 0..len {
                let column: Vec<f64> = (0..channels).map(|c| before(c, t)).collect();
                let mean = column.iter().sum::<f64>() / channels as f64;
                let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
                let factor = 1.0 / (variance / channels as f64 + 1e-6).sqrt();
                for c in 0..channels {
                    let y = (column[c] - mean) * factor * f64::from(scale[c]);
                    expected[c * len + t] = (y + f64::from(shift[c])) as f32;
                }
            }
            let found = out.to_channels().unwrap();
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            let worst = worst.fold(0f32, |a, b| if b.is_nan() { b } else { a.max(b) });
            assert!(
                worst < 1e-4,
                "{channels} channels, {len} samples, taps {taps}: {worst}"
            );
        }
    }
    for (rows, width) in [(1024, 4096), (3, 1), (50, 33)] {
        let [weights, bias, x] =
            [(1, rows * width), (2, rows), (3, width)].map(|(seed, len)| numbers(seed, len));
        let buffer = |x: &[f32]| Buffer::of_numbers(&gpu, x).unwrap();
        let function = Affine {
            weights: buffer(&weights),
            bias: buffer(&bias),
        };
        let made = affine(&function, &buffer(&x)).unwrap();
        let mut found = vec![0f32; rows];
        made.read_numbers(0, &mut found).unwrap();
        let expected: Vec<f32> = weights
            .chunks(width)
            .zip(&bias)
            .map(|(row, bias)| {
                let products = row
                    .iter()
                    .zip(&x)
                    .map(|(w, x)| f64::from(*w) * f64::from(*x));
                (products.sum::<f64>() + f64::from(*bias)) as f32
            })
            .collect();
        check(&format!("{rows} x {width}"), &found, &expected);
    }
}
