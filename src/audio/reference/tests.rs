use super::{normalise_volume, reference_clip};

fn recording(height: f64) -> Vec<f64> {
    (0..997)
        .map(|i| {
            let swell = 1.0 + f64::from(i * 7919 % 31) / 31.0;
            (0.37 * f64::from(i)).sin() * swell / 2.0 * height
        })
        .collect()
}

fn peak(samples: &[f64]) -> f64 {
    samples.iter().fold(0.0, |peak, x| peak.max(x.abs()))
}

/// The numbers come from numpy, with the formula of Spark-TTS's `audio_volume_normalize` (coefficient 0.2).
#[test]
fn the_volume_is_what_spark_tts_makes_it() {
    let mut spiked = recording(0.3);
    spiked[500] = 0.98;
    for (mut x, expected, highest) in [
        // Lowered.
        (
            recording(0.8),
            [
                0.0601933629268843,
                0.14715889682500619,
                0.07180129240112196,
                -0.1689358264942293,
            ],
            0.22562677332770092,
        ),
        // Lifted to 0.1 first, and by the loudness of before.
        (
            recording(0.05),
            [
                0.12034315485904462,
                0.29421127261172225,
                0.14355061140218345,
                -0.33774936870914674,
            ],
            0.4510902266069408,
        ),
        // Ten times at most, and not beyond 1.
        (
            recording(0.012),
            [
                0.2667828912283353,
                0.6522226713372896,
                0.31823037373688623,
                -0.7487401605875312,
            ],
            1.0,
        ),
        // Nothing audible: lifted only, by a hundred at most.
        (
            recording(0.0005),
            [
                0.013123140676147817,
                0.032083053859726256,
                0.01565385974619311,
                -0.03683078180924995,
            ],
            0.04919033831489564,
        ),
        // A click does not count.
        (
            spiked,
            [
                0.05996513171331052,
                0.1466009241187571,
                0.7463384785860895,
                -0.16829528363664384,
            ],
            0.7463384785860895,
        ),
        // A tenth at least.
        (
            recording(6.0),
            [
                0.1574776881137738,
                0.38499664631671515,
                0.18784631695433731,
                -0.4419693817109995,
            ],
            0.5902840597787476,
        ),
    ] {
        normalise_volume(&mut x);
        for (i, want) in [1, 2, 500, 996].into_iter().zip(expected) {
            assert!((x[i] - want).abs() < 1e-12, "{i}: {} {want}", x[i]);
        }
        assert!((peak(&x) - highest).abs() < 1e-12);
    }
}

#[test]
fn ten_audible_samples_are_too_few() {
    let mut x = vec![0.0; 100];
    x[..10].fill(0.5);
    let before = x.clone();
    normalise_volume(&mut x);
    assert_eq!(x, before);
    // Of eleven, the tenth largest is the measure.
    x[10] = 0.4;
    normalise_volume(&mut x);
    assert!((x[0] - 0.2).abs() < 1e-15 && (x[10] - 0.16).abs() < 1e-15);
}

#[test]
fn silence_and_nothing_stay() {
    let mut silence = vec![0.0; 50];
    normalise_volume(&mut silence);
    assert_eq!(silence, vec![0.0; 50]);
    normalise_volume(&mut []);
}

#[test]
fn the_clip_is_cut_or_repeated() {
    let x = [1.0, 2.0, 3.0];
    assert_eq!(reference_clip(&x, 2), [1.0, 2.0]);
    assert_eq!(reference_clip(&x, 3), x);
    assert_eq!(reference_clip(&x, 7), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
    assert!(reference_clip(&[], 7).is_empty());
}
