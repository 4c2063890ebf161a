use std::fs;
use std::io::Cursor;
use std::path::Path;

use hound::{SampleFormat, WavSpec, WavWriter};
use proptest::prelude::*;

use super::{read_wav, Clip};
use crate::audio::{wav_header, AudioError};

/// What comes of a file of these bytes.
fn read(bytes: &[u8]) -> Result<Clip, AudioError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    fs::write(&path, bytes).unwrap();
    read_wav(&path)
}

/// The message of the error, without the folder.
fn refusal(bytes: &[u8]) -> String {
    let message = read(bytes).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    match message.rsplit_once("/a.wav") {
        Some((_, _)) => {
            let folder = message
                .split("a.wav")
                .next()
                .unwrap_or_default()
                .to_string();
            message.replace(&folder, "")
        }
        None => message,
    }
}

fn tone(n: usize) -> Vec<f64> {
    (0..n).map(|i| (i as f64 * 0.1).sin() * 0.5).collect()
}

/// A file as hound writes it; channel c holds the tone times (1 − c/10).
fn written(channels: u16, bits: u16, rate: u32, n: usize) -> Vec<u8> {
    let spec = WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: bits,
        sample_format: SampleFormat::Int,
    };
    let mut out = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut out, spec).unwrap();
    let scale = f64::from(1u32 << (bits - 1));
    for x in tone(n) {
        for c in 0..channels {
            let x = x * (1.0 - f64::from(c) / 10.0);
            writer.write_sample((x * scale).round() as i32).unwrap();
        }
    }
    writer.finalize().unwrap();
    out.into_inner()
}

/// A `fmt ` chunk and samples, by hand.
fn handmade(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let frame = channels * bits.div_ceil(8);
    let mut out = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
    out.extend(tag.to_le_bytes());
    out.extend(channels.to_le_bytes());
    out.extend(rate.to_le_bytes());
    out.extend(rate.wrapping_mul(u32::from(frame)).to_le_bytes());
    out.extend(frame.to_le_bytes());
    out.extend(bits.to_le_bytes());
    out.extend(b"data");
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    let riff = (out.len() - 8) as u32;
    out[4..8].copy_from_slice(&riff.to_le_bytes());
    out
}

fn near(clip: &Clip, tolerance: f64) {
    for (i, (x, y)) in clip
        .samples
        .iter()
        .zip(tone(clip.samples.len()))
        .enumerate()
    {
        assert!((x - y).abs() <= tolerance, "{i}: {x} {y}");
    }
}

#[test]
fn every_depth_of_integers_is_read() {
    for bits in [8, 16, 24, 32] {
        let clip = read(&written(1, bits, 16_000, 4000)).unwrap();
        assert_eq!((clip.samples.len(), clip.rate), (4000, 16_000));
        assert!(clip.warnings.is_empty());
        near(&clip, 0.5 / f64::from(1u32 << (bits - 1)) + 1e-12);
    }
}

#[test]
fn the_first_of_several_channels_is_taken() {
    // hound writes more than two channels, and 24 bits, as WAVE_FORMAT_EXTENSIBLE.
    for (channels, bits) in [(2, 16), (8, 16), (6, 24), (2, 32)] {
        let clip = read(&written(channels, bits, 192_000, 30_000)).unwrap();
        assert_eq!((clip.samples.len(), clip.rate), (30_000, 192_000));
        near(&clip, 2e-5);
        assert_eq!(clip.warnings.len(), 1);
        assert!(clip.warnings[0].contains(&format!("has {channels} channels; only the first")));
    }
}

#[test]
fn floats_are_read_as_they_are() {
    let narrow: Vec<u8> = tone(4000)
        .iter()
        .flat_map(|x| (*x as f32).to_le_bytes())
        .collect();
    near(&read(&handmade(3, 1, 16_000, 32, &narrow)).unwrap(), 1e-7);
    let wide: Vec<u8> = tone(4000).iter().flat_map(|x| x.to_le_bytes()).collect();
    near(&read(&handmade(3, 1, 16_000, 64, &wide)).unwrap(), 0.0);

    let mut broken = narrow.clone();
    broken[4000..4004].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(
        refusal(&handmade(3, 1, 16_000, 32, &broken)),
        "a.wav: sample 1000 is not a number"
    );
    broken[4000..4004].copy_from_slice(&f32::INFINITY.to_le_bytes());
    let error = read(&handmade(3, 1, 16_000, 32, &broken)).unwrap_err();
    assert!(matches!(error, AudioError::Corrupt { .. }));
}

#[test]
fn other_chunks_are_skipped_and_trailing_ones_ignored() {
    let plain = written(1, 16, 16_000, 4000);
    let mut file = plain[..12].to_vec();
    file.extend(b"LIST\x03\0\0\0abc\0");
    file.extend(&plain[12..]);
    file.extend(b"LIST\x04\0\0\0abcd");
    assert_eq!(read(&file).unwrap().samples.len(), 4000);
}

#[test]
fn a_file_from_a_pipe_is_read_to_its_end() {
    let plain = written(1, 16, 16_000, 4000);
    for size in [0u32, u32::MAX, 0x7FFF_F000] {
        for riff in [0u32, u32::MAX, 36] {
            let mut file = plain.clone();
            file[4..8].copy_from_slice(&riff.to_le_bytes());
            file[40..44].copy_from_slice(&size.to_le_bytes());
            // 36 with 0 is a finished file without a sample.
            let n = if size == 0 && riff == 36 { 0 } else { 4000 };
            match read(&file) {
                Ok(clip) => assert_eq!(clip.samples.len(), n),
                Err(e) => assert!(n == 0 && matches!(e, AudioError::TooShort { .. }), "{e}"),
            }
        }
    }
    let mut file = wav_header(16_000, None).to_vec();
    file.extend(&plain[44..]);
    assert_eq!(read(&file).unwrap(), read(&plain).unwrap());
}

#[test]
fn a_large_file_says_its_size_in_its_own_chunk() {
    let plain = written(1, 16, 16_000, 4000);
    let mut file = b"RF64\xFF\xFF\xFF\xFFWAVEds64\x1C\0\0\0".to_vec();
    file.extend(0u64.to_le_bytes());
    file.extend(8000u64.to_le_bytes());
    file.extend([0; 12]);
    file.extend(&plain[12..40]);
    file.extend([0xFF; 4]);
    file.extend(&plain[44..]);
    file.extend(b"LIST\x04\0\0\0abcd");
    assert_eq!(read(&file).unwrap().samples.len(), 4000);
}

#[test]
fn what_is_cut_short_is_refused() {
    let plain = written(1, 16, 16_000, 4000);
    assert_eq!(
        refusal(&plain[..44 + 5001]),
        "a.wav: the file is cut short: its header promises 8000 bytes of sound, and 5000 are there"
    );
    assert_eq!(
        refusal(&plain[..30]),
        "a.wav: the file is cut short: it ends after 30 bytes, inside its 'fmt ' chunk"
    );
    for n in 0..44 {
        let error = read(&plain[..n]).unwrap_err();
        assert!(matches!(error, AudioError::Corrupt { .. }), "{n}: {error}");
    }
    assert_eq!(refusal(&[]), "a.wav: the file is empty (0 bytes)");
}

#[test]
fn a_header_that_contradicts_itself_is_refused() {
    for (file, expected) in [
        (handmade(1, 1, 0, 16, &[0; 8000]), "says 1 channels at 0 Hz"),
        (handmade(1, 0, 16_000, 16, &[0; 8000]), "says 0 channels"),
        (
            handmade(1, 1, 999, 16, &[0; 8000]),
            "has 999 samples a second, and crane reads 1000 to 384000: ",
        ),
        (
            handmade(1, 1, 16_000, 48, &[0; 8000]),
            "48-bit integers; crane reads WAV: convert it",
        ),
        (handmade(7, 1, 8_000, 8, &[0; 8000]), "µ-law inside"),
        (handmade(0x55, 1, 8_000, 0, &[0; 8000]), "MP3 inside"),
        (b"RIFF\x04\0\0\0AVI LIST".to_vec(), "holds no WAVE"),
        (b"RIFF\x04\0\0\0WAVE".to_vec(), "without a 'fmt' chunk"),
        (
            b"RIFF\x04\0\0\0WAVEdata\0\0\0\0".to_vec(),
            "'data' chunk comes before",
        ),
        (
            b"RIFF\x04\0\0\0WAVEfmt \x02\0\0\0\0\0".to_vec(),
            "'fmt ' chunk has 2 bytes",
        ),
    ] {
        let message = refusal(&file);
        assert!(message.contains(expected), "{message}");
    }
    let mut file = handmade(1, 2, 16_000, 16, &[0; 8000]);
    file[32] = 3;
    assert!(refusal(&file).contains("but 3 bytes for a sample of them all"));
}

#[test]
fn other_sounds_are_recognised() {
    for (start, kind) in [
        (&b"ID3\x04\0\0\0\0\0\0\0\0"[..], "an MP3 file"),
        (b"\xFF\xFB\x90\x64\0\0\0\0\0\0\0\0", "an MP3 file"),
        (b"fLaC\0\0\0\"", "a FLAC file"),
        (b"OggS\0\x02\0\0\0\0\0\0", "an Ogg file"),
        (b"\0\0\0\x20ftypM4A \0\0", "an M4A or MP4 file"),
        (b"\xFF\xF1\x50\x80", "an AAC file"),
        (b"FORM\0\0\0\0AIFFCOMM", "an AIFF file"),
        (b"RIFX\0\0\0\0WAVE", "a big-endian WAV file"),
    ] {
        let message = refusal(start);
        assert_eq!(
            message,
            format!(
                "a.wav is {kind}; crane reads WAV: convert it with 'ffmpeg -i a.wav -ac 1 out.wav'"
            )
        );
    }
    for text in [&b"Hello, this is no sound."[..], b"x", b"\xFF\xFEh\0i\0"] {
        assert!(refusal(text).contains("not a sound file that crane knows"));
    }
}

#[test]
fn length_and_loudness_have_limits() {
    assert_eq!(
        refusal(&written(1, 16, 16_000, 1599)),
        "a.wav lasts 0.10 s; a reference clip needs 3 to 30 s of speech, and no less than 0.1 s"
    );
    assert!(read(&written(1, 16, 16_000, 1600)).is_ok());
    assert!(read(&written(1, 8, 1_000, 60_000)).is_ok());
    let long = written(1, 8, 1_000, 60_001);
    assert!(refusal(&long).starts_with("a.wav lasts 60 s, and crane takes up to 60 s; "));
    assert!(refusal(&long).ends_with("cut it with 'ffmpeg -i a.wav -t 20 -ac 1 out.wav'"));
    let mut piped = long.clone();
    piped[40..44].fill(0xFF);
    assert!(refusal(&piped).starts_with("a.wav lasts more than 60 s, and"));
    // Not read at all: the header is enough.
    let mut promised = long;
    promised[40..44].copy_from_slice(&600_000u32.to_le_bytes());
    assert!(refusal(&promised).starts_with("a.wav lasts 600 s, and"));

    // Zeros, the rounding of 8 bits, a constant offset.
    for (bits, byte) in [(8, 128), (8, 127), (16, 0), (16, 17), (24, 3)] {
        let message = refusal(&handmade(1, 1, 16_000, bits, &[byte; 12_000]));
        assert_eq!(
            message,
            "a.wav is silent; a reference clip needs 3 to 30 s of speech"
        );
    }
}

#[test]
fn clipping_is_warned_of() {
    let loud: Vec<u8> = tone(4000)
        .iter()
        .flat_map(|x| ((x * 80_000.0) as i16).to_le_bytes())
        .collect();
    let clip = read(&handmade(1, 1, 16_000, 16, &loud)).unwrap();
    assert_eq!(clip.warnings.len(), 1);
    assert!(
        clip.warnings[0].contains("is clipped ("),
        "{}",
        clip.warnings[0]
    );
}

#[test]
fn paths_are_said_as_a_shell_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my voice.mp3");
    let missing = read_wav(&path).unwrap_err();
    assert!(matches!(missing, AudioError::Missing { .. }));
    assert!(missing
        .to_string()
        .ends_with("my voice.mp3: there is no such file"));
    fs::write(&path, b"ID3\x04").unwrap();
    let message = read_wav(&path).unwrap_err().to_string();
    assert!(
        message.ends_with("my voice.mp3\" -ac 1 out.wav'"),
        "{message}"
    );
    let error = read_wav(Path::new(folder.path())).unwrap_err();
    assert!(matches!(error, AudioError::Io { .. }), "{error}");
}

proptest! {
    #[test]
    fn no_file_is_too_broken(
        cut in 0usize..300,
        changes in prop::collection::vec((0usize..60, any::<u8>()), 0..6),
    ) {
        let mut file = written(2, 16, 16_000, 64);
        for (at, byte) in changes {
            file[at] = byte;
        }
        file.truncate(cut);
        // An answer of some kind.
        let _ = read(&file);
    }
}
