//! wav2vec 2.0 (Baevski et al., 2020, arXiv:2006.11477) in its large form with stable layer norms, as far as Spark-TTS
//! reads it: the mean of three hidden states. The equations are those of transformers' `Wav2Vec2Model`.

mod config;

use std::path::Path;

pub use config::Wav2Vec2Config;

use super::ModelError;
use crate::kernels::attention::{self, Attention};
use crate::kernels::conv::{channel_norm, gelu_in_place, ChannelNorm, Filter, Out, Signal};
use crate::kernels::{self, CacheType, KvCache, Simd, Unit};
use crate::nn::conv::{conv, packed, ConvShape};
use crate::nn::{Linear, Rows, Workspace};
use crate::weights::{Checkpoint, Loader, WeightsError};

/// The hidden states whose mean BiCodec reads: after so many layers.
const STATES: [usize; 3] = [11, 14, 16];
/// Layers that are computed: those behind the last of these states are not.
pub const LAYERS_READ: usize = STATES[2];

/// The model, as far as it is read.
pub struct Wav2Vec2 {
    convs: Vec<ConvLayer>,
    /// `[stride]` of each.
    strides: Vec<usize>,
    projection_norm: LayerNorm,
    projection: Linear,
    positions: Vec<Filter>,
    layers: Vec<Layer>,
    attention: Attention,
    hidden: usize,
    /// Taps of the positional convolution.
    taps: usize,
    /// Samples of the first frame, and from one frame to the next.
    window: [usize; 2],
}

struct ConvLayer {
    filter: Filter,
    norm: ChannelNorm,
}

struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f32,
}

struct Layer {
    norm: LayerNorm,
    qkv: [Linear; 3],
    out: Linear,
    final_norm: LayerNorm,
    expand: Linear,
    contract: Linear,
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

impl LayerNorm {
    fn load(loader: &Loader, name: &str, width: usize, eps: f64) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: loader.numbers(&format!("{name}.weight"), &[width])?,
            bias: loader.numbers(&format!("{name}.bias"), &[width])?,
            eps: eps as f32,
        })
    }

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0f32; x.len()];
        let (simd, eps) = (Simd::detect(), self.eps);
        kernels::layer_norm(simd, x, &self.weight, &self.bias, eps, &mut out);
        out
    }
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
        let convs = (0..config.conv_dim.len())
            .map(|i| ConvLayer::load(&root, config, i))
            .collect::<Result<_, _>>()?;
        let last = config.conv_dim.last().copied().unwrap_or_default();
        let projection = root.under("feature_projection");
        let encoder = root.under("encoder");
        let layers = (0..STATES[2])
            .map(|i| Layer::load(&encoder.under(&format!("layers.{i}")), config))
            .collect::<Result<_, _>>()?;
        let head_dim = hidden / config.num_attention_heads;
        let steps = config.conv_kernel.iter().zip(&config.conv_stride).rev();
        let window = steps.fold([1, 1], |[first, hop], (kernel, stride)| {
            [(first - 1) * stride + kernel, hop * stride]
        });
        Ok(Self {
            convs,
            strides: config.conv_stride.clone(),
            projection_norm: LayerNorm::load(&projection, "layer_norm", last, eps)?,
            projection: Linear::load(&projection, "projection", last, hidden, true)?,
            positions: positions(&encoder.under("pos_conv_embed.conv"), config)?,
            layers,
            attention: Attention {
                heads: config.num_attention_heads,
                kv_heads: config.num_attention_heads,
                head_dim,
                window: None,
                scale: (head_dim as f32).powf(-0.5),
                causal: false,
                rounded: false,
            },
            hidden,
            taps: config.num_conv_pos_embeddings,
            window,
        })
    }

    /// Frames of so many samples.
    pub fn frames(&self, samples: usize) -> usize {
        let [first, hop] = self.window;
        match samples < first {
            true => 0,
            false => (samples - first) / hop + 1,
        }
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
        &self,
        samples: &[f32],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Signal>, ModelError> {
        assert!(samples.len() >= self.least(), "samples of a frame");
        let Some(x) = self.convolved(&normalised(samples), go_on) else {
            return Ok(None);
        };
        let mut work = Workspace::new(Simd::detect());
        let width = x.channels();
        let rows = Rows::Host {
            x: self.projection_norm.forward(&x.to_rows()),
            width,
        };
        let mut x = host(self.projection.forward(&rows, &mut work)?)?;
        self.add_positions(&mut x);
        let mut mean = vec![0f32; x.len()];
        let mut space = attention::Workspace::default();
        for (i, layer) in self.layers.iter().enumerate() {
            if !go_on() {
                return Ok(None);
            }
            self.layer(layer, &mut x, &mut work, &mut space)?;
            if STATES.contains(&(i + 1)) {
                mean.iter_mut().zip(&x).for_each(|(mean, x)| *mean += x);
            }
        }
        mean.iter_mut().for_each(|x| *x /= STATES.len() as f32);
        Ok(Some(Signal::from_rows(&mean, self.hidden)))
    }

    /// The convolutional features, `[channels, frames]`.
    fn convolved(&self, samples: &[f32], go_on: &dyn Fn() -> bool) -> Option<Signal> {
        let simd = Simd::detect();
        let mut x = Signal::from_channels(samples, 1);
        let (mut split, mut made) = (Signal::default(), Signal::default());
        let mut len = samples.len();
        for (layer, &stride) in self.convs.iter().zip(&self.strides) {
            if !go_on() {
                return None;
            }
            x.split(stride, &mut split);
            layer.filter.apply(&split, Out::plain(&mut made));
            len = layer.filter.strided_len(len, stride);
            made.truncate(len);
            channel_norm(simd, &made, &layer.norm, true, Unit::F32, &mut x);
        }
        Some(x)
    }

    fn add_positions(&self, x: &mut [f32]) {
        let signal = Signal::from_rows_with(x, self.hidden, self.taps);
        let mut out = Signal::default();
        out.reshape(Unit::F32, self.hidden, signal.len());
        let group = self.hidden / self.positions.len();
        for (i, filter) in self.positions.iter().enumerate() {
            let plain = Out::plain(&mut out);
            filter.apply_within(&signal, i * group, plain, i * group);
        }
        let mut rows = out.to_rows();
        gelu_in_place(Simd::detect(), &mut rows);
        x.iter_mut().zip(rows).for_each(|(x, y)| *x += y);
    }

    fn layer(
        &self,
        layer: &Layer,
        x: &mut [f32],
        work: &mut Workspace,
        space: &mut attention::Workspace,
    ) -> Result<(), ModelError> {
        let simd = Simd::detect();
        let tokens = x.len() / self.hidden;
        let width = self.hidden;
        let normed = Rows::Host {
            x: layer.norm.forward(x),
            width,
        };
        let [q, k, v] = &layer.qkv;
        let q = host(q.forward(&normed, work)?)?;
        let k = host(k.forward(&normed, work)?)?;
        let v = host(v.forward(&normed, work)?)?;
        let Attention {
            kv_heads, head_dim, ..
        } = self.attention;
        let mut cache = KvCache::new(kv_heads, head_dim, tokens, CacheType::F32);
        cache
            .append(simd, &k, &v, width, tokens)
            .map_err(|e| ModelError::Tokens(e.to_string()))?;
        let mut seen = vec![0f32; x.len()];
        self.attention
            .forward(simd, &q, width, &cache, tokens, space, &mut seen);
        let out = host(layer.out.forward(&Rows::Host { x: seen, width }, work)?)?;
        x.iter_mut().zip(out).for_each(|(x, y)| *x += y);
        let normed = Rows::Host {
            x: layer.final_norm.forward(x),
            width,
        };
        let Rows::Host { x: mut wide, width } = layer.expand.forward(&normed, work)? else {
            return Err(elsewhere());
        };
        gelu_in_place(simd, &mut wide);
        let out = host(
            layer
                .contract
                .forward(&Rows::Host { x: wide, width }, work)?,
        )?;
        x.iter_mut().zip(out).for_each(|(x, y)| *x += y);
        Ok(())
    }
}

fn host(rows: Rows) -> Result<Vec<f32>, ModelError> {
    match rows {
        Rows::Host { x, .. } => Ok(x),
        Rows::Tensor(_) => Err(elsewhere()),
    }
}

fn elsewhere() -> ModelError {
    ModelError::Compute(candle_core::Error::Msg(
        "the encoder of speech computes on the CPU only".into(),
    ))
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
        let shape = ConvShape::strided(rows, channels, size, stride);
        Ok(Self {
            filter: conv(&at, Unit::F32, "conv", shape)?,
            norm: ChannelNorm {
                scale: at.numbers("layer_norm.weight", &[rows])?,
                shift: at.numbers("layer_norm.bias", &[rows])?,
                eps: 1e-5,
            },
        })
    }
}

/// The positional convolution, a filter a group; its weight norm is taken for each tap.
fn positions(loader: &Loader, config: &Wav2Vec2Config) -> Result<Vec<Filter>, WeightsError> {
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
    let form = ConvShape::same(width, width, taps);
    v.chunks_exact(width * width * taps)
        .zip(bias.chunks_exact(width))
        .map(|(v, bias)| packed(loader, Unit::F32, v, None, bias.to_vec(), form))
        .collect()
}

impl Layer {
    fn load(loader: &Loader, config: &Wav2Vec2Config) -> Result<Self, WeightsError> {
        let (hidden, wide, eps) = (
            config.hidden_size,
            config.intermediate_size,
            config.layer_norm_eps,
        );
        let square = |name: &str| Linear::load(loader, name, hidden, hidden, true);
        Ok(Self {
            norm: LayerNorm::load(loader, "layer_norm", hidden, eps)?,
            qkv: [
                square("attention.q_proj")?,
                square("attention.k_proj")?,
                square("attention.v_proj")?,
            ],
            out: square("attention.out_proj")?,
            final_norm: LayerNorm::load(loader, "final_layer_norm", hidden, eps)?,
            expand: Linear::load(
                loader,
                "feed_forward.intermediate_dense",
                hidden,
                wide,
                true,
            )?,
            contract: Linear::load(loader, "feed_forward.output_dense", wide, hidden, true)?,
        })
    }
}
