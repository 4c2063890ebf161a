//! Samples → a file, stdout or a player.

use std::cell::RefCell;
use std::io::{self, Seek, SeekFrom, Write};
use std::rc::Rc;

use hound::{SampleFormat, WavSpec, WavWriter};

use crate::audio::{to_i16, wav_header, WAV_HEADER_BYTES};
use crate::cli::output::{Sink, WholeFile};

use super::args::{AudioFormat, Output};
use super::player::Player;

/// Where speech goes. A file appears whole or not at all.
pub struct AudioSink<'a> {
    target: Target<'a>,
    samples: usize,
    name: String,
}

enum Target<'a> {
    Wav {
        writer: WavWriter<Shared>,
        file: Shared,
    },
    /// Samples without a header, or after one whose sizes are unknown; it is written with the first of them.
    Bytes {
        sink: Sink<'a>,
        header: Option<[u8; WAV_HEADER_BYTES]>,
    },
    /// A WAV for a reader that cannot go back: its header waits for its length.
    Held {
        sink: Sink<'a>,
        rate: u32,
        samples: Vec<i16>,
    },
    Player(Player),
}

/// A file that hound writes and that is renamed when hound is done.
#[derive(Clone)]
struct Shared(Rc<RefCell<WholeFile>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.borrow_mut().seek(to)
    }
}

fn audio_error(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

impl<'a> AudioSink<'a> {
    /// Opens `output`; with `stream` a pipe gets its samples at once.
    pub fn open(
        output: &Output,
        stdout: &'a mut dyn Write,
        rate: u32,
        stream: bool,
    ) -> anyhow::Result<Self> {
        let (sink, format, name) = match output {
            Output::Player => {
                return Ok(Self {
                    target: Target::Player(Player::start(rate)?),
                    samples: 0,
                    name: "the player".into(),
                })
            }
            Output::Stdout(format) => (Sink::open(None, stdout)?, *format, "stdout".to_string()),
            Output::File(path, format) => (
                Sink::open(Some(path), stdout)?,
                *format,
                path.display().to_string(),
            ),
        };
        let target = match (sink, format) {
            (sink, AudioFormat::Raw) => Target::Bytes { sink, header: None },
            (Sink::File(file), AudioFormat::Wav) => {
                let spec = WavSpec {
                    channels: 1,
                    sample_rate: rate,
                    bits_per_sample: 16,
                    sample_format: SampleFormat::Int,
                };
                let file = Shared(Rc::new(RefCell::new(file)));
                let writer = WavWriter::new(file.clone(), spec).map_err(audio_error)?;
                Target::Wav { writer, file }
            }
            (sink, AudioFormat::Wav) if stream => Target::Bytes {
                sink,
                header: Some(wav_header(rate, None)),
            },
            (sink, AudioFormat::Wav) => Target::Held {
                sink,
                rate,
                samples: Vec::new(),
            },
        };
        Ok(Self {
            target,
            samples: 0,
            name,
        })
    }

    /// Samples so far.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// For messages.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    pub fn write(&mut self, samples: &[f32]) -> io::Result<()> {
        if samples.is_empty() {
            return Ok(());
        }
        self.samples += samples.len();
        let numbers = samples.iter().map(|&x| to_i16(x));
        let bytes = || -> Vec<u8> {
            samples
                .iter()
                .flat_map(|&x| to_i16(x).to_le_bytes())
                .collect()
        };
        match &mut self.target {
            Target::Wav { writer, .. } => {
                for sample in numbers {
                    writer.write_sample(sample).map_err(audio_error)?;
                }
                Ok(())
            }
            Target::Bytes { sink, header } => {
                if let Some(header) = header.take() {
                    sink.write_all(&header)?;
                }
                sink.write_all(&bytes())?;
                match sink.is_file() {
                    true => Ok(()),
                    false => sink.flush(),
                }
            }
            Target::Held { samples, .. } => {
                samples.extend(numbers);
                Ok(())
            }
            Target::Player(player) => player.write(&bytes()),
        }
    }

    /// The speech is complete, or as complete as it gets.
    pub fn finish(self) -> anyhow::Result<()> {
        match self.target {
            Target::Wav { writer, file } => {
                writer.finalize().map_err(audio_error)?;
                match Rc::try_unwrap(file.0) {
                    Ok(file) => file.into_inner().finish(),
                    Err(_) => Err(io::Error::other("the file is still being written").into()),
                }
            }
            Target::Bytes { sink, .. } => sink.finish(),
            Target::Held {
                mut sink,
                rate,
                samples,
            } => {
                sink.write_all(&wav_header(rate, u32::try_from(samples.len()).ok()))?;
                let bytes: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
                sink.write_all(&bytes)?;
                sink.finish()
            }
            Target::Player(player) => player.finish(),
        }
    }
}
