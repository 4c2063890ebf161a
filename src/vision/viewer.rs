//! From a picture to rows of the decoder.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::VisionError;
use crate::image::{self, ImageProcessor, ImageSource, Limits, Prepared};
use crate::models::vision::{self, mmproj, ImageEncoder, Marker, Patches};
use crate::models::{self, Encoded, Part};
use crate::weights::{Checkpoint, LoadOptions, Loader};

/// Looks at pictures with a model's encoder; what it has seen it keeps.
pub struct Viewer {
    encoder: Box<dyn ImageEncoder>,
    processor: ImageProcessor,
    /// What the encoder is read from.
    file: PathBuf,
    /// What the user should know of where the encoder computes.
    note: Option<String>,
    seen: Vec<(ImageSource, Arc<Look>)>,
}

/// A picture on its way to the encoder.
pub enum Glance {
    /// It was looked at before.
    Known(Arc<Look>),
    New(Unseen),
}

/// A picture that was read and cut into patches.
pub struct Unseen {
    source: ImageSource,
    prepared: Prepared,
    read: Duration,
}

/// A picture that was looked at.
#[derive(Debug)]
pub struct Look {
    /// As it is called in messages.
    pub label: String,
    /// Width and height of the picture as it is shown, and as the model saw it.
    pub original: [usize; 2],
    pub resized: [usize; 2],
    /// Frames, and patches from top to bottom and from left to right.
    pub grid: [usize; 3],
    pub image: Arc<Encoded>,
    /// Reading and cutting, and encoding; milliseconds.
    pub read_ms: f64,
    pub encode_ms: f64,
}

impl Look {
    /// Rows that it takes in a prompt.
    pub fn tokens(&self) -> usize {
        self.image.tokens
    }
}

impl fmt::Display for Look {
    /// `photo.jpg: 4032 x 3024 pixels, seen as 1036 x 784: 1036 tokens`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let ([width, height], [seen_width, seen_height]) = (self.original, self.resized);
        write!(
            f,
            "{}: {width} x {height} pixels, seen as {seen_width} x {seen_height}: {} tokens",
            self.label,
            self.tokens()
        )
    }
}

impl Viewer {
    /// Reads the image encoder of the model at `path`: a folder, or a GGUF file with its `projector`.
    ///
    /// # Errors
    /// A model that takes no images, a projector that is missing or another model's, weights that do not load.
    pub fn open(
        path: &Path,
        projector: Option<&Path>,
        options: &LoadOptions,
        limits: Limits,
    ) -> Result<Self, VisionError> {
        let model = Checkpoint::open(path)?;
        let row = models::detect(&model)?;
        if !row.reads_images() {
            return Err(VisionError::TextOnly(path.display().to_string()));
        }
        let file = match model.config() {
            Some(_) => None,
            None => {
                let missing = || VisionError::NoProjector {
                    model: path.display().to_string(),
                };
                Some(projector.ok_or_else(missing)?.to_path_buf())
            }
        };
        let checkpoint = match &file {
            Some(file) => Checkpoint::open(file)?,
            None => model,
        };
        let (encoder, note) = Self::encoder(&checkpoint, options)?;
        let file = file.unwrap_or_else(|| path.to_path_buf());
        let wanted = match mmproj::is(&checkpoint) {
            true => models::summary(&Checkpoint::open(path)?)?.hidden_size,
            false => models::summary(&checkpoint)?.hidden_size,
        };
        if encoder.width() != wanted {
            return Err(VisionError::Width {
                file: file.display().to_string(),
                found: encoder.width(),
                wanted,
            });
        }
        let processor = ImageProcessor::open(&file, &encoder.wants(), limits)?;
        Ok(Self {
            encoder,
            processor,
            file,
            note,
            seen: Vec::new(),
        })
    }

    /// Loads the encoder anew, where `options` say; what was seen stays.
    ///
    /// # Errors
    /// Weights that do not load.
    pub fn move_to(&mut self, options: &LoadOptions) -> Result<(), VisionError> {
        (self.encoder, self.note) = Self::encoder(&Checkpoint::open(&self.file)?, options)?;
        Ok(())
    }

    /// What the encoder takes of a GPU's memory, as [`Viewer::open`] would open it for a `context` of so many tokens; for a
    /// model that takes no images, nothing.
    ///
    /// # Errors
    /// Those of [`Viewer::open`] that headers tell.
    #[cfg(feature = "cuda")]
    pub fn part(
        model: &Checkpoint,
        projector: Option<&Path>,
        options: &LoadOptions,
        limits: Limits,
        context: usize,
    ) -> Result<Part, VisionError> {
        let file = match (model.config(), projector) {
            (None, Some(file)) => Some(Checkpoint::open(file)?),
            _ => None,
        };
        let checkpoint = file.as_ref().unwrap_or(model);
        let Some(shape) = vision::Shape::read(checkpoint)? else {
            return Ok(Part::default());
        };
        let processor = ImageProcessor::open(checkpoint.path(), shape.wants(), limits)?;
        // A picture of more tokens than the context holds is refused before it is encoded.
        let patches = processor.most_patches().min(shape.patches_of(context));
        let loader = Loader::new(checkpoint, options)?;
        Ok(shape.part(&loader, patches)?)
    }

    /// No other device is weighed against.
    ///
    /// # Errors
    /// None.
    #[cfg(not(feature = "cuda"))]
    pub fn part(
        _: &Checkpoint,
        _: Option<&Path>,
        _: &LoadOptions,
        _: Limits,
        _: usize,
    ) -> Result<Part, VisionError> {
        Ok(Part::default())
    }

    fn encoder(
        checkpoint: &Checkpoint,
        options: &LoadOptions,
    ) -> Result<(Box<dyn ImageEncoder>, Option<String>), VisionError> {
        let loader = Loader::new(checkpoint, options)?;
        let encoder = models::load_encoder(&loader)?
            .ok_or_else(|| VisionError::TextOnly(checkpoint.path().display().to_string()))?;
        Ok((encoder, vision::note(&loader)))
    }

    /// What the user should know of where the encoder computes.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// How images stand in a prompt.
    pub fn marker(&self) -> Marker {
        self.encoder.marker()
    }

    /// What pictures are brought to.
    pub fn processor(&self) -> &ImageProcessor {
        &self.processor
    }

    /// Reads a picture for [`Viewer::encode`], or remembers it.
    ///
    /// # Errors
    /// A picture that cannot be read, or has more tokens than a `context` holds.
    pub fn glance(&self, source: &ImageSource, context: usize) -> Result<Glance, VisionError> {
        if let Some((_, look)) = self.seen.iter().find(|(known, _)| known == source) {
            return Ok(Glance::Known(Arc::clone(look)));
        }
        let started = Instant::now();
        let prepared = {
            let bytes = source.read()?;
            let picture = image::decode(&bytes, source.label())?;
            drop(bytes);
            self.processor.prepare(picture, source.label())?
        };
        let read = started.elapsed();
        let tokens = self.encoder.rows(prepared.grid[1], prepared.grid[2]);
        if tokens >= context {
            // Encoding so many takes long: it is refused before.
            return Err(VisionError::Context {
                label: source.label().to_string(),
                tokens,
                context,
            });
        }
        Ok(Glance::New(Unseen {
            source: source.clone(),
            prepared,
            read,
        }))
    }

    /// Encodes a picture, and keeps what is seen. None once `go_on` says no.
    ///
    /// # Errors
    /// Arithmetic that fails.
    pub fn encode(
        &mut self,
        picture: &Unseen,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Arc<Look>>, VisionError> {
        let Unseen {
            source,
            prepared,
            read,
        } = picture;
        let started = Instant::now();
        let patches = Patches {
            rows: &prepared.rows,
            height: prepared.grid[1],
            width: prepared.grid[2],
        };
        let Some(image) = self.encoder.encode(patches, &mut |_| go_on())? else {
            return Ok(None);
        };
        let look = Arc::new(Look {
            label: source.label().to_string(),
            original: prepared.original,
            resized: prepared.resized,
            grid: prepared.grid,
            image: Arc::new(image),
            read_ms: read.as_secs_f64() * 1e3,
            encode_ms: started.elapsed().as_secs_f64() * 1e3,
        });
        self.seen.push((source.clone(), Arc::clone(&look)));
        Ok(Some(look))
    }

    /// Forgets what was seen but `sources`.
    pub fn keep(&mut self, sources: &[ImageSource]) {
        self.seen.retain(|(known, _)| sources.contains(known));
    }
}
