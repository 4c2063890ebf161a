//! Every instruction set against plain sums in f64.

use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::kernels::{Arena, Simd, Unit};

/// Numbers of −1..1.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2654435761) + 1;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn at(x: &[f32], len: usize, channel: usize, t: isize) -> f64 {
    match t >= 0 && (t as usize) < len {
        true => f64::from(x[channel * len + t as usize]),
        false => 0.0,
    }
}

/// `Ok` where `y` is `exact` but for rounding of terms whose sizes sum to `size`.
fn close(y: f32, exact: f64, size: f64) -> bool {
    (f64::from(y) - exact).abs() <= 1e-6 * size + 1e-6
}

fn units(simd: Simd) -> &'static [Unit] {
    match simd == Simd::Avx512Bf16 {
        true => &[Unit::F32, Unit::Pairs],
        false => &[Unit::F32],
    }
}

fn round(unit: Unit, x: &[f32]) -> Vec<f32> {
    match unit {
        Unit::F32 => x.to_vec(),
        Unit::Pairs => x.iter().map(|&x| bf16::from_f32(x).to_f32()).collect(),
    }
}

/// `x` `[channels, len]` as a signal in `unit`.
fn signal(simd: Simd, unit: Unit, x: &[f32], channels: usize) -> Signal {
    let mut out = Signal::default();
    activate(
        simd,
        &Signal::from_channels(x, channels),
        Activation::Identity,
        unit,
        &mut out,
    );
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_convolution_is_its_definition(
        rows in 1usize..40, channels in 1usize..20, size in 1usize..8, dilation in 1usize..10,
        len in 1usize..140, long in any::<bool>(), seed in 0u64..1000
    ) {
        let len = if long { len + 500 } else { len };
        let padding = dilation * (size - 1) / 2;
        let (w, x, bias) = (noise(seed, rows * channels * size), noise(seed + 1, channels * len), noise(seed + 2, rows));
        let scales = noise(seed + 3, rows);
        for simd in Simd::available() {
            for &unit in units(simd) {
                let kernel = Kernel { weights: &w, scales: Some(&scales), rows, channels, size };
                let filter = Filter::conv(simd, unit, &kernel, bias.clone(), [1, dilation, padding], &Arena::default()).unwrap();
                let mut y = Signal::default();
                let mut active = Signal::default();
                let input = signal(simd, unit, &x, channels);
                filter.apply(&input, Out { plain: Some(&mut y), active: Some((&mut active, Unit::F32, Activation::Relu)), ..Out::default() });
                let scaled: Vec<f32> = w.chunks(channels * size).zip(&scales).flat_map(|(w, s)| w.iter().map(move |w| w * s)).collect();
                let (w, x) = (round(unit, &scaled), round(unit, &x));
                let out_len = len + 2 * padding - dilation * (size - 1);
                prop_assert_eq!(y.len(), out_len);
                for row in 0..rows {
                    for t in 0..out_len {
                        let (mut exact, mut total) = (f64::from(bias[row]), 1.0);
                        for c in 0..channels {
                            for k in 0..size {
                                let p = f64::from(w[(row * channels + c) * size + k])
                                    * at(&x, len, c, (t + dilation * k) as isize - padding as isize);
                                exact += p;
                                total += p.abs();
                            }
                        }
                        let found = y.channel(row)[t];
                        prop_assert!(close(found, exact, total), "{simd:?} {unit:?} row {row} t {t}: {found} for {exact}");
                        prop_assert_eq!(active.channel(row)[t], found.max(0.0));
                    }
                }
            }
        }
    }

    #[test]
    fn a_transposed_convolution_is_its_definition(
        rows in 1usize..20, channels in 1usize..10, stride in 1usize..9, padding in 0usize..5, len in 1usize..70, seed in 0u64..1000
    ) {
        let size = stride + 2 * padding;
        let (w, x, bias) = (noise(seed, rows * channels * size), noise(seed + 1, channels * len), noise(seed + 2, rows));
        for simd in Simd::available() {
            let kernel = Kernel { weights: &w, scales: None, rows, channels, size };
            let filter = Filter::transposed(simd, Unit::F32, &kernel, bias.clone(), stride, padding, &Arena::default()).unwrap();
            let mut y = Signal::default();
            filter.apply(&Signal::from_channels(&x, channels), Out::plain(&mut y));
            prop_assert_eq!(y.len(), len * stride);
            let mut exact = vec![0f64; rows * len * stride];
            for c in 0..channels {
                for t in 0..len {
                    for row in 0..rows {
                        for k in 0..size {
                            let n = (t * stride + k) as isize - padding as isize;
                            if n >= 0 && (n as usize) < len * stride {
                                exact[row * len * stride + n as usize] +=
                                    f64::from(x[c * len + t]) * f64::from(w[(c * rows + row) * size + k]);
                            }
                        }
                    }
                }
            }
            for row in 0..rows {
                for (n, y) in y.channel(row).iter().enumerate() {
                    let exact = exact[row * len * stride + n] + f64::from(bias[row]);
                    prop_assert!(close(*y, exact, 10.0), "{simd:?} {row} {n}: {y} for {exact}");
                }
            }
        }
    }

    #[test]
    fn a_stride_reads_split_channels(
        rows in 1usize..10, channels in 1usize..10, stride in 2usize..6, size in 1usize..11, more in 0usize..60, seed in 0u64..1000
    ) {
        let len = size + more;
        let (w, x, bias) = (noise(seed, rows * channels * size), noise(seed + 1, channels * len), noise(seed + 2, rows));
        let simd = Simd::detect();
        let kernel = Kernel { weights: &w, scales: None, rows, channels, size };
        let filter = Filter::conv(simd, Unit::F32, &kernel, bias.clone(), [stride, 1, 0], &Arena::default()).unwrap();
        let (mut split, mut y) = (Signal::default(), Signal::default());
        Signal::from_channels(&x, channels).split(stride, &mut split);
        filter.apply(&split, Out::plain(&mut y));
        let out_len = (len - size) / stride + 1;
        prop_assert!(y.len() >= out_len);
        for row in 0..rows {
            for t in 0..out_len {
                let mut exact = f64::from(bias[row]);
                for c in 0..channels {
                    for k in 0..size {
                        exact += f64::from(w[(row * channels + c) * size + k]) * f64::from(x[c * len + t * stride + k]);
                    }
                }
                prop_assert!(close(y.channel(row)[t], exact, 10.0));
            }
        }
    }

    #[test]
    fn a_part_with_context_equals_the_whole(start in 0usize..700, len in 1usize..300, seed in 0u64..1000) {
        let (rows, channels, size, dilation, total) = (24, 80, 7, 3, 1000);
        let (w, x) = (noise(seed, rows * channels * size), noise(seed + 1, channels * total));
        let kernel = Kernel { weights: &w, scales: None, rows, channels, size };
        let filter = Filter::conv(Simd::detect(), Unit::F32, &kernel, vec![0.1; rows], [1, dilation, 9], &Arena::default()).unwrap();
        let whole = Signal::from_channels(&x, channels);
        let (from, to) = (start.saturating_sub(9), (start + len + 9).min(total));
        let part = whole.part(from, to - from);
        let (mut a, mut b) = (Signal::default(), Signal::default());
        filter.apply(&whole, Out::plain(&mut a));
        filter.apply(&part, Out::plain(&mut b));
        for row in 0..rows {
            let a = &a.channel(row)[start..(start + len).min(total)];
            prop_assert_eq!(a, &b.channel(row)[start - from..][..a.len()]);
        }
    }

    #[test]
    fn norms_and_depthwise_filters_are_their_definitions(
        channels in 1usize..50, len in 1usize..70, size in 0usize..4, seed in 0u64..1000
    ) {
        let size = 2 * size + 1;
        let (x, w, bias) = (noise(seed, channels * len), noise(seed + 1, channels * size), noise(seed + 2, channels));
        let input = Signal::from_channels(&x, channels);
        let norm = ChannelNorm { scale: noise(seed + 3, channels), shift: noise(seed + 4, channels), eps: 1e-3 };
        for simd in Simd::available() {
            let mut y = Signal::default();
            depthwise(simd, &input, &w, &bias, &mut y);
            let mut z = Signal::default();
            channel_norm(simd, &input, &norm, false, Unit::F32, &mut z);
            let mut pairs = Signal::default();
            channel_norm(simd, &input, &norm, false, Unit::Pairs, &mut pairs);
            for t in 0..len {
                let column: Vec<f64> = (0..channels).map(|c| at(&x, len, c, t as isize)).collect();
                let mean = column.iter().sum::<f64>() / channels as f64;
                let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / channels as f64;
                for c in 0..channels {
                    let exact = (0..size).fold(f64::from(bias[c]), |sum, k| {
                        sum + f64::from(w[c * size + k]) * at(&x, len, c, (t + k) as isize - (size / 2) as isize)
                    });
                    prop_assert!(close(y.channel(c)[t], exact, 4.0));
                    let exact = (column[c] - mean) / (variance + 1e-3).sqrt() * f64::from(norm.scale[c]) + f64::from(norm.shift[c]);
                    prop_assert!(close(z.channel(c)[t], exact, 4.0), "{simd:?}: {} for {exact}", z.channel(c)[t]);
                }
            }
        }
    }
}

#[test]
fn activations_are_their_definitions() {
    let x: Vec<f32> = noise(5, 1000).iter().map(|x| x * 12.0).collect();
    for simd in Simd::available() {
        for alpha in [0.01f32, 0.7, 5.0, 100.0] {
            let mut y = x.clone();
            Activation::Snake(&[alpha]).apply(simd, 0, &mut y);
            for (x, y) in x.iter().zip(&y) {
                let (wide, a) = (f64::from(alpha * x), f64::from(alpha));
                let exact = f64::from(*x) + wide.sin().powi(2) / (a + 1e-9);
                assert!(
                    (f64::from(*y) - exact).abs() <= 4e-7 / a.min(1.0) + 1e-6,
                    "{simd:?} {alpha} {x}: {y} for {exact}"
                );
            }
        }
        let mut y = x.clone();
        Activation::Gelu.apply(simd, 0, &mut y);
        for (x, y) in x.iter().zip(&y) {
            // erf by its series and its continued fraction would be long: Φ by Simpson's rule.
            let steps = 2000;
            let h = f64::from(*x) / steps as f64;
            let density = |z: f64| (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let sum: f64 = (0..=steps)
                .map(|i| {
                    density(h * i as f64)
                        * match i {
                            0 => 1.0,
                            _ if i == steps => 1.0,
                            _ if i % 2 == 1 => 4.0,
                            _ => 2.0,
                        }
                })
                .sum();
            let exact = f64::from(*x) * (0.5 + sum * h / 3.0);
            assert!(
                (f64::from(*y) - exact).abs() <= 3e-7 * (1.0 + exact.abs()),
                "{simd:?} {x}: {y} for {exact}"
            );
        }
    }
}
