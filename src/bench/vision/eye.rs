//! What reads a picture: the processor and the encoder.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::count::{self, Count};
use super::{Model, Test};
use crate::bench::count::arithmetic;
use crate::bench::parts::{Expected, Instrument, Need, Subject};
use crate::bench::passes::{milliseconds, token_ids};
use crate::bench::{memory, BenchError, Watch};
use crate::image::{ImageProcessor, Limits, Picture, Prepared};
use crate::models::vision::{self, ImageEncoder, Patches};
use crate::models::{self, Encoded};
use crate::vision::VisionError;
use crate::weights::{Format, Loader};

/// Where the encoded image is left for the language model.
type Made = RefCell<Option<Arc<Encoded>>>;

/// Processor and encoder, loaded, with a picture.
pub struct Eye<'a> {
    encoder: Box<dyn ImageEncoder>,
    processor: ImageProcessor,
    picture: Picture,
    prepared: Prepared,
    count: Count,
    format: Format,
    load_ms: f64,
    /// Whether the encoder computes on the CPU, whose limits are known.
    on_cpu: bool,
    made: &'a Made,
}

impl<'a> Eye<'a> {
    pub fn load(
        subject: &Subject<Model>,
        size: [usize; 2],
        made: &'a Made,
        watch: &dyn Watch,
    ) -> Result<Self, BenchError> {
        let checkpoint = subject.model.encoder();
        let whole = Loader::new(checkpoint, &subject.options)?;
        let loader = whole.for_kernels();
        let (format, bytes) = count::held(&loader);
        let on_cpu = vision::on_host(&whole);
        if on_cpu {
            memory::check(bytes)?;
        }
        vision::note(&whole)
            .iter()
            .for_each(|note| watch.note(note));
        let started = Instant::now();
        let encoder = models::load_encoder(&whole)?
            .ok_or_else(|| VisionError::TextOnly(subject.name.clone()))?;
        let load_ms = milliseconds(started);
        let limits = Limits {
            memory: memory::available(),
            ..Limits::default()
        };
        let processor = ImageProcessor::open(checkpoint.path(), &encoder.wants(), limits)
            .map_err(VisionError::from)?;
        let picture = photo(size);
        let prepared = processor
            .prepare(picture.clone(), "the picture")
            .map_err(VisionError::from)?;
        Ok(Self {
            count: count::encoding(checkpoint, prepared.grid)?,
            encoder,
            processor,
            picture,
            prepared,
            format,
            load_ms,
            on_cpu,
            made,
        })
    }

    fn encode(&mut self, watch: &dyn Watch) -> Result<Duration, BenchError> {
        let patches = Patches {
            rows: &self.prepared.rows,
            height: self.prepared.grid[1],
            width: self.prepared.grid[2],
        };
        let started = Instant::now();
        let image = self
            .encoder
            .encode(patches, &mut |_| !watch.interrupted())?
            .ok_or(BenchError::Interrupted)?;
        let took = started.elapsed();
        self.made.replace(Some(Arc::new(image)));
        Ok(took)
    }

    fn preprocess(&self) -> Result<Duration, BenchError> {
        let picture = self.picture.clone();
        let started = Instant::now();
        let prepared = self.processor.prepare(picture, "the picture");
        std::hint::black_box(prepared.map_err(VisionError::from)?);
        Ok(started.elapsed())
    }
}

impl Instrument for Eye<'_> {
    type Test = Test;

    fn take(
        &mut self,
        test: Test,
        _: bool,
        watch: &dyn Watch,
    ) -> Result<Vec<Duration>, BenchError> {
        let took = match test {
            Test::Preprocess => self.preprocess()?,
            _ => self.encode(watch)?,
        };
        Ok(vec![took])
    }

    fn expected(&self, test: Test) -> Expected {
        let tokens = self.made.borrow().as_ref().map(|image| image.tokens);
        let common = Expected {
            n_tokens: tokens,
            image: Some([self.prepared.original, self.prepared.resized]),
            load_ms: self.load_ms,
            ..Expected::default()
        };
        match test {
            Test::Preprocess => common,
            _ => Expected {
                weights: self.format.name().to_lowercase(),
                counts_tokens: true,
                need: self.on_cpu.then_some(Need {
                    operations: 2.0 * self.count.products as f64,
                    arithmetic: arithmetic(self.format),
                    exact: 2.0 * self.count.exact as f64,
                    bytes: 0.0,
                }),
                ..common
            },
        }
    }
}

/// Slopes of colour with noise on them, the same in every run.
fn photo([width, height]: [usize; 2]) -> Picture {
    let noise = token_ids(width * height, 32);
    let pixel = |(at, noise): (usize, u32)| {
        let (x, y) = (at % width, at / width);
        [
            x * 223 / width,
            y * 223 / height,
            (x + y) * 223 / (width + height),
        ]
        .map(|slope| slope as u8 + noise as u8)
    };
    Picture {
        width,
        height,
        rgb: noise.into_iter().enumerate().flat_map(pixel).collect(),
    }
}
