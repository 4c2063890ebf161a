//! Samples on their way out: 16-bit, one channel.

/// Bytes of [`wav_header`].
pub const WAV_HEADER_BYTES: usize = 44;

/// The header of a WAV file of 16-bit samples in one channel, `rate` Hz; the samples follow, little-endian.
///
/// `None`, or more samples than a WAV file can count (2^31 − 19), writes the sizes as unknown (0xFFFFFFFF), as
/// ffmpeg does for a pipe.
pub fn wav_header(rate: u32, samples: Option<u32>) -> [u8; WAV_HEADER_BYTES] {
    const FRAME: u32 = 2;
    const BEFORE_DATA: u32 = WAV_HEADER_BYTES as u32 - 8;
    let data = samples.and_then(|n| n.checked_mul(FRAME));
    let riff = data.and_then(|n| n.checked_add(BEFORE_DATA));
    let (riff, data) = match (riff, data) {
        (Some(riff), Some(data)) => (riff, data),
        _ => (u32::MAX, u32::MAX),
    };
    let [r0, r1, r2, r3] = riff.to_le_bytes();
    let [h0, h1, h2, h3] = rate.to_le_bytes();
    let [b0, b1, b2, b3] = rate.saturating_mul(FRAME).to_le_bytes();
    let [d0, d1, d2, d3] = data.to_le_bytes();
    #[rustfmt::skip]
    let header = [
        b'R', b'I', b'F', b'F', r0, r1, r2, r3, b'W', b'A', b'V', b'E',
        // Format 1 (PCM), 1 channel, rate, bytes a second, bytes a frame, bits.
        b'f', b'm', b't', b' ', 16, 0, 0, 0, 1, 0, 1, 0, h0, h1, h2, h3, b0, b1, b2, b3, FRAME as u8, 0, 16, 0,
        b'd', b'a', b't', b'a', d0, d1, d2, d3,
    ];
    header
}

/// A sample of −1 … 1 as 16 bits: rounded, limited at both ends, 0 for what is not a number.
///
/// The inverse of reading (2^15 is 1.0), so that what was read from 16 bits is written unchanged.
pub fn to_i16(x: f32) -> i16 {
    // `as` saturates and takes NaN for 0.
    (x * 32_768.0).round() as i16
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{to_i16, wav_header};

    #[test]
    fn hound_reads_what_is_written() {
        let spoken: Vec<i16> = (0..1000).map(|i| (i * 31 % 2000 - 1000) as i16).collect();
        let mut file = wav_header(16_000, Some(1000)).to_vec();
        file.extend(spoken.iter().flat_map(|s| s.to_le_bytes()));
        let mut reader = hound::WavReader::new(Cursor::new(file)).unwrap();
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        assert_eq!(reader.spec(), spec);
        assert_eq!(reader.len(), 1000);
        let read: Result<Vec<i16>, _> = reader.samples().collect();
        assert_eq!(read.unwrap(), spoken);
    }

    #[test]
    fn what_cannot_be_counted_is_unknown() {
        let unknown = wav_header(24_000, None);
        assert_eq!(unknown[4..8], [0xFF; 4]);
        assert_eq!(unknown[40..44], [0xFF; 4]);
        assert_eq!(unknown, wav_header(24_000, Some(0x7FFF_FFFF)));
        let most = (u32::MAX - 36) / 2;
        assert_eq!(wav_header(1, Some(most))[40..44], (2 * most).to_le_bytes());
        assert_eq!(wav_header(1, Some(most + 1))[40..44], [0xFF; 4]);
    }

    #[test]
    fn samples_are_rounded_and_limited() {
        for (x, expected) in [
            (0.0, 0),
            (0.5, 16_384),
            (-1.0, -32_768),
            (1.0, 32_767),
            (7.0, 32_767),
            (-7.0, -32_768),
            (2.6 / 32_768.0, 3),
            (-2.6 / 32_768.0, -3),
            (f32::NAN, 0),
            (f32::INFINITY, 32_767),
            (f32::NEG_INFINITY, -32_768),
        ] {
            assert_eq!(to_i16(x), expected, "{x}");
        }
        for s in i16::MIN..=i16::MAX {
            assert_eq!(to_i16(f32::from(s) / 32_768.0), s);
        }
    }
}
