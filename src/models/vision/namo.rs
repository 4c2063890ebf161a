//! Namo-R1 of 500 million parameters: AIMv2 at native resolution (Fini et al., 2024, arXiv:2411.14402), a connector that
//! makes one row of four patches, and a Qwen2.5 decoder. The tower's equations are those of transformers'
//! `Aimv2VisionModel` with `is_native`, the connector's those of github.com/lucasjinreal/Namo-R1.

mod config;
mod connector;
#[cfg(feature = "cuda")]
mod on_gpu;

use serde_json::{json, Value as Json};

pub use config::NamoConfig;
use connector::Connector;
pub use connector::Kind as ConnectorKind;

use super::{check, product, Held, ImageEncoder, Marker, Patches, Stage};
use crate::image::{Family, Wants};
use crate::kernels::Simd;
use crate::models::{Encoded, ModelError};
use crate::nn::{
    EncoderBlock, EncoderConfig, EncoderSpace, Layout, Linear, RmsNorm, Rows, Workspace,
};
use crate::weights::{Loader, WeightsError};

/// Base of the wave lengths of the position code.
const BASE: f64 = 10_000.0;
/// What an image is called in a prompt; no token, and nothing of it is left.
pub const PLACEHOLDER: &str = "<image>";
/// The system message of its chat interface.
pub const SYSTEM: &str = "You are Namo small VLM model, trained by NAMO. You can look images and with great OCR ability.";

/// Tower and connector.
pub struct Namo {
    config: NamoConfig,
    patchifier: Linear,
    norm: RmsNorm,
    blocks: Vec<EncoderBlock>,
    connector: Connector,
    block: EncoderConfig,
    work: Workspace,
}

/// The defaults of transformers' `Qwen2Config`, which it leaves out when it saves.
pub(super) fn text_defaults() -> Json {
    json!({
        "vocab_size": 151_936, "hidden_size": 4096, "intermediate_size": 22_016, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 32_768,
        "rms_norm_eps": 1e-6, "rope_theta": 10_000.0, "sliding_window": 4096, "max_window_layers": 28,
    })
}

/// Reads tower and connector.
///
/// # Errors
/// A configuration crane does not compute, a tensor that is missing or of another shape.
pub fn load(loader: &Loader) -> Result<Box<dyn ImageEncoder>, ModelError> {
    let config = NamoConfig::read(loader.checkpoint())?;
    #[cfg(feature = "cuda")]
    if let Some(loader) = loader.for_encoder() {
        return Ok(Box::new(on_gpu::OnGpu::load(&loader, config)?));
    }
    Ok(Box::new(Namo::load(&loader.for_kernels(), config)?))
}

#[cfg(feature = "cuda")]
impl NamoConfig {
    /// What its memory depends on.
    pub(super) fn shape(&self) -> super::Shape {
        super::Shape {
            block: block(self),
            rotated: false,
            row: self.row(),
            group: self.connector.side().pow(2),
            out: self.out_hidden_size,
            at_once: true,
            wants: wants(self, 0),
        }
    }
}

impl Namo {
    /// Reads the tensors that are used: the blocks behind the features, and the last norm, are not.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape, named with its file.
    pub fn load(loader: &Loader, config: NamoConfig) -> Result<Self, ModelError> {
        let tower = loader.under("namo.ve.vision_tower");
        let block = block(&config);
        let blocks = (0..config.blocks)
            .map(|i| EncoderBlock::load(&tower.under(&format!("trunk.blocks.{i}")), &block))
            .collect::<Result<_, _>>()?;
        let patchifier = tower.under("preprocessor.patchifier");
        Ok(Self {
            norm: RmsNorm::load(&patchifier, "norm", config.hidden_size, config.eps)?,
            patchifier: projection(&patchifier, &config)?,
            blocks,
            connector: Connector::load(&loader.under("namo.conn_ve_llm"), &config)?,
            block,
            config,
            work: Workspace::new(Simd::detect()),
        })
    }

    /// Embeddings of the patches with their positions, `[patches, hidden]`.
    fn embed(&mut self, patches: &Patches) -> Result<Vec<f32>, ModelError> {
        let (row, width) = (self.config.row(), self.config.hidden_size);
        let x = product(&self.patchifier, patches.rows.to_vec(), row, &mut self.work)?;
        let normed = self
            .norm
            .forward(&Rows::Host { x, width }, &mut self.work)?;
        let Rows::Host { mut x, .. } = normed else {
            return Ok(Vec::new());
        };
        let quarter = width / 4;
        let omega = frequencies(&self.config);
        for (at, x) in x.chunks_exact_mut(width).enumerate() {
            // The column first.
            let place = [at % patches.width, at / patches.width];
            for (axis, x) in place.into_iter().zip(x.chunks_exact_mut(2 * quarter)) {
                let (sines, cosines) = x.split_at_mut(quarter);
                for ((s, c), omega) in sines.iter_mut().zip(cosines).zip(&omega) {
                    let (sin, cos) = (axis as f32 * omega).sin_cos();
                    *s += sin;
                    *c += cos;
                }
            }
        }
        Ok(x)
    }
}

impl ImageEncoder for Namo {
    fn encode(
        &mut self,
        patches: Patches,
        after: &mut dyn FnMut(Stage) -> bool,
    ) -> Result<Option<Encoded>, ModelError> {
        check(&patches, self.config.row(), 1)?;
        let mut x = self.embed(&patches)?;
        let segments = [patches.height * patches.width];
        let layout = Layout {
            angles: None,
            segments: &segments,
        };
        let mut space = EncoderSpace::new(&self.block, segments[0]);
        if !after(Stage(Held::Host(&x))) {
            return Ok(None);
        }
        for block in &self.blocks {
            block.forward(&mut x, layout, &mut space, &mut self.work)?;
            if !after(Stage(Held::Host(&x))) {
                return Ok(None);
            }
        }
        let size = [patches.height, patches.width];
        self.connector.forward(x, size, &mut self.work).map(Some)
    }

    fn marker(&self) -> Marker {
        Marker::Text(PLACEHOLDER)
    }

    fn rows(&self, height: usize, width: usize) -> usize {
        let side = self.config.connector.side();
        height.div_ceil(side) * width.div_ceil(side)
    }

    fn width(&self) -> usize {
        self.config.out_hidden_size
    }

    fn wants(&self) -> Wants {
        wants(&self.config, self.block.bytes_a_patch())
    }
}

/// What the model asks of an image where its activations take so many bytes a patch.
fn wants(config: &NamoConfig, activations: usize) -> Wants {
    Wants {
        family: Family::Namo,
        patch: config.patch,
        merge: 2,
        normalisation: None,
        longest: config.longest,
        shortest: config.shortest,
        bytes_a_patch: activations + 4 * config.row(),
    }
}

fn block(config: &NamoConfig) -> EncoderConfig {
    EncoderConfig {
        hidden: config.hidden_size,
        intermediate: config.intermediate_size,
        heads: config.num_heads,
        eps: config.eps,
        qkv_bias: config.qkv_bias,
        bias: config.use_bias,
        norms: ["norm_1", "norm_2"],
        mlp: ["fc1", "fc3", "fc2"],
    }
}

/// Radians a patch of the position code, a quarter of a row.
fn frequencies(config: &NamoConfig) -> Vec<f32> {
    let quarter = config.hidden_size / 4;
    (0..quarter)
        .map(|i| BASE.powf(-(i as f64) / quarter as f64) as f32)
        .collect()
}

/// The convolution whose steps are its kernel's size, one matrix `[hidden, row]`.
fn patch_weights(loader: &Loader, config: &NamoConfig) -> Result<Vec<f32>, WeightsError> {
    let (hidden, side) = (config.hidden_size, config.patch);
    loader.numbers("proj.weight", &[hidden, 3, side, side])
}

/// The embedding of patches.
fn projection(loader: &Loader, config: &NamoConfig) -> Result<Linear, WeightsError> {
    let weight = patch_weights(loader, config)?;
    let bias = loader.tensor("proj.bias", &[config.hidden_size])?;
    let weight = loader.own(&weight, [config.hidden_size, config.row()])?;
    Ok(Linear::new(weight, Some(bias))?)
}
