//! The header of a WAV file: what its samples are, and where they begin.
//!
//! Read front to back and never backwards, so that a pipe will do. Microsoft's and IBM's RIFF specification of 1991,
//! `WAVE_FORMAT_EXTENSIBLE`, and RF64 (EBU Tech 3306) for files over 4 GiB.

use std::io::{self, Read};
use std::path::Path;

use super::AudioError;

/// How a sample is stored, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
}

impl Encoding {
    /// Bytes of a sample.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The least magnitude that counts as full scale: the largest positive number that the encoding holds.
    pub fn full_scale(self) -> f64 {
        match self {
            Self::U8 => 1.0 - 1.0 / 128.0,
            Self::I16 => 1.0 - 1.0 / 32_768.0,
            Self::I24 => 1.0 - 1.0 / 8_388_608.0,
            Self::I32 => 1.0 - 1.0 / 2_147_483_648.0,
            Self::F32 | Self::F64 => 1.0,
        }
    }
}

/// What a WAV file says about its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub encoding: Encoding,
    pub channels: u16,
    /// Hz.
    pub rate: u32,
    /// Bytes of the data chunk; `None` where it was written to a pipe and goes on to the end of the file.
    pub data: Option<u64>,
}

impl Header {
    /// Bytes of one sample of every channel.
    pub fn frame_bytes(&self) -> usize {
        usize::from(self.channels) * self.encoding.bytes()
    }
}

/// Rates that a sound card or a telephone has, in Hz.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;
/// From here on a size in the header stands for "unknown": ffmpeg writes 0xFFFFFFFF to a pipe, sox 0x7FFFF000 or so.
const UNKNOWN_SIZE: u32 = 0x7FFF_F000;
/// No chunk before the samples is longer, but for one that is not a WAV file's.
const MAX_FMT_BYTES: u32 = 4096;
/// What distinguishes the GUIDs of `WAVE_FORMAT_EXTENSIBLE` from others: they are a format tag and this.
const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

/// Reads up to the first byte of the samples.
pub(super) fn read_header(reader: &mut impl Read, path: &Path) -> Result<Header, AudioError> {
    let mut source = Source {
        reader,
        path,
        position: 0,
    };
    let start = source.up_to::<12>()?;
    let [r0, r1, r2, r3, s0, s1, s2, s3, w0, w1, w2, w3] = start.bytes;
    let large = &[r0, r1, r2, r3] == b"RF64";
    if !(large || &[r0, r1, r2, r3] == b"RIFF") || start.len < 12 {
        return Err(unknown(start.seen(), path));
    }
    if &[w0, w1, w2, w3] != b"WAVE" {
        return Err(AudioError::corrupt(path, "this RIFF file holds no WAVE"));
    }
    let riff = u32::from_le_bytes([s0, s1, s2, s3]);
    let mut format = None;
    let mut large_data = None;
    loop {
        let chunk = source.up_to::<8>()?;
        if chunk.len < 8 {
            let missing = if format.is_none() { "fmt" } else { "data" };
            return Err(AudioError::corrupt(
                path,
                format!(
                    "the file ends after {} bytes without a '{missing}' chunk",
                    source.position
                ),
            ));
        }
        let [a, b, c, d, s0, s1, s2, s3] = chunk.bytes;
        let size = u32::from_le_bytes([s0, s1, s2, s3]);
        match &[a, b, c, d] {
            b"fmt " => format = Some(source.format(size)?),
            b"ds64" if large => {
                let body = source.exactly::<16>("its 'ds64' chunk")?;
                let [_, _, _, _, _, _, _, _, size64 @ ..] = body;
                large_data = Some(u64::from_le_bytes(size64));
                source.skip(u64::from(size).saturating_sub(16) + u64::from(size % 2))?;
            }
            b"data" => {
                let Some((encoding, channels, rate)) = format else {
                    let reason = "its 'data' chunk comes before its 'fmt ' chunk";
                    return Err(AudioError::corrupt(path, reason));
                };
                let data = match (large_data, size) {
                    (Some(bytes), _) if size == u32::MAX => Some(bytes),
                    (_, UNKNOWN_SIZE..) => None,
                    // Nobody came back to fill it in, unless the RIFF chunk counts what lies before.
                    (_, 0) if u64::from(riff) + 8 < source.position => None,
                    _ if size == 0 && riff >= UNKNOWN_SIZE => None,
                    _ => Some(u64::from(size)),
                };
                return Ok(Header {
                    encoding,
                    channels,
                    rate,
                    data,
                });
            }
            _ => source.skip(u64::from(size) + u64::from(size % 2))?,
        }
    }
}

/// A file read front to back.
struct Source<'a, R> {
    reader: &'a mut R,
    path: &'a Path,
    position: u64,
}

/// Up to `N` bytes of which `len` were there; zeros follow.
struct Bytes<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Bytes<N> {
    fn seen(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

impl<R: Read> Source<'_, R> {
    fn up_to<const N: usize>(&mut self) -> Result<Bytes<N>, AudioError> {
        let mut bytes = [0; N];
        let len =
            fill(self.reader, &mut bytes).map_err(|source| AudioError::io(self.path, source))?;
        self.position += len as u64;
        Ok(Bytes { bytes, len })
    }

    fn exactly<const N: usize>(&mut self, what: &str) -> Result<[u8; N], AudioError> {
        let got = self.up_to::<N>()?;
        if got.len < N {
            return Err(AudioError::corrupt(
                self.path,
                format!(
                    "the file is cut short: it ends after {} bytes, inside {what}",
                    self.position
                ),
            ));
        }
        Ok(got.bytes)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), AudioError> {
        let skipped = io::copy(&mut self.reader.take(bytes), &mut io::sink())
            .map_err(|source| AudioError::io(self.path, source))?;
        self.position += skipped;
        Ok(())
    }

    /// The `fmt ` chunk: encoding, channels, rate.
    fn format(&mut self, size: u32) -> Result<(Encoding, u16, u32), AudioError> {
        let path = self.path;
        if !(16..=MAX_FMT_BYTES).contains(&size) {
            let reason = format!("its 'fmt ' chunk has {size} bytes");
            return Err(AudioError::corrupt(path, reason));
        }
        let [t0, t1, c0, c1, r0, r1, r2, r3, _, _, _, _, a0, a1, b0, b1] =
            self.exactly::<16>("its 'fmt ' chunk")?;
        let mut tag = u16::from_le_bytes([t0, t1]);
        let channels = u16::from_le_bytes([c0, c1]);
        let rate = u32::from_le_bytes([r0, r1, r2, r3]);
        let frame = u16::from_le_bytes([a0, a1]);
        let bits = u16::from_le_bytes([b0, b1]);
        let mut read = 16;
        if tag == EXTENSIBLE && size >= 40 {
            // Its size, the valid bits, the loudspeakers; then a GUID, which begins with the tag that matters.
            let [.., t0, t1] = self.exactly::<10>("its 'fmt ' chunk")?;
            let tail = self.exactly::<14>("its 'fmt ' chunk")?;
            read = 40;
            if tail == GUID_TAIL {
                tag = u16::from_le_bytes([t0, t1]);
            }
        }
        self.skip(u64::from(size - read) + u64::from(size % 2))?;
        if channels == 0 || rate == 0 {
            let reason = format!("its header says {channels} channels at {rate} Hz");
            return Err(AudioError::corrupt(path, reason));
        }
        let encoding = encoding(tag, bits)
            .ok_or_else(|| AudioError::unsupported(path, kind_of_wav(tag, bits)))?;
        if usize::from(frame) != usize::from(channels) * encoding.bytes() {
            let reason = format!(
                "its header says {channels} channels of {bits} bits, but {frame} bytes for a sample of them all"
            );
            return Err(AudioError::corrupt(path, reason));
        }
        if !RATES.contains(&rate) {
            return Err(AudioError::Rate {
                path: path.to_path_buf(),
                rate,
            });
        }
        Ok((encoding, channels, rate))
    }
}

/// Reads until `buffer` is full or the file ends; the bytes read.
pub(super) fn fill(reader: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<usize> {
    let wanted = buffer.len();
    while !buffer.is_empty() {
        match reader.read(buffer) {
            Ok(0) => break,
            Ok(n) => buffer = buffer.get_mut(n..).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(wanted - buffer.len())
}

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xFFFE;

/// Fewer bits than the bytes hold are stored in the upper ones, so that the bytes alone count.
fn encoding(tag: u16, bits: u16) -> Option<Encoding> {
    Some(match (tag, bits) {
        (PCM, 1..=8) => Encoding::U8,
        (PCM, 9..=16) => Encoding::I16,
        (PCM, 17..=24) => Encoding::I24,
        (PCM, 25..=32) => Encoding::I32,
        (FLOAT, 32) => Encoding::F32,
        (FLOAT, 64) => Encoding::F64,
        _ => return None,
    })
}

fn kind_of_wav(tag: u16, bits: u16) -> String {
    match tag {
        PCM => format!("a WAV file of {bits}-bit integers"),
        FLOAT => format!("a WAV file of {bits}-bit floats"),
        2 | 0x11 => "a WAV file with ADPCM inside".into(),
        6 => "a WAV file with A-law inside".into(),
        7 => "a WAV file with µ-law inside".into(),
        0x55 => "a WAV file with MP3 inside".into(),
        _ => format!("a WAV file of the format 0x{tag:04x}"),
    }
}

/// What a file is that does not begin like a WAV file.
fn unknown(start: &[u8], path: &Path) -> AudioError {
    let what = match start {
        [] => return AudioError::corrupt(path, "the file is empty (0 bytes)"),
        [b'I', b'D', b'3', ..] => "an MP3 file",
        // A frame's sync word: layer III, or none, which is AAC's.
        [0xFF, 0xE2 | 0xE3 | 0xF2 | 0xF3 | 0xFA | 0xFB, ..] => "an MP3 file",
        [0xFF, 0xF0 | 0xF1 | 0xF8 | 0xF9, ..] => "an AAC file",
        [b'f', b'L', b'a', b'C', ..] => "a FLAC file",
        [b'O', b'g', b'g', b'S', ..] => "an Ogg file",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "an M4A or MP4 file",
        [0x1A, 0x45, 0xDF, 0xA3, ..] => "a WebM or Matroska file",
        [0x30, 0x26, 0xB2, 0x75, ..] => "a WMA file",
        [b'F', b'O', b'R', b'M', _, _, _, _, b'A', b'I', b'F', ..] => "an AIFF file",
        [b'.', b's', b'n', b'd', ..] => "an AU file",
        [b'c', b'a', b'f', b'f', ..] => "a CAF file",
        [b'#', b'!', b'A', b'M', b'R', ..] => "an AMR file",
        [b'R', b'I', b'F', b'X', ..] => "a big-endian WAV file",
        [b'r', b'i', b'f', b'f', ..] => "a Wave64 file",
        [b'R', b'I', b'F', b'F', ..] | [b'R', b'F', b'6', b'4', ..] => {
            let reason = format!("the file is cut short: it has {} bytes", start.len());
            return AudioError::corrupt(path, reason);
        }
        _ => {
            let reason = "this is not a sound file that crane knows; it reads WAV, which 'ffmpeg -i FILE -ac 1 out.wav' makes of most others";
            return AudioError::corrupt(path, reason);
        }
    };
    AudioError::unsupported(path, what)
}
