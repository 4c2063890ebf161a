//! Features of a recording → semantic tokens.

use super::backbone::{Backbone, BackboneShape, Stages, Work};
use super::config::BiCodecConfig;
use crate::kernels::conv::Signal;
use crate::kernels::{pool, Unit};
use crate::models::ModelError;
use crate::nn::conv::{self, Conv, ConvShape, Out, Space};
use crate::weights::{Loader, WeightsError};

/// The half of BiCodec that listens to what is said, on the GPU of its loader where there is one.
pub struct SemanticEncoder {
    backbone: Backbone,
    stages: Stages,
    project: Conv,
    in_project: Conv,
    /// Rows of length 1, `[codes, dim]`.
    codebook: Vec<f32>,
    /// Their squares, which rounding leaves near 1.
    squares: Vec<f32>,
    dim: usize,
    space: Space,
}

impl SemanticEncoder {
    /// Reads `encoder` and the input side of `quantizer`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(loader: &Loader, config: &BiCodecConfig) -> Result<Self, WeightsError> {
        let (encoder, quantizer) = (&config.encoder, &config.quantizer);
        let at = loader.under("encoder");
        let dim = encoder.vocos_dim;
        let mut codebook = loader.numbers(
            "quantizer.codebook.weight",
            &[quantizer.codebook_size, quantizer.codebook_dim],
        )?;
        let rows = codebook.chunks_exact_mut(quantizer.codebook_dim);
        rows.for_each(normalise);
        Ok(Self {
            backbone: Backbone::load(
                &at.under("encoder"),
                Unit::F32,
                BackboneShape {
                    inputs: encoder.input_channels,
                    dim,
                    intermediate: encoder.vocos_intermediate_dim,
                    layers: encoder.vocos_num_layers,
                    condition: None,
                },
                1.0,
            )?,
            stages: Stages::load(
                &at,
                Unit::F32,
                encoder.sample_ratios.len(),
                dim,
                encoder.vocos_intermediate_dim,
            )?,
            project: Conv::pointwise(&at, Unit::F32, "project", [encoder.out_channels, dim], None)?,
            in_project: Conv::weight_norm(
                loader,
                Unit::F32,
                "quantizer.in_project",
                ConvShape::same(quantizer.codebook_dim, quantizer.input_dim, 1),
            )?,
            squares: codebook
                .chunks_exact(quantizer.codebook_dim)
                .map(|row| row.iter().map(|x| x * x).sum())
                .collect(),
            codebook,
            dim: quantizer.codebook_dim,
            space: Space::new(loader, Unit::F32),
        })
    }

    /// `features` `[channels, frames]` → a token a frame: the nearest row of the codebook.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn tokens(&mut self, features: &Signal) -> Result<Vec<u32>, ModelError> {
        let rows = self.codes(features)?;
        let mut tokens = vec![0u32; features.len()];
        let parts = pool::Parts::new(&mut tokens);
        pool::run(features.len(), |frame| {
            let row = &rows[frame * self.dim..(frame + 1) * self.dim];
            // SAFETY: each task has its own token.
            let token = unsafe { parts.part(frame, 1) };
            token[0] = self.nearest(row);
        });
        Ok(tokens)
    }

    /// What is looked up, of length 1, `[frames, dim]`.
    fn codes(&mut self, features: &Signal) -> Result<Vec<f32>, ModelError> {
        let (mut work, space) = (Work::default(), &mut self.space);
        let [mut read, mut x, mut y, mut z] = [(); 4].map(|()| conv::Signal::default());
        read.put_all(features, space)?;
        let norms = self.backbone.norms(None)?;
        self.backbone
            .forward(&read, &norms, &mut work, space, &mut x)?;
        self.stages.forward(&mut x, &mut work, space)?;
        self.project.apply(&x, Out::plain(&mut y), space)?;
        self.in_project.apply(&y, Out::plain(&mut z), space)?;
        let mut rows = z.into_host()?.to_rows();
        rows.chunks_exact_mut(self.dim).for_each(normalise);
        Ok(rows)
    }

    fn nearest(&self, code: &[f32]) -> u32 {
        let square: f32 = code.iter().map(|x| x * x).sum();
        let mut best = (f32::INFINITY, 0);
        let rows = self.codebook.chunks_exact(self.dim).zip(&self.squares);
        for (index, (row, norm)) in rows.enumerate() {
            let dot: f32 = code.iter().zip(row).map(|(a, b)| a * b).sum();
            let distance = square - 2.0 * dot + norm;
            if distance < best.0 {
                best = (distance, index as u32);
            }
        }
        best.1
    }
}

/// `row` of length 1 (PyTorch's `normalize`).
fn normalise(row: &mut [f32]) {
    let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    row.iter_mut().for_each(|x| *x /= norm);
}
