//! A WAV file's first channel as f64.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::container::{fill, read_header, Encoding, Header};
use super::AudioError;

/// What [`read_wav`] takes at most, in seconds: a reference clip needs 3 to 30.
pub const MAX_SECONDS: u32 = 60;
/// What [`read_wav`] takes at least, in seconds.
pub const MIN_SECONDS: f64 = 0.1;

/// What is not above this much of full scale (−60 dB) around its mean is silence.
const SILENCE: f64 = 1e-3;
const BLOCK_BYTES: usize = 1 << 16;
/// More samples at full scale than this share are worth a warning.
const CLIPPED: f64 = 1e-3;

/// A sound with one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// −1 … 1; float files may go beyond.
    pub samples: Vec<f64>,
    /// Samples a second.
    pub rate: u32,
    /// What the user should know about it, a sentence each.
    pub warnings: Vec<String>,
}

impl Clip {
    /// How long it lasts.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate.max(1))
    }
}

/// Reads the first channel of a WAV file: 8-bit unsigned, 16, 24 or 32-bit integers (scaled by 2^(1−bits), as
/// libsndfile does), 32 or 64-bit floats, 1 kHz to 384 kHz, between [`MIN_SECONDS`] and [`MAX_SECONDS`].
///
/// `path` may be a pipe. What is too long is refused before it is read as far as its header says so, and is not
/// kept in memory otherwise.
pub fn read_wav(path: &Path) -> Result<Clip, AudioError> {
    let file = File::open(path).map_err(|source| AudioError::io(path, source))?;
    let mut reader = BufReader::with_capacity(BLOCK_BYTES, file);
    let header = read_header(&mut reader, path)?;
    let rate = f64::from(header.rate);
    let declared = header.data.map(|bytes| bytes / header.frame_bytes() as u64);
    let too_long = |seconds| AudioError::TooLong {
        path: path.to_path_buf(),
        seconds,
    };
    let most = u64::from(MAX_SECONDS) * u64::from(header.rate);
    if let Some(frames) = declared.filter(|frames| *frames > most) {
        return Err(too_long(Some(frames as f64 / rate)));
    }

    // One frame more than allowed shows that a file of unknown length is too long.
    let frames = declared.unwrap_or(most + 1);
    let samples = first_channel(&mut reader, &header, frames)
        .map_err(|source| AudioError::io(path, source))?;
    let read = samples.len() as u64;
    match declared {
        Some(frames) if read < frames => {
            let frame = header.frame_bytes() as u64;
            return Err(AudioError::corrupt(
                path,
                format!(
                    "the file is cut short: its header promises {} bytes of sound, and {} are there",
                    frames * frame,
                    read * frame
                ),
            ));
        }
        None if read > most => return Err(too_long(None)),
        _ => {}
    }
    check(path, samples, &header)
}

/// Up to `frames` samples of the first channel; fewer where the file ends before.
fn first_channel(
    reader: &mut impl Read,
    header: &Header,
    frames: u64,
) -> std::io::Result<Vec<f64>> {
    let size = header.frame_bytes();
    // The header has not earned a large allocation yet.
    let mut samples = Vec::new();
    let mut block = vec![0; size * (BLOCK_BYTES / size.max(1)).max(1)];
    let mut left = usize::try_from(frames).unwrap_or(usize::MAX);
    while left > 0 {
        let wanted = block.len().min(left.saturating_mul(size));
        let Some(part) = block.get_mut(..wanted) else {
            break;
        };
        let got = fill(reader, part)?;
        let whole = part.get(..got).unwrap_or_default().chunks_exact(size);
        left -= whole.len().min(left);
        samples.extend(whole.map(|frame| sample(header.encoding, frame)));
        if got < wanted {
            break;
        }
    }
    Ok(samples)
}

/// The sample at the beginning of `frame`, which is long enough.
fn sample(encoding: Encoding, frame: &[u8]) -> f64 {
    match (encoding, frame) {
        (Encoding::U8, [a, ..]) => (f64::from(*a) - 128.0) / 128.0,
        (Encoding::I16, [a, b, ..]) => f64::from(i16::from_le_bytes([*a, *b])) / 32_768.0,
        // In the upper bytes of 32 bits, so that the sign is right.
        (Encoding::I24, [a, b, c, ..]) => {
            f64::from(i32::from_le_bytes([0, *a, *b, *c])) / 2_147_483_648.0
        }
        (Encoding::I32, [a, b, c, d, ..]) => {
            f64::from(i32::from_le_bytes([*a, *b, *c, *d])) / 2_147_483_648.0
        }
        (Encoding::F32, [a, b, c, d, ..]) => f64::from(f32::from_le_bytes([*a, *b, *c, *d])),
        (Encoding::F64, [a, b, c, d, e, f, g, h, ..]) => {
            f64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h])
        }
        _ => 0.0,
    }
}

/// Refuses what no voice can be heard in, and warns of what makes it worse.
fn check(path: &Path, samples: Vec<f64>, header: &Header) -> Result<Clip, AudioError> {
    let seconds = samples.len() as f64 / f64::from(header.rate);
    if seconds < MIN_SECONDS {
        return Err(AudioError::TooShort {
            path: path.to_path_buf(),
            seconds,
        });
    }
    if let Some(at) = samples.iter().position(|x| !x.is_finite()) {
        let reason = format!("sample {at} is not a number");
        return Err(AudioError::corrupt(path, reason));
    }
    let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let high = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // A constant offset is no sound.
    if (high - low) / 2.0 < SILENCE {
        return Err(AudioError::Silent {
            path: path.to_path_buf(),
        });
    }

    let mut warnings = Vec::new();
    if header.channels > 1 {
        warnings.push(format!(
            "{} has {} channels; only the first is used",
            path.display(),
            header.channels
        ));
    }
    let full = header.encoding.full_scale();
    let clipped = samples.iter().filter(|x| x.abs() >= full).count() as f64 / samples.len() as f64;
    if clipped > CLIPPED {
        warnings.push(format!(
            "{} is clipped ({:.1} % of its samples are at full scale); a quieter recording gives a cleaner voice",
            path.display(),
            clipped * 100.0
        ));
    }
    Ok(Clip {
        samples,
        rate: header.rate,
        warnings,
    })
}

#[cfg(test)]
mod tests;
