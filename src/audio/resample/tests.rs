use std::f64::consts::PI;

use proptest::prelude::*;

use super::resample;

/// A tenth of a second of three tones under a Hann window.
fn tones(rate: u32, top: f64) -> Vec<f64> {
    let n = rate / 10;
    (0..n)
        .map(|i| {
            let s = f64::from(i) / f64::from(rate);
            let window = 0.5 - 0.5 * (2.0 * PI * f64::from(i) / f64::from(n)).cos();
            let tone = |hz: f64, phase: f64| (2.0 * PI * hz * s + phase).sin();
            window * (0.4 * tone(310.0, 0.0) + 0.3 * tone(1240.0, 1.0) + 0.2 * tone(top, 2.0))
        })
        .collect()
}

/// Made with PyPI soxr 1.1.0: `soxr.resample(tones, from, to, quality='VHQ')[step // 2::step][:8]` of the tones
/// above, with `step = len // 9`.
#[test]
fn as_soxr_at_its_best() {
    let high = [
        -0.011103157,
        -0.020393792,
        -0.112196536,
        0.020645816,
        -0.128104206,
        -0.326452813,
        0.518246124,
        -0.050905904,
    ];
    let cases = [
        (48_000, 16_000, 7040.0, 1600, high),
        (24_000, 16_000, 7040.0, 1600, high),
        (192_000, 16_000, 7040.0, 1600, high),
        (
            8_000,
            16_000,
            3520.0,
            1600,
            [
                -0.017834243,
                -0.029575485,
                -0.042804717,
                0.180763732,
                0.01912823,
                -0.270576168,
                0.518246124,
                -0.04824967,
            ],
        ),
        (
            44_100,
            16_000,
            1900.0,
            1600,
            [
                -0.018385347,
                -0.0442201,
                -0.110434013,
                0.022051411,
                -0.223052818,
                -0.529172609,
                0.328211681,
                -0.131128542,
            ],
        ),
        (
            16_000,
            44_100,
            1900.0,
            4410,
            [
                -0.013483452,
                0.015240965,
                -0.190922918,
                0.470724534,
                0.434300782,
                -0.147276287,
                -0.05042334,
                -0.12381616,
            ],
        ),
    ];
    for (from, to, top, len, expected) in cases {
        let out = resample(&tones(from, top), from, to);
        assert_eq!(out.len(), len, "{from} → {to}");
        let step = len / 9;
        for (k, want) in expected.iter().enumerate() {
            let got = out[step / 2 + k * step];
            assert!(
                (got - want).abs() < 3e-8,
                "{from} → {to}, {k}: {got} {want}"
            );
        }
    }
}

#[test]
fn the_length_is_rounded_as_soxr_does() {
    for (from, to, len, expected) in [
        (44_100, 16_000, 100, 36),
        (44_100, 16_000, 4413, 1601),
        (192_000, 16_000, 102, 9),
        (192_000, 16_000, 1, 0),
        (12_345, 16_000, 12_346, 16_001),
        (11_025, 16_000, 104, 151),
        (8_000, 16_000, 5, 10),
        (384_000, 1_000, 383, 1),
    ] {
        assert_eq!(resample(&vec![0.5; len], from, to).len(), expected);
    }
}

#[test]
fn a_tone_keeps_its_place_and_height() {
    for (from, to) in [
        (44_100, 16_000),
        (11_025, 16_000),
        (12_345, 16_000),
        (64_000, 16_000),
        (383_999, 16_000),
        (16_000, 24_000),
    ] {
        for share in [0.01, 0.3, 0.9] {
            let hz = share * f64::from(from.min(to)) / 2.0;
            let at = |i: usize, rate: u32| (2.0 * PI * hz * i as f64 / f64::from(rate)).sin();
            let input: Vec<f64> = (0..from as usize / 5).map(|i| at(i, from)).collect();
            let out = resample(&input, from, to);
            // Silence begins at the ends, and the filter sees it from afar.
            let edge = out.len() / 8;
            for (i, y) in out.iter().enumerate().take(out.len() - edge).skip(edge) {
                assert!((y - at(i, to)).abs() < 1e-6, "{from} → {to}, {hz} Hz, {i}");
            }
        }
    }
}

#[test]
fn what_the_lower_rate_cannot_hold_is_gone() {
    for (from, hz) in [(48_000, 8_100.0), (44_100, 12_000.0), (192_000, 90_000.0)] {
        let input: Vec<f64> = (0..from as usize / 5)
            .map(|i| (2.0 * PI * hz * i as f64 / f64::from(from)).sin())
            .collect();
        let out = resample(&input, from, 16_000);
        let edge = out.len() / 4;
        let peak = out[edge..out.len() - edge]
            .iter()
            .fold(0.0f64, |p, x| p.max(x.abs()));
        assert!(peak < 1e-7, "{from}, {hz} Hz: {peak}");
    }
}

#[test]
fn nothing_comes_of_nothing() {
    assert!(resample(&[], 44_100, 16_000).is_empty());
    assert!(resample(&[0.5], 0, 16_000).is_empty());
    assert!(resample(&[0.5], 16_000, 0).is_empty());
    assert_eq!(resample(&[0.5, -0.25], 8_000, 8_000), [0.5, -0.25]);
}

proptest! {
    #[test]
    fn any_rate_will_do(from in 1_000u32..50_000, to in 8_000u32..24_000, n in 0usize..300) {
        let out = resample(&vec![1.0; n], from, to);
        let exact = n as f64 * f64::from(to) / f64::from(from);
        prop_assert!((out.len() as f64 - exact).abs() <= 0.5 + 1e-9);
        prop_assert!(out.iter().all(|y| y.abs() < 1.3));
    }
}
