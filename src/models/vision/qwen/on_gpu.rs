//! The encoder on an NVIDIA GPU.

use super::{block, frequencies, patch_weights, wants, QwenVisionConfig, Windows};
use crate::image::Wants;
use crate::kernels::cuda::{Dense, EncoderLayer, GpuError, Heads, Pace, Rope, Work};
use crate::models::vision::{check, Held, ImageEncoder, Marker, Patches, Stage};
use crate::models::{Encoded, ModelError};
use crate::nn::{EncoderBlock, RmsNorm};
use crate::weights::{Filled, Loader};

/// [`super::QwenVision`] with its weights on a GPU.
pub struct OnGpu {
    config: QwenVisionConfig,
    patch_embed: Dense,
    rope: Rope,
    heads: Heads,
    blocks: Vec<EncoderLayer>,
    /// The merger.
    norm: RmsNorm,
    layers: [Dense; 2],
    work: Work,
    pace: Pace,
}

impl OnGpu {
    /// Reads all tensors of the encoder to the GPU of `loader`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape, named with its file; out of memory, shapes that the kernels do not
    /// take.
    pub fn load(loader: &Loader, config: QwenVisionConfig) -> Result<Self, ModelError> {
        let gpu = loader.gpu().ok_or_else(GpuError::elsewhere)?;
        let kind = loader.encoder_operand();
        let visual = loader.under("visual");
        let block = block(&config);
        let heads = block.heads_on_gpu(kind, true)?;
        let blocks = (0..config.depth)
            .map(|i| {
                let at = visual.under(&format!("blocks.{i}"));
                EncoderBlock::load_on_gpu(&at, &block, kind, heads)
            })
            .collect::<Result<_, _>>()?;
        let merger = visual.under("merger");
        let (hidden, out) = (config.hidden_size, config.out_hidden_size);
        let wide = hidden * config.merge * config.merge;
        let patch = Filled::plain(hidden, config.row()).wide();
        let axis = frequencies(&block);
        let both = [axis.as_slice(), &axis].concat();
        Ok(Self {
            patch_embed: loader.dense_of(&patch_weights(loader, &config)?, patch, None)?,
            // Half of the frequencies turn with the row, half with the column; none with time.
            rope: Rope::new(gpu, &both, Some([0, axis.len(), axis.len()]), 1.0)?,
            heads,
            blocks,
            norm: RmsNorm::load(&merger, "ln_q", hidden, config.eps)?,
            layers: [
                merger.dense(&["mlp.0"], Filled::plain(wide, wide), kind, true)?,
                merger.dense(&["mlp.2"], Filled::plain(out, wide), kind, true)?,
            ],
            work: Work::new(gpu, kind, 0)?,
            pace: Pace::new(gpu)?,
            config,
        })
    }

    /// Rows of the decoder for patches in the order of `windows`, cell by cell as they lie in the image.
    fn rows_of(
        &mut self,
        patches: &Patches,
        windows: &Windows,
        after: &mut dyn FnMut(Stage) -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        let count = windows.patches();
        let cell = self.config.merge * self.config.merge;
        let order: Vec<u32> = windows
            .order()
            .iter()
            .flat_map(|at| (at * cell..(at + 1) * cell).map(|patch| patch as u32))
            .collect();
        let numbers = count * self.config.hidden_size;
        let work = &mut self.work;
        work.embed_patches(
            patches.rows,
            self.config.row(),
            Some(&order),
            &self.patch_embed,
        )?;
        let places: Vec<[usize; 3]> = windows.places().map(|[y, x]| [0, y, x]).collect();
        work.angles(&self.rope, &places)?;
        let whole = [count];
        let [in_windows, whole] = work.segments(&self.heads, [windows.segments(), &whole])?;
        if !after(Stage(Held::Gpu(work, numbers))) {
            return Ok(None);
        }
        for (i, block) in self.blocks.iter().enumerate() {
            let segments = match self.config.whole.contains(&i) {
                true => &whole,
                false => &in_windows,
            };
            work.encoder_layer(block, count, true, segments)?;
            self.pace.mark()?;
            if !after(Stage(Held::Gpu(work, numbers))) {
                return Ok(None);
            }
        }
        // For each cell of the image, where it is among those of the windows.
        let mut from = vec![0u32; windows.order().len()];
        for (at, &cell) in windows.order().iter().enumerate() {
            from[cell] = at as u32;
        }
        let [wide, narrow] = &self.layers;
        let rows = work.merge(count, self.norm.on_gpu()?, [wide, narrow], &from)?;
        Ok(Some(rows))
    }
}

impl ImageEncoder for OnGpu {
    fn encode(
        &mut self,
        patches: Patches,
        after: &mut dyn FnMut(Stage) -> bool,
    ) -> Result<Option<Encoded>, ModelError> {
        let merge = self.config.merge;
        check(&patches, self.config.row(), merge)?;
        let (rows, columns) = (patches.height / merge, patches.width / merge);
        let windows = Windows::new(rows, columns, merge, self.config.window);
        let made = self.rows_of(&patches, &windows, after);
        self.work.release();
        Ok(made?.map(|made| Encoded {
            rows: made,
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
        // Activations are in the GPU's memory.
        wants(&self.config, 0)
    }
}
