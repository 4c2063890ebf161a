//! What a model's files say of how pictures are brought to it (`preprocessor_config.json`).

use std::path::Path;

use serde_json::Value;

use super::patches::{patches, Normalise};
use super::resize::{resize, Filter};
use super::size::{namo_resize, smart_resize};
use super::Picture;

/// OpenAI CLIP's statistics, which most models normalise by.
const CLIP: [[f64; 3]; 2] = [
    [0.481_454_66, 0.457_827_5, 0.408_210_73],
    [0.268_629_54, 0.261_302_58, 0.275_777_11],
];
/// Pixels that Qwen's own files allow, and transformers where there is no file.
const QWEN_MIN: usize = 4 * 28 * 28;
const QWEN_MAX: usize = 16_384 * 28 * 28;
const QWEN_MAX_WITHOUT_FILE: usize = 1280 * 28 * 28;
/// Sides that Namo allows, pixels: its chat interface takes no longer ones, whatever its files say.
const NAMO_LONGEST: f64 = 700.0;
const NAMO_SHORTEST: f64 = 28.0;
/// The shortest where config.json names the longest alone.
const NAMO_SHORTEST_BESIDE_LONGEST: f64 = 42.0;
/// A configuration is at most this long.
const MOST_BYTES: u64 = 1 << 20;

/// Why a picture cannot be brought to a model.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    #[error("a picture of {width} x {height} pixels is more than 200 times as long as it is wide, which the model does not take; cut it")]
    Aspect { width: usize, height: usize },
    #[error("{file}: {reason}; fetch it again with 'crane pull --force MODEL'")]
    Config { file: String, reason: String },
    #[error("{pixels} pixels are more than the memory holds while they are encoded (about {needed} MiB of {memory} MiB); set a smaller --max-pixels or --min-pixels")]
    Memory {
        pixels: usize,
        needed: u64,
        memory: u64,
    },
    #[error("{label}: {source}")]
    Picture {
        label: String,
        source: Box<ProcessorError>,
    },
}

/// Whose rules a picture is resized and cut by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Qwen2-VL's and Qwen2.5-VL's.
    Qwen,
    Namo,
}

/// What a model asks of a picture: how it is cut, and where no file says otherwise, how it is normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct Wants {
    pub family: Family,
    /// Side of a patch, pixels.
    pub patch: usize,
    /// Patches that make a token, in each direction.
    pub merge: usize,
    /// Mean and standard deviation of red, green and blue, where the weights' own file names them.
    pub normalisation: Option<[[f64; 3]; 2]>,
    /// The longest and shortest side that the model's own configuration names, pixels.
    pub longest: Option<usize>,
    pub shortest: Option<usize>,
    /// What encoding takes for each patch, bytes.
    pub bytes_a_patch: usize,
}

/// Limits of the picture that the model sees; None: the model's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub min_pixels: Option<usize>,
    pub max_pixels: Option<usize>,
    /// Bytes that encoding may take: where `max_pixels` is not set, pictures are shrunk to what fits.
    pub memory: Option<u64>,
}

/// Brings pictures to a model.
pub struct ImageProcessor {
    wants: Wants,
    rule: Rule,
    normalise: Normalise,
    filter: Filter,
    limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    Pixels { min: usize, max: usize },
    Sides { shortest: f64, longest: f64 },
}

/// A picture as the model takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// `[patches, 3 · patch · patch]`, channel by channel.
    pub rows: Vec<f32>,
    /// Frames, and patches from top to bottom and from left to right.
    pub grid: [usize; 3],
    /// Width and height of the picture as it is shown, and as the model sees it.
    pub original: [usize; 2],
    pub resized: [usize; 2],
}

impl ImageProcessor {
    /// For the model in the folder `path`, or for a weight file that names what there is to know itself.
    ///
    /// # Errors
    /// A file that cannot be read or asks for what crane does not do.
    pub fn open(path: &Path, wants: &Wants, limits: Limits) -> Result<Self, ProcessorError> {
        let file = path.join("preprocessor_config.json");
        let failed = |reason: String| ProcessorError::Config {
            file: file.display().to_string(),
            reason,
        };
        let json = match path.is_dir() {
            true => read(&file).map_err(failed)?,
            // A GGUF file's pictures are as Qwen's files want them.
            false => Some(Value::Null),
        };
        Self::new(json.as_ref(), wants, limits).map_err(failed)
    }

    /// From the object of a preprocessor_config.json; None: there is no such file.
    fn new(json: Option<&Value>, wants: &Wants, limits: Limits) -> Result<Self, String> {
        let fields = Fields(json.unwrap_or(&Value::Null));
        for (key, size) in [("patch_size", wants.patch), ("merge_size", wants.merge)] {
            match fields.count(key)? {
                Some(found)
                    if found != size && (key == "patch_size" || wants.family == Family::Qwen) =>
                {
                    return Err(format!(
                        "'{key}' is {found}, where the model's own is {size}"
                    ))
                }
                _ => {}
            }
        }
        if fields.flag("do_center_crop", false)? {
            return Err(
                "it asks for a centre crop ('do_center_crop'), which is not supported".into(),
            );
        }
        let filter = match fields.count("resample")? {
            None | Some(3) => Filter::Bicubic,
            Some(2) => Filter::Bilinear,
            Some(other) => {
                return Err(format!(
                    "'resample' {other} is not supported (3, bicubic, and 2, bilinear, are)"
                ))
            }
        };
        let scale = match fields.flag("do_rescale", true)? {
            true => fields.number("rescale_factor")?.unwrap_or(1.0 / 255.0),
            false => 1.0,
        };
        let [mean, deviation] = wants.normalisation.unwrap_or(CLIP);
        let (mean, deviation) = match fields.flag("do_normalize", true)? {
            true => (
                fields.colours("image_mean")?.unwrap_or(mean),
                fields.colours("image_std")?.unwrap_or(deviation),
            ),
            false => ([0.0; 3], [1.0; 3]),
        };
        if deviation.iter().any(|x| *x <= 0.0) {
            return Err(format!("'image_std' is {deviation:?}"));
        }
        Ok(Self {
            rule: match wants.family {
                Family::Qwen => fields.pixels(json.is_some(), wants, limits)?,
                Family::Namo => fields.sides(wants)?,
            },
            normalise: Normalise::new(scale, mean, deviation),
            filter,
            wants: wants.clone(),
            limits,
        })
    }

    /// Resizes and cuts `picture`, which is called `label` in errors.
    ///
    /// # Errors
    /// A picture of a shape that the model does not take.
    pub fn prepare(&self, picture: Picture, label: &str) -> Result<Prepared, ProcessorError> {
        let original = [picture.width, picture.height];
        let resized = self
            .size(original)
            .and_then(|size| self.affordable(size))
            .map_err(|source| ProcessorError::Picture {
                label: label.into(),
                source: Box::new(source),
            })?;
        let picture = match resized == original {
            true => picture,
            false => resize(&picture, resized[0], resized[1], self.filter),
        };
        let side = self.wants.patch;
        let merge = match self.wants.family {
            Family::Qwen => self.wants.merge,
            Family::Namo => 1,
        };
        Ok(Prepared {
            rows: patches(&picture, side, merge, &self.normalise),
            grid: [1, resized[1] / side, resized[0] / side],
            original,
            resized,
        })
    }

    /// The same size, where encoding has the memory for it: the user's limits may ask for any.
    fn affordable(&self, size: [usize; 2]) -> Result<[usize; 2], ProcessorError> {
        let pixels = size[0].saturating_mul(size[1]);
        let patches = pixels / self.wants.patch.pow(2);
        let needed = (patches as u64).saturating_mul(self.wants.bytes_a_patch as u64);
        match self.limits.memory {
            Some(memory) if needed > memory => Err(ProcessorError::Memory {
                pixels,
                needed: needed >> 20,
                memory: memory >> 20,
            }),
            _ => Ok(size),
        }
    }

    /// Width and height at which the model sees a picture of `size`.
    fn size(&self, size: [usize; 2]) -> Result<[usize; 2], ProcessorError> {
        let factor = self.wants.patch * self.wants.merge;
        match self.rule {
            Rule::Pixels { min, max } => smart_resize(size, factor, min, max),
            Rule::Sides { shortest, longest } => {
                let area = (size[0] * size[1]).max(1) as f64;
                let (short, long) = (size[0].min(size[1]) as f64, size[0].max(size[1]) as f64);
                // The user's limits of the area, for this picture's sides.
                let side = |side: f64, pixels: usize| side * (pixels as f64 / area).sqrt();
                let longest = self.limits.max_pixels.map_or(longest, |n| side(long, n));
                let shortest = self.limits.min_pixels.map_or(shortest, |n| side(short, n));
                Ok(namo_resize(size, factor, shortest.min(longest), longest))
            }
        }
    }

    /// Patches of a picture at most.
    pub fn most_patches(&self) -> usize {
        let pixels = match (self.rule, self.limits.max_pixels) {
            (Rule::Pixels { max, .. }, _) => max,
            (Rule::Sides { .. }, Some(asked)) => asked,
            (Rule::Sides { longest, .. }, None) => (longest * longest) as usize,
        };
        let cell = self.wants.merge.pow(2);
        (pixels / self.wants.patch.pow(2)).max(cell)
    }

    /// The limits in words, for the user.
    pub fn describe(&self) -> String {
        match self.rule {
            Rule::Pixels { min, max } => {
                let area = (self.wants.patch * self.wants.merge).pow(2);
                format!(
                    "pictures are seen with {min} to {max} pixels ({} to {} tokens; --min-pixels, --max-pixels)",
                    min / area,
                    max / area
                )
            }
            Rule::Sides { shortest, longest } => format!(
                "pictures are seen with sides of {shortest} to {longest} pixels (--max-pixels allows more)"
            ),
        }
    }
}

/// The object of a file, None where there is no file.
fn read(file: &Path) -> Result<Option<Value>, String> {
    let about = match std::fs::metadata(file) {
        Ok(about) => about,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if about.len() > MOST_BYTES {
        return Err(format!("{} bytes are too many for this file", about.len()));
    }
    let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
    let json: Value = serde_json::from_slice(&bytes).map_err(|e| format!("not valid JSON: {e}"))?;
    match json.is_object() {
        true => Ok(Some(json)),
        false => Err("holds no JSON object".into()),
    }
}

/// The values of a preprocessor_config.json.
struct Fields<'a>(&'a Value);

impl Fields<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn count(&self, key: &str) -> Result<Option<usize>, String> {
        count(key, self.get(key))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, String> {
        let number = |value: &Value| {
            let found = value.as_f64().filter(|x| x.is_finite());
            found.ok_or_else(|| format!("'{key}' is {value}, not a number"))
        };
        self.get(key).map(number).transpose()
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        let found = value.as_bool();
        found.ok_or_else(|| format!("'{key}' is {value}, not true or false"))
    }

    fn colours(&self, key: &str) -> Result<Option<[f64; 3]>, String> {
        let three = |value: &Value| {
            let all: Option<Vec<f64>> = value.as_array()?.iter().map(Value::as_f64).collect();
            <[f64; 3]>::try_from(all?).ok()
        };
        let wrong = |value: &Value| format!("'{key}' is {value}, not three numbers");
        let found = self
            .get(key)
            .map(|value| three(value).ok_or_else(|| wrong(value)));
        found.transpose()
    }

    /// Qwen's limits, in the old spelling or the new one, and what the user and the memory say.
    fn pixels(&self, file: bool, wants: &Wants, limits: Limits) -> Result<Rule, String> {
        let size = self.get("size");
        let either = |old: &str, new: &str| -> Result<Option<usize>, String> {
            match self.count(old)? {
                Some(found) => Ok(Some(found)),
                None => count(new, size.and_then(|size| size.get(new))),
            }
        };
        let own_min = either("min_pixels", "shortest_edge")?.unwrap_or(QWEN_MIN);
        let own_max = either("max_pixels", "longest_edge")?.unwrap_or(match file {
            true => QWEN_MAX,
            false => QWEN_MAX_WITHOUT_FILE,
        });
        let cell = (wants.patch * wants.merge).pow(2);
        let affordable = limits.memory.map_or(usize::MAX, |bytes| {
            let patches = bytes / wants.bytes_a_patch.max(1) as u64;
            (patches as usize)
                .saturating_mul(wants.patch * wants.patch)
                .max(cell)
        });
        let own_max = own_max.min(affordable);
        // Who asks for more pixels than the model's most gets them.
        let own_max = limits.min_pixels.map_or(own_max, |min| own_max.max(min));
        let max = limits.max_pixels.unwrap_or(own_max).max(cell);
        let min = limits.min_pixels.unwrap_or(own_min).min(max);
        Ok(Rule::Pixels { min, max })
    }

    /// Namo's limits: its files' shortest side, unless config.json names one.
    fn sides(&self, wants: &Wants) -> Result<Rule, String> {
        let size = self.get("size");
        let stated = match size {
            Some(Value::Number(_)) => count("size", size)?,
            _ => count(
                "shortest_edge",
                size.and_then(|size| size.get("shortest_edge")),
            )?,
        };
        let stated = stated.map_or(NAMO_SHORTEST, |n| n as f64);
        let shortest = match (wants.shortest, wants.longest) {
            (Some(shortest), _) => shortest as f64,
            (None, Some(_)) => NAMO_SHORTEST_BESIDE_LONGEST,
            (None, None) => stated,
        };
        Ok(Rule::Sides {
            shortest,
            longest: NAMO_LONGEST,
        })
    }
}

/// A positive whole number that no picture's pixels exceed.
fn count(key: &str, value: Option<&Value>) -> Result<Option<usize>, String> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    match value.as_u64().filter(|n| (1..1 << 40).contains(n)) {
        Some(n) => Ok(Some(n as usize)),
        None => Err(format!("'{key}' is {value}, not a positive whole number")),
    }
}

#[cfg(test)]
mod tests;
