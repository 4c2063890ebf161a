//! What Spark-TTS does to a reference recording before it listens to it.

/// Loudness below which Spark-TTS takes a sample for silence.
const AUDIBLE: f64 = 0.01;
/// The loudness that is aimed at.
const TARGET: f64 = 0.2;

/// Brings a recording to the volume that Spark-TTS was trained on: the loud samples (the 90th to 99th percentile of
/// the audible ones) to 0.2 on average, and none beyond 1.
///
/// A recording with no more than ten audible samples is only lifted to a peak of 0.1.
pub fn normalise_volume(samples: &mut [f64]) {
    let mut loudness: Vec<f64> = samples.iter().map(|x| x.abs()).collect();
    loudness.sort_by(f64::total_cmp);
    let Some(peak) = loudness.last().copied() else {
        return;
    };
    if peak < 0.1 {
        let divisor = peak.max(1e-3);
        samples.iter_mut().for_each(|x| *x = *x / divisor * 0.1);
    }
    // The loudness of before the lift, as the model was trained.
    let audible = loudness
        .get(loudness.partition_point(|x| *x <= AUDIBLE)..)
        .unwrap_or_default();
    if audible.len() <= 10 {
        return;
    }
    let share = |part: f64| (part * audible.len() as f64) as usize;
    let loud = audible.get(share(0.9)..share(0.99)).unwrap_or_default();
    let mean = loud.iter().sum::<f64>() / loud.len().max(1) as f64;
    let gain = (TARGET / mean).clamp(0.1, 10.0);
    samples.iter_mut().for_each(|x| *x *= gain);
    let peak = samples.iter().fold(0.0f64, |peak, x| peak.max(x.abs()));
    if peak > 1.0 {
        samples.iter_mut().for_each(|x| *x /= peak);
    }
}

/// The first `len` samples, over and over where there are fewer; none of nothing.
pub fn reference_clip(samples: &[f64], len: usize) -> Vec<f64> {
    samples.iter().copied().cycle().take(len).collect()
}

#[cfg(test)]
mod tests;
