//! wav2vec 2.0 (Baevski et al., 2020, arXiv:2006.11477) in its large form with stable layer norms, as far as Spark-TTS
//! reads it: the mean of three hidden states. The equations are those of transformers' `Wav2Vec2Model`.

mod config;
mod layout;
mod room;

use std::path::Path;

pub use config::Wav2Vec2Config;
pub use layout::tensors;
pub use room::part;

use super::ModelError;
use crate::kernels::{conv, Unit};
use crate::nn::conv::{Conv, ConvShape, Norm, Out, Signal};
use crate::nn::frames::{Attention, Dense, Frames, FramesError, FramesSpace, LayerNorm, Positions};
use crate::weights::{Checkpoint, Loader, WeightsError};

/// The hidden states whose mean BiCodec reads: after so many layers.
const STATES: [usize; 3] = [11, 14, 16];
/// Layers that are computed: those behind the last of these states are not.
pub const LAYERS_READ: usize = STATES[2];

/// Frames that the convolutions make in one go, ten seconds: bounds the memory, not the result.
const FRAMES: usize = 500;
const CONV_EPS: f32 = 1e-5;

/// The model, as far as it is read, on the GPU of its loader where there is one.
pub struct Wav2Vec2 {
    convs: Vec<ConvLayer>,
    projection_norm: LayerNorm,
    projection: Dense,
    positions: Positions,
    layers: Vec<Layer>,
    attention: Attention,
    hidden: usize,
    /// Samples of the first frame, and from one frame to the next.
    window: [usize; 2],
    space: FramesSpace,
}

struct ConvLayer {
    conv: Conv,
    norm: Norm,
}

struct Layer {
    norm: LayerNorm,
    qkv: [Dense; 3],
    out: Dense,
    final_norm: LayerNorm,
    expand: Dense,
    contract: Dense,
}

/// Memory of a pass, which its layers use one after the other.
#[derive(Default)]
struct Work {
    normed: Frames,
    qkv: [Frames; 3],
    seen: Frames,
    wide: Frames,
    made: Frames,
}

/// The checkpoint in `folder`: `config.json` with `model.safetensors` or `pytorch_model.bin`. Reads headers only.
///
/// # Errors
/// A file that is missing or damaged, a configuration of another form.
pub fn open(folder: &Path) -> Result<(Checkpoint, Wav2Vec2Config), ModelError> {
    let file = folder.join("config.json");
    let text = std::fs::read_to_string(&file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => WeightsError::missing(
            &file,
            "no such file; cloning a voice with its words needs the wav2vec2 folder of Spark-TTS",
        ),
        _ => WeightsError::io(&file, e),
    })?;
    let config = Wav2Vec2Config::parse(&file, &text)?;
    let safetensors = folder.join("model.safetensors");
    let weights = match safetensors.exists() {
        true => safetensors,
        false => folder.join("pytorch_model.bin"),
    };
    Ok((Checkpoint::part(&weights, serde_json::Value::Null)?, config))
}

impl Wav2Vec2 {
    /// Reads what the hidden states need.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(loader: &Loader, config: &Wav2Vec2Config) -> Result<Self, WeightsError> {
        let root = match loader.contains("wav2vec2.feature_projection.projection.weight") {
            true => loader.under("wav2vec2"),
            false => loader.clone(),
        };
        let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
        let layers = config.conv_dim.len();
        let convs = (0..layers).map(|i| ConvLayer::load(&root, config, i));
        let last = config.conv_dim.last().copied().unwrap_or_default();
        let projection = root.under("feature_projection");
        let encoder = root.under("encoder");
        let layers =
            (0..LAYERS_READ).map(|i| Layer::load(&encoder.under(&format!("layers.{i}")), config));
        Ok(Self {
            convs: convs.collect::<Result<_, _>>()?,
            projection_norm: LayerNorm::load(&projection, "layer_norm", last, eps)?,
            projection: Dense::load(&projection, "projection", last, hidden)?,
            positions: positions(&encoder.under("pos_conv_embed.conv"), config)?,
            layers: layers.collect::<Result<_, _>>()?,
            attention: Attention::new(loader, config.num_attention_heads, hidden)?,
            hidden,
            window: config.window(),
            space: FramesSpace::new(loader),
        })
    }

    /// Frames of so many samples.
    pub fn frames(&self, samples: usize) -> usize {
        config::frames(self.window, samples)
    }

    /// Samples of the shortest recording.
    pub fn least(&self) -> usize {
        self.window[0]
    }

    /// What BiCodec reads of a recording at 16 kHz: `[hidden, frames]`; None once `go_on` says no.
    ///
    /// # Errors
    /// Arithmetic that fails.
    ///
    /// # Panics
    /// Fewer samples than [`Wav2Vec2::least`].
    pub fn features(
        &mut self,
        samples: &[f32],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<conv::Signal>, ModelError> {
        assert!(samples.len() >= self.least(), "samples of a frame");
        let Some(read) = self.convolved(&normalised(samples), go_on)? else {
            return Ok(None);
        };
        let (mut x, mut mean) = (Frames::default(), Frames::default());
        let (mut work, space) = (Work::default(), &mut self.space);
        self.projection_norm.apply(&read, &mut work.normed, space)?;
        drop(read);
        self.projection.apply(&work.normed, &mut x, space)?;
        self.positions.add_to(&mut x, space)?;
        mean.clear(self.frames(samples.len()), self.hidden, &self.space)?;
        for (i, layer) in self.layers.iter().enumerate() {
            if !go_on() {
                return Ok(None);
            }
            layer.add_to(&mut x, &self.attention, &mut work, &mut self.space)?;
            if STATES.contains(&(i + 1)) {
                mean.add(&x)?;
            }
        }
        let mut mean = mean.into_host()?;
        for channel in 0..self.hidden {
            let samples = mean.channel_mut(channel).iter_mut();
            samples.for_each(|x| *x /= STATES.len() as f32);
        }
        Ok(Some(mean))
    }

    /// The convolutional features. No frame depends on samples outside of its window.
    fn convolved(
        &mut self,
        samples: &[f32],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Frames>, ModelError> {
        let (count, [window, hop]) = (self.frames(samples.len()), self.window);
        let (mut all, mut x, mut y) = (Frames::default(), Signal::default(), Signal::default());
        for start in (0..count).step_by(FRAMES) {
            let last = count.min(start + FRAMES) - 1;
            let part = &samples[start * hop..last * hop + window];
            x.put_rows(part, 1, self.space.conv())?;
            for layer in &self.convs {
                if !go_on() {
                    return Ok(None);
                }
                let out = Out::plain(&mut y);
                layer.conv.apply(&x, out, self.space.conv())?;
                layer.norm.gelu(&y, &mut x)?;
            }
            if start == 0 {
                all.clear(count, x.channels(), &self.space)?;
            }
            all.put(start, &x)?;
        }
        Ok(Some(all))
    }
}

/// Mean 0 and variance 1 over the whole recording.
fn normalised(samples: &[f32]) -> Vec<f32> {
    let n = samples.len() as f64;
    let mean = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let square = |x: &f32| (f64::from(*x) - mean).powi(2);
    let variance = samples.iter().map(square).sum::<f64>() / n;
    let factor = 1.0 / (variance + 1e-7).sqrt();
    let scaled = |x: &f32| ((f64::from(*x) - mean) * factor) as f32;
    samples.iter().map(scaled).collect()
}

impl ConvLayer {
    fn load(loader: &Loader, config: &Wav2Vec2Config, index: usize) -> Result<Self, WeightsError> {
        let at = loader.under(&format!("feature_extractor.conv_layers.{index}"));
        let rows = config.conv_dim[index];
        let channels = match index {
            0 => 1,
            _ => config.conv_dim[index - 1],
        };
        let (size, stride) = (config.conv_kernel[index], config.conv_stride[index]);
        let rate = config.conv_stride[index..].iter().product();
        let shape = ConvShape::strided(rows, channels, size, stride).at_rate(rate);
        Ok(Self {
            conv: Conv::load(&at, Unit::F32, "conv", shape)?,
            norm: Norm::load(&at, "layer_norm", rows, CONV_EPS)?,
        })
    }
}

/// The positional convolution; its weight norm is taken for each tap.
fn positions(loader: &Loader, config: &Wav2Vec2Config) -> Result<Positions, WeightsError> {
    let (hidden, taps) = (config.hidden_size, config.num_conv_pos_embeddings);
    let groups = config.num_conv_pos_embedding_groups;
    let width = hidden / groups;
    let shape = [hidden, width, taps];
    let new = "parametrizations.weight.original0";
    let (g, v) = match loader.contains(new) {
        true => (new, "parametrizations.weight.original1"),
        false => ("weight_g", "weight_v"),
    };
    let g = loader.numbers(g, &[1, 1, taps])?;
    let mut v = loader.numbers(v, &shape)?;
    let bias = loader.numbers("bias", &[hidden])?;
    let mut squares = vec![0f64; taps];
    for row in v.chunks_exact(taps) {
        for (square, v) in squares.iter_mut().zip(row) {
            *square += f64::from(*v).powi(2);
        }
    }
    for row in v.chunks_exact_mut(taps) {
        for ((v, g), square) in row.iter_mut().zip(&g).zip(&squares) {
            *v *= g / square.sqrt() as f32;
        }
    }
    Positions::new(loader, &v, &bias, groups, taps)
}

impl Layer {
    fn load(loader: &Loader, config: &Wav2Vec2Config) -> Result<Self, WeightsError> {
        let (hidden, wide, eps) = (
            config.hidden_size,
            config.intermediate_size,
            config.layer_norm_eps,
        );
        let square = |name: &str| Dense::load(loader, name, hidden, hidden);
        let dense = loader.under("feed_forward");
        Ok(Self {
            norm: LayerNorm::load(loader, "layer_norm", hidden, eps)?,
            qkv: [
                square("attention.q_proj")?,
                square("attention.k_proj")?,
                square("attention.v_proj")?,
            ],
            out: square("attention.out_proj")?,
            final_norm: LayerNorm::load(loader, "final_layer_norm", hidden, eps)?,
            expand: Dense::load(&dense, "intermediate_dense", hidden, wide)?,
            contract: Dense::load(&dense, "output_dense", wide, hidden)?,
        })
    }

    /// Adds attention and then a feed-forward layer, each behind its norm, to `x`.
    fn add_to(
        &self,
        x: &mut Frames,
        attention: &Attention,
        work: &mut Work,
        space: &mut FramesSpace,
    ) -> Result<(), FramesError> {
        let Work {
            normed,
            qkv,
            seen,
            wide,
            made,
        } = work;
        self.norm.apply(x, normed, space)?;
        for (dense, out) in self.qkv.iter().zip(&mut *qkv) {
            dense.apply(normed, out, space)?;
        }
        let [q, k, v] = &*qkv;
        attention.apply([q, k, v], seen, space)?;
        self.out.add_to(x, seen, made, space)?;
        self.final_norm.apply(x, normed, space)?;
        self.expand.gelu(normed, wide, space)?;
        self.contract.add_to(x, wide, made, space)
    }
}
