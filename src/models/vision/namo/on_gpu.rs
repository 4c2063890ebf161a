//! Tower and connector on an NVIDIA GPU.

use super::connector::{self, Kind as ConnectorKind};
use super::{block, frequencies, patch_weights, wants, NamoConfig};
use crate::image::Wants;
use crate::kernels::cuda::{
    Buffer, Dense, EncoderLayer, GatedUnit, GpuError, Heads, Kind, Pace, Work,
};
use crate::models::vision::{check, Held, ImageEncoder, Marker, Patches, Stage};
use crate::models::{Encoded, ModelError};
use crate::nn::{EncoderBlock, RmsNorm};
use crate::weights::{Filled, Loader};

/// [`super::Namo`] with its weights on a GPU.
pub struct OnGpu {
    config: NamoConfig,
    patchifier: Dense,
    norm: RmsNorm,
    omega: Buffer,
    heads: Heads,
    blocks: Vec<EncoderLayer>,
    connector: Connector,
    work: Work,
    pace: Pace,
}

enum Connector {
    Gated(Box<GatedUnit>),
    Layers(Vec<Dense>),
}

impl OnGpu {
    /// Reads the tensors that are used to the GPU of `loader`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape, named with its file; out of memory, shapes that the kernels do not
    /// take.
    pub fn load(loader: &Loader, config: NamoConfig) -> Result<Self, ModelError> {
        let gpu = loader.gpu().ok_or_else(GpuError::elsewhere)?;
        let kind = loader.encoder_operand();
        let tower = loader.under("namo.ve.vision_tower");
        let block = block(&config);
        let heads = block.heads_on_gpu(kind, false)?;
        let blocks = (0..config.blocks)
            .map(|i| {
                let at = tower.under(&format!("trunk.blocks.{i}"));
                EncoderBlock::load_on_gpu(&at, &block, kind, heads)
            })
            .collect::<Result<_, _>>()?;
        let patchifier = tower.under("preprocessor.patchifier");
        let hidden = config.hidden_size;
        let patch = Filled::plain(hidden, config.row()).wide();
        let bias = patchifier.numbers("proj.bias", &[hidden])?;
        let weights = patch_weights(&patchifier, &config)?;
        Ok(Self {
            patchifier: patchifier.dense_of(&weights, patch, Some(&bias))?,
            norm: RmsNorm::load(&patchifier, "norm", hidden, config.eps)?,
            omega: Buffer::of_numbers(gpu, &frequencies(&config))?,
            heads,
            blocks,
            connector: Connector::load(&loader.under("namo.conn_ve_llm"), &config, kind)?,
            work: Work::new(gpu, kind, 0)?,
            pace: Pace::new(gpu)?,
            config,
        })
    }

    fn rows_of(
        &mut self,
        patches: &Patches,
        after: &mut dyn FnMut(Stage) -> bool,
    ) -> Result<Option<Encoded>, ModelError> {
        let (count, hidden) = (patches.height * patches.width, self.config.hidden_size);
        let numbers = count * hidden;
        let work = &mut self.work;
        work.embed_patches(patches.rows, self.config.row(), None, &self.patchifier)?;
        let norm = self.norm.on_gpu()?;
        work.place_patches(count, patches.width, &self.patchifier, norm, &self.omega)?;
        let [segments] = work.segments(&self.heads, [&[count]])?;
        if !after(Stage(Held::Gpu(work, numbers))) {
            return Ok(None);
        }
        for block in &self.blocks {
            work.encoder_layer(block, count, false, &segments)?;
            self.pace.mark()?;
            if !after(Stage(Held::Gpu(work, numbers))) {
                return Ok(None);
            }
        }
        let size = [patches.height, patches.width];
        let (rows, grid) = match &self.connector {
            Connector::Layers(layers) => (work.layers(count, hidden, layers)?, size),
            Connector::Gated(unit) => {
                let (from, grid) = connector::blocks(size, self.config.connector.side());
                let from = from.into_iter();
                let from = from.map(|patch| patch.map_or(Work::NONE, |patch| patch as u32));
                let from: Vec<u32> = from.collect();
                (work.gated_unit(&from, hidden, unit)?, grid)
            }
        };
        Ok(Some(Encoded {
            rows,
            tokens: grid[0] * grid[1],
            grid: [1, grid[0], grid[1]],
        }))
    }
}

impl Connector {
    fn load(loader: &Loader, config: &NamoConfig, kind: Kind) -> Result<Self, ModelError> {
        let (inputs, outputs) = (config.hidden_size, config.out_hidden_size);
        let layer = |name: &str, inputs: usize| {
            loader.dense(&[name], Filled::plain(outputs, inputs), kind, true)
        };
        Ok(match config.connector {
            ConnectorKind::PixelShuffle(side) => {
                let at = connector::gated_unit(loader);
                Self::Gated(Box::new(gated(&at, inputs * side * side, outputs, kind)?))
            }
            ConnectorKind::Mlp(count) => {
                let linear = |i: usize| {
                    let width = if i == 0 { inputs } else { outputs };
                    layer(&connector::layer_name(i), width)
                };
                Self::Layers((0..count).map(linear).collect::<Result<_, _>>()?)
            }
            ConnectorKind::Linear => Self::Layers(vec![layer("layers", inputs)?]),
            ConnectorKind::Identity => {
                connector::check_identity(loader, config)?;
                Self::Layers(Vec::new())
            }
        })
    }
}

fn gated(
    loader: &Loader,
    wide: usize,
    outputs: usize,
    kind: Kind,
) -> Result<GatedUnit, ModelError> {
    let gpu = loader.gpu().ok_or_else(GpuError::elsewhere)?;
    let numbers = |name: &str| -> Result<Buffer, ModelError> {
        let numbers = loader.numbers(name, &[outputs])?;
        Ok(Buffer::of_numbers(gpu, &numbers)?)
    };
    let [gate, up, down] = connector::GATED;
    Ok(GatedUnit {
        linear: loader.dense(&["linear_proj"], Filled::plain(outputs, wide), kind, false)?,
        norm: (
            [numbers("norm1.weight")?, numbers("norm1.bias")?],
            connector::EPS,
        ),
        gate_up: loader.dense(&[gate, up], Filled::plain(wide, outputs), kind, false)?,
        down: loader.dense(&[down], Filled::plain(outputs, wide), kind, false)?,
    })
}

impl ImageEncoder for OnGpu {
    fn encode(
        &mut self,
        patches: Patches,
        after: &mut dyn FnMut(Stage) -> bool,
    ) -> Result<Option<Encoded>, ModelError> {
        check(&patches, self.config.row(), 1)?;
        let made = self.rows_of(&patches, after);
        self.work.release();
        made
    }

    fn marker(&self) -> Marker {
        Marker::Text(super::PLACEHOLDER)
    }

    fn rows(&self, height: usize, width: usize) -> usize {
        let side = self.config.connector.side();
        height.div_ceil(side) * width.div_ceil(side)
    }

    fn width(&self) -> usize {
        self.config.out_hidden_size
    }

    fn wants(&self) -> Wants {
        // Activations are in the GPU's memory.
        wants(&self.config, 0)
    }
}
