//! Between tower and decoder: `conn_ve_llm_type` of Namo's configuration.

use super::NamoConfig;
use crate::kernels::{self, Simd};
use crate::models::vision::{gelu, product};
use crate::models::{Encoded, ModelError};
use crate::nn::{Linear, Mlp, Workspace};
use crate::weights::{Loader, WeightsError};

/// LayerNorm's eps in torch.
pub(super) const EPS: f32 = 1e-5;
/// Sides of the blocks of patches that make a row, and layers of a perceptron, at most.
const MOST: usize = 16;

/// Which connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `pixelshuffle_Nx`: blocks of N × N patches, through a gated unit.
    PixelShuffle(usize),
    /// `mlpNx_gelu`: N linear layers with GELU between.
    Mlp(usize),
    Linear,
    Identity,
}

/// The connector with its weights.
pub struct Connector {
    form: Form,
    kind: Kind,
    inputs: usize,
    outputs: usize,
}

enum Form {
    Glu(Box<Glu>),
    Layers(Vec<Linear>),
}

/// CogVLM's gated unit: `down(silu(gate u) ⊙ up u)` with `u = gelu(norm(linear x))`.
struct Glu {
    linear: Linear,
    /// Gain and shift.
    norm: [Vec<f32>; 2],
    mlp: Mlp,
}

impl Kind {
    /// As config.json spells it.
    pub fn named(name: &str) -> Result<Self, String> {
        let counted = |start: &str, end: &str| {
            let count = name.strip_prefix(start)?.strip_suffix(end)?;
            count.parse().ok().filter(|n| (1..=MOST).contains(n))
        };
        if let Some(n) = counted("pixelshuffle_", "x") {
            return Ok(Self::PixelShuffle(n));
        }
        if let Some(n) = counted("mlp", "x_gelu") {
            return Ok(Self::Mlp(n));
        }
        match name {
            "linear" => Ok(Self::Linear),
            "identity" => Ok(Self::Identity),
            _ => Err(format!(
                "config.json: conn_ve_llm_type '{name}' is not supported (pixelshuffle_2x, mlp2x_gelu, linear and \
                 identity are)"
            )),
        }
    }

    /// Patches that make a row, downwards and across.
    pub fn side(self) -> usize {
        match self {
            Self::PixelShuffle(side) => side,
            _ => 1,
        }
    }
}

/// Below which name the gated unit lies.
pub(super) fn gated_unit<'a>(loader: &Loader<'a>) -> Loader<'a> {
    // The package that trains them drops the number in a later version.
    let at = ["layers.0.linear_proj", "layers.linear_proj"];
    let found = at
        .iter()
        .find(|at| loader.contains(&format!("{at}.norm1.weight")));
    loader.under(found.unwrap_or(&at[0]))
}

/// What the gated unit's gate, up and down are called.
pub(super) const GATED: [&str; 3] = ["gate_proj", "dense_h_to_4h", "dense_4h_to_h"];

/// What linear layer `i` is called: every other one is a GELU.
pub(super) fn layer_name(i: usize) -> String {
    format!("layers.layers.{}", 2 * i)
}

/// That tower and decoder fit each other without a layer between them.
pub(super) fn check_identity(loader: &Loader, config: &NamoConfig) -> Result<(), ModelError> {
    let (inputs, outputs) = (config.hidden_size, config.out_hidden_size);
    match inputs == outputs {
        true => Ok(()),
        false => Err(ModelError::Config {
            file: loader.checkpoint().path().display().to_string(),
            reason: format!(
                "the connector is the identity, but the tower has {inputs} numbers and the decoder {outputs}"
            ),
        }),
    }
}

impl Connector {
    /// Reads the tensors below `loader`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(loader: &Loader, config: &NamoConfig) -> Result<Self, ModelError> {
        let (inputs, outputs) = (config.hidden_size, config.out_hidden_size);
        let form = match config.connector {
            Kind::PixelShuffle(side) => {
                let wide = inputs * side * side;
                Form::Glu(Box::new(Glu::load(&gated_unit(loader), wide, outputs)?))
            }
            Kind::Mlp(count) => {
                let linear = |i: usize| {
                    let width = if i == 0 { inputs } else { outputs };
                    Linear::load(loader, &layer_name(i), width, outputs, true)
                };
                Form::Layers((0..count).map(linear).collect::<Result<_, _>>()?)
            }
            Kind::Linear => {
                Form::Layers(vec![Linear::load(loader, "layers", inputs, outputs, true)?])
            }
            Kind::Identity => {
                check_identity(loader, config)?;
                Form::Layers(Vec::new())
            }
        };
        Ok(Self {
            form,
            kind: config.connector,
            inputs,
            outputs,
        })
    }

    /// Rows of the decoder for `x`, `[height · width, hidden]`.
    ///
    /// # Errors
    /// Arithmetic that fails.
    pub fn forward(
        &self,
        x: Vec<f32>,
        [height, width]: [usize; 2],
        work: &mut Workspace,
    ) -> Result<Encoded, ModelError> {
        let (rows, grid) = match &self.form {
            Form::Glu(glu) => {
                let side = self.kind.side();
                let (shuffled, grid) = shuffle(&x, [height, width], self.inputs, side);
                (glu.forward(shuffled, work)?, grid)
            }
            Form::Layers(layers) => {
                let mut x = x;
                let mut inputs = self.inputs;
                for (i, layer) in layers.iter().enumerate() {
                    if i > 0 {
                        gelu(&mut x);
                    }
                    x = product(layer, x, inputs, work)?;
                    inputs = self.outputs;
                }
                (x, [height, width])
            }
        };
        Ok(Encoded {
            rows,
            tokens: grid[0] * grid[1],
            grid: [1, grid[0], grid[1]],
        })
    }
}

impl Glu {
    fn load(loader: &Loader, wide: usize, outputs: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            linear: Linear::load(loader, "linear_proj", wide, outputs, false)?,
            norm: [
                loader.numbers("norm1.weight", &[outputs])?,
                loader.numbers("norm1.bias", &[outputs])?,
            ],
            mlp: Mlp::load_named(loader, GATED, outputs, wide, false)?,
        })
    }

    fn forward(&self, x: (Vec<f32>, usize), work: &mut Workspace) -> Result<Vec<f32>, ModelError> {
        let (x, width) = x;
        let u = product(&self.linear, x, width, work)?;
        let mut normed = vec![0f32; u.len()];
        let [gain, shift] = &self.norm;
        kernels::layer_norm(Simd::detect(), &u, gain, shift, EPS, &mut normed);
        gelu(&mut normed);
        Ok(self.mlp.forward(&normed, work)?)
    }
}

/// Blocks of `side × side` patches as one row, row by row in the block; what is missing at the right and lower edge is 0.
/// The rows with their width, and how many there are downwards and across.
fn shuffle(
    x: &[f32],
    size: [usize; 2],
    channels: usize,
    side: usize,
) -> ((Vec<f32>, usize), [usize; 2]) {
    let (patches, grid) = blocks(size, side);
    let mut out = vec![0f32; patches.len() * channels];
    for (out, patch) in out.chunks_exact_mut(channels).zip(patches) {
        if let Some(patch) = patch {
            out.copy_from_slice(&x[patch * channels..(patch + 1) * channels]);
        }
    }
    ((out, channels * side * side), grid)
}

/// The patches of blocks of `side × side`, row by row in the block, None where there is none; and how many blocks there
/// are downwards and across.
pub(super) fn blocks([height, width]: [usize; 2], side: usize) -> (Vec<Option<usize>>, [usize; 2]) {
    let grid = [height.div_ceil(side), width.div_ceil(side)];
    let mut patches = Vec::with_capacity(grid[0] * grid[1] * side * side);
    for cell in 0..grid[0] * grid[1] {
        let (top, left) = (cell / grid[1] * side, cell % grid[1] * side);
        for i in 0..side * side {
            let (y, x) = (top + i / side, left + i % side);
            patches.push((y < height && x < width).then_some(y * width + x));
        }
    }
    (patches, grid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_rows_and_edges_are_filled_with_0() {
        // Patches of one number, 3 x 3, counted from 1.
        let x: Vec<f32> = (1..=9).map(|x| x as f32).collect();
        let ((rows, width), grid) = shuffle(&x, [3, 3], 1, 2);
        assert_eq!((width, grid), (4, [2, 2]));
        let expected = [
            [1.0, 2.0, 4.0, 5.0],
            [3.0, 0.0, 6.0, 0.0],
            [7.0, 8.0, 0.0, 0.0],
            [9.0, 0.0, 0.0, 0.0],
        ];
        assert_eq!(rows, expected.concat());
    }

    #[test]
    fn connectors_are_known_by_name() {
        assert_eq!(Kind::named("pixelshuffle_2x"), Ok(Kind::PixelShuffle(2)));
        assert_eq!(Kind::named("mlp2x_gelu"), Ok(Kind::Mlp(2)));
        assert_eq!(Kind::named("linear"), Ok(Kind::Linear));
        for unknown in [
            "",
            "mlpx_gelu",
            "pixelshuffle_0x",
            "mlp2x_gelu_Norm",
            "ovis",
        ] {
            assert!(Kind::named(unknown).is_err(), "{unknown}");
        }
    }
}
