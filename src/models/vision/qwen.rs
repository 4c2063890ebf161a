//! The image encoder of Qwen2.5-VL (Bai et al., 2025, arXiv:2502.13923): a vision transformer at native resolution whose
//! blocks see windows of 8 × 8 patches, and in a few of them the whole image, with a two-dimensional rotary embedding.
//! The equations are those of transformers' `Qwen2_5_VisionTransformerPretrainedModel`.

mod config;
#[cfg(feature = "cuda")]
mod on_gpu;
mod windows;

use serde_json::{json, Value as Json};

pub use config::QwenVisionConfig;
pub use windows::Windows;

use super::{check, gelu, product, Held, ImageEncoder, Marker, Patches, Stage};
use crate::image::{Family, Wants};
use crate::kernels::{Angles, Simd};
use crate::models::{Encoded, ModelError};
use crate::nn::{
    EncoderBlock, EncoderConfig, EncoderSpace, Layout, Linear, RmsNorm, Rows, Workspace,
};
use crate::weights::{Loader, WeightsError};

/// Patches of an image go through embedding and merger so many at a time.
const CHUNK: usize = 1024;
/// Base of the frequencies of the rotary embedding.
const THETA: f32 = 10_000.0;

/// The encoder.
pub struct QwenVision {
    config: QwenVisionConfig,
    patch_embed: Linear,
    blocks: Vec<EncoderBlock>,
    merger: Merger,
    block: EncoderConfig,
    work: Workspace,
}

/// Four patches become a row of the decoder.
struct Merger {
    norm: RmsNorm,
    layers: [Linear; 2],
}

/// The defaults of transformers' `Qwen2_5_VLTextConfig`.
pub(super) fn text_defaults() -> Json {
    json!({
        "vocab_size": 152_064, "hidden_size": 8192, "intermediate_size": 29_568, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8, "max_position_embeddings": 32_768,
        "rms_norm_eps": 1e-5, "rope_theta": 1e6, "sliding_window": 4096, "max_window_layers": 80,
    })
}

/// Reads the encoder of a Hugging Face folder, or of an mmproj file.
///
/// # Errors
/// A configuration crane does not compute, a tensor that is missing or of another shape.
pub fn load(loader: &Loader) -> Result<Box<dyn ImageEncoder>, ModelError> {
    let config = QwenVisionConfig::read(loader.checkpoint())?;
    #[cfg(feature = "cuda")]
    if let Some(loader) = loader.for_encoder() {
        return Ok(Box::new(on_gpu::OnGpu::load(&loader, config)?));
    }
    Ok(Box::new(QwenVision::load(&loader.for_kernels(), config)?))
}

#[cfg(feature = "cuda")]
impl QwenVisionConfig {
    /// What its memory depends on.
    pub(super) fn shape(&self) -> super::Shape {
        super::Shape {
            block: block(self),
            rotated: true,
            row: self.row(),
            group: self.merge * self.merge,
            out: self.out_hidden_size,
            at_once: false,
            wants: wants(self, 0),
        }
    }
}

impl QwenVision {
    /// Reads all tensors of the encoder.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape, named with its file.
    pub fn load(loader: &Loader, config: QwenVisionConfig) -> Result<Self, ModelError> {
        let visual = loader.under("visual");
        let block = block(&config);
        let blocks = (0..config.depth)
            .map(|i| EncoderBlock::load(&visual.under(&format!("blocks.{i}")), &block))
            .collect::<Result<_, _>>()?;
        let merger = visual.under("merger");
        let wide = config.hidden_size * config.merge * config.merge;
        let merger = Merger {
            norm: RmsNorm::load(&merger, "ln_q", config.hidden_size, config.eps)?,
            layers: [
                Linear::load(&merger, "mlp.0", wide, wide, true)?,
                Linear::load(&merger, "mlp.2", wide, config.out_hidden_size, true)?,
            ],
        };
        Ok(Self {
            patch_embed: patch_embed(loader, &config)?,
            blocks,
            merger,
            block,
            config,
            work: Workspace::new(Simd::detect()),
        })
    }

    /// Cosine and sine of each patch of `windows`, `[patches, head_dim / 2]` each: half of the frequencies turn with its
    /// row, half with its column.
    fn angles(&self, windows: &Windows) -> [Vec<f32>; 2] {
        let half = self.block.hidden / self.block.heads / 2;
        let inv_freq = frequencies(&self.block);
        let numbers = windows.patches() * half;
        let mut tables = [Vec::with_capacity(numbers), Vec::with_capacity(numbers)];
        for place in windows.places() {
            for axis in place {
                for freq in &inv_freq {
                    let (sin, cos) = (axis as f32 * freq).sin_cos();
                    tables[0].push(cos);
                    tables[1].push(sin);
                }
            }
        }
        tables
    }

    /// Embeddings of the patches in the order of `windows`, `[patches, hidden]`.
    fn embed(&mut self, patches: &Patches, windows: &Windows) -> Result<Vec<f32>, ModelError> {
        let row = self.config.row();
        let cell = self.config.merge * self.config.merge;
        let mut x = Vec::with_capacity(windows.patches() * self.block.hidden);
        for cells in windows.order().chunks(CHUNK / cell) {
            let mut rows = Vec::with_capacity(cells.len() * cell * row);
            for &at in cells {
                rows.extend_from_slice(&patches.rows[at * cell * row..(at + 1) * cell * row]);
            }
            x.extend(product(&self.patch_embed, rows, row, &mut self.work)?);
        }
        Ok(x)
    }
}

impl ImageEncoder for QwenVision {
    fn encode(
        &mut self,
        patches: Patches,
        after: &mut dyn FnMut(Stage) -> bool,
    ) -> Result<Option<Encoded>, ModelError> {
        let merge = self.config.merge;
        check(&patches, self.config.row(), merge)?;
        let (rows, columns) = (patches.height / merge, patches.width / merge);
        let windows = Windows::new(rows, columns, merge, self.config.window);
        let mut x = self.embed(&patches, &windows)?;
        let [cos, sin] = self.angles(&windows);
        let angles = Angles {
            cos: &cos,
            sin: &sin,
            head_dim: self.block.hidden / self.block.heads,
            neighbours: false,
        };
        let mut space = EncoderSpace::new(&self.block, windows.patches());
        let whole = [windows.patches()];
        if !after(Stage(Held::Host(&x))) {
            return Ok(None);
        }
        for (i, block) in self.blocks.iter().enumerate() {
            let segments = match self.config.whole.contains(&i) {
                true => &whole[..],
                false => windows.segments(),
            };
            let layout = Layout {
                angles: Some(angles),
                segments,
            };
            block.forward(&mut x, layout, &mut space, &mut self.work)?;
            if !after(Stage(Held::Host(&x))) {
                return Ok(None);
            }
        }
        drop(space);
        let merged = self.merger.forward(x, &self.config, &mut self.work)?;
        let width = self.config.out_hidden_size;
        let mut out = vec![0f32; merged.len()];
        for (row, &cell) in merged.chunks_exact(width).zip(windows.order()) {
            out[cell * width..(cell + 1) * width].copy_from_slice(row);
        }
        Ok(Some(Encoded {
            rows: out,
            tokens: rows * columns,
            grid: [1, rows, columns],
        }))
    }

    fn marker(&self) -> Marker {
        self.config.marker
    }

    fn rows(&self, height: usize, width: usize) -> usize {
        (height / self.config.merge) * (width / self.config.merge)
    }

    fn width(&self) -> usize {
        self.config.out_hidden_size
    }

    fn wants(&self) -> Wants {
        wants(&self.config, self.block.bytes_a_patch())
    }
}

/// What the model asks of an image where its activations take so many bytes a patch.
fn wants(config: &QwenVisionConfig, activations: usize) -> Wants {
    Wants {
        family: Family::Qwen,
        patch: config.patch,
        merge: config.merge,
        normalisation: config.normalisation,
        longest: None,
        shortest: None,
        bytes_a_patch: activations + 4 * config.row(),
    }
}

fn block(config: &QwenVisionConfig) -> EncoderConfig {
    EncoderConfig {
        hidden: config.hidden_size,
        intermediate: config.intermediate_size,
        heads: config.num_heads,
        eps: config.eps,
        qkv_bias: true,
        bias: true,
        norms: ["norm1", "norm2"],
        mlp: ["gate_proj", "up_proj", "down_proj"],
    }
}

/// Radians a patch of the angles on one axis.
fn frequencies(block: &EncoderConfig) -> Vec<f32> {
    let half = block.hidden / block.heads / 2;
    (0..half / 2)
        .map(|i| 1.0 / THETA.powf((2 * i) as f32 / half as f32))
        .collect()
}

impl Merger {
    /// `[patches, hidden]` to `[patches / merge², out_hidden]`.
    fn forward(
        &self,
        x: Vec<f32>,
        config: &QwenVisionConfig,
        work: &mut Workspace,
    ) -> Result<Vec<f32>, ModelError> {
        let width = config.hidden_size;
        let cell = config.merge * config.merge;
        let [wide, narrow] = &self.layers;
        let mut out = Vec::with_capacity(x.len() / width / cell * config.out_hidden_size);
        for x in x.chunks(CHUNK / cell * cell * width) {
            let rows = Rows::Host {
                x: x.to_vec(),
                width,
            };
            let Rows::Host { x: normed, .. } = self.norm.forward(&rows, work)? else {
                continue;
            };
            let mut inner = product(wide, normed, cell * width, work)?;
            gelu(&mut inner);
            out.extend(product(narrow, inner, cell * width, work)?);
        }
        Ok(out)
    }
}

/// The embedding of patches.
fn patch_embed(loader: &Loader, config: &QwenVisionConfig) -> Result<Linear, WeightsError> {
    let both = patch_weights(loader, config)?;
    let shape = [config.hidden_size, config.row()];
    Ok(Linear::new(loader.own(&both, shape)?, None)?)
}

/// The convolution over two frames, one matrix `[hidden, row]`: a still image stands in both, so their weights add up.
fn patch_weights(loader: &Loader, config: &QwenVisionConfig) -> Result<Vec<f32>, WeightsError> {
    let (hidden, side) = (config.hidden_size, config.patch);
    let row = config.row();
    let mut both = Vec::with_capacity(hidden * row);
    // As GGUF has them: a matrix a frame.
    let frames = ["v.patch_embd.weight", "v.patch_embd.weight.1"];
    if loader.contains(frames[0]) {
        let shape = [hidden, 3, side, side];
        both.extend(loader.numbers(frames[0], &shape)?);
        let second = loader.numbers(frames[1], &shape)?;
        both.iter_mut().zip(second).for_each(|(a, b)| *a += b);
    } else {
        let frames = config.frames;
        let shape = [hidden, 3, frames, side, side];
        let all = loader.numbers("visual.patch_embed.proj.weight", &shape)?;
        for channel in all.chunks_exact(frames * side * side) {
            let start = both.len();
            both.resize(start + side * side, 0.0);
            for frame in channel.chunks_exact(side * side) {
                both[start..]
                    .iter_mut()
                    .zip(frame)
                    .for_each(|(a, b)| *a += b);
            }
        }
    }
    Ok(both)
}
