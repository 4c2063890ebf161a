//! Multiplications of an image encoder, counted from its configuration.

use crate::bench::BenchError;
use crate::models;
use crate::models::vision::mmproj;
use crate::models::vision::namo::{ConnectorKind, NamoConfig};
use crate::models::vision::qwen::{QwenVisionConfig, Windows};
use crate::weights::{Checkpoint, Format, Loader};

/// What encoding an image takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Products with the weights of blocks and connector, in the arithmetic of their type.
    pub products: u64,
    /// The embedding of the patches and attention.
    pub exact: u64,
}

/// A transformer over patches.
struct Tower {
    hidden: u64,
    intermediate: u64,
    /// Numbers of a patch that are read.
    row: u64,
    /// For each block, how many patches each patch sees, all together.
    seen: Vec<u64>,
}

impl Tower {
    fn count(&self, patches: u64, connector: u64) -> Count {
        let (hidden, wide) = (self.hidden, self.intermediate);
        let block = 4 * hidden * hidden + 3 * hidden * wide;
        Count {
            products: patches * self.seen.len() as u64 * block + connector,
            exact: patches * self.row * hidden
                + self.seen.iter().map(|seen| 2 * hidden * seen).sum::<u64>(),
        }
    }
}

/// For an image of `grid` (frames, and patches from top to bottom and from left to right) with the encoder in
/// `checkpoint`.
///
/// # Errors
/// A configuration that crane does not compute.
pub fn encoding(checkpoint: &Checkpoint, grid: [usize; 3]) -> Result<Count, BenchError> {
    let [_, height, width] = grid;
    if !mmproj::is(checkpoint) && models::detect(checkpoint)?.model_type == "namo" {
        return Ok(namo(&NamoConfig::read(checkpoint)?, height, width));
    }
    Ok(qwen(&QwenVisionConfig::read(checkpoint)?, height, width))
}

fn qwen(config: &QwenVisionConfig, height: usize, width: usize) -> Count {
    let merge = config.merge;
    let windows = Windows::new(height / merge, width / merge, merge, config.window);
    let squares = |segments: &[usize]| segments.iter().map(|&len| (len * len) as u64).sum();
    let (in_windows, whole) = (squares(windows.segments()), squares(&[windows.patches()]));
    let tower = Tower {
        hidden: config.hidden_size as u64,
        intermediate: config.intermediate_size as u64,
        row: config.row() as u64,
        seen: (0..config.depth)
            .map(|block| match config.whole.contains(&block) {
                true => whole,
                false => in_windows,
            })
            .collect(),
    };
    let (cells, joined) = (windows.order().len() as u64, (merge * merge) as u64);
    let wide = tower.hidden * joined;
    let merger = cells * wide * (wide + config.out_hidden_size as u64);
    tower.count(windows.patches() as u64, merger)
}

fn namo(config: &NamoConfig, height: usize, width: usize) -> Count {
    let patches = (height * width) as u64;
    let tower = Tower {
        hidden: config.hidden_size as u64,
        intermediate: config.intermediate_size as u64,
        row: config.row() as u64,
        seen: vec![patches * patches; config.blocks],
    };
    let (hidden, out) = (tower.hidden, config.out_hidden_size as u64);
    let connector = match config.connector {
        ConnectorKind::PixelShuffle(side) => {
            let cells = (height.div_ceil(side) * width.div_ceil(side)) as u64;
            // In, gate, up and down.
            cells * 4 * hidden * (side * side) as u64 * out
        }
        ConnectorKind::Mlp(layers) => patches * (hidden + (layers as u64 - 1) * out) * out,
        ConnectorKind::Linear => patches * hidden * out,
        ConnectorKind::Identity => 0,
    };
    tower.count(patches, connector)
}

/// The format that holds most of the encoder that `loader` reads, and its bytes in memory.
pub fn held(loader: &Loader) -> (Format, u64) {
    let checkpoint = loader.checkpoint();
    let alone = mmproj::is(checkpoint);
    let all = checkpoint.tensors();
    let own = all.filter(|info| alone || crate::weights::is_encoder(&info.name));
    let (mut most, mut sum) = ((Format::F32, 0), 0u64);
    for info in own {
        let numbers: u64 = info.shape.iter().map(|&size| size as u64).product();
        let format = loader.held(info);
        let bytes = format.bytes(numbers);
        sum = sum.saturating_add(bytes);
        // The largest matrix: all of a tower's blocks are of one format.
        if info.shape.len() == 2 && numbers > most.1 {
            most = (format, numbers);
        }
    }
    (most.0, sum)
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    fn count(name: &str, grid: [usize; 3]) -> Count {
        let checkpoint = synthetic::checkpoint(name, Format::BF16).unwrap();
        encoding(&checkpoint, grid).unwrap()
    }

    #[test]
    fn qwen_by_hand() {
        // 1036 x 756 pixels: 37 x 27 cells of four patches, windows of 4 x 4 cells, the last ones 1 wide and 3 high.
        let patches = 54 * 74;
        let block = 4 * 1280 * 1280 + 3 * 1280 * 3420;
        let merger = 27 * 37 * 5120 * (5120 + 2048);
        let windows = 6 * (9 * 64u64.pow(2) + 16u64.pow(2)) + 9 * 48u64.pow(2) + 12u64.pow(2);
        let expected = Count {
            products: patches * 32 * block + merger,
            exact: patches * 1280 * 588 + 2 * 1280 * (28 * windows + 4 * patches * patches),
        };
        assert_eq!(count("qwen2.5-vl-3b", [1, 54, 74]), expected);
    }

    #[test]
    fn namo_by_hand() {
        // 23 of 24 blocks are read; an odd side is filled up before four patches make a cell.
        let patches = 36 * 49;
        let block = 4 * 1024 * 1024 + 3 * 1024 * 2816;
        let expected = Count {
            products: patches * 23 * block + 18 * 25 * 4 * 4096 * 896,
            exact: patches * 1024 * 588 + 23 * 2 * 1024 * patches * patches,
        };
        assert_eq!(count("namo-500m", [1, 36, 49]), expected);
    }
}
