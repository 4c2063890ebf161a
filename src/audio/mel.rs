//! Mel spectrograms.

use std::f64::consts::PI;

use crate::kernels::conv::{Filter, Kernel, Out, Signal};
use crate::kernels::{Arena, Simd, Unit};

/// Parameters of a spectrogram.
#[derive(Debug, Clone)]
pub struct MelSpec {
    pub sample_rate: u32,
    pub n_fft: usize,
    /// Even; the window stands in the middle of `n_fft` samples.
    pub win_length: usize,
    pub hop_length: usize,
    pub f_min: f64,
    /// None: half of the sample rate.
    pub f_max: Option<f64>,
    pub n_mels: usize,
}

/// Magnitudes in bands of Slaney's mel scale, with his normalisation by area, as torchaudio's `MelSpectrogram(power=1,
/// norm="slaney", mel_scale="slaney")`: a periodic Hann window, frames around every `hop_length`th sample, the ends
/// reflected, no logarithm.
pub struct Mel {
    spec: MelSpec,
    /// Cosines and then sines, `[2 · bins, win_length]`.
    transform: Filter,
    /// `[n_mels, bins]`.
    bands: Filter,
}

impl Mel {
    /// Computes window and bands.
    ///
    /// # Errors
    /// No memory.
    pub fn new(spec: MelSpec) -> std::io::Result<Self> {
        let arena = Arena::default();
        let bins = spec.n_fft / 2 + 1;
        let transform = fourier(&spec, bins);
        let bands = filter_bank(&spec, bins);
        let filter = |weights: &[f32], rows: usize, size: usize, channels: usize, stride: usize| {
            let kernel = Kernel {
                weights,
                scales: None,
                rows,
                channels,
                size,
            };
            let spacing = [stride, 1, 0];
            let bias = vec![0.0; rows];
            Filter::conv(Simd::detect(), Unit::F32, &kernel, bias, spacing, &arena)
        };
        Ok(Self {
            transform: filter(&transform, 2 * bins, spec.win_length, 1, spec.hop_length)?,
            bands: filter(&bands, spec.n_mels, 1, bins, 1)?,
            spec,
        })
    }

    /// `[n_mels, 1 + ⌊samples / hop_length⌋]`.
    ///
    /// # Panics
    /// Too few samples to be reflected: there have to be more than `n_fft / 2`.
    pub fn of(&self, samples: &[f32]) -> Signal {
        let half = self.spec.win_length / 2;
        let len = samples.len() as isize;
        assert!(samples.len() > self.spec.n_fft / 2, "samples to reflect");
        let reflected = |i: isize| {
            let i = i.abs();
            samples[if i < len { i } else { 2 * (len - 1) - i } as usize]
        };
        let padded: Vec<f32> = (-(half as isize)..len + half as isize)
            .map(reflected)
            .collect();
        let (mut split, mut spectrum) = (Signal::default(), Signal::default());
        Signal::from_channels(&padded, 1).split(self.spec.hop_length, &mut split);
        self.transform.apply(&split, Out::plain(&mut spectrum));
        let frames = samples.len() / self.spec.hop_length + 1;
        let bins = spectrum.channels() / 2;
        let mut magnitudes = Signal::default();
        magnitudes.reshape(Unit::F32, bins, frames);
        for bin in 0..bins {
            let (real, imaginary) = (spectrum.channel(bin), spectrum.channel(bins + bin));
            let parts = real.iter().zip(imaginary);
            for (out, (re, im)) in magnitudes.channel_mut(bin).iter_mut().zip(parts) {
                *out = re.hypot(*im);
            }
        }
        let mut mel = Signal::default();
        self.bands.apply(&magnitudes, Out::plain(&mut mel));
        mel
    }
}

/// The Fourier transform of a windowed frame as a matrix. Where the frame begins turns the phase alone.
fn fourier(spec: &MelSpec, bins: usize) -> Vec<f32> {
    let window: Vec<f64> = (0..spec.win_length)
        .map(|n| 0.5 - 0.5 * (2.0 * PI * n as f64 / spec.win_length as f64).cos())
        .collect();
    let wave =
        |bin: usize, n: usize| 2.0 * PI * ((bin * n) % spec.n_fft) as f64 / spec.n_fft as f64;
    let mut rows = Vec::with_capacity(2 * bins * spec.win_length);
    for function in [f64::cos, f64::sin] {
        for bin in 0..bins {
            rows.extend(
                window
                    .iter()
                    .enumerate()
                    .map(|(n, w)| (w * function(wave(bin, n))) as f32),
            );
        }
    }
    rows
}

/// Slaney's scale: linear below 1 kHz, then 27 steps to each factor of 6.4.
fn to_mel(hertz: f64) -> f64 {
    match hertz < 1000.0 {
        true => hertz * 3.0 / 200.0,
        false => 15.0 + (hertz / 1000.0).ln() / (6.4f64.ln() / 27.0),
    }
}

fn to_hertz(mel: f64) -> f64 {
    match mel < 15.0 {
        true => mel * 200.0 / 3.0,
        false => 1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp(),
    }
}

/// Triangles of area 1, `[n_mels, bins]`.
fn filter_bank(spec: &MelSpec, bins: usize) -> Vec<f32> {
    let top = f64::from(spec.sample_rate) / 2.0;
    let (low, high) = (to_mel(spec.f_min), to_mel(spec.f_max.unwrap_or(top)));
    let point = |i: usize| to_hertz(low + (high - low) * i as f64 / (spec.n_mels + 1) as f64);
    let points: Vec<f64> = (0..spec.n_mels + 2).map(point).collect();
    let mut bank = Vec::with_capacity(spec.n_mels * bins);
    for corners in points.windows(3) {
        let [left, middle, right] = [corners[0], corners[1], corners[2]];
        let area = 2.0 / (right - left);
        bank.extend((0..bins).map(|bin| {
            let hertz = top * bin as f64 / (bins - 1) as f64;
            let rising = (hertz - left) / (middle - left);
            let falling = (right - hertz) / (right - middle);
            (rising.min(falling).max(0.0) * area) as f32
        }));
    }
    bank
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> MelSpec {
        MelSpec {
            sample_rate: 16000,
            n_fft: 1024,
            win_length: 640,
            hop_length: 320,
            f_min: 10.0,
            f_max: None,
            n_mels: 128,
        }
    }

    #[test]
    fn a_tone_lies_in_its_band_and_the_shape_is_torchaudios() {
        let mel = Mel::new(spec()).unwrap();
        let tone: Vec<f32> = (0..96_000)
            .map(|n| (2.0 * std::f32::consts::PI * 1000.0 * n as f32 / 16_000.0).sin())
            .collect();
        let out = mel.of(&tone);
        assert_eq!((out.channels(), out.len()), (128, 301));
        let loudest = (0..128).max_by(|&a, &b| out.channel(a)[100].total_cmp(&out.channel(b)[100]));
        let step = (to_mel(8000.0) - to_mel(10.0)) / 129.0;
        let expected = ((15.0 - to_mel(10.0)) / step).round() as usize - 1;
        assert!(loudest.unwrap().abs_diff(expected) <= 1);
    }

    #[test]
    fn the_bands_have_an_area_of_one() {
        let bank = filter_bank(
            &MelSpec {
                n_fft: 1 << 16,
                ..spec()
            },
            (1 << 15) + 1,
        );
        for row in bank.chunks((1 << 15) + 1) {
            let area: f64 =
                row.iter().map(|&x| f64::from(x)).sum::<f64>() * 8000.0 / f64::from(1 << 15);
            assert!((area - 1.0).abs() < 1e-2, "{area}");
        }
    }
}
